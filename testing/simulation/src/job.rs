//! Commands that are pretended: how long one takes, what it writes, and how it ends stands in its
//! own words, so that whoever gets its output can tell whether it is right.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf, Sig};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::trace::note;
use crate::world::World;

/// A pretended command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// No other of its run has it.
    pub number: u64,
    /// How long it runs, in milliseconds.
    pub time: u64,
    /// What it writes, in bytes: half of it at once, half at its end.
    pub output: usize,
    /// Its exit status.
    pub code: u8,
    /// What it reads before all that, to the end, in bytes.
    #[serde(default)]
    pub input: usize,
    /// Whether it wants a terminal.
    #[serde(default)]
    pub pty: bool,
}

/// How somebody reads what a job writes while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// How long after each piece.
    pub pause: Duration,
    /// Behind so many pieces the job is given up.
    pub pieces: Option<u32>,
}

/// The most pieces that anybody waits between.
const MOST_PIECES: u32 = 200;

impl Reading {
    /// How long all pauses are at most.
    pub(crate) fn longest(&self) -> Duration {
        self.pause * MOST_PIECES
    }

    /// Waits behind a piece of that number.
    pub(crate) async fn rest(&self, piece: u32) {
        if piece < MOST_PIECES && !self.pause.is_zero() {
            sleep(self.pause).await;
        }
    }
}

impl Job {
    /// As the command line of a server.
    pub fn line(&self) -> String {
        let Self { number, time, output, code, input, pty } = self;
        format!("job {number} {time} {output} {code} {input} {pty}")
    }

    /// Back from that.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.strip_prefix("job ")?.split(' ');
        let mut word = || words.next();
        Some(Self {
            number: word()?.parse().ok()?,
            time: word()?.parse().ok()?,
            output: word()?.parse().ok()?,
            code: word()?.parse().ok()?,
            input: word()?.parse().ok()?,
            pty: word()?.parse().ok()?,
        })
    }

    /// What it writes, all of it.
    pub fn written(&self) -> Vec<u8> {
        (0..self.output as u64).map(|at| ((self.number * 31 + at) % 251) as u8).collect()
    }

    /// What it reads, all of it.
    pub fn read(&self) -> Vec<u8> {
        (0..self.input).map(|at| self.read_at(at)).collect()
    }

    /// One byte of that.
    pub(crate) fn read_at(&self, at: usize) -> u8 {
        ((self.number * 17 + at as u64) % 241) as u8
    }
}

/// A command's channel.
pub(crate) struct Output {
    pub(crate) session: Handle,
    pub(crate) id: ChannelId,
    pub(crate) write: ChannelWriteHalf<Msg>,
    /// Ends when the client has closed it.
    pub(crate) unread: oneshot::Receiver<Infallible>,
}

impl Output {
    /// Waits for room: what russh is given beyond that keeps all else on its connection waiting, and
    /// for good once the client has closed the channel.
    async fn write(&mut self, bytes: &[u8]) {
        tokio::select! {
            biased;
            _ = &mut self.unread, if !self.unread.is_terminated() => {}
            _ = self.write.data_bytes(bytes.to_vec()), if !self.unread.is_terminated() => {}
            else => {}
        }
    }
}

/// Runs one on a server, until it ends, is killed, or its channel is gone.
pub(crate) async fn run(
    world: World,
    job: Job,
    mut output: Output,
    killed: oneshot::Receiver<()>,
    fed: oneshot::Receiver<()>,
    slot: Arc<()>,
) {
    let written = job.written();
    let (first, rest) = written.split_at(written.len() / 2);
    let (session, channel) = (output.session.clone(), output.id);
    let working = async {
        // A job that nobody feeds any more is killed.
        if job.input > 0 && fed.await.is_err() {
            std::future::pending::<()>().await;
        }
        output.write(first).await;
        sleep(Duration::from_millis(job.time)).await;
        world.books().stopped(job.number, true);
        note!(world, "job {} ends", job.number);
        output.write(rest).await;
        let _ = session.exit_status_request(channel, job.code.into()).await;
    };
    tokio::select! {
        biased;
        signal = killed => {
            world.books().stopped(job.number, false);
            note!(world, "job {} is killed", job.number);
            if signal.is_ok() {
                let (none, other) = (String::new(), String::new());
                let _ = session.exit_signal_request(channel, Sig::KILL, false, none, other).await;
            }
        }
        () = working => {}
    }
    let _ = session.eof(channel).await;
    drop(slot);
    let _ = session.close(channel).await;
}
