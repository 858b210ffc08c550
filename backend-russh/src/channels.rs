//! Channels: where they come from, and where they go when a command is given up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Sig};
use ssh_session::channels::{Ticket, Turn};
use ssh_session::{Phase, SshError};
use tokio::time::{sleep, timeout, timeout_at};

use crate::client::describe;
use crate::deadline::Deadline;
use crate::link::Link;
use crate::liveness::End;
use crate::prefetch::{CommandChannel, Slot, Slots, now};

/// How long a killed command may take until it is killed again, and in the end its channel closed
/// without it. sshd says that a command runs before it has a process group, and a signal that comes
/// in between is lost.
const GRACE: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(80), Duration::from_millis(200)];

/// How long a session may take to take a message on, before it is stuck for good.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// A command's place among those that want a channel, left when dropped.
pub(crate) struct Place {
    slots: Arc<Slots>,
    ticket: Ticket,
}

impl Place {
    /// No channel is wanted any more; one that is on its way may still come.
    pub(crate) fn leave(&self) {
        self.slots.change(|queue| queue.leave(self.ticket));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Link {
    /// Somebody wants a channel; `waits` is whether for another command's end, where the server opens
    /// no further one.
    pub(crate) fn arrive(&self, waits: bool) -> Place {
        let ticket = self.parking.slots.queue().arrive(waits);
        Place { slots: Arc::clone(&self.parking.slots), ticket }
    }

    /// A channel that nothing was done with: the parked one, or else a new one, once it is this
    /// place's turn. Not to be dropped half-way, or the server's slot would be lost: to be left.
    pub(crate) async fn channel(&self, place: &Place) -> Result<CommandChannel, SshError> {
        let Place { slots, ticket } = place;
        let mut detail = "other commands wait for one";
        loop {
            let mut changed = pin!(slots.changed());
            changed.as_mut().enable();
            match take_turn(slots, *ticket) {
                Turn::Ask => {}
                Turn::Wait(None) => {
                    changed.await;
                    continue;
                }
                Turn::Wait(Some(until)) => {
                    let _ = timeout_at(until.into(), changed).await;
                    continue;
                }
                Turn::Refused => return Err(self.no_channel(detail)),
            }
            let opened = match self.parked_channel().await {
                Some(lane) => Ok(lane),
                None => self.open().await?,
            };
            match opened {
                Ok(mut lane) => {
                    lane.slot.hand_to(*ticket);
                    return Ok(lane);
                }
                Err(reason) => detail = reason_text(&reason),
            }
            self.was_refused();
            let leftovers = *self.abandoned.borrow();
            if !slots.change(|queue| queue.refused(*ticket, leftovers, now())) {
                return Err(self.no_channel(detail));
            }
        }
    }

    /// Asks the server for a channel.
    async fn open(&self) -> Result<Result<CommandChannel, ChannelOpenFailure>, SshError> {
        let slot = Slot::take(&self.parking.slots);
        let opening = self.line.acknowledge_quickly();
        let opened = self.handle.channel_open_session().await;
        drop(opening);
        match opened {
            Ok(channel) => Ok(Ok(slot.opened(channel))),
            Err(russh::Error::ChannelOpenFailure(reason)) => Ok(Err(reason)),
            Err(error) => {
                let end = self.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
                Err(end.error(&self.target, Phase::OpenChannel))
            }
        }
    }

    fn no_channel(&self, detail: &str) -> SshError {
        SshError::ChannelRefused { target: self.target.clone(), detail: detail.into() }
    }

    /// Whether commands wait until others have ended. Never waits.
    pub(crate) fn has_waiting_commands(&self) -> bool {
        self.parking.slots.queue().has_waiting()
    }

    /// Whether a borrower left something open. Never waits.
    pub(crate) fn has_abandoned_channels(&self) -> bool {
        *self.abandoned.borrow() > 0 || *self.tunnels.borrow() > 0
    }

    /// Waits until nothing is left open. A command that the server does not let us kill holds one
    /// of the server's session slots until its process ends.
    pub(crate) async fn wait_until_closed(&self, patience: Duration) -> Result<(), SshError> {
        let deadline = Deadline::after(Some(patience));
        let (mut abandoned, mut tunnels) = (self.abandoned.subscribe(), self.tunnels.subscribe());
        let closed = async {
            let _ = abandoned.wait_for(|count| *count == 0).await;
            let _ = tunnels.wait_for(|count| *count == 0).await;
        };
        tokio::select! {
            biased;
            end = self.line.wait_end() => Err(end.error(&self.target, Phase::Reset)),
            () = closed => Ok(()),
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
            self.link.parking.slots.change(|queue| queue.freed(now()));
            self.link.abandoned.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

/// What one in the queue is to do; it does so at once.
fn take_turn(slots: &Slots, ticket: Ticket) -> Turn {
    let mut queue = slots.queue();
    let turn = queue.turn(ticket, now());
    if turn == Turn::Ask {
        queue.ask(ticket, now());
    }
    turn
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
