//! Everything a backend needs to open a session.

use std::time::Duration;

use crate::{Auth, Crypto, HostKeys, KeyRules, Methods, Route, SshError, Target};

/// Everything a backend needs to open a session.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom to talk to.
    pub target: Target,
    /// How to log in: tried in order until the server is satisfied. A refused one is not tried
    /// again.
    pub auth: Vec<Auth>,
    /// Which methods those may be sent by.
    pub methods: Methods,
    /// What keys have to be like, a server's and ours.
    pub key_rules: KeyRules,
    /// Which host keys to believe.
    pub host_keys: HostKeys,
    /// What may be agreed on with the server.
    pub crypto: Crypto,
    /// How to get there.
    pub route: Route,
    /// How long name lookup, TCP connect, handshake and authentication may take together, those of
    /// jump hosts included.
    pub connect_timeout: Duration,
    /// How many connections to this host and port may be under way at once in this process and not
    /// logged in yet, whichever pool or session they are for: 1 and up. The others wait their turn,
    /// within their `connect_timeout`. sshd drops some at random from the tenth on
    /// (`MaxStartups`); a dial that it drops comes again after a pause.
    pub max_startups: usize,
    /// When the session asks a silent server for a sign of life, also while nobody uses it; by
    /// default never.
    pub keepalive: KeepaliveOptions,
    /// How much of each stream of a command is collected at most, in bytes, unless the command
    /// says otherwise; `None` is no limit.
    pub max_output: Option<usize>,
}

impl Options {
    /// The default of [`max_output`](Self::max_output).
    pub const MAX_OUTPUT: usize = 64 << 20;

    /// The default of [`connect_timeout`](Self::connect_timeout).
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The default of [`max_startups`](Self::max_startups).
    pub const MAX_STARTUPS: usize = 8;

    /// Defaults for a target: the user's known_hosts files, 10 s, no heartbeats, and no way to log
    /// in yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            auth: Vec::new(),
            methods: Methods::default(),
            key_rules: KeyRules::default(),
            host_keys: HostKeys::default(),
            crypto: Crypto::default(),
            route: Route::Direct,
            connect_timeout: Self::CONNECT_TIMEOUT,
            max_startups: Self::MAX_STARTUPS,
            keepalive: KeepaliveOptions::default(),
            max_output: Some(Self::MAX_OUTPUT),
        }
    }

    /// Adds a way to log in, tried after those before it.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth.push(auth);
        self
    }

    /// Sets which host keys to believe.
    #[must_use]
    pub fn host_keys(mut self, host_keys: HostKeys) -> Self {
        self.host_keys = host_keys;
        self
    }

    /// Sets what may be agreed on with the server.
    #[must_use]
    pub fn crypto(mut self, crypto: Crypto) -> Self {
        self.crypto = crypto;
        self
    }

    /// Sets how to get there.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    /// Checks what no server could make sense of, here and in every jump host.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] naming the field.
    pub fn validate(&self) -> Result<(), SshError> {
        if self.auth.is_empty() {
            return Err(SshError::invalid(
                "auth",
                "is missing: give a password, a private key or the agent",
            ));
        }
        if self.connect_timeout.is_zero() {
            return Err(SshError::invalid("connect_timeout", "must be above zero"));
        }
        if self.max_startups == 0 {
            return Err(SshError::invalid("max_startups", "must be 1 or more"));
        }
        self.keepalive.validate()?;
        if self.key_rules.required_rsa_size < KeyRules::REQUIRED_RSA_SIZE {
            let least = KeyRules::REQUIRED_RSA_SIZE;
            return Err(SshError::invalid("required_rsa_size", format!("must be {least} or more")));
        }
        self.host_keys.validate()?;
        self.auth.iter().try_for_each(Auth::validate)?;
        self.route.validate()
    }
}

/// Heartbeats as OpenSSH's `ServerAliveInterval` and `ServerAliveCountMax` define them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveOptions {
    /// After this long without anything received a heartbeat is sent; `None`, the default, sends
    /// none.
    pub interval: Option<Duration>,
    /// After this many heartbeats without any answer the session is dead:
    /// `interval × (count_max + 1)` after the last sign of life. Default 3.
    pub count_max: u32,
}

impl Default for KeepaliveOptions {
    fn default() -> Self {
        Self { interval: None, count_max: 3 }
    }
}

impl KeepaliveOptions {
    /// Heartbeats at this interval, of which 3 may stay without an answer.
    pub fn every(interval: Duration) -> Self {
        Self { interval: Some(interval), ..Self::default() }
    }

    /// Checks that both are above zero.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] naming the field.
    pub fn validate(&self) -> Result<(), SshError> {
        if self.interval.is_some_and(|interval| interval.is_zero()) {
            return Err(SshError::invalid("keepalive_interval", "must be above zero"));
        }
        if self.count_max == 0 {
            return Err(SshError::invalid("keepalive_count_max", "must be 1 or more"));
        }
        Ok(())
    }
}
