//! The pools that users have, behind one face: sync or async, over one library or the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, thread};

use hussh::sync::{Connection, ConnectionPool, Library, Libssh2, PooledConnection, Russh};
use hussh::{
    AsyncConnection, AsyncConnectionPool, Command, Error, Output, PooledAsyncConnection, Stats,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Runtime};

use crate::ledger::{Errand, Ledger};

/// One way to use the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Api {
    /// `hussh::ConnectionPool`.
    Ssh2Sync,
    /// `hussh::blocking::ConnectionPool`.
    RusshSync,
    /// `hussh::AsyncConnectionPool`.
    RusshAsync,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ssh2Sync, Self::RusshSync, Self::RusshAsync];

    /// The library below.
    pub fn backend(self) -> &'static str {
        match self {
            Self::Ssh2Sync => "ssh2",
            Self::RusshSync | Self::RusshAsync => "russh",
        }
    }

    /// How it is called.
    pub fn style(self) -> &'static str {
        match self {
            Self::Ssh2Sync | Self::RusshSync => "sync",
            Self::RusshAsync => "async",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.backend(), self.style())
    }
}

/// How to log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Login {
    /// With a private key file.
    Key(PathBuf),
    /// With a password.
    Password(String),
}

/// What a pool is made with. Plain data, so that it can be handed to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the builder's setters are")]
pub struct Plan {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub login: Login,
    pub known_hosts: PathBuf,
    pub max_connections: usize,
    pub keepalive_interval: Option<Duration>,
    pub keepalive_count_max: u32,
    pub connect_timeout: Duration,
    pub acquire_timeout: Duration,
    pub check_timeout: Duration,
    pub idle_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
}

/// A pool, however it is called.
pub trait Pool: Send + Sync {
    /// Borrows, runs, gives back.
    fn execute(&self, command: &Command) -> Result<Output, Error>;
    /// Borrows.
    fn lease(&self) -> Result<Box<dyn Lease>, Error>;
    /// Runs errands until there are none, from a thread or a task; calls back at the end.
    fn work(&self, ledger: Arc<Ledger>, done: Box<dyn FnOnce() + Send>) -> io::Result<()>;
    /// The pool's counts.
    fn stats(&self) -> Stats;
    /// Closes it.
    fn close(&self) -> Result<(), Error>;
    /// Sets the most connections.
    fn resize(&self, max_connections: usize);
    /// The async pool behind it, if it is one.
    fn async_pool(&self) -> Option<&AsyncConnectionPool> {
        None
    }
}

/// A connection on loan.
pub trait Lease: Send {
    /// Runs a command.
    fn execute(&self, command: &Command) -> Result<Output, Error>;
    /// Whether nothing is known that makes it unusable.
    fn is_alive(&self) -> bool;
}

macro_rules! planned {
    ($builder:expr, $plan:expr) => {{
        let plan: &Plan = $plan;
        let builder = $builder
            .port(plan.port)
            .known_hosts([&plan.known_hosts])
            .keepalive_interval(plan.keepalive_interval)
            .keepalive_count_max(plan.keepalive_count_max)
            .connect_timeout(plan.connect_timeout);
        match &plan.login {
            Login::Key(path) => builder.private_key(path, None),
            Login::Password(password) => builder.password(password),
        }
    }};
}

macro_rules! pooled {
    ($builder:expr, $plan:expr) => {
        planned!($builder, $plan)
            .max_connections($plan.max_connections)
            .acquire_timeout($plan.acquire_timeout)
            .check_timeout($plan.check_timeout)
            .idle_timeout($plan.idle_timeout)
            .max_lifetime($plan.max_lifetime)
            .build()
    };
}

impl Api {
    /// Makes a pool.
    pub fn pool(self, plan: &Plan) -> anyhow::Result<Arc<dyn Pool>> {
        Ok(match self {
            Self::Ssh2Sync => Arc::new(Threads(sync_pool::<Libssh2>(plan)?)),
            Self::RusshSync => Arc::new(Threads(sync_pool::<Russh>(plan)?)),
            Self::RusshAsync => {
                let runtime = runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .thread_name("crash-tasks")
                    .enable_all()
                    .build()?;
                let _entered = runtime.enter();
                let pool = pooled!(AsyncConnectionPool::builder(&plan.host, &plan.user), plan)?;
                Arc::new(Tasks { pool, runtime: Some(runtime) })
            }
        })
    }

    /// Runs a command through a pool that was made before this process was forked off. An async
    /// pool needs a runtime of this process for it.
    pub fn execute_in_fork(
        self,
        pool: &Arc<dyn Pool>,
        command: &Command,
    ) -> anyhow::Result<Output> {
        match self {
            Self::Ssh2Sync | Self::RusshSync => Ok(pool.execute(command)?),
            Self::RusshAsync => {
                let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
                let pool = pool.async_pool().ok_or_else(|| anyhow::anyhow!("no async pool"))?;
                let output = runtime.block_on(pool.execute_with(command));
                runtime.shutdown_background();
                Ok(output?)
            }
        }
    }

    /// Opens a connection without a pool, runs a command on it if one is given, and closes it.
    pub fn dial(self, plan: &Plan, runtime: &Runtime, command: &Command) -> Result<Output, Error> {
        match self {
            Self::Ssh2Sync => dial::<Libssh2>(plan, command),
            Self::RusshSync => dial::<Russh>(plan, command),
            Self::RusshAsync => runtime.block_on(async {
                let builder = AsyncConnection::builder(&plan.host, &plan.user);
                planned!(builder, plan).connect().await?.execute_with(command).await
            }),
        }
    }
}

fn sync_pool<L: Library>(plan: &Plan) -> Result<ConnectionPool<L>, Error> {
    pooled!(ConnectionPool::<L>::builder(&plan.host, &plan.user), plan)
}

fn dial<L: Library>(plan: &Plan, command: &Command) -> Result<Output, Error> {
    planned!(Connection::<L>::builder(&plan.host, &plan.user), plan)
        .connect()?
        .execute_with(command)
}

struct Threads<L: Library>(ConnectionPool<L>);

impl<L: Library> Pool for Threads<L> {
    fn execute(&self, command: &Command) -> Result<Output, Error> {
        self.0.execute_with(command)
    }

    fn lease(&self) -> Result<Box<dyn Lease>, Error> {
        Ok(Box::new(self.0.get()?))
    }

    fn work(&self, ledger: Arc<Ledger>, done: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let pool = self.0.clone();
        thread::Builder::new().name("crash-worker".into()).spawn(move || {
            while let Some(errand) = ledger.next() {
                let result = pool.execute_with(errand.command());
                ledger.settle(errand, &result);
            }
            drop(pool);
            done();
        })?;
        Ok(())
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn close(&self) -> Result<(), Error> {
        self.0.close()
    }

    fn resize(&self, max_connections: usize) {
        self.0.resize(max_connections);
    }
}

impl<L: Library> Lease for PooledConnection<L> {
    fn execute(&self, command: &Command) -> Result<Output, Error> {
        self.execute_with(command)
    }

    fn is_alive(&self) -> bool {
        Connection::is_alive(self)
    }
}

struct Tasks {
    pool: AsyncConnectionPool,
    /// Taken out to end it.
    runtime: Option<Runtime>,
}

struct TaskLease {
    lease: PooledAsyncConnection,
    runtime: runtime::Handle,
}

impl Tasks {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }
}

impl Pool for Tasks {
    fn execute(&self, command: &Command) -> Result<Output, Error> {
        self.runtime().block_on(self.pool.execute_with(command))
    }

    fn lease(&self) -> Result<Box<dyn Lease>, Error> {
        let lease = self.runtime().block_on(self.pool.get())?;
        Ok(Box::new(TaskLease { lease, runtime: self.runtime().handle().clone() }))
    }

    fn work(&self, ledger: Arc<Ledger>, done: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let pool = self.pool.clone();
        self.runtime().spawn(async move {
            while let Some(errand) = ledger.next() {
                let result = pool.execute_with(errand.command()).await;
                ledger.settle(errand, &result);
            }
            drop(pool);
            done();
        });
        Ok(())
    }

    fn stats(&self) -> Stats {
        self.pool.stats()
    }

    fn close(&self) -> Result<(), Error> {
        self.runtime().block_on(self.pool.close())
    }

    fn resize(&self, max_connections: usize) {
        self.pool.resize(max_connections);
    }

    fn async_pool(&self) -> Option<&AsyncConnectionPool> {
        Some(&self.pool)
    }
}

impl Lease for TaskLease {
    fn execute(&self, command: &Command) -> Result<Output, Error> {
        self.runtime.block_on(self.lease.execute_with(command))
    }

    fn is_alive(&self) -> bool {
        self.lease.is_alive()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Errand {
    /// Runs it through a pool, from this thread.
    pub fn run(self, pool: &dyn Pool, ledger: &Ledger) -> Result<Output, Error> {
        let result = pool.execute(self.command());
        ledger.settle(self, &result);
        result
    }

    /// Runs it on a connection on loan.
    pub fn run_on(self, lease: &dyn Lease, ledger: &Ledger) -> Result<Output, Error> {
        let result = lease.execute(self.command());
        ledger.settle(self, &result);
        result
    }
}
