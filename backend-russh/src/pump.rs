//! Running one command to its end, in a task of its own.
//!
//! The task takes in everything the server sends for its channel, whether or not anybody polls the
//! caller's future or reads the output: russh stops reading the connection where one channel's
//! messages pile up, which is wanted only where nobody else uses it (see `unread.rs`). So it waits for
//! nothing but the channel; what it sends, and that may take, is sent beside that.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use ssh_session::{
    Chunk, Command, ExitStatus, Phase, Pty, Request, SshError, Stdin, TerminalMode, printable,
};
use tokio::sync::{mpsc, oneshot};

use crate::channels::Place;
use crate::deadline::Deadline;
use crate::link::{Link, Using};
use crate::liveness::End;
use crate::prefetch::CommandChannel;
use crate::running::{Running, Shared, Sink, TooMuch};
use crate::signals;

/// Extended data that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// What was written to standard input and waits to be sent: one piece.
const INPUT_PIECES: usize = 1;

/// Starts a command, which has been validated.
pub(crate) fn start(link: &Arc<Link>, command: &Command, sink: Sink) -> Result<Running, SshError> {
    if let Some(end) = link.line.end_by_now() {
        return Err(end.error(&link.target, Phase::OpenChannel));
    }
    let (input, feed) = match command.input() {
        Stdin::Bytes(bytes) => (None, Feed::Bytes(bytes.clone())),
        Stdin::Piped => {
            let (input, pieces) = mpsc::channel(INPUT_PIECES);
            (Some(input), Feed::Piped(pieces))
        }
    };
    let shared = Arc::new(Shared::new(link.target.clone(), sink));
    let (wanted, unwanted) = oneshot::channel();
    let pump = Pump {
        link: Arc::clone(link),
        shared: Arc::clone(&shared),
        deadline: Deadline::after(command.time_limit()),
        phase: Phase::OpenChannel,
        status: None,
        unanswered: usize::from(command.terminal().is_some()) + command.envs().len(),
        _using: link.using(),
    };
    // Here and not in the task, so that they come in the order in which they were called for.
    let place = Arc::new(link.arrive(command.waits_for_channel()));
    let carrying = pump.carry_out(command.clone(), feed, Arc::clone(&place), unwanted);
    drop(link.runtime.spawn(carrying));
    let (input, link) = (Mutex::new(input), Arc::clone(link));
    Ok(Running { shared, input, link, place, _wanted: wanted })
}

/// Where standard input comes from.
enum Feed {
    Bytes(Bytes),
    Piped(mpsc::Receiver<Bytes>),
}

/// Closed when nobody wants the command any more.
type Unwanted = oneshot::Receiver<Infallible>;

struct Pump {
    link: Arc<Link>,
    shared: Arc<Shared>,
    deadline: Deadline,
    phase: Phase,
    status: Option<ExitStatus>,
    /// Requests before the command's own whose answer has not come.
    unanswered: usize,
    _using: Using,
}

/// Why a command is not run to its end.
enum Stop {
    Timeout,
    /// Whoever started it has dropped it.
    Unwanted,
    Ended(End),
    /// The server refused this request.
    Refused(String),
    NoExitStatus,
    /// What it wrote is more than is wanted, or can be kept until it is read.
    TooMuch(TooMuch),
}

impl Pump {
    async fn carry_out(
        self,
        command: Command,
        feed: Feed,
        place: Arc<Place>,
        mut unwanted: Unwanted,
    ) {
        let link = Arc::clone(&self.link);
        let mut opening = pin!(link.channel(&place));
        let stop = tokio::select! {
            biased;
            _ = &mut unwanted => Stop::Unwanted,
            () = self.deadline.passed() => Stop::Timeout,
            opened = &mut opening => match opened {
                Ok(lane) => return self.run(command, feed, lane, unwanted).await,
                Err(error) => return self.shared.end(Err(error)),
            },
            end = link.line.wait_end() => Stop::Ended(end),
        };
        let leftover = self.shared.leave(&link);
        place.leave();
        self.shared.end(Err(self.error(stop, false)));
        // The server may open it yet, and it would stay open for good.
        if let Ok(lane) = opening.await {
            link.give_back(lane).await;
        }
        drop(leftover);
    }

    async fn run(
        mut self,
        command: Command,
        feed: Feed,
        lane: CommandChannel,
        mut unwanted: Unwanted,
    ) {
        let CommandChannel { channel, mut slot } = lane;
        if command.request_type() == Request::Subsystem {
            slot.keep();
        }
        let (mut read, write) = channel.split();
        let write = Arc::new(write);
        let _ = self.shared.channel.set(Arc::clone(&write));
        let sent = AtomicBool::new(false);
        let exchange = self.exchange(&command, feed, &mut read, &write, &sent, &mut unwanted);
        let stop = match exchange.await {
            Ok(()) => {
                let end = self
                    .status
                    .take()
                    .map_or_else(|| Err(self.error(Stop::NoExitStatus, true)), Ok);
                // Noted before anybody can ask for the next channel.
                drop(slot);
                return self.shared.end(end);
            }
            Err(stop) => stop,
        };
        let started = sent.into_inner() && !matches!(stop, Stop::Refused(_));
        let link = Arc::clone(&self.link);
        // Counted before the caller can ask whether anything is left.
        let leftover = self.shared.leave(&link);
        slot.let_go();
        let error = self.error(stop, started);
        if started {
            self.shared.end(Err(error));
            link.give_up(leftover, read, &write).await;
        } else {
            link.tell(write.close()).await;
            drop(leftover);
            self.shared.end(Err(error));
        }
    }

    /// Asks for the command, feeds it and drains both of its streams, until the server closes the
    /// channel.
    async fn exchange(
        &mut self,
        command: &Command,
        feed: Feed,
        read: &mut ChannelReadHalf,
        write: &ChannelWriteHalf<Msg>,
        sent: &AtomicBool,
        unwanted: &mut Unwanted,
    ) -> Result<(), Stop> {
        let link = Arc::clone(&self.link);
        let deadline = self.deadline;
        let (go, gone) = oneshot::channel();
        let mut go = Some(go);
        let must_wait = self.unanswered > 0;
        let mut feeding = pin!(async {
            if let Some(pty) = command.terminal() {
                let (columns, rows, modes) = (pty.columns, pty.rows, modes(pty));
                write.request_pty(true, &pty.term, columns, rows, 0, 0, &modes).await?;
            }
            for (name, value) in command.envs() {
                write.set_env(true, name.as_str(), value.as_str()).await?;
            }
            // A command must not run without a variable or a terminal that it was given: one round
            // trip for all of them.
            if must_wait && gone.await.is_err() {
                return Ok(());
            }
            sent.store(true, Ordering::Relaxed);
            match command.request_type() {
                // russh takes text; `Command::subsystem` may be given any bytes.
                Request::Subsystem => {
                    let name = String::from_utf8_lossy(command.command());
                    write.request_subsystem(true, name.as_ref()).await?;
                }
                Request::Shell => write.request_shell(true).await?,
                Request::Exec => write.exec(true, command.command()).await?,
            }
            link.park();
            match feed {
                Feed::Bytes(bytes) => write.data_bytes(bytes).await?,
                Feed::Piped(mut pieces) => {
                    while let Some(piece) = pieces.recv().await {
                        write.data_bytes(piece).await?;
                    }
                }
            }
            write.eof().await
        });
        if !must_wait {
            self.phase = Phase::Start;
        }
        let mut fed = false;
        loop {
            // See `unread.rs`.
            let held = (self.shared.is_much() && !link.is_used_by_others()).then(|| link.hold());
            tokio::select! {
                biased;
                _ = &mut *unwanted => return Err(Stop::Unwanted),
                () = deadline.passed() => return Err(Stop::Timeout),
                // An error means that the session is over, which is told below.
                _ = &mut feeding, if !fed => fed = true,
                () = self.shared.room(), if held.is_some() => {}
                () = link.used_by_others(), if held.is_some() => {}
                message = read.wait(), if held.is_none() => match message {
                    Some(ChannelMsg::Close) => return Ok(()),
                    Some(message) => {
                        self.take(message, command)?;
                        if self.unanswered == 0 && must_wait && let Some(go) = go.take() {
                            self.phase = Phase::Start;
                            let _ = go.send(());
                        }
                    }
                    None => return Err(Stop::Ended(link.line.wait_end().await)),
                },
                // All that had come before the end was taken in above.
                end = link.line.wait_end(), if held.is_none() => return Err(Stop::Ended(end)),
            }
        }
    }

    fn take(&mut self, message: ChannelMsg, command: &Command) -> Result<(), Stop> {
        match message {
            ChannelMsg::Data { data } if !data.is_empty() => self.keep(Chunk::Stdout(data))?,
            ChannelMsg::ExtendedData { data, ext: STDERR } if !data.is_empty() => {
                self.keep(Chunk::Stderr(data))?;
            }
            ChannelMsg::ExitStatus { exit_status } => {
                self.status.get_or_insert(ExitStatus::Code(exit_status));
            }
            ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, .. } => {
                self.status = Some(ExitStatus::Signal {
                    name: printable(signals::name(&signal_name).as_bytes()),
                    core_dumped,
                    message: printable(error_message.as_bytes()),
                });
            }
            ChannelMsg::Success if self.unanswered > 0 => self.unanswered -= 1,
            ChannelMsg::Success => {
                self.phase = Phase::Run;
                self.shared.start();
            }
            ChannelMsg::Failure => return Err(Stop::Refused(self.refused(command))),
            _ => {}
        }
        Ok(())
    }

    fn keep(&self, chunk: Chunk) -> Result<(), Stop> {
        self.shared.push(chunk).map_err(Stop::TooMuch)
    }

    /// The request that the server has refused, in words.
    fn refused(&self, command: &Command) -> String {
        if self.unanswered == 0 {
            return command.request();
        }
        match command.envs().len().checked_sub(self.unanswered) {
            Some(number) => format!(
                "the environment variable {} (see AcceptEnv in sshd_config)",
                command
                    .envs()
                    .get(number)
                    .map_or_else(String::new, |(n, _)| printable(n.as_bytes()))
            ),
            None => "a terminal (see PermitTTY in sshd_config)".into(),
        }
    }

    fn error(&self, stop: Stop, started: bool) -> SshError {
        let target = self.link.target.clone();
        let output = Box::new(self.shared.take_collected());
        let mut error = match stop {
            Stop::NoExitStatus => return SshError::NoExitStatus { target, partial: output },
            Stop::Refused(request) => return SshError::RequestRefused { target, request },
            // Nobody will see it.
            Stop::Unwanted => return SshError::Closed { target, maybe_started: started },
            Stop::TooMuch(TooMuch::Unread(full)) => {
                return SshError::Unread { target, detail: full.to_string() };
            }
            Stop::TooMuch(TooMuch::Output(limit)) => {
                return SshError::OutputLimit { target, limit, partial: output };
            }
            Stop::Timeout => self.deadline.error(&target, self.phase),
            Stop::Ended(end) => end.error(&target, self.phase),
        };
        if let SshError::Timeout { partial, maybe_started, .. }
        | SshError::ConnectionLost { partial, maybe_started, .. } = &mut error
        {
            *maybe_started = started;
            *partial = (self.phase == Phase::Run).then_some(output);
        } else if let SshError::Closed { maybe_started, .. } = &mut error {
            *maybe_started = started;
        }
        error
    }
}

/// The modes of a terminal as russh has them: all that pass [`Command::validate`].
fn modes(pty: &Pty) -> Vec<(russh::Pty, u32)> {
    let known = |(mode, value): &(TerminalMode, u32)| Some((russh::Pty::from_u8(mode.0)?, *value));
    pty.modes.iter().filter_map(known).collect()
}

impl Drop for Pump {
    fn drop(&mut self) {
        // None only where the runtime ended before the command.
        let started = matches!(self.phase, Phase::Start | Phase::Run);
        let stop = Stop::Ended(End::Lost("the runtime has ended".into()));
        if self.shared.lock().end.is_none() {
            self.shared.end(Err(self.error(stop, started)));
        }
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("phase", &self.phase).finish_non_exhaustive()
    }
}
