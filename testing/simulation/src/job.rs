//! Commands that are pretended: how long one takes, what it writes, and how it ends stands in its
//! own words, so that whoever gets its output can tell whether it is right.

use std::sync::Arc;
use std::time::Duration;

use russh::server::Handle;
use russh::{ChannelId, Sig};
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
}

impl Job {
    /// As the command line of a server.
    pub fn line(&self) -> String {
        let Self { number, time, output, code } = self;
        format!("job {number} {time} {output} {code}")
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
        })
    }

    /// What it writes, all of it.
    pub fn written(&self) -> Vec<u8> {
        (0..self.output as u64).map(|at| ((self.number * 31 + at) % 251) as u8).collect()
    }
}

/// Runs one on a server, until it ends, is killed, or its channel is gone.
pub(crate) async fn run(
    world: World,
    job: Job,
    session: Handle,
    channel: ChannelId,
    killed: oneshot::Receiver<()>,
    slot: Arc<()>,
) {
    let written = job.written();
    let (first, rest) = written.split_at(written.len() / 2);
    let working = async {
        let _ = session.data(channel, first.to_vec()).await;
        sleep(Duration::from_millis(job.time)).await;
        world.books().stopped(job.number, true);
        note!(world, "job {} ends", job.number);
        let _ = session.data(channel, rest.to_vec()).await;
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
