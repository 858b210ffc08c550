//! OpenSSH's `ssh-agent` on a socket of its own.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the agent may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A running agent; ended when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    folder: tempfile::TempDir,
}

impl Agent {
    /// An agent that holds no key.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("test-agent-").tempdir()?;
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(folder.path().join("socket"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| named("ssh-agent", &error))?;
        let agent = Self { child, folder };
        let deadline = Instant::now() + START_PATIENCE;
        // Its socket is there before it listens.
        while UnixStream::connect(agent.socket()).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "ssh-agent did not start"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(agent)
    }

    /// Gives it a private key that is not encrypted, and the certificate beside it if there is one.
    pub fn add(&self, key: &Path) -> io::Result<()> {
        self.ssh_add(&["-q"], key)
    }

    /// Gives it the certificate beside a private key, and not the key alone.
    pub fn add_certificate(&self, key: &Path) -> io::Result<()> {
        self.ssh_add(&["-q"], key)?;
        self.ssh_add(&["-q", "-k", "-d"], key)
    }

    /// Gives it a private key that is for hosts with this key only, as a line of known_hosts has it
    /// behind the name (`ssh-add -h`).
    ///
    /// # Errors
    ///
    /// Where `ssh-add` won't.
    pub fn add_for(&self, key: &Path, host_key: &str) -> io::Result<()> {
        let known = self.folder.path().join("destinations");
        std::fs::write(&known, format!("destination {host_key}\n"))?;
        let known = known.to_string_lossy();
        self.ssh_add(&["-q", "-H", &known, "-h", "destination"], key)
    }

    /// What `SSH_AUTH_SOCK` is to be.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn ssh_add(&self, arguments: &[&str], key: &Path) -> io::Result<()> {
        let output = Command::new("ssh-add")
            .args(arguments)
            .arg(key)
            .env("SSH_AUTH_SOCK", self.socket())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| named("ssh-add", &error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("ssh-add: {said}")))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn named(program: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{program}: {error}; install openssh-client"))
}
