//! A command that says what is known of a host: `KnownHostsCommand` of `ssh_config(5)`.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{HostKey, PresentedKey};
use crate::SshError;
use crate::ssh_config::tokens;

/// The most that a command may write.
const MAX_SIZE: u64 = 16 << 20;
/// How often it is looked whether a command has ended that writes nothing more.
const LOOK: Duration = Duration::from_millis(2);
/// The tokens that are known only when the command is run.
const LATE: &str = "HItfK";

/// A program and its arguments, run by no shell. It is asked before the key exchange (`%I` is
/// `ORDER`) and, if its arguments want to know, about the key that a server presents (`HOSTNAME`).
/// What it writes is read as a known_hosts file is; nothing is recorded by it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KnownHostsCommand {
    /// Arguments may have the tokens `%H`, `%I`, `%t`, `%f` and `%K`, and `%%`.
    arguments: Vec<String>,
}

impl KnownHostsCommand {
    /// A program by its absolute path, and its arguments, in which `%H` stands for the host as
    /// known_hosts files have it, `%I` for why it is asked, `%t`, `%f` and `%K` for the type, the
    /// fingerprint and the base64 of the key that is presented, `NONE` before there is one, and `%%`
    /// for `%`.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] for another path, other tokens, or NUL characters.
    pub fn new(arguments: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, SshError> {
        let command = Self { arguments: arguments.into_iter().map(Into::into).collect() };
        let invalid = |problem| SshError::invalid("known_hosts_command", problem);
        if !command.arguments.first().is_some_and(|program| program.starts_with('/')) {
            return Err(invalid("must begin with the absolute path of a program".to_owned()));
        }
        for argument in &command.arguments {
            if argument.contains('\0') {
                return Err(invalid("has a NUL character in it".into()));
            }
            let known = |letter: char| LATE.contains(letter).then_some("");
            tokens::expand(argument, false, known).map_err(invalid)?;
        }
        Ok(command)
    }

    /// The program and its arguments.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Whether what it says may depend on the key that is presented.
    pub(super) fn asks_about_keys(&self) -> bool {
        let known = |text: &String| "ItfK".chars().any(|token| text.contains(&format!("%{token}")));
        self.arguments.iter().any(known)
    }

    /// Runs it, until it ends or the time is over.
    pub(super) fn run(
        &self,
        host: &str,
        presented: Option<&PresentedKey>,
        until: Option<Instant>,
    ) -> io::Result<Vec<u8>> {
        let none = || "NONE".to_owned();
        let fingerprint = presented.map_or_else(none, |it| it.key().fingerprint().to_string());
        let blob = presented.and_then(PresentedKey::wire);
        let key = blob.as_deref().map_or_else(none, Base64::encode_string);
        let kind = blob.as_deref().and_then(HostKey::type_name).unwrap_or_else(none);
        let value = |letter: char| match letter {
            'H' => Some(host),
            'I' => Some(if presented.is_some() { "HOSTNAME" } else { "ORDER" }),
            't' => Some(kind.as_str()),
            'f' => Some(fingerprint.as_str()),
            'K' => Some(key.as_str()),
            _ => None,
        };
        let expanded = self.arguments.iter().map(|argument| tokens::expand(argument, false, value));
        let arguments = expanded.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let (program, arguments) =
            arguments.split_first().ok_or_else(|| io::Error::other("it names no program"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"));
        let read = output.and_then(|output| read(output, until));
        let ended = read.and_then(|output| end(&mut child, until).map(|()| output));
        if ended.is_err() {
            // Whatever it started goes with it.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
        ended
    }
}

fn read(mut output: ChildStdout, until: Option<Instant>) -> io::Result<Vec<u8>> {
    rustix::io::ioctl_fionbio(&output, true)?;
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = left(until)?;
                let timeout = left.and_then(|left| Timespec::try_from(left).ok());
                let mut watched = [PollFd::new(&output, PollFlags::IN)];
                let _ = poll(&mut watched, timeout.as_ref());
            }
            Err(error) => return Err(error),
        }
        if text.len() as u64 > MAX_SIZE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it writes without end"));
        }
    }
}

/// Waits for its end, which must be a success.
fn end(child: &mut Child, until: Option<Instant>) -> io::Result<()> {
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("it failed: {status}"))),
            None => {
                left(until)?;
                thread::sleep(LOOK);
            }
        }
    }
}

/// How much time is left; none at all is an error.
fn left(until: Option<Instant>) -> io::Result<Option<Duration>> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    match left {
        Some(Duration::ZERO) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "it took longer than there is time"))
        }
        left => Ok(left),
    }
}

/// Arguments may be secrets.
impl fmt::Debug for KnownHostsCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.arguments.first().map(String::as_bytes).unwrap_or_default();
        write!(f, "KnownHostsCommand({} …)", crate::printable(program))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::KnownHostsCommand;

    fn run(arguments: &[&str], limit: Duration) -> Result<String, String> {
        let command = KnownHostsCommand::new(arguments.to_vec()).map_err(|it| it.to_string())?;
        let output = command.run("[h]:2222", None, Some(Instant::now() + limit));
        output.map(|it| String::from_utf8(it).expect("text")).map_err(|it| it.to_string())
    }

    #[test]
    fn its_output_is_read_and_its_failure_is_one() {
        let long = Duration::from_secs(10);
        let echo = run(&["/bin/echo", "%H %I %t %f %K %%H", "$HOME;x"], long);
        assert_eq!(echo.as_deref(), Ok("[h]:2222 ORDER NONE NONE NONE %H $HOME;x\n"));
        for wrong in
            [&["/bin/false"][..], &["/no/such/program"], &["echo"], &["/bin/echo", "%x"], &[]]
        {
            assert!(run(wrong, long).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_that_hangs_or_writes_for_ever_ends_with_what_it_started() {
        let start = Instant::now();
        let short = Duration::from_millis(300);
        for hangs in ["sleep 600", "exec 1>&-; sleep 600", "sleep 600 & exit 0"] {
            assert!(run(&["/bin/sh", "-c", hangs], short).is_err(), "{hangs}");
        }
        assert!(run(&["/bin/sh", "-c", "yes"], Duration::from_secs(60)).is_err());
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}
