//! Who waits for a channel of a connection, and whose turn it is to ask the server for one.

use std::collections::VecDeque;
use std::time::Instant;

use super::{LEFTOVER_RETRIES, LEFTOVER_WAIT, PROBE_INTERVAL, RECENTLY_CLOSED, RETRY_PAUSES};

/// The commands of one connection that have no channel yet, in the order they came.
///
/// Until the server refuses a channel everybody asks at once. From then on the connection is full:
/// the first in the queue asks again whenever a channel of ours has closed, and those behind it wait.
/// It is full until nobody waits. A command is refused for good where no other command runs whose end
/// could make room.
///
/// A machine without a clock or a lock: [`turn`](Self::turn) says what to do, and after any other
/// call those who wait look at their turn anew.
#[derive(Debug, Default)]
pub struct ChannelQueue {
    places: VecDeque<Place>,
    last_ticket: u64,
    /// Channels that commands have.
    running: usize,
    /// The server has refused a channel to somebody who still waits.
    full: bool,
    /// It did so though nothing had closed lately.
    crowded: bool,
    /// Channels closed since then, for each of which one more may be asked for.
    room: usize,
    /// When to ask again even if none is closed; there where it is full.
    retry_at: Option<Instant>,
    last_close: Option<Instant>,
    /// How often it was asked again since a channel was last closed.
    pauses: usize,
    leftover_retries: usize,
    /// Grows with each of these, and when a channel is closed.
    round: u64,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What somebody in the queue does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Ask the server, once [`ChannelQueue::ask`] was told.
    Ask,
    /// Wait until something changes, or until then.
    Wait(Option<Instant>),
    /// Give up: there is none for those who do not wait.
    Refused,
}

#[derive(Debug)]
struct Place {
    ticket: u64,
    /// Until another command ends, if need be.
    waits: bool,
    /// The server has been asked and has not answered.
    asked: bool,
    /// The queue's round when it was asked.
    round: u64,
    /// It was asked though nothing is known to have closed.
    probes: bool,
    refused: bool,
    /// It was refused though nothing had closed lately.
    stuck: bool,
}

impl ChannelQueue {
    /// Somebody wants a channel. `waits` is whether for another command's end, too.
    pub fn arrive(&mut self, waits: bool) -> Ticket {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let (asked, probes, refused, stuck) = (false, false, false, false);
        self.places.push_back(Place { ticket, waits, asked, round: 0, probes, refused, stuck });
        Ticket(ticket)
    }

    /// Says that the server is being asked for a channel for this one. Right behind
    /// [`Turn::Ask`] only.
    pub fn ask(&mut self, ticket: Ticket, now: Instant) {
        let probes = self.full && self.room == 0;
        if self.full {
            self.room = self.room.saturating_sub(1);
            self.retry_at = Some(now + PROBE_INTERVAL);
        }
        let lately = self.has_closed_lately(now);
        if let Some(index) = self.index(ticket) {
            let place = &mut self.places[index];
            (place.asked, place.probes) = (true, probes && !lately);
            place.round = self.round;
        }
    }

    /// This one has its channel. False if it is not in the queue any more: then nobody has it.
    pub fn opened(&mut self, ticket: Ticket) -> bool {
        let Some(place) = self.remove(ticket) else { return false };
        self.running += 1;
        // Where nothing was known to have closed there may be more room than that.
        if self.full && place.probes {
            self.room += 1;
        }
        true
    }

    /// The server has refused a channel. `leftovers` are commands given up that may still hold a
    /// slot. False if that is final; this one is not in the queue any more then.
    pub fn refused(&mut self, ticket: Ticket, leftovers: usize, now: Instant) -> bool {
        let Some(index) = self.index(ticket) else { return false };
        let place = &mut self.places[index];
        (place.asked, place.refused) = (false, true);
        let waits = place.waits;
        let behind_others = self.places.iter().take(index).any(|ahead| !ahead.asked);
        let others = self.running > 0 || self.places.iter().any(|place| place.asked);
        self.full = true;
        // Many that were asked for at once are refused together: that is one answer, not many.
        let news = self.places[index].round == self.round;
        let pauses = self.pauses + usize::from(news);
        let retries = self.leftover_retries + usize::from(news);
        let pause = RETRY_PAUSES.get(pauses.max(1) - 1).filter(|_| self.has_closed_lately(now));
        let wait = if let Some(pause) = pause {
            self.pauses = pauses;
            self.round += u64::from(news);
            *pause
        } else if leftovers > 0 && (!waits || !others) && retries <= LEFTOVER_RETRIES {
            self.leftover_retries = retries;
            self.round += u64::from(news);
            LEFTOVER_WAIT
        } else if waits && others {
            PROBE_INTERVAL
        } else {
            self.remove(ticket);
            if self.full && (!behind_others || !others || self.retry_at.is_none()) {
                // The next one hears it from the server.
                self.retry_at = Some(now);
            }
            return false;
        };
        if !behind_others || self.retry_at.is_none() {
            self.retry_at = Some(now + wait);
        }
        self.places[index].stuck = pause.is_none();
        self.crowded |= pause.is_none();
        true
    }

    /// This one wants no channel any more.
    pub fn leave(&mut self, ticket: Ticket) {
        self.remove(ticket);
    }

    /// A command's channel is closed.
    pub fn ended(&mut self, now: Instant) {
        self.let_go();
        self.freed(now);
    }

    /// A channel is no command's any more, but not closed yet.
    pub fn let_go(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// A channel that no command had is closed, or to be had: one that a command has let go, or that
    /// was opened ahead.
    pub fn freed(&mut self, now: Instant) {
        self.last_close = Some(now);
        (self.pauses, self.leftover_retries) = (0, 0);
        self.round += 1;
        if self.full {
            self.room += 1;
        }
    }

    /// What this one is to do.
    pub fn turn(&self, ticket: Ticket, now: Instant) -> Turn {
        let Some(index) = self.index(ticket) else { return Turn::Refused };
        if !self.full {
            return Turn::Ask;
        }
        let mut ahead = self.places.iter().take(index).filter(|place| !place.asked).peekable();
        if ahead.peek().is_some() {
            let waits = self.places[index].waits;
            return match ahead.any(|place| place.waits && place.refused) && !waits {
                true => Turn::Refused,
                false => Turn::Wait(None),
            };
        }
        match self.retry_at {
            _ if self.room > 0 => Turn::Ask,
            Some(at) if at > now => Turn::Wait(Some(at)),
            _ => Turn::Ask,
        }
    }

    /// Whether nobody came before this one and still waits, asked or not.
    pub fn is_first(&self, ticket: Ticket) -> bool {
        self.places.front().is_some_and(|place| place.ticket == ticket.0)
    }

    /// Whether the server has refused a channel to somebody who still asks.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether somebody waits for a command's end, and not just for a slot that comes free late.
    pub fn has_waiting(&self) -> bool {
        let mut waiting =
            self.places.iter().filter(|place| place.waits).skip_while(|place| !place.refused);
        let refused = waiting.next().is_some_and(|first| first.stuck || waiting.next().is_some());
        // Those behind were not even asked for.
        let behind = self.crowded && self.places.iter().any(|place| place.waits && !place.asked);
        self.full && (refused || behind)
    }

    /// When the first in the queue asks again at the latest, where it is full.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// How many channels commands have.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether any channel was ever closed.
    pub fn has_closed(&self) -> bool {
        self.last_close.is_some()
    }

    fn has_closed_lately(&self, now: Instant) -> bool {
        self.last_close.is_some_and(|at| now.saturating_duration_since(at) < RECENTLY_CLOSED)
    }

    fn index(&self, ticket: Ticket) -> Option<usize> {
        self.places.iter().position(|place| place.ticket == ticket.0)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Place> {
        let place = self.places.remove(self.index(ticket)?);
        if self.places.is_empty() {
            (self.full, self.crowded, self.room, self.retry_at) = (false, false, 0, None);
        }
        place
    }
}

#[cfg(test)]
mod tests;
