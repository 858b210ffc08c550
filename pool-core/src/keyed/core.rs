//! Many pools under one total, as a state machine: no clock, no thread, no lock.
//!
//! Each key has a [`Core`] of its own, so all that a pool promises holds per key. What is decided
//! here is who may open a session, as long as the total allows:
//!
//! * A place that is free goes to the borrower that has waited longest, of all keys that could use
//!   it. Sessions that only `min_idle` wants get what nobody waits for.
//! * Where no place is free and somebody waits, the session is given up that has been idle for
//!   longest under any key without borrowers that wait.
//! * Where none is idle and keys compete, one that has two sessions more than the starving key
//!   gives up one with its next lease; a key without any gets one from whoever has had its own for
//!   longest, at least for one `turn`. So shares become equal, and sessions are not opened and
//!   closed for every lease.
//!
//! Costs follow what happens and what is due, not the number of keys: timers and idle sessions are
//! kept in heaps, with bounds that may be too early and are looked at again when they come up.

use std::collections::{BTreeSet, VecDeque};
use std::panic::Location;
use std::time::{Duration, Instant};

use super::KeyedConfig;
use crate::core::{Core, Deadlines, Lease, LeaseId, Notice, Returned, Task};
use crate::domain::{Machine, NotReady, Said};
use crate::event::EventError;

/// Names one key for as long as it is known. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    pub(super) index: u32,
    generation: u32,
}

/// How the core of a key is made.
#[derive(Debug)]
pub struct CoreMaker<S, E> {
    /// Makes one more handle to a shared session.
    pub share: Option<fn(&S) -> S>,
    /// Somebody is told what happens.
    pub observed: bool,
    /// Makes of a connect's error what an observer is shown.
    pub describe: Option<fn(&E) -> EventError>,
}

/// The books of a keyed pool.
#[derive(Debug)]
pub struct KeyedCore<S, E> {
    config: KeyedConfig,
    make: CoreMaker<S, E>,
    entries: Vec<Entry<S, E>>,
    free: Vec<u32>,
    /// Sessions that count against the total, over all keys.
    open: usize,
    /// Those of them that are being closed.
    closing: usize,
    orphans: usize,
    known: usize,
    /// Bounds, not later than what is due for a key.
    timers: Deadlines,
    /// Bounds, not later than since when a key has had an idle session to spare.
    spare: Deadlines,
    /// Keys with work that needs no leave, in turn.
    ready: VecDeque<u32>,
    /// Keys whose borrowers wait for a place, by who has waited longest.
    starved: BTreeSet<(u64, u32)>,
    /// Keys that want a place though nobody waits.
    wishing: VecDeque<u32>,
    /// Keys with sessions whose borrowers queue, by how many sessions they have.
    competing: BTreeSet<(usize, u32)>,
    /// Until when sessions that were lent when they were given up are counted on to come back.
    displaced: VecDeque<Instant>,
    /// When a key that starves may be given a place of another.
    turn_ends: Option<Instant>,
    notices: VecDeque<(KeyId, Said)>,
    last_ticket: u64,
    closed: bool,
    drained: bool,
}

#[derive(Debug)]
struct Entry<S, E> {
    generation: u32,
    core: Option<Core<S, E>>,
    /// As counted in the books.
    open: usize,
    closing: usize,
    orphans: usize,
    /// Nobody has used it yet.
    is_new: bool,
    is_ready: bool,
    is_wishing: bool,
    starved: Option<u64>,
    competing: Option<usize>,
    /// Since when it has had sessions.
    tenure: Option<Instant>,
    /// Since when nothing is open and nobody waits.
    quiet_since: Option<Instant>,
}

/// How long a key is kept, at the least, before anybody has used it.
const BEFORE_FIRST_USE: Duration = Duration::from_secs(1);

impl<S, E: Clone> KeyedCore<S, E> {
    /// No keys yet.
    pub fn new(config: KeyedConfig, make: CoreMaker<S, E>) -> Self {
        Self {
            config,
            make,
            entries: Vec::new(),
            free: Vec::new(),
            open: 0,
            closing: 0,
            orphans: 0,
            known: 0,
            timers: Deadlines::default(),
            spare: Deadlines::default(),
            ready: VecDeque::new(),
            starved: BTreeSet::new(),
            wishing: VecDeque::new(),
            competing: BTreeSet::new(),
            displaced: VecDeque::new(),
            turn_ends: None,
            notices: VecDeque::new(),
            last_ticket: 0,
            closed: false,
            drained: false,
        }
    }

    /// A new key; `None` where the pool is closed.
    pub fn open_key(&mut self, now: Instant) -> Option<KeyId> {
        if self.closed {
            return None;
        }
        let config = self.config.per_key.clone();
        let mut core = match self.make.share {
            Some(share) => Core::shared(config, share, self.make.observed),
            None => Core::new(config, self.make.observed),
        };
        if let Some(describe) = self.make.describe {
            core.describe_errors(describe);
        }
        core.stop_connects();
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::vacant());
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        *entry = Entry { generation: entry.generation, core: Some(core), ..Entry::vacant() };
        let id = KeyId { index, generation: entry.generation };
        self.known += 1;
        self.settle(index, now);
        Some(id)
    }

    /// Keys known now.
    pub fn keys(&self) -> usize {
        self.known
    }

    /// Sessions open over all keys, those being opened and closed included.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Keys whose borrowers wait for a place under the total.
    pub fn starving(&self) -> usize {
        self.starved.len()
    }

    /// The configuration.
    pub fn config(&self) -> &KeyedConfig {
        &self.config
    }

    /// The core of a key, for reading.
    pub fn core(&self, key: KeyId) -> Option<&Core<S, E>> {
        let entry = self.entries.get(key.index as usize)?;
        entry.core.as_ref().filter(|_| entry.generation == key.generation)
    }

    /// All keys.
    pub fn ids(&self) -> Vec<KeyId> {
        let known = self.entries.iter().enumerate().filter(|(_, entry)| entry.core.is_some());
        known
            .map(|(index, entry)| KeyId { index: index as u32, generation: entry.generation })
            .collect()
    }

    /// Sets the most sessions over all keys. Where more are open, idle ones are closed now; none
    /// is opened before there is room.
    pub fn resize_total(&mut self, max_total: usize, now: Instant) {
        self.config.max_total = max_total;
        while self.open - self.closing > max_total {
            if !self.give_up_longest_idle(now) {
                break;
            }
        }
        self.make_room(now);
    }

    /// Uses one core, and enters what has become of it.
    fn visit<R>(
        &mut self,
        index: u32,
        now: Instant,
        input: impl FnOnce(&mut Core<S, E>) -> R,
    ) -> Option<R> {
        let entry = &mut self.entries[index as usize];
        let core = entry.core.as_mut()?;
        core.set_last_ticket(self.last_ticket);
        let result = input(core);
        self.last_ticket = core.last_ticket();
        if core.has_notice() {
            let key = KeyId { index, generation: entry.generation };
            while let Some(notice) = core.poll_notice() {
                if !matches!(notice, Notice::Drained) {
                    self.notices.push_back((key, Said::Core(notice)));
                }
            }
        }
        self.settle(index, now);
        Some(result)
    }

    /// Enters what a key has, wants and can spare.
    fn settle(&mut self, index: u32, now: Instant) {
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return };
        let load = core.load_on_total();
        self.open = self.open - entry.open + load.open;
        self.closing = self.closing - entry.closing + load.closing;
        self.orphans = self.orphans - entry.orphans + load.orphans;
        for _ in entry.closing..load.closing {
            self.displaced.pop_front();
        }
        (entry.open, entry.closing, entry.orphans) = (load.open, load.closing, load.orphans);
        match load.open {
            0 => entry.tenure = None,
            _ => drop(entry.tenure.get_or_insert(now)),
        }
        if core.has_task(now) && !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(index);
        }
        let waits = core.front_ticket();
        let starved = waits.filter(|_| core.is_starved());
        if entry.starved != starved {
            let before = std::mem::replace(&mut entry.starved, starved);
            before.map(|ticket| self.starved.remove(&(ticket, index)));
            starved.map(|ticket| self.starved.insert((ticket, index)));
        }
        let competing = waits.map(|_| load.open).filter(|open| *open > 0);
        if entry.competing != competing {
            let before = std::mem::replace(&mut entry.competing, competing);
            before.map(|open| self.competing.remove(&(open, index)));
            competing.map(|open| self.competing.insert((open, index)));
        }
        if self.spare.at(index).is_none()
            && let Some(since) = core.spare_since()
        {
            self.spare.set(index, since);
        }
        let mut due = core.poll_timeout();
        let busy = entry.is_ready || entry.is_wishing || entry.starved.is_some();
        let quiet = load.quiet && !busy;
        entry.quiet_since = quiet.then(|| entry.quiet_since.unwrap_or(now));
        due = due.into_iter().chain(entry.forgotten_at(&self.config)).min();
        if let Some(due) = due
            && self.timers.at(index).is_none_or(|at| due < at)
        {
            self.timers.set(index, due);
        }
        if !self.starved.is_empty() {
            self.make_room(now);
        }
        self.note_drained();
    }

    /// Sees to it that as many places become free as keys starve for.
    fn make_room(&mut self, now: Instant) {
        self.turn_ends = None;
        while self.displaced.front().is_some_and(|until| *until <= now) {
            self.displaced.pop_front();
        }
        loop {
            let free = self.config.max_total.saturating_sub(self.open);
            let coming = free + self.closing + self.displaced.len();
            if self.starved.len() <= coming {
                self.turn_ends = self.displaced.front().copied();
                return;
            }
            if !self.give_up_longest_idle(now) && !self.take_from_largest(now) {
                return;
            }
        }
    }

    fn give_up_longest_idle(&mut self, now: Instant) -> bool {
        while let Some((index, bound)) = self.spare.first() {
            self.spare.clear(index);
            let entry = &mut self.entries[index as usize];
            let Some(since) = entry.core.as_ref().and_then(Core::spare_since) else { continue };
            if since > bound && self.spare.next().is_some_and(|other| other < since) {
                self.spare.set(index, since);
                continue;
            }
            if self.displace(index, now) {
                return true;
            }
        }
        false
    }

    /// A key that starves and has less than its share gets one from a key that has more.
    fn take_from_largest(&mut self, now: Instant) -> bool {
        let Some(&(_, starving)) = self.starved.first() else { return false };
        let has = self.entries[starving as usize].open;
        let Some(&(most, largest)) = self.competing.last() else { return false };
        let stays = |index: u32, entries: &[Entry<S, E>]| {
            let entry = &entries[index as usize];
            entry.open > entry.closing
        };
        if most >= has + 2 && stays(largest, &self.entries) {
            return self.displace(largest, now);
        }
        if has > 0 {
            return false;
        }
        // It has none, and nobody has two: whoever has had its own for longest ends its turn.
        let others = self.competing.iter().map(|(_, index)| *index);
        let others = others.filter(|index| *index != starving && stays(*index, &self.entries));
        let first = others.filter_map(|index| Some((self.entries[index as usize].tenure?, index)));
        let Some((since, index)) = first.min() else { return false };
        match since.checked_add(self.config.turn) {
            Some(end) if end > now => {
                self.turn_ends = Some(end);
                false
            }
            _ => {
                self.entries[index as usize].tenure = Some(now);
                self.displace(index, now)
            }
        }
    }

    fn displace(&mut self, index: u32, now: Instant) -> bool {
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return false };
        if !core.give_up_one(now) {
            return false;
        }
        let load = core.load_on_total();
        if load.closing > entry.closing {
            self.closing += load.closing - entry.closing;
            entry.closing = load.closing;
        } else {
            self.displaced.extend(now.checked_add(self.config.turn));
        }
        // The rest is entered when the key is next visited; its work is to be done now.
        if !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(index);
        }
        let key = KeyId { index, generation: entry.generation };
        while let Some(notice) = core.poll_notice() {
            self.notices.push_back((key, Said::Core(notice)));
        }
        if let Some(since) = core.spare_since() {
            self.spare.set(index, since);
        }
        true
    }

    /// Gives a place that is free to whoever has waited longest for one, and then to those for
    /// whom nobody waits.
    fn grant(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        while self.open < self.config.max_total {
            let index = match self.starved.first() {
                Some(&(_, index)) => index,
                None => {
                    let index = self.wishing.pop_front()?;
                    self.entries[index as usize].is_wishing = false;
                    index
                }
            };
            let task = self.visit(index, now, |core| {
                core.allow_connects(1);
                let task = core.poll_connect(now);
                core.stop_connects();
                task
            });
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
            // It turned out to want none now; its own timer tells when it does.
            let entry = &mut self.entries[index as usize];
            if let Some(ticket) = entry.starved.take() {
                self.starved.remove(&(ticket, index));
            }
        }
        None
    }

    /// The next piece of work of a key whose turn it is. A connect needs a place.
    fn next_ready(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        while let Some(index) = self.ready.pop_front() {
            self.entries[index as usize].is_ready = false;
            let free = self.config.max_total.saturating_sub(self.open);
            let places = if self.starved.is_empty() { free } else { 0 };
            let task = self.visit(index, now, |core| {
                core.allow_connects(places);
                let task = core.poll_task(now);
                core.stop_connects();
                task
            });
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
            let entry = &mut self.entries[index as usize];
            let wishes = entry.core.as_ref().is_some_and(|core| core.is_starved());
            if wishes && entry.starved.is_none() && !entry.is_wishing {
                entry.is_wishing = true;
                self.wishing.push_back(index);
            }
        }
        None
    }

    fn id(&self, index: u32) -> KeyId {
        KeyId { index, generation: self.entries[index as usize].generation }
    }

    fn forget(&mut self, index: u32) {
        let key = self.id(index);
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.core = None;
        entry.quiet_since = None;
        self.known -= 1;
        self.timers.clear(index);
        self.spare.clear(index);
        self.free.push(index);
        self.notices.push_back((key, Said::Forgotten));
    }

    /// Whether a key has been without sessions, borrowers and unfinished work for long enough.
    fn is_forgettable(&self, index: u32, now: Instant) -> bool {
        self.entries[index as usize].forgotten_at(&self.config).is_some_and(|at| at <= now)
    }

    /// Whether the pool was closed and nothing of it is open any more.
    fn has_ended(&self) -> bool {
        self.closed && self.open + self.orphans == 0
    }

    fn note_drained(&mut self) {
        if self.has_ended() && !self.drained {
            self.drained = true;
            let nobody = KeyId { index: u32::MAX, generation: 0 };
            self.notices.push_back((nobody, Said::Core(Notice::Drained)));
        }
    }
}

impl<S: Send + 'static, E: Clone + Send + 'static> Machine for KeyedCore<S, E> {
    type Key = KeyId;
    type Session = S;
    type Error = E;

    fn with_core<R>(
        &mut self,
        key: KeyId,
        now: Instant,
        input: impl FnOnce(&mut Core<S, E>) -> R,
    ) -> Option<R> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.is_new = false;
        self.visit(key.index, now, input)
    }

    fn acquire_ready(
        &mut self,
        key: KeyId,
        site: &'static Location<'static>,
        now: Instant,
    ) -> Result<Lease<S>, NotReady> {
        match self.with_core(key, now, |core| core.acquire_ready(site, now)) {
            Some(Some(lease)) => Ok(lease),
            Some(None) => Err(NotReady::Busy),
            None => Err(NotReady::Forgotten),
        }
    }

    fn release(
        &mut self,
        key: KeyId,
        lease: LeaseId,
        session: Option<S>,
        state: Returned,
        now: Instant,
    ) -> Option<S> {
        self.with_core(key, now, |core| core.release(lease, session, state, now)).flatten()
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop_due(now) {
            if self.is_forgettable(index, now) {
                self.forget(index);
            } else {
                self.visit(index, now, |core| core.handle_timeout(now));
            }
        }
        if self.turn_ends.is_some_and(|at| at <= now) {
            self.make_room(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.turn_ends).min()
    }

    fn has_task(&self, _now: Instant) -> bool {
        let wanted = !self.starved.is_empty() || !self.wishing.is_empty();
        !self.ready.is_empty() || (wanted && self.open < self.config.max_total)
    }

    fn poll_task(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        self.grant(now).or_else(|| self.next_ready(now)).or_else(|| self.grant(now))
    }

    fn has_notice(&self) -> bool {
        !self.notices.is_empty()
    }

    fn poll_notice(&mut self) -> Option<(KeyId, Said)> {
        self.notices.pop_front()
    }

    fn close(&mut self, now: Instant) {
        self.closed = true;
        for index in 0..self.entries.len() as u32 {
            self.visit(index, now, |core| core.close(now));
        }
        self.note_drained();
    }

    fn is_drained(&self) -> bool {
        self.has_ended()
    }

    fn is_busy(&self) -> bool {
        self.open + self.orphans > 0 || !self.starved.is_empty() || self.timers.next().is_some()
    }

    fn is_crowded(&mut self) -> bool {
        // One key says nothing about another.
        false
    }
}

impl<S, E> Entry<S, E> {
    /// When it is forgotten, if nothing happens. Who made it must have the time to use it.
    fn forgotten_at(&self, config: &KeyedConfig) -> Option<Instant> {
        let patience = config.forget_after;
        let patience = if self.is_new { patience.max(BEFORE_FIRST_USE) } else { patience };
        self.quiet_since?.checked_add(patience)
    }

    fn vacant() -> Self {
        Self {
            generation: 0,
            core: None,
            open: 0,
            closing: 0,
            orphans: 0,
            is_new: true,
            is_ready: false,
            is_wishing: false,
            starved: None,
            competing: None,
            tenure: None,
            quiet_since: None,
        }
    }
}
