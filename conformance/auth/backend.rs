//! The three kinds of sessions: one login, and a crowd that wants sessions of a pool at once.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use backend_russh::blocking::{BlockingBackend, BlockingSession};
use backend_russh::{RusshBackend, RusshSession};
use backend_ssh2::{Ssh2Backend, Ssh2Session};
use pool_core::{AcquireError, AsyncPool, Config, Pool};
use ssh_session::{AsyncSession as _, Command, Options, Session as _, SshError};
use testkit::conformance::runtime;

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

    /// What each of a crowd is told that wants a session from one pool at the same moment.
    pub(crate) fn crowd(self, options: Options) -> Result<Vec<Result<(), SshError>>, SshError> {
        Ok(match self {
            Self::Ssh2 => sync_crowd(&Pool::new(Ssh2Backend::new(options)?, config())),
            Self::BlockingRussh => sync_crowd(&Pool::new(BlockingBackend::new(options)?, config())),
            Self::Russh => {
                let backend = RusshBackend::new(options)?;
                runtime().block_on(async_crowd(&AsyncPool::new(backend, config())))
            }
        })
    }
}

fn config() -> Config {
    let config = Config::builder().max_size(CROWD).acquire_timeout(Some(PATIENCE));
    config.connect_timeout(PATIENCE).build().expect("a sensible pool")
}

fn sync_crowd<B: pool_core::Backend<Error = SshError>>(
    pool: &Pool<B>,
) -> Vec<Result<(), SshError>> {
    let start = Barrier::new(CROWD);
    let one = || {
        start.wait();
        pool.get().map(drop).map_err(|error| told(&error))
    };
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        crowd.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

async fn async_crowd<B>(pool: &AsyncPool<B>) -> Vec<Result<(), SshError>>
where
    B: pool_core::AsyncBackend<Error = SshError>,
{
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.get().await.map(drop).map_err(|error| told(&error)) })
        })
        .collect();
    let mut said = Vec::new();
    for task in crowd {
        said.push(task.await.expect("no panic"));
    }
    said
}

/// The backend's error behind the pool's.
fn told(error: &AcquireError<SshError>) -> SshError {
    match error.connect_error() {
        Some(error) => error.clone(),
        None => SshError::invalid("pool", error.to_string()),
    }
}
