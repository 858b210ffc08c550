//! Runs one command as a process group and connects it with its channel.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf, Sig};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::inbox::InboxReader;
use super::shared::{Shared, Slot, TaskGuard};

/// The number by which SSH marks standard error among extended data.
const STDERR: u32 = 1;

/// How long the exit status waits for output that is still on its way. Output may go on after
/// that, as with OpenSSH: a background process that holds the stream keeps the channel open.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

/// What the channel of a running command sends to it; dropping it kills the process group.
#[derive(Debug)]
pub(super) struct Remote {
    signals: mpsc::UnboundedSender<Sig>,
    _alive: oneshot::Sender<()>,
}

impl Remote {
    /// Whether the command has ended and its channel is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.signals.is_closed()
    }

    pub(super) fn signal(&self, signal: Sig) {
        let _ = self.signals.send(signal);
    }
}

/// What a command needs of its session.
pub(super) struct Job {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) env: Vec<(String, String)>,
    pub(super) stdin: InboxReader,
    pub(super) channel: ChannelWriteHalf<Msg>,
    pub(super) session: Handle,
    pub(super) slot: Slot,
    pub(super) shared: Arc<Shared>,
}

/// Starts the command. It goes on by itself until it ends or the [`Remote`] is dropped.
pub(super) fn start(job: Job) -> io::Result<Remote> {
    let mut command = Command::new(&job.program);
    command
        .args(&job.arguments)
        .env_clear()
        .envs(job.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(home) = std::env::var_os("HOME").filter(|home| std::path::Path::new(home).is_dir())
    {
        command.current_dir(home);
    }
    let child = command.spawn()?;
    let group = ProcessGroup::of(&child);
    let (signals, incoming_signals) = mpsc::unbounded_channel();
    let (alive, gone) = oneshot::channel();
    tokio::spawn(run(job, child, group, incoming_signals, gone));
    Ok(Remote { signals, _alive: alive })
}

async fn run(
    job: Job,
    mut child: Child,
    mut group: ProcessGroup,
    mut signals: mpsc::UnboundedReceiver<Sig>,
    mut gone: oneshot::Receiver<()>,
) {
    let Job { stdin, channel, session, slot, shared, .. } = job;
    let _task = TaskGuard::new(&shared);
    let id = channel.id();
    if let Some(sink) = child.stdin.take() {
        // Ends when the process closes its side or the channel is gone.
        tokio::spawn(stdin.drain_into(sink));
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut output = pin!(async {
        tokio::join!(
            copy(stdout, channel.make_writer()),
            copy(stderr, channel.make_writer_ext(Some(STDERR))),
        )
    });
    let mut output_ended = false;

    let status = loop {
        tokio::select! {
            _ = &mut gone => {
                group.kill(Signal::KILL);
                let _ = child.wait().await;
                return;
            }
            Some(signal) = signals.recv() => {
                if let Some(signal) = number(&signal) {
                    group.kill(signal);
                }
            }
            _ = &mut output, if !output_ended => output_ended = true,
            status = child.wait() => break status,
        }
    };
    if !output_ended {
        tokio::select! {
            _ = &mut gone => {
                group.kill(Signal::KILL);
                return;
            }
            result = timeout(OUTPUT_GRACE, &mut output) => output_ended = result.is_ok(),
        }
    }
    // Read the switch before waiting: a lock guard must not live across an await.
    let omit_status = shared.switches().omit_exit_status;
    if let Ok(status) = status
        && !omit_status
    {
        report(&session, id, status).await;
    }
    if !output_ended {
        tokio::select! {
            _ = &mut gone => {
                group.kill(Signal::KILL);
                return;
            }
            _ = &mut output => {}
        }
    }
    group.release();
    let _ = session.eof(id).await;
    // Before the close: who sees it may open the next channel at once.
    drop(slot);
    let _ = session.close(id).await;
}

/// Copies to the channel as its window allows, and never holds more than one buffer.
async fn copy(source: Option<impl AsyncRead + Unpin>, mut sink: impl AsyncWrite + Unpin) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; 32 << 10];
    loop {
        match source.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let Some(data) = buffer.get(..n) else { return };
                if sink.write_all(data).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn report(session: &Handle, id: ChannelId, status: ExitStatus) {
    let sent = match (status.code(), status.signal()) {
        (Some(code), _) => {
            session.exit_status_request(id, u32::try_from(code).unwrap_or(255)).await
        }
        (None, signal) => {
            let name = Sig::Custom(signal.map_or("UNKNOWN".into(), name));
            let dumped = status.core_dumped();
            session.exit_signal_request(id, name, dumped, String::new(), String::new()).await
        }
    };
    // The connection may be gone; then nobody wants to know.
    let _ = sent;
}

/// Signals by their SSH names, with those beyond the RFC that people do send.
const SIGNALS: [(&str, Signal); 17] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STOP", Signal::STOP),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
];

fn name(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|(_, known)| known.as_raw() == signal)
        .map_or_else(|| format!("SIG{signal}@test-servers"), |(name, _)| (*name).to_owned())
}

fn number(signal: &Sig) -> Option<Signal> {
    let name = match signal {
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
    };
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}

/// The processes of one command; killed when dropped, unless released.
#[derive(Debug)]
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    fn kill(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// The command ended as it should: what it left in the background may live on.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill(Signal::KILL);
    }
}
