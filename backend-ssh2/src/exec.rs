//! Running one command to its end.

use bytes::Bytes;
use ssh_session::{Command, ExitStatus, Output, PartialOutput, Phase, SshError, printable};
use ssh2::Error;

use crate::deadline::Deadline;
use crate::ffi::{self, Channel};
use crate::link::{End, Link, Op, Stop, User};

/// The most that libssh2 puts into one packet, less what stands around a command in it.
const LONGEST: usize = 34_000;

/// What is read at once: libssh2's packets are smaller.
const CHUNK: usize = 64 * 1024;

/// What is sent before the other side and the deadline are looked at again.
const SLICE: usize = 128 * 1024;

const STDOUT: i32 = 0;
const STDERR: i32 = 1;

/// Runs a command and collects what it writes.
pub(crate) fn exec(link: &Link, command: &Command) -> Result<Output, SshError> {
    command.validate()?;
    let fits = |name: &String, value: &String| name.len() + value.len() <= LONGEST;
    if command.command().len() > LONGEST || !command.envs().iter().all(|(n, v)| fits(n, v)) {
        return Err(SshError::invalid(
            "command",
            format!("or its environment is longer than {LONGEST} bytes; send it through stdin"),
        ));
    }
    let user = link.enter();
    let mut run = Run {
        deadline: Deadline::after(command.time_limit()),
        channel: None,
        phase: Phase::OpenChannel,
        request: String::new(),
        stdout: Vec::new(),
        stderr: Vec::new(),
        user,
    };
    match run.collect(command) {
        Ok(output) => Ok(output),
        Err(failure) => Err(run.give_up(failure)),
    }
}

struct Run<'a> {
    deadline: Deadline,
    /// Taken out when the command is done.
    channel: Option<Channel>,
    phase: Phase,
    /// What the server is asked for at the moment.
    request: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    user: User<'a>,
}

enum Failure {
    Stop(Stop),
    NoExitStatus,
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Run<'_> {
    fn collect(&mut self, command: &Command) -> Result<Output, Failure> {
        let (link, op) = (self.user.link, self.user.op);
        self.channel = Some(link.take_channel(op, &self.deadline)?);
        for (name, value) in command.envs() {
            self.request = format!(
                "the environment variable {} (see AcceptEnv in sshd_config)",
                printable(name.as_bytes())
            );
            self.ask(|channel| channel.setenv(name.as_bytes(), value.as_bytes()))?;
        }
        self.phase = Phase::Start;
        self.request = "to run the command".into();
        self.ask(|channel| channel.exec(command.command()))?;
        self.phase = Phase::Run;
        self.exchange(command.stdin_bytes())?;
        self.wait_closed()?;
        let status = self.status().ok_or(Failure::NoExitStatus)?;
        if let Some(channel) = self.channel.take() {
            link.finish_channel(op, channel);
        }
        Ok(Output {
            stdout: std::mem::take(&mut self.stdout).into(),
            stderr: std::mem::take(&mut self.stderr).into(),
            status,
        })
    }

    /// Asks the server for something and waits for its answer.
    fn ask(
        &mut self,
        mut ask: impl FnMut(&mut Channel) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let (link, op) = (self.user.link, self.user.op);
        let Some(channel) = &mut self.channel else { return Err(Failure::NoExitStatus) };
        let mut closed = false;
        link.drive(op, &self.deadline, |state, _| {
            state.ask(op, |_| match ask(channel) {
                Err(error) if ffi::is_again(&error) && channel.eof() => {
                    // It closed the channel instead of answering.
                    closed = true;
                    Ok(())
                }
                other => other,
            })
        })?;
        if closed { Err(Failure::NoExitStatus) } else { Ok(()) }
    }

    fn wait_closed(&mut self) -> Result<(), Failure> {
        let (link, op) = (self.user.link, self.user.op);
        let Some(channel) = &mut self.channel else { return Err(Failure::NoExitStatus) };
        link.drive(op, &self.deadline, |_, _| channel.wait_closed())?;
        Ok(())
    }

    /// Feeds the command and drains both of its streams, whichever is ready: a server stops
    /// sending either when nobody reads the other.
    fn exchange(&mut self, stdin: &Bytes) -> Result<(), Failure> {
        let (link, op) = (self.user.link, self.user.op);
        let Some(channel) = &mut self.channel else { return Err(Failure::NoExitStatus) };
        let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
        let mut input = Input { left: stdin.clone(), ended: false };
        let mut chunk = vec![0; CHUNK];
        // One slice after another, so that neither a server that takes all nor one that sends
        // without end keeps the session's lock, or the call beyond its deadline.
        loop {
            let ended = link.drive(op, &self.deadline, |_, _| {
                // Writing first: what was sent in part must be repeated before anything else.
                let wrote = input.feed(channel)?;
                drain(channel, STDOUT, stdout, &mut chunk)?;
                let seen = ffi::received_so_far();
                drain(channel, STDERR, stderr, &mut chunk)?;
                // Reading the one stream may have taken in bytes of the other, and the socket
                // would not tell of them again.
                let more = wrote || ffi::received_so_far() != seen;
                match channel.eof() {
                    true => Ok(true),
                    false if more => Ok(false),
                    false => Err(ffi::again()),
                }
            })?;
            if ended {
                return Ok(());
            }
            if self.deadline.is_over() {
                return Err(Stop::Timeout.into());
            }
        }
    }

    fn status(&mut self) -> Option<ExitStatus> {
        let channel = self.channel.as_mut()?;
        if let Some(name) = channel.exit_signal() {
            return Some(ExitStatus::Signal {
                name: printable(&name),
                // libssh2 reads neither.
                core_dumped: false,
                message: String::new(),
            });
        }
        channel.exit_status().map(ExitStatus::Code)
    }

    /// Ends the command as far as the server allows, and says what became of it.
    fn give_up(&mut self, failure: Failure) -> SshError {
        let (link, op): (&Link, Op) = (self.user.link, self.user.op);
        let refused = matches!(&failure, Failure::Stop(Stop::Refused(_)));
        let may_have_started = match self.phase {
            Phase::Start => !refused,
            phase => phase == Phase::Run,
        };
        if let Some(channel) = self.channel.take() {
            let running = may_have_started && matches!(failure, Failure::Stop(_));
            link.give_up_channel(op, channel, running);
        }
        let output = Box::new(PartialOutput {
            stdout: std::mem::take(&mut self.stdout).into(),
            stderr: std::mem::take(&mut self.stderr).into(),
        });
        let stop = match failure {
            Failure::NoExitStatus => {
                let target = link.target.clone();
                return SshError::NoExitStatus { target, partial: output };
            }
            Failure::Stop(Stop::Refused(error))
                if self.phase != Phase::Run && ffi::is_denied(&error) =>
            {
                let request = std::mem::take(&mut self.request);
                return SshError::RequestRefused { target: link.target.clone(), request };
            }
            // Whatever it is that libssh2 dislikes, the command has run.
            Failure::Stop(Stop::Refused(error)) if self.phase == Phase::Run => {
                Stop::Ended(End::Lost(printable(error.message().as_bytes())))
            }
            Failure::Stop(stop) => stop,
        };
        let mut error = link.error(stop, self.phase, &self.deadline);
        if let SshError::Timeout { partial, maybe_started, .. }
        | SshError::ConnectionLost { partial, maybe_started, .. } = &mut error
        {
            *maybe_started = may_have_started;
            *partial = (self.phase == Phase::Run).then_some(output);
        }
        error
    }
}

/// What is left of the command's input.
struct Input {
    left: Bytes,
    ended: bool,
}

impl Input {
    /// Sends what the server takes now, up to a slice, and the end behind it. True if anything
    /// went out.
    fn feed(&mut self, channel: &mut Channel) -> Result<bool, Error> {
        let mut wrote = 0;
        while !self.ended && wrote < SLICE {
            let result = if self.left.is_empty() {
                channel.send_eof().map(|()| None)
            } else {
                channel.write(&self.left).map(Some)
            };
            match result {
                Ok(None) => self.ended = true,
                Ok(Some(0)) => break,
                Ok(Some(count)) => {
                    let _ = self.left.split_to(count);
                    wrote += count;
                }
                Err(error) if ffi::is_again(&error) => break,
                // The command may end without reading all of its input: its output and status
                // count, so this is not an error.
                Err(_) if channel.eof() => self.ended = true,
                Err(error) if ffi::is_input_closed(&error) => self.ended = true,
                Err(error) => return Err(error),
            }
        }
        Ok(wrote > 0)
    }
}

/// Appends what is there.
fn drain(
    channel: &mut Channel,
    stream: i32,
    into: &mut Vec<u8>,
    chunk: &mut [u8],
) -> Result<(), Error> {
    loop {
        match channel.read(stream, chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => into.extend_from_slice(&chunk[..count]),
            Err(error) if ffi::is_again(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
