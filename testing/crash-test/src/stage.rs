//! Where a scenario plays: an sshd, a proxy before it, and the books.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{Sshd, SshdBuilder};

use crate::api::{Api, Login, Place, Plan, Pool};
use crate::ledger::Ledger;

/// How long the workers of a load may take to end once they are told to.
const END_PATIENCE: Duration = Duration::from_secs(40);

/// How the scenarios are to be played.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Shorter, with the same meaning.
    pub quick: bool,
    /// The program `crash-test`, for scenarios that need another process.
    pub program: PathBuf,
}

/// A stage.
#[derive(Debug)]
#[allow(missing_docs, reason = "props")]
pub struct Stage {
    pub api: Api,
    pub setup: Setup,
    pub proxy: FaultProxy,
    pub server: Sshd,
    pub ledger: Arc<Ledger>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Sets a stage with a server of one's choice.
    pub fn with(api: Api, setup: &Setup, name: &str, server: SshdBuilder) -> Result<Self> {
        let server = server.start()?;
        let folder = tempfile::Builder::new().prefix("crash-test-").tempdir()?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        let file = folder.path().join("nonces");
        Ok(Self {
            api,
            setup: setup.clone(),
            proxy: FaultProxy::start(server.addr())?,
            server,
            ledger: Arc::new(Ledger::open(&file, name, Duration::from_secs(30))?),
            folder,
        })
    }

    /// What leads to the server, through the proxy.
    pub fn place(&self) -> Place {
        Place {
            host: self.server.host(),
            port: self.proxy.port(),
            user: self.server.user().to_owned(),
            login: Login::Key(self.server.identity()),
            known_hosts: self.folder.path().join("known_hosts"),
        }
    }

    /// A pool, with the plan changed as the scenario wants.
    pub fn pool(&self, change: impl FnOnce(Plan) -> Plan) -> Result<Arc<dyn Pool>> {
        self.api.pool(change(self.place().plan()))
    }

    /// Where the server writes nonces down.
    pub fn nonces(&self) -> PathBuf {
        self.folder.path().join("nonces")
    }

    /// The one or the other, the second when it is to be quick.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.setup.quick { quick } else { full }
    }

    /// Runs a short command; any error is one of the scenario.
    pub fn run(&self, pool: &dyn Pool) -> Result<()> {
        self.ledger.errand(":").run(pool, &self.ledger)?;
        Ok(())
    }

    /// So many threads or tasks that run one command after another.
    pub fn load(&self, pool: &Arc<dyn Pool>, workers: usize) -> Result<Load> {
        let (sender, ended) = mpsc::channel();
        for _ in 0..workers {
            let sender = sender.clone();
            let done = Box::new(move || sender.send(()).unwrap_or_default());
            pool.work(Arc::clone(&self.ledger), done)?;
        }
        Ok(Load { ledger: Arc::clone(&self.ledger), ended, workers })
    }
}

/// A load under way.
#[derive(Debug)]
#[must_use = "a load is to be ended"]
pub struct Load {
    ledger: Arc<Ledger>,
    ended: Receiver<()>,
    workers: usize,
}

impl Load {
    /// Tells the workers to end, and waits for them.
    pub fn end(self) -> Result<()> {
        self.ledger.stop();
        self.join()
    }

    /// Waits until the workers have ended.
    pub fn join(self) -> Result<()> {
        let deadline = Instant::now() + END_PATIENCE;
        for worker in 0..self.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                bail!("{} of {} workers hang", self.workers - worker, self.workers);
            }
        }
        Ok(())
    }
}

/// Waits until something is so.
pub fn wait_until(
    what: &str,
    patience: Duration,
    mut is_so: impl FnMut() -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    while !is_so() {
        ensure!(start.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(start.elapsed())
}

/// Milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What went well where it should have failed.
pub fn must_fail<T>(result: Result<T, hussh::Error>, what: &str) -> Result<hussh::Error> {
    result.err().with_context(|| format!("no error: {what}"))
}
