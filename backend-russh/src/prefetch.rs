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
use std::time::Duration;

use futures_util::FutureExt as _;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use ssh_session::channels::{PREFETCH_LIMIT, prefetch_limit_after_refusal};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::link::Link;

/// A channel for a command, counted as one of its session's until it is dropped.
pub(crate) struct CommandChannel {
    pub(crate) channel: Channel<Msg>,
    pub(crate) slot: Slot,
}

/// One of the server's slots for channels, as far as we know.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    is_open: bool,
}

/// What a session holds of those.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Channels open, or asked for: running commands' and the parked one.
    taken: AtomicUsize,
    last_close: Mutex<Option<Instant>>,
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
    /// A channel that nothing was done with: the parked one, or else a new one. Not to be dropped
    /// half-way: the server's slot would be lost.
    pub(crate) async fn channel(&self) -> Result<CommandChannel, ssh_session::SshError> {
        let parked = self.parking.next().take();
        if let Some(parked) = parked
            && let Ok(mut lane) = parked.await
        {
            if lane.is_usable() {
                return Ok(lane);
            }
            tracing::debug!("the server closed the parked channel");
            self.close_unused(lane).await;
        }
        self.open().await
    }

    /// Asks for the next command's channel. Never waits.
    pub(crate) fn park(self: &Arc<Self>) {
        let mut next = self.parking.next();
        let open = self.parking.slots.taken() + *self.abandoned.borrow();
        if next.is_some() || open >= self.parking.below.load(Ordering::Relaxed) {
            return;
        }
        let (parked, place) = oneshot::channel();
        *next = Some(place);
        drop(next);
        let slot = Slot::take(&self.parking.slots);
        let link = Arc::clone(self);
        drop(self.runtime.spawn(async move {
            // sshd has its answers wait for our acknowledgments until the first command is sent.
            let is_first = link.parking.slots.last_close().is_none();
            let opening = is_first.then(|| link.line.acknowledge_quickly());
            let opened = link.handle.channel_open_session().await;
            drop(opening);
            match opened {
                Ok(channel) => {
                    if let Err(lane) = parked.send(slot.opened(channel)) {
                        link.close_unused(lane).await;
                    }
                }
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
                return;
            }
        }
        self.close_unused(lane).await;
    }

    /// Learns from a refused channel, whose slot is not counted any more.
    pub(crate) fn was_refused(&self) {
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
        Self { slots: Arc::clone(slots), is_open: false }
    }

    /// The server has opened the channel.
    pub(crate) fn opened(mut self, channel: Channel<Msg>) -> CommandChannel {
        self.is_open = true;
        CommandChannel { channel, slot: self }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(1, Ordering::Relaxed);
        if self.is_open {
            self.slots.was_closed();
        }
    }
}

impl Slots {
    /// A channel of the session was closed.
    pub(crate) fn was_closed(&self) {
        *self.last_close() = Some(Instant::now());
    }

    /// Whether a channel was closed so lately that the server may not have freed its slot.
    pub(crate) fn closed_within(&self, time: Duration) -> bool {
        self.last_close().is_some_and(|closed| closed.elapsed() < time)
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn last_close(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_close.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
