//! The OpenSSH client, told which server to trust and nothing else.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const WAIT_PATIENCE: Duration = Duration::from_secs(10);

/// A server as `ssh` sees it.
#[derive(Debug)]
pub struct Client {
    folder: tempfile::TempDir,
    pub arguments: Vec<String>,
    pub destination: String,
}

impl Client {
    pub fn new(identity: &Path, user: &str, port: u16, known_hosts_line: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let known_hosts = folder.path().join("known_hosts");
        fs::write(&known_hosts, format!("{known_hosts_line}\n")).unwrap();
        let arguments = vec![
            "-F".into(),
            "none".into(),
            "-i".into(),
            identity.display().to_string(),
            "-p".into(),
            port.to_string(),
            "-oBatchMode=yes".into(),
            "-oIdentitiesOnly=yes".into(),
            "-oStrictHostKeyChecking=yes".into(),
            "-oLogLevel=ERROR".into(),
            format!("-oUserKnownHostsFile={}", known_hosts.display()),
        ];
        Self { folder, arguments, destination: format!("{user}@127.0.0.1") }
    }

    pub fn with(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// What ssh tells on its standard error; by default errors only.
    pub fn verbose(mut self, level: &str) -> Self {
        self.arguments.retain(|argument| !argument.starts_with("-oLogLevel"));
        self.with(format!("-oLogLevel={level}"))
    }

    /// One connection for all that follows, held by a master process of `ssh`.
    pub fn with_master(self) -> Self {
        let socket = self.folder.path().join("master");
        let client = self
            .with(format!("-oControlPath={}", socket.display()))
            .with("-oControlMaster=auto")
            .with("-oControlPersist=60");
        assert!(client.run("true").status.success());
        client
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args(&self.arguments).arg(&self.destination).stdin(Stdio::null());
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.command().arg(line).output().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.arguments.iter().any(|argument| argument.starts_with("-oControlPath")) {
            let mut exit = self.command();
            let _ = exit.args(["-O", "exit"]).stderr(Stdio::null()).status();
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {WAIT_PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
