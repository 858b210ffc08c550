//! The pools that users have, behind one face: sync or async, over one library or the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io, thread};

use hussh::sync::{Connection, ConnectionPool, Library, Libssh2, PooledConnection, Russh};
use hussh::{
    AsyncConnection, AsyncConnectionPool, Builder, Command, Error, Output, PooledAsyncConnection,
    Stats,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Runtime};

use crate::ledger::{Errand, Ledger};
use crate::stage::ms;

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

/// What a pool or a connection is made with, whichever it is going to be.
pub type Plan = Builder<AsyncConnectionPool>;

/// Where a server is and how to log in. Plain data, so that it can be handed to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as the builder's setters are")]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub login: Login,
    pub known_hosts: PathBuf,
}

impl Place {
    /// What pools there are made with, unless a scenario wants something else.
    pub fn plan(&self) -> Plan {
        let plan = AsyncConnectionPool::builder(&self.host, &self.user)
            .port(self.port)
            .known_hosts([&self.known_hosts])
            .max_connections(4)
            .keepalive_interval(ms(300))
            .keepalive_count_max(3)
            .connect_timeout(ms(5000))
            .acquire_timeout(ms(30_000))
            .check_timeout(ms(2000));
        match &self.login {
            Login::Key(path) => plan.private_key(path, None),
            Login::Password(password) => plan.password(password),
        }
    }
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

impl Api {
    /// Makes a pool.
    pub fn pool(self, plan: Plan) -> anyhow::Result<Arc<dyn Pool>> {
        Ok(match self {
            Self::Ssh2Sync => Arc::new(Threads(plan.to::<ConnectionPool<Libssh2>>().build()?)),
            Self::RusshSync => Arc::new(Threads(plan.to::<ConnectionPool<Russh>>().build()?)),
            Self::RusshAsync => {
                let runtime = runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .thread_name("crash-tasks")
                    .enable_all()
                    .build()?;
                let _entered = runtime.enter();
                Arc::new(Tasks { pool: plan.build()?, runtime: Some(runtime) })
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
    pub fn dial(self, plan: Plan, runtime: &Runtime, command: &Command) -> Result<Output, Error> {
        match self {
            Self::Ssh2Sync => plan.to::<Connection<Libssh2>>().connect()?.execute_with(command),
            Self::RusshSync => plan.to::<Connection<Russh>>().connect()?.execute_with(command),
            Self::RusshAsync => runtime.block_on(async {
                plan.to::<AsyncConnection>().connect().await?.execute_with(command).await
            }),
        }
    }
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
