//! Clients, as users write them.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use backend_russh::RusshBackend;
use hussh::{
    AsyncConnection, AsyncConnectionPool, Builder, Chunk, Error, JumpHost, Output,
    PooledAsyncConnection,
};
use pool_core::{AsyncKeyedPool, AsyncKeyedPooled, Config, KeyedConfig};
use ssh_session::{
    AsyncSession as _, Auth, Command, Endpoint, HostKeyPolicy, HostKeys, KeepaliveOptions, Options,
    Pty, Route, SshError, Target, Transport,
};
use tokio::time::Instant;

use crate::events::{Events, KeyedEvents};
use crate::job::{Job, Reading};
use crate::net;
use crate::records::Outcome;
use crate::script::{Client, Kind};
use crate::site::{Site, USER};
use crate::world::World;

/// What a client has in its hands. Clones are handles to the same.
#[derive(Clone)]
pub(crate) enum Hands {
    Pool(AsyncConnectionPool, Arc<Events>),
    Keyed(AsyncKeyedPool<Endpoint, RusshBackend>, Arc<KeyedEvents>),
    Single(Arc<Mutex<Option<Arc<AsyncConnection>>>>),
}

/// A session on loan.
pub(crate) enum Lease {
    Pooled(PooledAsyncConnection),
    Keyed(AsyncKeyedPooled<Endpoint, RusshBackend>),
    Single(Arc<AsyncConnection>),
}

/// The name of a site.
pub(crate) fn host(site: usize) -> String {
    format!("site-{site}.simulated")
}

/// The site of that name.
pub(crate) fn site_of(host: &str) -> Option<usize> {
    host.strip_prefix("site-")?.strip_suffix(".simulated")?.parse().ok()
}

/// Whether a client's keyed pool forgets no key, and no count with it.
pub(crate) fn remembers(owner: usize) -> bool {
    owner.is_multiple_of(2)
}

fn transport(world: &World, site: usize, owner: usize) -> Transport {
    let world = world.clone();
    Transport::streams(move |_| {
        let world = world.clone();
        async move { net::connect(&world, site, owner).await }
    })
}

impl Client {
    /// Makes what it works with.
    pub(crate) fn equip(&self, world: &World, owner: usize, known_hosts: &Path) -> Hands {
        match self.kind {
            Kind::Pool(site) => {
                let events = Arc::new(Events::new(world, owner, [Some(site), self.hop]));
                let pool = AsyncConnectionPool::builder(host(site), USER);
                let pool = self
                    .reach(pool, world, site, owner, known_hosts)
                    .max_connections(self.max_connections)
                    .channels_per_connection(self.channels)
                    .min_idle(self.min_idle)
                    .max_connecting(self.max_connecting)
                    .acquire_timeout(self.acquire_timeout)
                    .idle_timeout(self.idle_timeout)
                    .max_lifetime(self.max_lifetime)
                    .observer(events.clone())
                    .build();
                Hands::Pool(pool.expect("a valid plan"), events)
            }
            Kind::Keyed => {
                let per_key = Config::builder()
                    .max_size(self.max_connections)
                    .leases_per_session(self.channels)
                    .max_connecting(self.max_connecting)
                    .keepalive_interval(Some(self.keepalive_interval))
                    // Sessions themselves know what they were at when their time was up.
                    .connect_timeout(self.connect_timeout + Duration::from_secs(1))
                    .acquire_timeout(Some(self.acquire_timeout))
                    .idle_timeout(Some(self.idle_timeout))
                    .max_lifetime(Some(self.max_lifetime))
                    .build()
                    .expect("a valid plan");
                let mut config = KeyedConfig::new(per_key, self.total()).expect("a valid plan");
                if remembers(owner) {
                    config = config.forget_after(Duration::from_secs(1 << 32));
                }
                let endpoints = (0..world.sites().len()).map(|site| {
                    let target = Target::new(host(site), 22, USER).expect("a valid target");
                    let hosts = HostKeys::new(HostKeyPolicy::AcceptNew).files([known_hosts]);
                    let route = Route::Transport(transport(world, site, owner));
                    let mut options = Options::new(target)
                        .auth(Auth::password(Site::password(site)))
                        .host_keys(hosts)
                        .route(route);
                    options.connect_timeout = self.connect_timeout;
                    let (interval, count_max) = (self.keepalive_interval, self.keepalive_count_max);
                    options.keepalive = KeepaliveOptions { interval: Some(interval), count_max };
                    let events = Arc::new(Events::new(world, owner, [Some(site), None]));
                    (Endpoint::new(options).expect("valid options"), events)
                });
                let endpoints = Arc::new(KeyedEvents(endpoints.collect()));
                let pool = AsyncKeyedPool::builder(config, RusshBackend::for_endpoint);
                Hands::Keyed(pool.observer(endpoints.clone()).shared().build(), endpoints)
            }
            Kind::Single(_) => Hands::Single(Arc::default()),
        }
    }

    /// How it gets to a site.
    fn reach<T>(
        &self,
        builder: Builder<T>,
        world: &World,
        site: usize,
        owner: usize,
        known_hosts: &Path,
    ) -> Builder<T> {
        let builder = self.patient(builder, site, known_hosts);
        match self.hop {
            None => builder.transport(transport(world, site, owner)),
            Some(hop) => {
                let way = self.patient(JumpHost::new(host(hop), USER), hop, known_hosts);
                builder.jump(way.transport(transport(world, hop, owner)))
            }
        }
    }

    fn patient<T>(&self, builder: Builder<T>, site: usize, known_hosts: &Path) -> Builder<T> {
        builder
            .password(Site::password(site))
            .known_hosts([known_hosts])
            .keepalive_interval(self.keepalive_interval)
            .keepalive_count_max(self.keepalive_count_max)
            .connect_timeout(self.connect_timeout)
    }

    /// The most sessions of a keyed pool.
    pub(crate) fn total(&self) -> usize {
        self.max_connections + 1
    }

    /// How long a call without a connection may take to get one.
    pub(crate) fn patience(&self) -> Duration {
        match self.kind {
            Kind::Single(_) => self.connect_timeout,
            Kind::Pool(_) | Kind::Keyed => self.acquire_timeout,
        }
    }

    /// Borrows a session.
    pub(crate) async fn borrow(
        &self,
        world: &World,
        owner: usize,
        site: usize,
        hands: &Hands,
        known_hosts: &Path,
    ) -> Result<Lease, Outcome> {
        match hands {
            Hands::Pool(pool, _) => pool.get().await.map(Lease::Pooled).map_err(|e| failed(&e)),
            Hands::Keyed(pool, endpoints) => {
                let lease = pool.get(&endpoints.0[site].0).await;
                lease.map(Lease::Keyed).map_err(|error| Outcome::Failed {
                    may_have_started: false,
                    error: error.to_string(),
                })
            }
            Hands::Single(held) => {
                let lock = || held.lock().unwrap_or_else(PoisonError::into_inner);
                let known = lock().clone().filter(|connection| connection.is_alive());
                if let Some(connection) = known {
                    return Ok(Lease::Single(connection));
                }
                let builder = AsyncConnection::builder(host(site), USER);
                let builder = self.reach(builder, world, site, owner, known_hosts);
                let connection = Arc::new(builder.connect().await.map_err(|e| failed(&e))?);
                *lock() = Some(Arc::clone(&connection));
                Ok(Lease::Single(connection))
            }
        }
    }
}

impl Lease {
    /// Whether nothing is known that makes it unusable.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Pooled(connection) => connection.is_alive(),
            Self::Single(connection) => connection.is_alive(),
            Self::Keyed(session) => session.is_alive(),
        }
    }

    /// Runs a job on it, and reads what it writes piece by piece where that is said. A session of
    /// `pool-core` itself collects.
    pub(crate) async fn run(
        &self,
        job: Job,
        timeout: Option<Duration>,
        reading: Option<Reading>,
    ) -> Outcome {
        let command = command(job, timeout);
        match (self, reading) {
            (Self::Pooled(connection), Some(reading)) => {
                return read(connection, job, command, reading).await;
            }
            (Self::Single(connection), Some(reading)) => {
                return read(connection, job, command, reading).await;
            }
            _ => {}
        }
        match self {
            Self::Pooled(connection) => judge(job, connection.execute_with(&command).await),
            Self::Single(connection) => judge(job, connection.execute_with(&command).await),
            Self::Keyed(session) => {
                let result = session.exec(&command).await;
                if let Err(SshError::ChannelRefused { .. }) = &result {
                    pool_core::Guard::refused(session);
                }
                judge(job, result.map_err(Error::from))
            }
        }
    }
}

/// What a job looks like to a client.
pub(crate) fn command(job: Job, timeout: Option<Duration>) -> Command {
    let command = Command::new(job.line()).timeout(timeout).stdin(job.read());
    if job.pty { command.pty(Pty::default()) } else { command }
}

/// Starts a job, feeds it and reads it at once.
async fn read(
    connection: &AsyncConnection,
    job: Job,
    command: Command,
    reading: Reading,
) -> Outcome {
    let process = match connection.spawn(&command.stdin_piped()).await {
        Ok(process) => process,
        Err(error) => return failed(&error),
    };
    let feeding = async {
        for piece in job.read().chunks(20_000) {
            // Whoever reads is told why.
            if process.write(piece).await.is_err() {
                return;
            }
        }
        let _ = process.close_stdin().await;
    };
    let taking = async {
        let (mut stdout, mut pieces) = (Vec::new(), 0);
        loop {
            if reading.pieces == Some(pieces) {
                return None;
            }
            match process.read().await {
                Ok(Some(Chunk::Stdout(bytes))) => stdout.extend_from_slice(&bytes),
                Ok(Some(Chunk::Stderr(_))) => return Some(Ok(None)),
                Ok(None) => return Some(Ok(Some(stdout))),
                Err(error) => return Some(Err(error)),
            }
            reading.rest(pieces).await;
            pieces += 1;
        }
    };
    let taken = tokio::select! {
        biased;
        taken = taking => taken,
        () = async { feeding.await; std::future::pending().await } => return Outcome::Dropped,
    };
    match taken {
        None => Outcome::Dropped,
        Some(Err(error)) => failed(&error),
        Some(Ok(None)) => Outcome::Done { right: false },
        Some(Ok(Some(stdout))) => {
            let output = process.wait().await;
            judge(
                job,
                output.map(|status| Output {
                    stdout: stdout.into(),
                    stderr: Default::default(),
                    status,
                }),
            )
        }
    }
}

/// Whether a result is right.
pub(crate) fn judge(job: Job, result: Result<Output, Error>) -> Outcome {
    match result {
        Ok(output) => {
            let right = output.stdout == job.written()
                && output.stderr.is_empty()
                && output.status == hussh::ExitStatus::Code(job.code.into());
            Outcome::Done { right }
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Outcome {
    Outcome::Failed { may_have_started: error.may_have_started(), error: error.to_string() }
}

/// A future that is dropped after so many polls.
pub(crate) struct Dropped<F> {
    pub(crate) future: Option<Pin<Box<F>>>,
    pub(crate) polls: Option<u32>,
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(polls) = &mut this.polls {
            let Some(left) = polls.checked_sub(1) else {
                this.future = None;
                return Poll::Ready(None);
            };
            *polls = left;
        }
        match &mut this.future {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// How long something took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed())
}
