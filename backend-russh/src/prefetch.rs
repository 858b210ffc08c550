//! Channels opened ahead.
//!
//! Opening a channel costs a round trip, and so does the command on it. So whoever sends a command
//! asks for the next command's channel in the same flight; by the time that comes it is open, or
//! nearly so, and the command costs one round trip. The first command's channel is asked for right
//! after login. One channel is parked at a time, and used once. It costs the server no process, but
//! one of its `MaxSessions`: so none is parked where that may be missed.
//!
//! sshd gives a channel no window until its command is started (RFC 4254, 5.2, lets it), so input
//! costs a second round trip, whichever client sends it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use ssh_session::channels::{ChannelQueue, PREFETCH_LIMIT, Ticket, prefetch_limit_after_refusal};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::task::unconstrained;

use crate::link::Link;

/// A channel for a command, counted as one of its session's until it is dropped.
pub(crate) struct CommandChannel {
    pub(crate) channel: Channel<Msg>,
    pub(crate) slot: Slot,
}

/// One of the server's slots for channels, as far as we know.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    used: Use,
}

/// What a slot is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The server was asked for a channel.
    Asked,
    /// A channel that no command has.
    Idle,
    Command,
    /// A command has let go of its channel; a [`Leftover`](crate::channels::Leftover) tells when it
    /// is closed.
    LetGo,
}

/// What a session holds of those.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Channels open, or asked for: running commands' and the parked one.
    taken: AtomicUsize,
    queue: Mutex<ChannelQueue>,
    /// Those in the queue look at their turn anew.
    changed: Notify,
}

/// A session's parking place.
pub(crate) struct Parking {
    pub(crate) slots: Arc<Slots>,
    /// The parked channel. It may still be on its way, and not come.
    next: Mutex<Option<oneshot::Receiver<CommandChannel>>>,
    /// Nothing is parked but with fewer channels open than this.
    below: AtomicUsize,
}

impl Link {
    /// The parked channel, if there is one of use.
    pub(crate) async fn parked_channel(&self) -> Option<CommandChannel> {
        let parked = self.parking.next().take()?;
        let mut lane = parked.await.ok()?;
        if lane.is_usable() {
            return Some(lane);
        }
        tracing::debug!("the server closed the parked channel");
        self.close_unused(lane).await;
        None
    }

    /// Asks for the next command's channel. Never waits.
    pub(crate) fn park(self: &Arc<Self>) {
        let mut next = self.parking.next();
        let open = self.parking.slots.taken() + *self.abandoned.borrow();
        let room = open < self.parking.below.load(Ordering::Relaxed);
        if next.is_some() || !room || self.parking.slots.queue().is_full() {
            return;
        }
        let (parked, place) = oneshot::channel();
        *next = Some(place);
        drop(next);
        let slot = Slot::take(&self.parking.slots);
        let link = Arc::clone(self);
        drop(self.runtime.spawn(async move {
            // sshd has its answers wait for our acknowledgments until the first command is sent.
            let is_first = !link.parking.slots.queue().has_closed();
            let opening = is_first.then(|| link.line.acknowledge_quickly());
            let opened = link.handle.channel_open_session().await;
            drop(opening);
            match opened {
                Ok(channel) => match parked.send(slot.opened(channel)) {
                    Ok(()) => link.parking.slots.offer_parked(),
                    Err(lane) => link.close_unused(lane).await,
                },
                Err(russh::Error::ChannelOpenFailure(_)) => {
                    drop(slot);
                    link.was_refused();
                }
                // The session is over.
                Err(_) => {}
            }
        }));
    }

    /// Parks a channel that was not needed, or closes it.
    pub(crate) async fn give_back(&self, mut lane: CommandChannel) {
        if lane.is_usable() {
            let mut next = self.parking.next();
            if next.is_none() {
                let (parked, place) = oneshot::channel();
                // The place is still in our hands.
                let _ = parked.send(lane);
                *next = Some(place);
                drop(next);
                return self.parking.slots.offer_parked();
            }
        }
        self.close_unused(lane).await;
    }

    /// Learns from a refused channel, whose slot is not counted any more. Slots of which the server is
    /// known to be short come free late, so nothing is learned then.
    pub(crate) fn was_refused(&self) {
        if self.parking.slots.queue().is_full() {
            return;
        }
        let limit = self.parking.slots.taken() + *self.abandoned.borrow();
        let below = prefetch_limit_after_refusal(limit);
        self.parking.below.fetch_min(below, Ordering::Relaxed);
    }
}

impl CommandChannel {
    /// Whether the server has not closed it, as far as is known. Never waits.
    fn is_usable(&mut self) -> bool {
        loop {
            match unconstrained(self.channel.wait()).now_or_never() {
                None => return true,
                Some(None | Some(ChannelMsg::Close | ChannelMsg::Eof)) => return false,
                Some(Some(_)) => {}
            }
        }
    }
}

impl Slot {
    pub(crate) fn take(slots: &Arc<Slots>) -> Self {
        slots.taken.fetch_add(1, Ordering::Relaxed);
        Self { slots: Arc::clone(slots), used: Use::Asked }
    }

    /// The server has opened the channel.
    pub(crate) fn opened(mut self, channel: Channel<Msg>) -> CommandChannel {
        self.used = Use::Idle;
        CommandChannel { channel, slot: self }
    }

    /// Somebody in the queue gets the channel, unless they left meanwhile.
    pub(crate) fn hand_to(&mut self, ticket: Ticket) {
        if self.slots.change(|queue| queue.opened(ticket)) {
            self.used = Use::Command;
        }
    }

    /// The channel stays with the session, so that nobody waits for its end.
    pub(crate) fn keep(&mut self) {
        if std::mem::replace(&mut self.used, Use::Idle) == Use::Command {
            self.slots.change(ChannelQueue::let_go);
        }
    }

    /// The command has let go of its channel, which is not closed yet.
    pub(crate) fn let_go(mut self) {
        if std::mem::replace(&mut self.used, Use::LetGo) == Use::Command {
            self.slots.change(ChannelQueue::let_go);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(1, Ordering::Relaxed);
        match self.used {
            Use::Asked | Use::LetGo => {}
            Use::Idle => self.slots.change(|queue| queue.freed(now())),
            Use::Command => self.slots.change(|queue| queue.ended(now())),
        }
    }
}

impl Slots {
    /// Changes something about the queue, and has those in it look.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut ChannelQueue) -> T) -> T {
        let changed = change(&mut self.queue());
        self.changed.notify_waiters();
        changed
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, ChannelQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the queue has changed since this was enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// A channel lies parked: for the first in the queue, if there is one.
    fn offer_parked(&self) {
        self.change(|queue| {
            if queue.is_full() {
                queue.freed(now());
            }
        });
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The time by the runtime's clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Parking {
    fn next(&self) -> MutexGuard<'_, Option<oneshot::Receiver<CommandChannel>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Parking {
    fn default() -> Self {
        Self {
            slots: Arc::default(),
            next: Mutex::new(None),
            below: AtomicUsize::new(PREFETCH_LIMIT),
        }
    }
}

impl fmt::Debug for CommandChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandChannel")
            .field("channel", &self.channel.id())
            .finish_non_exhaustive()
    }
}
