//! The three kinds of sessions: one login, and a crowd that wants sessions of one of `hussh`'s pools at once.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use backend_russh::RusshSession;
use backend_russh::blocking::BlockingSession;
use backend_ssh2::Ssh2Session;
use conformance::suite::runtime;
use hussh::sync::{ConnectionPool, Library};
use hussh::{AsyncConnectionPool, Error};
use ssh_session::{AsyncSession as _, Command, Options, Session as _, SshError};

/// How many want a session at once.
pub(crate) const CROWD: usize = 8;

/// How long each of them waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Ssh2,
    Russh,
    BlockingRussh,
}

impl Backend {
    pub(crate) const ALL: [Self; 3] = [Self::Ssh2, Self::Russh, Self::BlockingRussh];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ssh2 => "ssh2",
            Self::Russh => "russh",
            Self::BlockingRussh => "blocking-russh",
        }
    }

    /// Logs in and runs a command.
    pub(crate) fn log_in(self, options: &Options) -> Result<(), SshError> {
        let command = Command::new("true");
        match self {
            Self::Ssh2 => Ssh2Session::connect(options)?.exec(&command),
            Self::Russh => runtime()
                .block_on(async { RusshSession::connect(options).await?.exec(&command).await }),
            Self::BlockingRussh => BlockingSession::connect(options)?.exec(&command),
        }
        .map(drop)
    }

    /// What each of a crowd is told that wants a connection of one pool at the same moment.
    pub(crate) fn crowd(self, options: &Options) -> Result<Vec<Result<(), Error>>, Error> {
        match self {
            Self::Ssh2 => sync_crowd::<hussh::sync::Libssh2>(options),
            Self::BlockingRussh => sync_crowd::<hussh::sync::Russh>(options),
            Self::Russh => runtime().block_on(async_crowd(options)),
        }
    }
}

/// What a pool's builder is told, sync or async.
macro_rules! told {
    ($builder:expr, $options:expr) => {
        $options
            .auth
            .iter()
            .cloned()
            .fold($builder, |builder, auth| builder.auth(auth))
            .port($options.target.port())
            .host_keys($options.host_keys.policy.clone())
            .connect_timeout(PATIENCE)
            .acquire_timeout(PATIENCE)
            .max_connections(CROWD)
            .build()
    };
}

fn sync_crowd<L: Library>(options: &Options) -> Result<Vec<Result<(), Error>>, Error> {
    let (host, user) = (options.target.host(), options.target.user());
    let pool = told!(ConnectionPool::<L>::builder(host, user), options)?;
    let start = Barrier::new(CROWD);
    let one = || {
        start.wait();
        pool.get().map(drop)
    };
    Ok(thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        crowd.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    }))
}

/// Tasks, on the threads of a runtime.
async fn async_crowd(options: &Options) -> Result<Vec<Result<(), Error>>, Error> {
    let (host, user) = (options.target.host(), options.target.user());
    let pool = Arc::new(told!(AsyncConnectionPool::builder(host, user), options)?);
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.get().await.map(drop) })
        })
        .collect();
    let mut said = Vec::new();
    for task in crowd {
        said.push(task.await.expect("no panic"));
    }
    Ok(said)
}
