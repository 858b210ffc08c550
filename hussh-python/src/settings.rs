//! What Python gives us, made ours.

use std::path::PathBuf;
use std::time::Duration;

use hussh::{
    Algorithms, AsyncConnectionPool, Builder, Command, Crypto, Error, HostKeyPolicy,
    KnownHostsCommand, Method, Methods, Order, Pin, PoolKind, Pty, SshError,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How to reach a host and log in, and for a pool how many connections it may have. From a `dict`
/// with `host` and `username`, and whatever else was said: what is not there has its default here.
pub(crate) struct Settings(Result<Builder<AsyncConnectionPool>, Error>);

impl Settings {
    pub(crate) fn builder<T>(self) -> Result<Builder<T>, Error> {
        self.0.map(Builder::to)
    }
}

impl<'py> FromPyObject<'_, 'py> for Settings {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match builder(&object) {
            Ok(builder) => Ok(Self(Ok(builder))),
            Err(Problem::Ours(error)) => Ok(Self(Err(error))),
            Err(Problem::Pythons(error)) => Err(error),
        }
    }
}

/// What may be wrong with what was said.
enum Problem {
    Ours(Error),
    Pythons(PyErr),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<PyErr> for Problem {
    fn from(error: PyErr) -> Self {
        Self::Pythons(error)
    }
}

fn builder(settings: &Bound<'_, PyAny>) -> Result<Builder<AsyncConnectionPool>, Problem> {
    let settings = settings.cast::<PyDict>().map_err(PyErr::from)?;
    let text = |name: &str| settings.get_item(name)?.map_or(Ok(None), |value| value.extract());
    let [host, username]: [Option<String>; 2] = [text("host")?, text("username")?];
    let (host, username) = (host.unwrap_or_default(), username.unwrap_or_default());
    let mut builder = AsyncConnectionPool::builder(host, username);
    for (name, value) in settings {
        builder = told(builder, name.extract()?, &value)?;
    }
    // Without a passphrase beside it, the password is also what the key is encrypted with.
    let key: Option<Bound<'_, PyAny>> = settings.get_item("private_key")?;
    let key: Option<PathBuf> = key.map_or(Ok(None), |path| path.extract())?;
    Ok(match (key, text("passphrase")?, text("password")?) {
        (Some(path), None, Some(secret)) => builder.private_key_or_password(path, &secret),
        (path, passphrase, password) => {
            let key = |builder: Builder<_>, path| builder.private_key(path, passphrase.as_deref());
            let builder = path.into_iter().fold(builder, key);
            password.into_iter().fold(builder, Builder::password)
        }
    })
}

/// Tells a builder one thing, by its name in Python.
fn told<T: PoolKind>(
    builder: Builder<T>,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> Result<Builder<T>, Problem> {
    let time = || Ok::<_, PyErr>(value.extract::<Seconds>()?.0);
    let perhaps = || Ok::<_, PyErr>(span(value.extract()?));
    Ok(match name {
        // Together, once all is known.
        "host" | "username" | "password" | "private_key" | "passphrase" => builder,
        "port" => builder.port(value.extract()?),
        "proxy_jump" => {
            let hops: Vec<Settings> = value.extract()?;
            let jump = |builder: Builder<T>, hop: Settings| Ok(builder.jump(hop.builder()?));
            return hops.into_iter().try_fold(builder, jump);
        }
        "proxy_command" => {
            let command: Option<String> = value.extract()?;
            command.into_iter().fold(builder, Builder::proxy_command)
        }
        "keepalive_interval" => builder.keepalive_interval(perhaps()?),
        "keepalive_count_max" => builder.keepalive_count_max(value.extract()?),
        "host_keys" => builder.host_keys(policy(&value.extract::<Vec<String>>()?)?),
        "must_record_host_keys" => builder.must_record_host_keys(value.extract()?),
        "connect_timeout" => builder.connect_timeout(time()?),
        "strict_key_modes" => builder.strict_key_modes(value.extract()?),
        "required_rsa_size" => builder.required_rsa_size(value.extract()?),
        "hash_known_hosts" => builder.hash_known_hosts(value.extract()?),
        "update_host_keys" => builder.update_host_keys(value.extract()?),
        "revoked_host_keys" => builder.revoked_host_keys(value.extract::<Vec<PathBuf>>()?),
        "known_hosts_command" => match value.extract::<Option<Vec<String>>>()? {
            Some(words) => {
                builder.known_hosts_command(KnownHostsCommand::new(words).map_err(Error::from)?)
            }
            None => builder,
        },
        "methods" => builder.methods(methods(&value.extract::<Vec<String>>()?)?),
        "crypto" => builder.crypto(crypto(&value.extract::<Vec<_>>()?)?),
        "max_connections" => builder.max_connections(value.extract()?),
        "channels_per_connection" => builder.channels_per_connection(value.extract()?),
        "min_idle" => builder.min_idle(value.extract()?),
        "acquire_timeout" => builder.acquire_timeout(perhaps()?),
        "idle_timeout" => builder.idle_timeout(perhaps()?),
        "max_lifetime" => builder.max_lifetime(perhaps()?),
        "check_timeout" => builder.check_timeout(time()?),
        "check_after_idle" => builder.check_after_idle(perhaps()?.unwrap_or(Duration::MAX)),
        "max_connecting" => builder.max_connecting(value.extract()?),
        "max_waiters" => builder.max_waiters(value.extract::<Option<_>>()?),
        "fail_fast" => builder.fail_fast(value.extract()?),
        "order" if value.extract::<&str>()? == "fifo" => builder.order(Order::Fifo),
        "order" => builder.order(Order::Lifo),
        "slow_acquire" => builder.slow_acquire(perhaps()?),
        "leak_after" => builder.leak_after(perhaps()?),
        "limit_recovery" => builder.limit_recovery(time()?),
        "reset_timeout" => builder.reset_timeout(time()?),
        "close_timeout" => builder.close_timeout(time()?),
        "max_closing" => builder.max_closing(value.extract()?),
        "max_maintaining" => builder.max_maintaining(value.extract()?),
        "jitter" => builder.jitter(value.extract()?),
        "backoff_base" => builder.backoff_base(time()?),
        "backoff_max" => builder.backoff_max(time()?),
        "breaker_delay" => builder.breaker_delay(time()?),
        _ => return Err(PyTypeError::new_err(format!("no setting is called {name:?}")).into()),
    })
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
pub(crate) struct Seconds(pub(crate) Duration);

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

/// These methods only, in this order.
fn methods(names: &[String]) -> Result<Methods, Error> {
    let all = [Method::PublicKey, Method::Password, Method::KeyboardInteractive];
    let known = |name: &String| all.into_iter().find(|method| method.name() == name);
    let unknown = || SshError::invalid("methods", "has a method of no known name");
    let preferred = names.iter().map(|name| known(name).ok_or_else(unknown));
    let mut methods = Methods::default();
    methods.preferred = Some(preferred.collect::<Result<_, _>>()?);
    Ok(methods)
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
            "pubkey_accepted_algorithms" => crypto.with(Algorithms::UserKeys, value)?,
            "rekey_limit" => crypto.with_rekey_limit(value.parse()?),
            _ => return Err(SshError::invalid("crypto", "has a list of no known name").into()),
        };
    }
    Ok(crypto)
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
            Some((term, columns, rows)) => {
                command.pty(Pty { term, columns, rows, ..Pty::default() })
            }
            None => command,
        }
    }
}
