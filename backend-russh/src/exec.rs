//! Running one command to its end, in a task of its own.
//!
//! The task takes in everything the server sends for its channel, whether or not anybody polls the
//! caller's future: russh stops reading the connection where one channel's messages pile up. What
//! is collected is the command's whole output, as the caller asked, so it has no bound but that;
//! a command that may write more than fits into memory should be given a file to write to.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use ssh_session::{Command, ExitStatus, Output, PartialOutput, Phase, SshError, printable};
use tokio::sync::oneshot;

use crate::channels::Leftover;
use crate::deadline::Deadline;
use crate::line::End;
use crate::link::Link;

/// As long as a command, or a variable with its name, may be: the same for both backends.
const LONGEST: usize = 34_000;

/// Extended data that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// Where the result goes; closed when nobody wants it any more.
type Answer = oneshot::Sender<Result<Output, SshError>>;

/// Runs a command and collects what it writes.
pub(crate) async fn exec(link: &Arc<Link>, command: &Command) -> Result<Output, SshError> {
    command.validate()?;
    let fits = |name: &String, value: &String| name.len() + value.len() <= LONGEST;
    if command.command().len() > LONGEST || !command.envs().iter().all(|(n, v)| fits(n, v)) {
        return Err(SshError::invalid(
            "command",
            format!("or its environment is longer than {LONGEST} bytes; send it through stdin"),
        ));
    }
    if let Some(end) = link.line.end() {
        return Err(end.error(&link.target, Phase::OpenChannel));
    }
    let deadline = Deadline::after(command.time_limit());
    let (answer, answered) = oneshot::channel();
    let run = Run {
        link: Arc::clone(link),
        deadline,
        phase: Phase::OpenChannel,
        stdout: Vec::new(),
        stderr: Vec::new(),
        status: None,
        unanswered: command.envs().len(),
    };
    drop(link.runtime.spawn(run.carry_out(command.clone(), answer)));
    answered.await.unwrap_or_else(|_| {
        let mut error = End::Lost("the runtime has ended".into()).error(&link.target, Phase::Run);
        if let SshError::ConnectionLost { maybe_started, .. } = &mut error {
            *maybe_started = true;
        }
        Err(error)
    })
}

struct Run {
    link: Arc<Link>,
    deadline: Deadline,
    phase: Phase,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<ExitStatus>,
    /// Variables whose answer has not come.
    unanswered: usize,
}

/// Why a command is not run to its end.
enum Stop {
    Timeout,
    /// The caller's future was dropped.
    Unwanted,
    Ended(End),
    /// The server refused this request.
    Refused(String),
    NoExitStatus,
}

impl Run {
    async fn carry_out(mut self, command: Command, mut answer: Answer) {
        let link = Arc::clone(&self.link);
        let mut opening = pin!(link.open());
        let stop = tokio::select! {
            biased;
            () = answer.closed() => Stop::Unwanted,
            () = self.deadline.passed() => Stop::Timeout,
            opened = &mut opening => match opened {
                Ok(channel) => {
                    let (read, write) = channel.split();
                    return self.run(command, read, write, answer).await;
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return;
                }
            },
            end = link.line.wait_end() => Stop::Ended(end),
        };
        let leftover = Leftover::new(&link);
        let _ = answer.send(Err(self.error(stop, false)));
        // The server may open it yet, and it would stay open for good.
        if let Ok(channel) = opening.await {
            let (_read, write) = channel.split();
            link.close_unused(&write).await;
        }
        drop(leftover);
    }

    async fn run(
        mut self,
        command: Command,
        mut read: ChannelReadHalf,
        write: ChannelWriteHalf<Msg>,
        mut answer: Answer,
    ) {
        let sent = AtomicBool::new(false);
        let result = self.exchange(&command, &mut read, &write, &sent, &mut answer).await;
        let stop = match result {
            Ok(()) => match self.status.take() {
                Some(status) => {
                    let (stdout, stderr) = (self.stdout.into(), self.stderr.into());
                    let _ = answer.send(Ok(Output { stdout, stderr, status }));
                    return;
                }
                None => Stop::NoExitStatus,
            },
            Err(stop) => stop,
        };
        let closed = matches!(stop, Stop::NoExitStatus);
        let started = sent.into_inner() && !matches!(stop, Stop::Refused(_));
        let link = Arc::clone(&self.link);
        // Counted before the caller can ask whether anything is left.
        let leftover = Leftover::new(&link);
        let error = self.error(stop, started);
        if closed {
            drop(leftover);
            let _ = answer.send(Err(error));
            return;
        }
        if started {
            let _ = answer.send(Err(error));
            link.give_up(leftover, read, &write).await;
        } else {
            link.close_unused(&write).await;
            drop(leftover);
            let _ = answer.send(Err(error));
        }
    }

    /// Asks for the command, feeds it and drains both of its streams, until the server closes the
    /// channel.
    async fn exchange(
        &mut self,
        command: &Command,
        read: &mut ChannelReadHalf,
        write: &ChannelWriteHalf<Msg>,
        sent: &AtomicBool,
        answer: &mut Answer,
    ) -> Result<(), Stop> {
        let link = Arc::clone(&self.link);
        let deadline = self.deadline;
        let (go, gone) = oneshot::channel();
        let mut go = Some(go);
        let has_env = self.unanswered > 0;
        let mut feeding = pin!(async {
            for (name, value) in command.envs() {
                write.set_env(true, name.as_str(), value.as_str()).await?;
            }
            // A command must not run without a variable that it was given.
            if has_env && gone.await.is_err() {
                return Ok(());
            }
            sent.store(true, Ordering::Relaxed);
            write.exec(true, command.command()).await?;
            write.data_bytes(command.stdin_bytes().clone()).await?;
            write.eof().await
        });
        if !has_env {
            self.phase = Phase::Start;
        }
        let mut fed = false;
        loop {
            tokio::select! {
                biased;
                () = answer.closed() => return Err(Stop::Unwanted),
                () = deadline.passed() => return Err(Stop::Timeout),
                // An error means that the session is over, which is told below.
                _ = &mut feeding, if !fed => fed = true,
                message = read.wait() => match message {
                    Some(ChannelMsg::Close) => return Ok(()),
                    Some(message) => {
                        self.take(message, command)?;
                        if self.unanswered == 0 && has_env && let Some(go) = go.take() {
                            self.phase = Phase::Start;
                            let _ = go.send(());
                        }
                    }
                    None => {
                        return Err(Stop::Ended(link.line.wait_end().await));
                    }
                },
                // All that had come before the end was taken in above.
                end = link.line.wait_end() => return Err(Stop::Ended(end)),
            }
        }
    }

    fn take(&mut self, message: ChannelMsg, command: &Command) -> Result<(), Stop> {
        match message {
            ChannelMsg::Data { data } => self.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: STDERR } => self.stderr.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => {
                self.status.get_or_insert(ExitStatus::Code(exit_status));
            }
            ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, .. } => {
                self.status = Some(ExitStatus::Signal {
                    name: printable(signal_text(&signal_name).as_bytes()),
                    core_dumped,
                    message: printable(error_message.as_bytes()),
                });
            }
            ChannelMsg::Success if self.unanswered > 0 => self.unanswered -= 1,
            ChannelMsg::Success => self.phase = Phase::Run,
            ChannelMsg::Failure => {
                let number = command.envs().len() - self.unanswered;
                return Err(Stop::Refused(match command.envs().get(number) {
                    Some((name, _)) => format!(
                        "the environment variable {} (see AcceptEnv in sshd_config)",
                        printable(name.as_bytes())
                    ),
                    None => "to run the command".into(),
                }));
            }
            _ => {}
        }
        Ok(())
    }

    fn error(&mut self, stop: Stop, started: bool) -> SshError {
        let target = self.link.target.clone();
        let output = Box::new(PartialOutput {
            stdout: std::mem::take(&mut self.stdout).into(),
            stderr: std::mem::take(&mut self.stderr).into(),
        });
        let mut error = match stop {
            Stop::NoExitStatus => return SshError::NoExitStatus { target, partial: output },
            Stop::Refused(request) => return SshError::RequestRefused { target, request },
            // Nobody will see it.
            Stop::Unwanted => return SshError::Closed { target },
            Stop::Timeout => self.deadline.error(&target, self.phase),
            Stop::Ended(end) => end.error(&target, self.phase),
        };
        if let SshError::Timeout { partial, maybe_started, .. }
        | SshError::ConnectionLost { partial, maybe_started, .. } = &mut error
        {
            *maybe_started = started;
            *partial = (self.phase == Phase::Run).then_some(output);
        }
        error
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// A signal's name without `SIG`.
fn signal_text(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}
