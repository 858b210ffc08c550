//! A proxy command under way.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::{ConnectProblem, Phase, ProcessId, ProxyCommand, SshError, Target, printable};

/// How long a proxy command may take to end once its input has, and it was told to.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// A proxy command whose standard input and output are a session's connection. It is ended when
/// dropped, without waiting for it.
///
/// It runs as OpenSSH runs it, by `exec` in the user's `SHELL`, but in a process group of its own:
/// Ctrl-C in a terminal does not reach it, and it cannot ask anything there. What it writes to
/// standard error is kept for errors, up to what a pipe holds; more is dropped.
pub struct ProxyProcess {
    child: Option<Child>,
    complaints: PipeReader,
    command: ProxyCommand,
    home: ProcessId,
}

impl ProxyProcess {
    /// Starts the command for a target, and gives our end of its input and output.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] as [`ProxyCommand::for_target`]; [`SshError::Connect`] if it
    /// cannot be started.
    pub fn start(command: &ProxyCommand, target: &Target) -> Result<(Self, UnixStream), SshError> {
        let line = command.for_target(target)?;
        Self::run(command, &line).map_err(|source| {
            failed(target, format!("the shell for the proxy command does not start: {source}"))
        })
    }

    fn run(command: &ProxyCommand, line: &str) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let (complaints, complain) = io::pipe()?;
        // A full pipe must hold nobody up, on either side.
        rustix::io::ioctl_fionbio(&complaints, true)?;
        rustix::io::ioctl_fionbio(&complain, true)?;
        let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let child = Command::new(shell.as_deref().unwrap_or_else(|| OsStr::new("/bin/sh")))
            .args([OsString::from("-c"), format!("exec {line}").into()])
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(complain)
            .process_group(0)
            .spawn()?;
        let (child, command, home) = (Some(child), command.clone(), ProcessId::current());
        Ok((Self { child, complaints, command, home }, ours))
    }

    /// Says more about a connection that ended before the handshake: it is the proxy command that
    /// did not get there. Other errors are left as they are.
    #[must_use]
    pub fn explain(&mut self, error: SshError) -> SshError {
        let target = match &error {
            SshError::Busy { target, said } if said.is_empty() => target.clone(),
            SshError::ConnectionLost { target, phase: Phase::Handshake, .. } => target.clone(),
            _ => return error,
        };
        let mut text = "the proxy command ended the connection".to_owned();
        text.extend(self.ending());
        let said = self.complaint();
        if !said.is_empty() {
            text.push_str(&format!(", saying \"{said}\""));
        }
        failed(&target, text)
    }

    /// How it ended, if it has. It is not reaped: its number would no longer be its own.
    fn ending(&self) -> Option<String> {
        let id = process_id(self.child.as_ref()?)?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(id), look).ok().flatten()?;
        let code = status.exit_status().map(|code| format!(" (exit status {code})"));
        code.or_else(|| Some(format!(" (signal {})", status.terminating_signal()?)))
    }

    /// What it has written to standard error and nobody has read, escaped and cut.
    fn complaint(&mut self) -> String {
        let mut text = Vec::new();
        let mut part = [0; 1024];
        while let Ok(count @ 1..) = self.complaints.read(&mut part) {
            text.extend_from_slice(&part[..count]);
        }
        let text = self.command.redact(&String::from_utf8_lossy(text.trim_ascii()));
        printable(text.as_bytes())
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        // A forked-off process has no say in its parent's children.
        if self.home.is_current() {
            end(child);
        }
    }
}

impl fmt::Debug for ProxyProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.child.as_ref().map(Child::id);
        f.debug_struct("ProxyProcess").field("id", &id).finish_non_exhaustive()
    }
}

/// Ends a process and what it has started, in a thread that waits for it.
fn end(mut child: Child) {
    let Some(group) = process_id(&child) else { return };
    // What it started may run on when it has ended itself.
    let _ = kill_process_group(group, Signal::HUP);
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let waiting = move || {
        let patience = Instant::now() + FAREWELL;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= patience {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    };
    if let Err(error) = thread::Builder::new().name("hussh-reap".into()).spawn(waiting) {
        tracing::debug!(%error, "no thread to wait for a proxy command");
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn process_id(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn failed(target: &Target, text: String) -> SshError {
    let source = Arc::new(io::Error::other(text));
    SshError::Connect { target: target.clone(), problem: ConnectProblem::Proxy, source }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
    use std::time::Duration;

    use super::ProxyProcess;
    use crate::{Phase, ProxyCommand, SshError, Target};

    fn target() -> Target {
        Target::new("h.example", 22, "u").expect("a target")
    }

    fn start(template: &str) -> (ProxyProcess, std::os::unix::net::UnixStream) {
        let command = ProxyCommand::parse(template).expect("a template");
        ProxyProcess::start(&command, &target()).expect("a process")
    }

    #[test]
    fn its_input_and_output_are_one_stream() {
        let (_process, mut stream) = start("sh -c 'echo %h %p; cat'");
        stream.write_all(b"ping\n").expect("it reads");
        stream.shutdown(Shutdown::Write).expect("an end");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it writes");
        assert_eq!(text, "h.example 22\nping\n");
    }

    #[test]
    fn what_it_complains_of_is_told_escaped_and_without_the_command() {
        let (mut process, mut stream) =
            start("sh -c 'echo no \x1b[2J way >&2; exit 3' --token=geheim");
        stream.read_to_end(&mut Vec::new()).expect("an end");
        let hung_up = SshError::Busy { target: target(), said: String::new() };
        let text = process.explain(hung_up).to_string();
        assert!(text.contains("u@h.example") && text.contains("way"), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("geheim"), "{text}");
        let other = SshError::Closed { target: target(), maybe_started: false };
        assert_eq!(process.explain(other.clone()).to_string(), other.to_string());
    }

    #[test]
    fn one_that_complains_without_end_is_not_held_up() {
        let (mut process, mut stream) =
            start("sh -c 'yes >&2 & yes | head -c 1000000 >&2; echo k'");
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).expect("it got that far");
        let lost = SshError::ConnectionLost {
            target: target(),
            phase: Phase::Handshake,
            detail: String::new(),
            partial: None,
            maybe_started: false,
        };
        assert!(process.explain(lost).to_string().len() < 2000);
    }

    #[test]
    fn it_ends_with_all_it_started_when_dropped() {
        let (process, mut stream) =
            start("sh -c 'trap \"\" HUP; sleep 600 & echo $$ $!; sleep 600; true'");
        let mut text = String::new();
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte).expect("it says its number");
            text.push(char::from(byte[0]));
        }
        drop(process);
        for id in text.split_whitespace() {
            let folder = format!("/proc/{id}");
            while std::path::Path::new(&folder).exists() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn a_host_that_a_shell_would_obey_starts_nothing() {
        let command = ProxyCommand::parse("touch %h").expect("a template");
        let target = Target::new("a;b", 22, "u").expect("a target");
        assert!(ProxyProcess::start(&command, &target).is_err());
    }
}
