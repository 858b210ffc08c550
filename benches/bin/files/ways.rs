//! Ways to move files.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hussh::{AsyncConnection, Builder, Connection, HostKeyPolicy, Transfer};
use tokio::runtime::Runtime;

use crate::Row;
use crate::tools::Scene;

/// A way to move files.
pub(crate) trait Way {
    /// Does what the row says; false where it cannot.
    fn run(&self, scene: &Scene<'_>, row: Row) -> Result<bool>;

    /// What it takes for nothing, which does not count.
    fn nothing(&self) -> Duration {
        Duration::ZERO
    }
}

fn builder<T>(scene: &Scene<'_>, builder: Builder<T>) -> Builder<T> {
    builder
        .port(scene.place.addr().port())
        .private_key(scene.place.identity(), None)
        .host_keys(HostKeyPolicy::Strict)
        .known_hosts([scene.place.known_hosts()])
}

/// What is not preserved by the tools either, by default.
fn how() -> Transfer {
    Transfer::new()
}

/// Ours over libssh2.
pub(crate) struct Ssh2(Connection);

impl Ssh2 {
    pub(crate) fn connect(scene: &Scene<'_>) -> Result<Self> {
        let host = scene.place.addr().ip().to_string();
        let connection = builder(scene, Connection::builder(host, scene.place.user())).connect()?;
        connection.sftp()?;
        Ok(Self(connection))
    }
}

impl Way for Ssh2 {
    fn run(&self, scene: &Scene<'_>, row: Row) -> Result<bool> {
        let sftp = self.0.sftp()?;
        let (large, small, to) = (scene.path("large"), scene.path("small"), scene.path("to"));
        let report = match row {
            Row::LargeUp => sftp.upload(large, to, &how())?,
            Row::LargeDown => sftp.download(large, to, &how())?,
            Row::SmallUp => sftp.upload(small, to, &how())?,
            Row::SmallDown => sftp.download(small, to, &how())?,
            Row::Stat => {
                for _ in 0..300 {
                    sftp.stat(&large)?;
                }
                return Ok(true);
            }
        };
        ensure!(report.is_complete(), "{report:?}");
        Ok(true)
    }
}

/// Ours over russh, for tasks.
pub(crate) struct Russh(Runtime, AsyncConnection);

impl Russh {
    pub(crate) fn connect(scene: &Scene<'_>) -> Result<Self> {
        let runtime = Runtime::new()?;
        let host = scene.place.addr().ip().to_string();
        let builder = builder(scene, AsyncConnection::builder(host, scene.place.user()));
        let connection = runtime.block_on(async {
            let connection = builder.connect().await?;
            connection.sftp().await?;
            Ok::<_, hussh::Error>(connection)
        })?;
        Ok(Self(runtime, connection))
    }
}

impl Way for Russh {
    fn run(&self, scene: &Scene<'_>, row: Row) -> Result<bool> {
        let (large, small, to) = (scene.path("large"), scene.path("small"), scene.path("to"));
        self.0.block_on(async {
            let sftp = self.1.sftp().await?;
            let report = match row {
                Row::LargeUp => sftp.upload(large, to, &how()).await?,
                Row::LargeDown => sftp.download(large, to, &how()).await?,
                Row::SmallUp => sftp.upload(small, to, &how()).await?,
                Row::SmallDown => sftp.download(small, to, &how()).await?,
                Row::Stat => {
                    for _ in 0..300 {
                        sftp.stat(&large).await?;
                    }
                    return Ok(true);
                }
            };
            ensure!(report.is_complete(), "{report:?}");
            Ok(true)
        })
    }
}

/// OpenSSH's tools.
pub(crate) struct Tools {
    program: &'static str,
    nothing: Duration,
}

impl Tools {
    pub(crate) fn sftp(scene: &Scene<'_>) -> Self {
        Self::new(scene, "sftp")
    }

    pub(crate) fn scp(scene: &Scene<'_>) -> Self {
        Self::new(scene, "scp")
    }

    fn new(scene: &Scene<'_>, program: &'static str) -> Self {
        let tools = Self { program, nothing: Duration::ZERO };
        let start = Instant::now();
        // An empty file costs what a login does, and little more.
        let empty = scene.path("empty");
        let done = std::fs::write(&empty, "").is_ok()
            && tools.copy(scene, &empty.to_string_lossy(), true, false).is_ok();
        Self { nothing: if done { start.elapsed() } else { Duration::ZERO }, ..tools }
    }

    fn copy(&self, scene: &Scene<'_>, from: &str, up: bool, folder: bool) -> Result<()> {
        let to = scene.path("to");
        let to = to.to_string_lossy();
        let place = scene.place;
        let mut command = Command::new(self.program);
        command
            .args(["-q", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-F", "/dev/null"])
            .arg("-i")
            .arg(place.identity())
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", place.known_hosts().display()))
            .arg("-P")
            .arg(place.addr().port().to_string());
        let host = format!("{}@{}", place.user(), place.addr().ip());
        if self.program == "scp" {
            let there = |path: &str| format!("{host}:{path}");
            let (from, to) = match up {
                true => (from.to_owned(), there(&to)),
                false => (there(from), to.into_owned()),
            };
            command.args(folder.then_some("-r")).arg("-p").arg(from).arg(to);
        } else {
            let verb = if up { "put" } else { "get" };
            let script = scene.path("script");
            let flags = if folder { "-pr" } else { "-p" };
            let make = if folder && up { format!("mkdir {to}\n") } else { String::new() };
            std::fs::write(&script, format!("{make}{verb} {flags} {from} {to}\n"))?;
            command.arg("-b").arg(script).arg(host);
        }
        let done = command.stdout(Stdio::null()).status()?;
        ensure!(done.success(), "{} failed", self.program);
        if folder && self.program == "sftp" && up {
            // It puts the directory into the one that is there.
            let inside = scene.path("to").join("small");
            if inside.is_dir() {
                std::fs::rename(&inside, scene.path("moved"))?;
                std::fs::remove_dir(scene.path("to"))?;
                std::fs::rename(scene.path("moved"), scene.path("to"))?;
            }
        }
        Ok(())
    }
}

impl Way for Tools {
    fn run(&self, scene: &Scene<'_>, row: Row) -> Result<bool> {
        let path = |name| scene.path(name).to_string_lossy().into_owned();
        match row {
            Row::LargeUp => self.copy(scene, &path("large"), true, false)?,
            Row::LargeDown => self.copy(scene, &path("large"), false, false)?,
            Row::SmallUp => self.copy(scene, &path("small"), true, true)?,
            Row::SmallDown => self.copy(scene, &path("small"), false, true)?,
            Row::Stat => return Ok(false),
        }
        Ok(true)
    }

    fn nothing(&self) -> Duration {
        self.nothing
    }
}
