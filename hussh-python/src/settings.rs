//! What Python gives us, made ours.

use std::path::PathBuf;
use std::time::Duration;

use hussh::{
    Algorithms, AsyncConnection, AsyncConnectionPool, Builder, Command, Crypto, Error,
    HostKeyPolicy, Pin, Pty, SshError,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// How to reach a host and log in. From a `dict`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    host: String,
    port: u16,
    username: String,
    /// Without a passphrase beside it, also what the private key is encrypted with, if it is.
    password: Option<String>,
    private_key: Option<PathBuf>,
    passphrase: Option<String>,
    strict_key_modes: bool,
    required_rsa_size: u32,
    proxy_jump: Vec<Settings>,
    proxy_command: Option<String>,
    /// The name of a policy, or pins.
    host_keys: Vec<String>,
    must_record_host_keys: bool,
    connect_timeout: Seconds,
    keepalive_interval: Option<Seconds>,
    keepalive_count_max: u32,
    /// A policy, then what differs from it: lists by their names.
    crypto: Vec<(String, String)>,
}

/// How many sessions, and for how long. From a `dict`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PoolSettings {
    max_connections: usize,
    min_idle: usize,
    acquire_timeout: Option<Seconds>,
    idle_timeout: Option<Seconds>,
    max_lifetime: Option<Seconds>,
    channels_per_connection: usize,
}

/// What to run. From a `dict`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct CommandSettings {
    command: Vec<u8>,
    stdin: Option<Vec<u8>>,
    env: Vec<(String, String)>,
    pty: Option<(String, u32, u32)>,
    timeout: Option<Seconds>,
    /// Also what is handed on as it comes.
    pub(crate) keep_output: bool,
    max_output: Option<usize>,
}

/// Seconds as a float, a time span that exists.
struct Seconds(Duration);

impl<'py> FromPyObject<'_, 'py> for Seconds {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let seconds: f64 = object.extract()?;
        let span = Duration::try_from_secs_f64(seconds);
        let span = span.map_err(|error| PyValueError::new_err(format!("{seconds} s: {error}")));
        span.map(Self)
    }
}

fn span(seconds: Option<Seconds>) -> Option<Duration> {
    seconds.map(|Seconds(span)| span)
}

fn policy(texts: &[String]) -> Result<HostKeyPolicy, Error> {
    Ok(match texts {
        [text] if text == "accept-new" => HostKeyPolicy::AcceptNew,
        [text] if text == "strict" => HostKeyPolicy::Strict,
        [text] if text == "danger-accept-any" => HostKeyPolicy::DangerAcceptAny,
        pins => {
            let pins = pins.iter().map(|pin| pin.parse::<Pin>());
            HostKeyPolicy::Pinned(pins.collect::<Result<_, _>>().map_err(Error::Ssh)?)
        }
    })
}

fn crypto(settings: &[(String, String)]) -> Result<Crypto, Error> {
    let mut crypto = Crypto::default();
    for (name, value) in settings {
        crypto = match name.as_str() {
            "policy" => Crypto::named(value)?,
            "kex_algorithms" => crypto.with(Algorithms::KeyExchange, value)?,
            "host_key_algorithms" => crypto.with(Algorithms::HostKeys, value)?,
            "ciphers" => crypto.with(Algorithms::Ciphers, value)?,
            "macs" => crypto.with(Algorithms::Macs, value)?,
            "ca_signature_algorithms" => crypto.with(Algorithms::CaSignatures, value)?,
            _ => return Err(SshError::invalid("crypto", "has a list of no known name").into()),
        };
    }
    Ok(crypto)
}

impl Settings {
    pub(crate) fn builder<T>(self) -> Result<Builder<T>, Error> {
        let mut builder = AsyncConnection::builder(self.host, self.username)
            .port(self.port)
            .crypto(crypto(&self.crypto)?)
            .host_keys(policy(&self.host_keys)?)
            .must_record_host_keys(self.must_record_host_keys)
            .connect_timeout(self.connect_timeout.0)
            .keepalive_interval(span(self.keepalive_interval))
            .keepalive_count_max(self.keepalive_count_max)
            .strict_key_modes(self.strict_key_modes)
            .required_rsa_size(self.required_rsa_size);
        for hop in self.proxy_jump {
            builder = builder.jump(hop.builder()?);
        }
        if let Some(command) = self.proxy_command {
            builder = builder.proxy_command(command);
        }
        builder = match (self.private_key, self.passphrase, self.password) {
            (Some(path), None, Some(secret)) => builder.private_key_or_password(path, &secret),
            (path, passphrase, password) => {
                let key =
                    |builder: Builder<_>, path| builder.private_key(path, passphrase.as_deref());
                let builder = path.into_iter().fold(builder, key);
                password.into_iter().fold(builder, Builder::password)
            }
        };
        Ok(builder.to())
    }
}

impl PoolSettings {
    pub(crate) fn apply(self, settings: Settings) -> Result<Builder<AsyncConnectionPool>, Error> {
        Ok(settings
            .builder::<AsyncConnectionPool>()?
            .max_connections(self.max_connections)
            .min_idle(self.min_idle)
            .acquire_timeout(span(self.acquire_timeout))
            .idle_timeout(span(self.idle_timeout))
            .max_lifetime(span(self.max_lifetime))
            .channels_per_connection(self.channels_per_connection))
    }
}

impl From<CommandSettings> for Command {
    fn from(settings: CommandSettings) -> Self {
        let mut command = Self::new(settings.command)
            .timeout(span(settings.timeout))
            .max_output(settings.max_output);
        if let Some(stdin) = settings.stdin {
            command = command.stdin(stdin);
        }
        for (name, value) in settings.env {
            command = command.env(name, value);
        }
        match settings.pty {
            Some((term, columns, rows)) => command.pty(Pty { term, columns, rows }),
            None => command,
        }
    }
}
