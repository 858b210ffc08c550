//! Channels: where they come from, and where they go when a command is given up.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Sig};
use ssh_session::channels::{RECENTLY_CLOSED, RETRY_PAUSES};
use ssh_session::{Phase, SshError};
use tokio::time::{sleep, timeout};

use crate::client::describe;
use crate::deadline::Deadline;
use crate::link::Link;
use crate::liveness::End;
use crate::prefetch::{CommandChannel, Slot};

/// How long a killed command may take until it is killed again, and in the end its channel closed
/// without it. sshd says that a command runs before it has a process group, and a signal that comes
/// in between is lost.
const GRACE: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(200)];

/// How long a session may take to take a message on, before it is stuck for good.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a refused channel is asked for again while slots of commands given up come free:
/// sshd frees one only after the next channel was asked for.
const MAX_RETRIES: usize = 3;

/// How long each of these waits for a slot.
const SLOT_WAIT: Duration = Duration::from_millis(300);

impl Link {
    /// Opens a channel. Not to be dropped half-way: the server's slot would be lost.
    pub(crate) async fn open(&self) -> Result<CommandChannel, SshError> {
        let mut abandoned = self.abandoned.subscribe();
        let mut retries_left = MAX_RETRIES;
        let mut pauses = RETRY_PAUSES.into_iter();
        loop {
            let left = *abandoned.borrow_and_update();
            let slot = Slot::take(&self.parking.slots);
            let opening = self.line.acknowledge_quickly();
            let opened = self.handle.channel_open_session().await;
            drop(opening);
            let reason = match opened {
                Ok(channel) => return Ok(slot.opened(channel)),
                Err(russh::Error::ChannelOpenFailure(reason)) => reason,
                Err(error) => {
                    let end = self.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
                    return Err(end.error(&self.target, Phase::OpenChannel));
                }
            };
            drop(slot);
            self.was_refused();
            if left > 0 && retries_left > 0 {
                retries_left -= 1;
                let _ = timeout(SLOT_WAIT, abandoned.changed()).await;
            } else if self.parking.slots.closed_within(RECENTLY_CLOSED)
                && let Some(pause) = pauses.next()
            {
                sleep(pause).await;
            } else {
                return Err(SshError::ChannelRefused {
                    target: self.target.clone(),
                    detail: reason_text(&reason).into(),
                });
            }
        }
    }

    /// Whether a borrower left something open. Never waits.
    pub(crate) fn has_abandoned_channels(&self) -> bool {
        *self.abandoned.borrow() > 0
    }

    /// Waits until nothing is left open. A command that the server does not let us kill holds one
    /// of the server's session slots until its process ends.
    pub(crate) async fn wait_until_closed(&self, patience: Duration) -> Result<(), SshError> {
        let deadline = Deadline::after(Some(patience));
        let mut abandoned = self.abandoned.subscribe();
        tokio::select! {
            biased;
            end = self.line.wait_end() => Err(end.error(&self.target, Phase::Reset)),
            _ = abandoned.wait_for(|count| *count == 0) => Ok(()),
            () = deadline.passed() => Err(deadline.error(&self.target, Phase::Reset)),
        }
    }

    /// Closes a channel on which nothing was started.
    pub(crate) async fn close_unused(&self, lane: CommandChannel) {
        self.tell(lane.channel.close()).await;
    }

    /// Kills a command as far as the server allows, and closes its channel.
    ///
    /// The server closes it when the command has ended, and frees the slot. One that does not is
    /// told to; it never says when the slot is free, so it counts as taken from then on.
    pub(crate) async fn give_up(
        &self,
        mut leftover: Leftover,
        mut read: ChannelReadHalf,
        write: &ChannelWriteHalf<Msg>,
    ) {
        let killing = async {
            for grace in GRACE {
                self.tell(write.signal(Sig::KILL)).await;
                sleep(grace).await;
            }
        };
        let closed =
            async { while !matches!(read.wait().await, Some(ChannelMsg::Close) | None) {} };
        // Drained meanwhile, or the connection could be too busy with this channel to send.
        tokio::select! {
            () = closed => return,
            () = killing => {}
        }
        drop(read);
        self.tell(write.close()).await;
        leftover.stays = true;
    }

    /// Sends a message on a channel; a session that takes none is stuck.
    pub(crate) async fn tell(&self, message: impl Future<Output = Result<(), russh::Error>>) {
        // An error means that the session is over, and all its channels with it.
        if timeout(SEND_TIMEOUT, message).await.is_err() {
            self.line.cut(End::Lost("the server takes nothing more".into()));
        }
    }
}

/// A channel given up, counted until the server has closed it.
pub(crate) struct Leftover {
    link: Arc<Link>,
    /// Nobody will say when it is closed.
    stays: bool,
}

impl Leftover {
    pub(crate) fn new(link: &Arc<Link>) -> Self {
        link.abandoned.send_modify(|count| *count += 1);
        Self { link: Arc::clone(link), stays: false }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.stays {
            self.link.parking.slots.was_closed();
            self.link.abandoned.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

fn reason_text(reason: &ChannelOpenFailure) -> &'static str {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
        ChannelOpenFailure::ConnectFailed => "open failed",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
        _ => "refused",
    }
}
