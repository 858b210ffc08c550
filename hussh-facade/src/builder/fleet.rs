//! What a connection to many hosts can be told besides: which they are, and how many at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ssh_session::ssh_config::Destination;
use ssh_session::{Endpoint, Options, SshConfig, SshError, Target};

use super::hosts::MadeForHosts;
use super::{Builder, Hosts, KeyedKind, Sealed};
use crate::Error;
use crate::multi::{Limits, MultiProgress, Progress};

/// How many hosts are worked on at a time, unless somebody says otherwise.
const HOSTS_AT_ONCE: usize = 100;

/// How many hosts are connected to at a time, unless somebody says otherwise.
const CONNECTS_AT_ONCE: usize = 32;

/// One of many hosts, with settings of its own: user, credentials, host keys, the way there. It
/// takes none of what the others have in common.
///
/// ```no_run
/// use hussh::{Host, MultiConnection};
///
/// let fleet = MultiConnection::builder()
///     .agent()
///     .hosts(["deploy@web1", "deploy@web2:2222"])
///     .host(Host::new("db.example.com", "admin").password("..."))
///     .host(Host::from_ssh_config("bastion")?)
///     .build()?;
/// # Ok::<(), hussh::Error>(())
/// ```
pub type Host = Builder<OneOfMany>;

/// Says of a [`Builder`] that it is a [`Host`].
#[derive(Debug)]
pub enum OneOfMany {}

impl Host {
    /// A host's name or address, and the user to log in as.
    pub fn new(host: impl Into<String>, username: impl Into<String>) -> Self {
        Self::of(host, username)
    }

    /// What the user's `ssh_config` says about a host and the way there.
    ///
    /// # Errors
    ///
    /// As [`AsyncConnection::from_ssh_config`](crate::AsyncConnection::from_ssh_config).
    pub fn from_ssh_config(alias: impl AsRef<str>) -> Result<Self, Error> {
        Self::from_config(alias, &SshConfig::user()?)
    }

    /// As [`from_ssh_config`](Self::from_ssh_config), with a configuration of your choice, which
    /// serves for many hosts.
    ///
    /// # Errors
    ///
    /// Whatever in it cannot be used, with file and line.
    pub fn from_config(alias: impl AsRef<str>, config: &SshConfig) -> Result<Self, Error> {
        Self::configured(alias.as_ref(), config)
    }
}

/// A connection to many hosts, which a [`Builder`] makes. Nobody else can implement it.
pub trait FleetKind: KeyedKind + Sealed {}

/// What was said so far.
#[derive(Clone, Default)]
pub(super) struct FleetOptions {
    /// As given, in that order.
    hosts: Vec<Named>,
    username: Option<String>,
    hosts_at_once: Option<usize>,
    connects_at_once: Option<usize>,
    host_timeout: Option<Duration>,
    progress: Option<Progress>,
}

#[derive(Clone)]
enum Named {
    /// With what all have in common.
    Text(String),
    Own(Result<Box<Options>, SshError>),
}

/// A connection to many hosts, checked.
pub(crate) struct MadeFleet {
    pub(crate) hosts: Hosts,
    pub(crate) made: MadeForHosts,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) limits: Limits,
    pub(crate) progress: Option<Progress>,
}

impl<T: FleetKind> Builder<T> {
    /// Adds hosts by name: `host`, `user@host`, `host:port`, `user@host:port`,
    /// `ssh://user@host:port`, an IPv6 address with a port as `[::1]:2222`. They have all in common
    /// that the builder is told, [`username`](Self::username) and [`port`](Self::port) among it
    /// where their names say nothing else. `ssh_config` is not looked at; see
    /// [`Host::from_config`](crate::Host::from_config).
    ///
    /// A host that is named twice counts once, in its first place: it is the same `user@host:port`,
    /// whatever the case of its letters. Where the two have different settings that is an error.
    pub fn hosts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.pool.fleet.hosts.extend(names.into_iter().map(|name| Named::Text(name.into())));
        self
    }

    /// Adds a host with settings of its own.
    pub fn host(mut self, host: Host) -> Self {
        self.pool.fleet.hosts.push(Named::Own(host.options().map(Box::new)));
        self
    }

    /// The user to log in as where a host's name has none. Without it such a name is an error.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.pool.fleet.username = Some(username.into());
        self
    }

    /// How many hosts are worked on at a time by one call: 1 and up, default 100. On threads it is
    /// the number of threads of a call.
    pub fn hosts_at_once(mut self, count: usize) -> Self {
        self.pool.fleet.hosts_at_once = Some(count);
        self
    }

    /// How many hosts may be connected to at a time, by all calls together: 1 and up, default 32. A
    /// host that does not answer takes one of these places for as long as it is waited for
    /// ([`host_timeout`](Self::host_timeout)), and no place of those who are connected.
    pub fn connects_at_once(mut self, count: usize) -> Self {
        self.pool.fleet.connects_at_once = Some(count);
        self
    }

    /// How long one host may take for one call, from when it is its turn to be connected to until
    /// its command has ended or its files are there: above zero. Waiting for its turn does not
    /// count. `None`, the default, bounds the connect alone
    /// ([`acquire_timeout`](Self::acquire_timeout)), and the command where it has a deadline.
    pub fn host_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.pool.fleet.host_timeout = timeout.into();
        self
    }

    /// Who is told when work on a host begins and ends. It is called on the thread or task that does
    /// the work, several at once, and holds that up while it runs; where it panics, nothing else
    /// does.
    pub fn progress(mut self, tell: impl Fn(&MultiProgress) + Send + Sync + 'static) -> Self {
        self.pool.fleet.progress = Some(Progress::new(tell));
        self
    }

    pub(crate) fn made_fleet(mut self) -> Result<MadeFleet, Error> {
        let FleetOptions {
            hosts: named,
            username,
            hosts_at_once,
            connects_at_once,
            host_timeout,
            progress,
        } = std::mem::take(&mut self.pool.fleet);
        let limits = Limits {
            hosts: at_least_one("hosts_at_once", hosts_at_once.unwrap_or(HOSTS_AT_ONCE))?,
            connects: at_least_one(
                "connects_at_once",
                connects_at_once.unwrap_or(CONNECTS_AT_ONCE),
            )?,
            host_timeout,
            acquire_timeout: None,
        };
        if host_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(SshError::invalid("host_timeout", "must be above zero").into());
        }
        // One connection to each host can stay open, so that the next call finds it there.
        self.pool.max_total.get_or_insert(named.len().max(super::hosts::MAX_TOTAL));
        let (hosts, made) = self.made_for_hosts()?;
        let mut endpoints: Vec<Endpoint> = Vec::with_capacity(named.len());
        let mut known: HashMap<(String, u16, String), usize> = HashMap::new();
        for host in named {
            let endpoint = match host {
                Named::Text(text) => {
                    hosts.endpoint(&target(&text, &hosts, username.as_deref())?)?
                }
                Named::Own(options) => {
                    let mut options = *options?;
                    // As any pool's: where the host says nothing, what all have.
                    options.keepalive.interval = options.keepalive.interval.or(hosts.keepalive());
                    Endpoint::new(options)?
                }
            };
            let target = &endpoint.options().target;
            let name = (target.host().to_ascii_lowercase(), target.port(), target.user().into());
            match known.entry(name) {
                Entry::Occupied(first) if endpoints[*first.get()] != endpoint => {
                    let problem = format!("has {target} twice, with different settings");
                    return Err(SshError::invalid("hosts", problem).into());
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(place) => {
                    place.insert(endpoints.len());
                    endpoints.push(endpoint);
                }
            }
        }
        if endpoints.is_empty() {
            return Err(SshError::invalid("hosts", "names none").into());
        }
        let limits = Limits { acquire_timeout: made.config.per_key().acquire_timeout(), ..limits };
        Ok(MadeFleet { hosts, made, endpoints: endpoints.into(), limits, progress })
    }
}

fn at_least_one(field: &'static str, count: usize) -> Result<usize, SshError> {
    if count == 0 { Err(SshError::invalid(field, "must be 1 or more")) } else { Ok(count) }
}

/// Whom a name means.
fn target(text: &str, hosts: &Hosts, username: Option<&str>) -> Result<Target, SshError> {
    let named = Destination::parse(text).map_err(|problem| SshError::invalid("hosts", problem))?;
    let user = named.user.as_deref().or(username).ok_or_else(|| {
        let problem = format!("has {:?} without a user: say user@{0}, or username()", named.host);
        SshError::invalid("hosts", problem)
    })?;
    Target::new(&named.host, named.port.unwrap_or(hosts.port()), user)
}
