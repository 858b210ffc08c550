//! What every session can do, whichever library is below it.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::tunnel::{AsyncTunnel, Destination, Tunnel};
use crate::{Command, ExitStatus, Output, SshError, Target, sftp};

/// A logged-in session whose methods wait for the peer. Usable from many threads at once.
pub trait Session: Send + Sync {
    /// A command under way, which cannot outlive the session.
    type Process<'s>: Process
    where
        Self: 's;

    /// A command under way that may be kept beside its session. Once that is closed or dropped, its
    /// calls fail.
    type KeptProcess: Process + 'static;

    /// A connection that the server opens.
    type Tunnel: Tunnel;

    /// Whom the session talks to.
    fn target(&self) -> &Target;

    /// Runs a command to its end and collects what it wrote. Where the server opens no further
    /// channel on the connection it waits until another command has ended
    /// ([`Command::wait_for_channel`]).
    ///
    /// # Errors
    ///
    /// Whenever there is no exit status to report; [`SshError::may_have_started`] tells whether
    /// the command can have run.
    fn exec(&self, command: &Command) -> Result<Output, SshError>;

    /// Runs a command to its end and hands on what it writes as it comes, keeping none of it. The
    /// command waits while `on_output` runs.
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec); what was handed on is not in the error.
    fn stream(
        &self,
        command: &Command,
        mut on_output: impl FnMut(Chunk),
    ) -> Result<ExitStatus, SshError>
    where
        Self: Sized,
    {
        command.validate_collected()?;
        let process = self.spawn(command)?;
        while let Some(chunk) = process.read()? {
            on_output(chunk);
        }
        process.wait()
    }

    /// Starts a command whose output is read, and input written, while it runs. Returns when the
    /// server has said that it runs. The deadline of a [shell](Command::shell) is for that alone.
    ///
    /// # Errors
    ///
    /// Where it was not started, or nobody knows whether it was.
    fn spawn(&self, command: &Command) -> Result<Self::Process<'_>, SshError>;

    /// As [`spawn`](Self::spawn), for what stays with the session rather than with whoever uses it
    /// now: it does not count among [abandoned channels](Self::has_abandoned_channels). The
    /// command's deadline is for its start alone.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    fn spawn_kept(&self, command: &Command) -> Result<Self::KeptProcess, SshError>;

    /// Has the server connect to a destination, within this time. It takes none of the server's
    /// session slots (`MaxSessions`), so it waits for no command.
    ///
    /// libssh2 opens one channel at a time: while a destination doesn't answer, commands that need a
    /// new one wait for the server to give up, also past `timeout`.
    ///
    /// # Errors
    ///
    /// [`SshError::Tunnel`] with the server's reason, [`SshError::Timeout`].
    fn open_tunnel(&self, to: &Destination, timeout: Duration) -> Result<Self::Tunnel, SshError>;

    /// Where the session keeps its SFTP channel.
    fn files(&self) -> &sftp::Place<sftp::Channel<Self::KeptProcess>>;

    /// Whether nothing is known that makes the session unusable. Never waits, so a peer that
    /// fell silent still counts as alive; [`ping`](Self::ping) finds out.
    fn is_alive(&self) -> bool;

    /// Asks the peer for a sign of life: one round trip.
    ///
    /// # Errors
    ///
    /// If none comes within `timeout`, or the connection is lost. The session is dead then.
    fn ping(&self, timeout: Duration) -> Result<(), SshError>;

    /// Whether commands wait until others have ended, as the server opens no further channel. Never
    /// waits.
    fn has_waiting_commands(&self) -> bool;

    /// Whether a command that was given up may still take one of the server's session slots. Never
    /// waits.
    fn has_abandoned_channels(&self) -> bool;

    /// Waits until no command that was given up takes a slot of the server's any more.
    ///
    /// # Errors
    ///
    /// [`SshError::Timeout`] where some do at the end; the session goes on, for those who use it,
    /// with fewer slots.
    fn wait_until_closed(&self, timeout: Duration) -> Result<(), SshError>;

    /// Ends the session. Whoever waits on it gets [`SshError::ConnectionLost`]. Never waits; calls
    /// after the first do nothing.
    fn close(&self);
}

/// A command under way. Several threads may use it at once: one that writes while another reads,
/// for a command that answers before it has read everything.
///
/// The command's deadline ([`Command::timeout`]) bounds every call; after it has passed, and after
/// any other error but that of a refused signal, all calls fail. Dropped before its end, the
/// command is killed as far as the server allows and its channel closed, without waiting.
///
/// What is not read is kept within bounds by the flow control of its own channel (RFC 4254, 5.2):
/// the command waits, and nothing else on the session does. Where the library below does not leave
/// that to us, as russh, the command waits as long as it is alone on its session; where it is not,
/// so much is kept in memory, and a command that writes more than that is stopped.
pub trait Process: Send + Sync {
    /// The next piece of what it writes; `None` when it has ended and all of it was read.
    ///
    /// # Errors
    ///
    /// [`SshError::Timeout`] at the deadline, [`SshError::ConnectionLost`] where the session
    /// ended. What was read before is the caller's; errors carry none of it.
    fn read(&self) -> Result<Option<Chunk>, SshError>;

    /// As [`read`](Self::read), waiting for so long at most. The command goes on when that is over.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`SshError::Timeout`].
    fn read_within(&self, patience: Duration) -> Result<Option<Chunk>, SshError>;

    /// Writes all of this to its standard input, waiting while the command reads nothing. A
    /// command that ended, or closed its input, takes everything and reads nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`SshError::InvalidInput`] where its input is not piped or was
    /// closed.
    fn write(&self, bytes: &[u8]) -> Result<(), SshError>;

    /// As [`write`](Self::write), within this time. When that is over nobody knows how much was
    /// written, and the command is given up.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`SshError::Timeout`].
    fn write_within(&self, bytes: &[u8], patience: Duration) -> Result<(), SshError>;

    /// Ends its standard input. Calls after the first do nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn close_stdin(&self) -> Result<(), SshError>;

    /// Sends it a signal, by its name without `SIG`, such as `TERM`. There is no answer: servers
    /// may ignore it, and sshd refuses some.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`SshError::InvalidInput`] where the name is none of RFC 4254's.
    fn signal(&self, name: &str) -> Result<(), SshError>;

    /// Says that its terminal has another size now, in characters and lines (RFC 4254, 6.7). There is
    /// no answer.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn resize(&self, columns: u32, rows: u32) -> Result<(), SshError>;

    /// Ends its input, drops what it still writes, waits for its end and says how it came.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`SshError::NoExitStatus`].
    fn wait(self) -> Result<ExitStatus, SshError>;

    /// As [`wait`](Self::wait), for so long at most; the command is given up after that.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`SshError::Timeout`].
    fn wait_within(self, patience: Duration) -> Result<ExitStatus, SshError>;
}

/// A piece of what a command wrote, never empty. Pieces have no meaning beyond their order.
#[derive(Clone, PartialEq, Eq)]
pub enum Chunk {
    /// To standard output.
    Stdout(Bytes),
    /// To standard error.
    Stderr(Bytes),
}

/// The async twin of [`Session`]: each method means what it means there.
///
/// A future that is dropped gives up what it was doing and nothing else: a command is killed as
/// far as the server allows and its channel closed, and the session goes on.
pub trait AsyncSession: Send + Sync {
    /// A command under way, which cannot outlive the session.
    type Process<'s>: AsyncProcess
    where
        Self: 's;

    /// A command under way that may be kept beside its session.
    type KeptProcess: AsyncProcess + 'static;

    /// A connection that the server opens.
    type Tunnel: AsyncTunnel;

    /// Whom the session talks to.
    fn target(&self) -> &Target;

    /// Runs a command to its end and collects what it wrote.
    fn exec(&self, command: &Command) -> impl Future<Output = Result<Output, SshError>> + Send;

    /// Runs a command to its end and hands on what it writes as it comes, keeping none of it.
    fn stream(
        &self,
        command: &Command,
        mut on_output: impl FnMut(Chunk) + Send,
    ) -> impl Future<Output = Result<ExitStatus, SshError>> + Send
    where
        Self: Sized,
    {
        async move {
            command.validate_collected()?;
            let process = self.spawn(command).await?;
            while let Some(chunk) = process.read().await? {
                on_output(chunk);
            }
            process.wait().await
        }
    }

    /// Starts a command whose output is read, and input written, while it runs.
    fn spawn(
        &self,
        command: &Command,
    ) -> impl Future<Output = Result<Self::Process<'_>, SshError>> + Send;

    /// As [`spawn`](Self::spawn), for what stays with the session rather than with whoever uses it
    /// now. The command's deadline is for its start alone.
    fn spawn_kept(
        &self,
        command: &Command,
    ) -> impl Future<Output = Result<Self::KeptProcess, SshError>> + Send;

    /// Has the server connect to a destination, within this time.
    fn open_tunnel(
        &self,
        to: &Destination,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Tunnel, SshError>> + Send;

    /// Whether nothing is known that makes the session unusable. Never waits.
    fn is_alive(&self) -> bool;

    /// Asks the peer for a sign of life: one round trip. A session that gives none within
    /// `timeout` is dead.
    fn ping(&self, timeout: Duration) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Whether commands wait until others have ended, as the server opens no further channel. Never
    /// waits.
    fn has_waiting_commands(&self) -> bool;

    /// Whether a command that was given up may still take one of the server's session slots. Never
    /// waits.
    fn has_abandoned_channels(&self) -> bool;

    /// Waits until no command that was given up takes a slot of the server's any more.
    fn wait_until_closed(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends the session. Whoever waits on it gets an error. Never waits; calls after the first do
    /// nothing.
    fn close(&self);
}

/// The async twin of [`Process`]: each method means what it means there. A future that is dropped
/// loses nothing: what it had not returned is read by the next; bytes of a write that was dropped
/// may have been sent in part.
pub trait AsyncProcess: Send + Sync {
    /// The next piece of what it writes; `None` when it has ended and all of it was read.
    fn read(&self) -> impl Future<Output = Result<Option<Chunk>, SshError>> + Send;

    /// Writes all of this to its standard input.
    fn write(&self, bytes: &[u8]) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends its standard input.
    fn close_stdin(&self) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Sends it a signal, by its name without `SIG`.
    fn signal(&self, name: &str) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Says that its terminal has another size now, in characters and lines.
    fn resize(&self, columns: u32, rows: u32) -> impl Future<Output = Result<(), SshError>> + Send;

    /// Ends its input, drops what it still writes, waits for its end and says how it came.
    fn wait(self) -> impl Future<Output = Result<ExitStatus, SshError>> + Send;
}

impl Chunk {
    /// The bytes, whichever stream they are of.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Stdout(bytes) | Self::Stderr(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(bytes) => write!(f, "Stdout({} bytes)", bytes.len()),
            Self::Stderr(bytes) => write!(f, "Stderr({} bytes)", bytes.len()),
        }
    }
}
