//! What connections and pools are made with, said once for sync and async.

use std::time::Duration;

use pool_core::{Config, ConfigBuilder, ConfigError};
use ssh_session::{
    Auth, Crypto, ExposeSecret as _, HostKeys, KeepaliveOptions, KeyRules, Methods, Options,
    ProxyCommand, Route, SecretString, SshConfig, SshError, Target,
};

use crate::JumpHost;

/// How often a pool's connections are asked for a sign of life, unless somebody says otherwise.
const POOL_KEEPALIVE: Duration = Duration::from_secs(30);

/// What is known of a connection before it is checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: String,
    pub(crate) auth: Vec<Auth>,
    pub(crate) methods: Methods,
    pub(crate) key_rules: KeyRules,
    pub(crate) host_keys: HostKeys,
    pub(crate) crypto: Crypto,
    pub(crate) way: Way,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) keepalive_count_max: u32,
    pub(crate) max_output: Option<usize>,
}

/// How to get there, before it is checked.
#[derive(Debug, Clone, Default)]
pub(crate) enum Way {
    #[default]
    Direct,
    /// As a configuration has it.
    Configured(Route),
    Jump(Vec<JumpHost>),
    Command(SecretString),
}

impl Settings {
    pub(crate) fn new(host: String, username: String) -> Self {
        Self {
            host,
            port: 22,
            username,
            auth: Vec::new(),
            methods: Methods::default(),
            key_rules: KeyRules::default(),
            host_keys: HostKeys::default(),
            crypto: Crypto::default(),
            way: Way::Direct,
            connect_timeout: Options::CONNECT_TIMEOUT,
            keepalive_interval: None,
            keepalive_count_max: 3,
            max_output: Some(Options::MAX_OUTPUT),
        }
    }

    pub(crate) fn of_pool(host: String, username: String) -> Self {
        let mut settings = Self::new(host, username);
        settings.keepalive_interval = Some(POOL_KEEPALIVE);
        settings
    }

    pub(crate) fn configured(alias: &str, config: &SshConfig) -> Result<Self, SshError> {
        Ok(Self::from(Options::from_ssh_config(alias, config)?))
    }

    pub(crate) fn configured_for_pool(alias: &str, config: &SshConfig) -> Result<Self, SshError> {
        let mut settings = Self::configured(alias, config)?;
        settings.keepalive_interval.get_or_insert(POOL_KEEPALIVE);
        Ok(settings)
    }

    /// Adds a host to go through, behind those there are.
    pub(crate) fn jump(&mut self, hop: JumpHost) {
        match &mut self.way {
            Way::Jump(hops) => hops.push(hop),
            way => *way = Way::Jump(vec![hop]),
        }
    }

    pub(crate) fn options(self) -> Result<Options, SshError> {
        let options = self.unchecked()?;
        options.validate()?;
        Ok(options)
    }

    fn unchecked(self) -> Result<Options, SshError> {
        let route = self.way.route(&self.host)?;
        let mut options = Options::new(Target::new(self.host, self.port, self.username)?);
        options.auth = self.auth;
        if options.auth.is_empty() {
            options.auth.push(Auth::Auto);
        }
        options.methods = self.methods;
        options.key_rules = self.key_rules;
        options.host_keys = self.host_keys;
        options.crypto = self.crypto;
        options.route = route;
        options.connect_timeout = self.connect_timeout;
        options.keepalive = self
            .keepalive_interval
            .map(|interval| KeepaliveOptions { interval, count_max: self.keepalive_count_max });
        options.max_output = self.max_output;
        Ok(options)
    }
}

impl From<Options> for Settings {
    fn from(options: Options) -> Self {
        let Options {
            target,
            auth,
            methods,
            key_rules,
            host_keys,
            crypto,
            route,
            connect_timeout,
            keepalive,
            max_output,
        } = options;
        let mut settings = Self::new(target.host().to_owned(), target.user().to_owned());
        settings.port = target.port();
        settings.auth = auth;
        settings.methods = methods;
        settings.key_rules = key_rules;
        settings.host_keys = host_keys;
        settings.crypto = crypto;
        settings.way = Way::Configured(route);
        settings.connect_timeout = connect_timeout;
        settings.max_output = max_output;
        settings.keepalive_interval = keepalive.map(|keepalive| keepalive.interval);
        if let Some(keepalive) = keepalive {
            settings.keepalive_count_max = keepalive.count_max;
        }
        settings
    }
}

impl Way {
    /// `name` is the target's, as the caller wrote it.
    fn route(self, name: &str) -> Result<Route, SshError> {
        Ok(match self {
            Self::Direct => Route::Direct,
            Self::Configured(route) => route,
            Self::Command(template) => {
                let command = ProxyCommand::parse(template.expose_secret())?;
                Route::Command(command.original(name))
            }
            Self::Jump(hops) => {
                // A hop that has hops of its own is reached through them.
                let mut chain = Vec::new();
                for hop in hops {
                    let mut options = hop.settings.unchecked()?;
                    if let Route::Jump(before) = &mut options.route {
                        chain.append(before);
                        options.route = Route::Direct;
                    }
                    chain.push(options);
                }
                Route::Jump(chain)
            }
        })
    }
}

/// What is known of a pool before it is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolSettings {
    pub(crate) config: ConfigBuilder,
}

impl PoolSettings {
    /// The pool's configuration.
    pub(crate) fn config(self, settings: &Settings) -> Result<Config, SshError> {
        self.config
            .connect_timeout(settings.connect_timeout)
            .keepalive_interval(settings.keepalive_interval)
            .build()
            .map_err(|error| Self::invalid(&error))
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
