//! What connections and pools are made with, said once for sync and async.

use std::path::PathBuf;
use std::time::Duration;

use pool_core::{Config, ConfigBuilder, ConfigError};
use ssh_session::{Auth, HostKeyPolicy, HostKeys, KeepaliveOptions, Options, SshError, Target};

/// How often a pool's connections are asked for a sign of life, unless somebody says otherwise.
const POOL_KEEPALIVE: Duration = Duration::from_secs(30);

/// What is known of a connection before it is checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: String,
    pub(crate) auth: Vec<Auth>,
    pub(crate) host_keys: HostKeyPolicy,
    pub(crate) known_hosts: Option<Vec<PathBuf>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) keepalive_count_max: u32,
}

impl Settings {
    pub(crate) fn new(host: String, username: String) -> Self {
        Self {
            host,
            port: 22,
            username,
            auth: Vec::new(),
            host_keys: HostKeyPolicy::default(),
            known_hosts: None,
            connect_timeout: Options::CONNECT_TIMEOUT,
            keepalive_interval: None,
            keepalive_count_max: 3,
        }
    }

    pub(crate) fn of_pool(host: String, username: String) -> Self {
        let mut settings = Self::new(host, username);
        settings.keepalive_interval = Some(POOL_KEEPALIVE);
        settings
    }

    pub(crate) fn options(self) -> Result<Options, SshError> {
        let mut options = Options::new(Target::new(self.host, self.port, self.username)?);
        options.auth = self.auth;
        options.host_keys = HostKeys::new(self.host_keys);
        if let Some(files) = self.known_hosts {
            options.host_keys = options.host_keys.files(files);
        }
        options.connect_timeout = self.connect_timeout;
        options.keepalive = self
            .keepalive_interval
            .map(|interval| KeepaliveOptions { interval, count_max: self.keepalive_count_max });
        options.validate()?;
        Ok(options)
    }
}

/// What is known of a pool before it is checked.
#[derive(Debug, Clone)]
pub(crate) struct PoolSettings {
    pub(crate) config: ConfigBuilder,
    pub(crate) channels_per_connection: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { config: Config::builder(), channels_per_connection: 1 }
    }
}

impl PoolSettings {
    /// The pool's configuration, and how many leases a connection carries.
    pub(crate) fn config(self, settings: &Settings) -> Result<(Config, usize), SshError> {
        let config = self
            .config
            .connect_timeout(settings.connect_timeout)
            .keepalive_interval(settings.keepalive_interval)
            .build()
            .map_err(|error| Self::invalid(&error))?;
        Ok((config, self.channels_per_connection))
    }

    /// The pool's own words about a parameter, with the name it has here.
    pub(crate) fn invalid(error: &ConfigError) -> SshError {
        let field = match error.field() {
            "max_size" => "max_connections",
            "leases_per_session" => "channels_per_connection",
            other => other,
        };
        let text = error.to_string().replace("max_size", "max_connections");
        let expected = text.rsplit_once(" must be ").map_or("in range", |(_, expected)| expected);
        SshError::invalid(field, format!("must be {expected}"))
    }
}

/// The setters that all builders have.
macro_rules! shared_setters {
    ($default_keepalive:literal) => {
        /// The TCP port, 1 to 65535; default 22.
        pub fn port(mut self, port: u16) -> Self {
            self.settings.port = port;
            self
        }

        /// Logs in with a password. Ways to log in are tried in the order they are given, each
        /// once; a refused one is not tried again.
        pub fn password(mut self, password: impl Into<String>) -> Self {
            self.settings.auth.push(ssh_session::Auth::password(password));
            self
        }

        /// Logs in with a private key file, in OpenSSH's or PEM format; `passphrase` is what it is
        /// encrypted with, `None` if it is not.
        pub fn private_key(
            mut self,
            path: impl Into<std::path::PathBuf>,
            passphrase: Option<&str>,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::KeyFile {
                path: path.into(),
                passphrase: passphrase.map(Into::into),
            });
            self
        }

        /// Logs in with a private key from memory: the text of a key file.
        pub fn private_key_data(
            mut self,
            key: impl Into<String>,
            passphrase: Option<&str>,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::KeyData {
                key: key.into().into(),
                passphrase: passphrase.map(Into::into),
            });
            self
        }

        /// Logs in with the keys of the agent at `SSH_AUTH_SOCK`, one after another.
        pub fn agent(mut self) -> Self {
            self.settings.auth.push(ssh_session::Auth::Agent);
            self
        }

        /// Which host keys to believe; default [`HostKeyPolicy::AcceptNew`](crate::HostKeyPolicy).
        pub fn host_keys(mut self, policy: ssh_session::HostKeyPolicy) -> Self {
            self.settings.host_keys = policy;
            self
        }

        /// The known_hosts files to read; new hosts are added to the first. Default: OpenSSH's, of
        /// the user and of the system.
        pub fn known_hosts(
            mut self,
            files: impl IntoIterator<Item = impl Into<std::path::PathBuf>>,
        ) -> Self {
            self.settings.known_hosts = Some(files.into_iter().map(Into::into).collect());
            self
        }

        /// How long name lookup, TCP connect, key exchange and login may take together: above
        /// zero, default 10 s.
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.settings.connect_timeout = timeout;
            self
        }

        /// After this long without anything received, a heartbeat that asks for a reply is sent,
        /// as with OpenSSH's `ServerAliveInterval`; `None` sends none. Above zero, fractions of a
        /// second are fine;
        #[doc = concat!("default ", $default_keepalive, ".")]
        pub fn keepalive_interval(
            mut self,
            interval: impl Into<Option<std::time::Duration>>,
        ) -> Self {
            self.settings.keepalive_interval = interval.into();
            self
        }

        /// After this many heartbeats without an answer the connection is dead, which is
        /// `keepalive_interval × (keepalive_count_max + 1)` after its last sign of life: 1 and up,
        /// default 3.
        pub fn keepalive_count_max(mut self, count: u32) -> Self {
            self.settings.keepalive_count_max = count;
            self
        }
    };
}
pub(crate) use shared_setters;

/// The setters that both builders of pools have.
macro_rules! pool_setters {
    () => {
        /// The most connections open at once: 1 and up, default 10. sshd's `MaxStartups` and the
        /// server's memory bound what is sensible.
        pub fn max_connections(mut self, count: usize) -> Self {
            self.pool.config = self.pool.config.max_size(count);
            self
        }

        /// How many borrowers share a connection at most, each with a channel of its own: 1 and
        /// up, default 1. sshd opens 10 (`MaxSessions`) and frees them late, so that 5 is the
        /// sensible most. A server that opens fewer is found out and not asked again; what it
        /// refused is run elsewhere or waits.
        pub fn channels_per_connection(mut self, count: usize) -> Self {
            self.pool.channels_per_connection = count;
            self
        }

        /// How many leases are kept ready though nobody uses them, each a connection or a channel's
        /// share of one: up to `max_connections`, default 0.
        pub fn min_idle(mut self, count: usize) -> Self {
            self.pool.config = self.pool.config.min_idle(count);
            self
        }

        /// How long a borrower waits for a connection; `None` waits for ever. Default 30 s.
        pub fn acquire_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.acquire_timeout(timeout.into());
            self
        }

        /// How long a connection that was idle may take to answer before it is lent; then another
        /// one is. Above zero, default 5 s.
        pub fn check_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.pool.config = self.pool.config.check_timeout(timeout);
            self
        }

        /// Connections that nobody used for this long are closed, down to `min_idle`; `None` keeps
        /// them. Above zero, default 10 min.
        pub fn idle_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.idle_timeout(timeout.into());
            self
        }

        /// Connections older than this are replaced once nobody uses them; `None` keeps them.
        /// Above zero, default 30 min.
        pub fn max_lifetime(mut self, lifetime: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.max_lifetime(lifetime.into());
            self
        }
    };
}
pub(crate) use pool_setters;
