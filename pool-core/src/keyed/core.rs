//! Many pools under one total, as a state machine: no clock, no thread, no lock.
//!
//! Each key has a [`Core`] of its own, so all that a pool promises holds per key. What is decided
//! here is who may open a session, as long as the total allows:
//!
//! * A place that is free goes to the borrower that has waited longest, of all keys that could use
//!   it and have no session, then of all others. Sessions that only `min_idle` wants get what nobody
//!   waits for.
//! * Where no place is free and somebody waits, the session is given up that has been idle for
//!   longest under any key without borrowers that wait.
//! * Where none is idle and keys compete, one that has two sessions more than the starving key
//!   gives up one with its next lease; a key without any gets one from whoever has had its own for
//!   longest, at least for one `turn`. So shares become equal, and sessions are not opened and
//!   closed for every lease.
//!
//! Costs follow what happens and what is due, not the number of keys: timers and idle sessions are
//! kept in heaps, with bounds that may be too early and are looked at again when they come up.

use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::panic::Location;
use std::time::{Duration, Instant};

use super::KeyedConfig;
use crate::core::{Core, Deadlines, Lease, LeaseId, LoadOnTotal, Notice, Returned, Share, Task};
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
    pub share: Option<Share<S>>,
    /// Somebody is told what happens.
    pub observed: bool,
    /// Makes of a connect's error what an observer is shown.
    pub describe: Option<fn(&E) -> EventError>,
}

/// The books of a keyed pool.
#[derive(Debug)]
pub struct KeyedCore<S, E> {
    pub(super) config: KeyedConfig,
    make: CoreMaker<S, E>,
    pub(super) entries: Vec<Entry<S, E>>,
    free: Vec<u32>,
    /// Sessions that count against the total, over all keys.
    pub(super) open: usize,
    /// Those of them that are being closed.
    pub(super) closing: usize,
    /// Those of them that are not on their way out.
    pub(super) staying: usize,
    pub(super) orphans: usize,
    pub(super) known: usize,
    /// Bounds, not later than what is due for a key.
    pub(super) timers: Deadlines,
    /// Bounds, not later than since when a key has had an idle session to spare.
    pub(super) spare: Deadlines,
    /// Keys with work that needs no leave, in turn.
    pub(super) ready: VecDeque<u32>,
    /// Keys whose borrowers wait for a place: those without a session first, by who has waited
    /// longest.
    pub(super) starved: BTreeSet<(Hunger, u32)>,
    /// Keys that want a place though nobody waits.
    pub(super) wishing: VecDeque<u32>,
    /// Keys whose borrowers queue and that have sessions to give up, by how many they have, and
    /// since when they have had some.
    pub(super) competing: BTreeSet<(usize, Instant, u32)>,
    /// Sessions that were lent when they were given up, by key, and until when they are counted on
    /// to come back.
    pub(super) displaced: VecDeque<(Option<Instant>, u32)>,
    /// When a key that starves may be given a place of another.
    turn_ends: Option<Instant>,
    notices: VecDeque<(KeyId, Said)>,
    last_ticket: u64,
    /// How often a core was looked at, for tests of what things cost.
    looks: u64,
    pub(super) closed: bool,
    drained: bool,
}

#[derive(Debug)]
pub(super) struct Entry<S, E> {
    generation: u32,
    pub(super) core: Option<Core<S, E>>,
    /// As counted in the books.
    pub(super) load: LoadOnTotal,
    /// Sessions that were lent when they were given up, and are counted on to come back.
    pub(super) displaced: usize,
    /// Nobody has used it yet.
    is_new: bool,
    /// In the queue of that name, which is not searched when it has no more to do.
    pub(super) is_ready: bool,
    pub(super) is_wishing: bool,
    pub(super) starved: Option<Hunger>,
    pub(super) competing: Option<(usize, Instant)>,
    /// Since when it has had sessions that can be lent.
    pub(super) tenure: Option<Instant>,
    /// Since when nothing is open and nobody waits.
    quiet_since: Option<Instant>,
}

/// Whether a key has a session, and the ticket of whoever has waited longest.
pub(super) type Hunger = (bool, u64);

/// So many keys are asked to give up a session before the next thing happens. One does not where all
/// that it has is promised to borrowers that came before.
const ATTEMPTS: usize = 8;

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
            staying: 0,
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
            looks: 0,
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
        let &mut Entry { generation, is_ready, is_wishing, .. } = entry;
        *entry = Entry { generation, core: Some(core), is_ready, is_wishing, ..Entry::vacant() };
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

    /// How often a core was looked at so far, for tests of what things cost.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Puts a session opened elsewhere into a key's pool. It comes back where there is no room,
    /// under the key or under the total.
    pub fn add(&mut self, key: KeyId, session: S, now: Instant) -> Result<(), S> {
        if self.core(key).is_none() {
            return Err(session);
        }
        self.use_key(key.index);
        if self.open >= self.config.max_total {
            self.settle(key.index, now);
            return Err(session);
        }
        let mut offered = Some(session);
        let added = self.visit(key.index, now, |core| {
            offered.take().map_or(Ok(()), |session| core.add(session, now))
        });
        added.unwrap_or(Ok(()))
    }

    /// All keys.
    pub fn ids(&self) -> Vec<KeyId> {
        let known = self.entries.iter().enumerate().filter(|(_, entry)| entry.core.is_some());
        known
            .map(|(index, entry)| KeyId { index: index as u32, generation: entry.generation })
            .collect()
    }

    /// Sets the most sessions over all keys. What is too many is closed: idle sessions now, those
    /// used first before others, lent ones of the keys that have most with their last lease.
    pub fn resize_total(&mut self, max_total: usize, now: Instant) {
        self.config.max_total = max_total;
        while self.staying > max_total && self.give_up_longest_idle(now) {}
        if self.staying > max_total {
            let spare = |entry: &Entry<S, E>| entry.load.spare;
            let all = self.entries.iter().enumerate().map(|(index, entry)| (spare(entry), index));
            let mut most: BinaryHeap<_> = all.filter(|(spare, _)| *spare > 0).collect();
            while let Some((_, index)) = most.pop().filter(|_| self.staying > max_total) {
                if self.displace(index as u32, 0, now) {
                    let left = spare(&self.entries[index]);
                    most.extend((left > 0).then_some((left, index)));
                }
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
        let full = self.open >= self.config.max_total;
        let core = self.entries[index as usize].core.as_mut()?;
        core.set_last_ticket(self.last_ticket);
        core.note_total(full);
        let result = input(core);
        self.last_ticket = core.last_ticket();
        self.settle(index, now);
        Some(result)
    }

    /// Enters what a key has, wants and can spare, and does for others what follows from it.
    fn settle(&mut self, index: u32, now: Instant) {
        self.enter(index, now);
        if self.staying > self.config.max_total && self.entries[index as usize].load.spare > 0 {
            self.displace(index, 0, now);
        }
        if self.starved.is_empty() {
            self.turn_ends = None;
        } else {
            self.make_room(now);
        }
        self.note_drained();
    }

    fn enter(&mut self, index: u32, now: Instant) {
        self.looks += 1;
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return };
        let key = KeyId { index, generation: entry.generation };
        while let Some(notice) = core.poll_notice() {
            if !matches!(notice, Notice::Drained) {
                self.notices.push_back((key, Said::Core(notice)));
            }
        }
        let (was, load) = (entry.load, core.load_on_total());
        self.open = self.open - was.open + load.open;
        self.closing = self.closing - was.closing + load.closing;
        self.staying = self.staying - was.staying() + load.staying();
        self.orphans = self.orphans - was.orphans + load.orphans;
        entry.load = load;
        while entry.displaced > load.retiring {
            entry.displaced -= 1;
            let came_back = self.displaced.iter().position(|(_, other)| *other == index);
            came_back.map(|place| self.displaced.remove(place));
        }
        match load.staying() {
            0 => entry.tenure = None,
            _ if load.spare > 0 => drop(entry.tenure.get_or_insert(now)),
            _ => {}
        }
        let (waits, wants) = (core.front_ticket(), core.wants_connect(now));
        if core.has_task(now) && !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(index);
        }
        if wants && waits.is_none() && !entry.is_wishing {
            entry.is_wishing = true;
            self.wishing.push_back(index);
        }
        let starved = waits.filter(|_| wants).map(|ticket| (load.staying() > 0, ticket));
        if entry.starved != starved {
            let before = std::mem::replace(&mut entry.starved, starved);
            before.map(|hunger| self.starved.remove(&(hunger, index)));
            starved.map(|hunger| self.starved.insert((hunger, index)));
        }
        let competes = waits.is_some() && load.spare > 0;
        let competing = entry.tenure.filter(|_| competes).map(|since| (load.staying(), since));
        if entry.competing != competing {
            let before = std::mem::replace(&mut entry.competing, competing);
            before.map(|(has, since)| self.competing.remove(&(has, since, index)));
            competing.map(|(has, since)| self.competing.insert((has, since, index)));
        }
        if let Some(since) = core.spare_since()
            && self.spare.at(index).is_none_or(|bound| since < bound)
        {
            self.spare.set(index, since);
        }
        let quiet = load.quiet && starved.is_none() && !core.has_task(now);
        let due = core.poll_timeout();
        entry.quiet_since = quiet.then(|| entry.quiet_since.unwrap_or(now));
        let due = due.into_iter().chain(entry.forgotten_at(&self.config)).min();
        if let Some(due) = due
            && self.timers.at(index).is_none_or(|at| due < at)
        {
            self.timers.set(index, due);
        }
    }

    /// Sees to it that as many places become free as keys starve for.
    fn make_room(&mut self, now: Instant) {
        self.turn_ends = None;
        while let Some(&(Some(until), index)) = self.displaced.front()
            && until <= now
        {
            self.displaced.pop_front();
            self.entries[index as usize].displaced -= 1;
        }
        while !self.closed && self.starved.len() > self.coming() {
            if !self.give_up_longest_idle(now) && !self.take_from_largest(now) {
                return;
            }
        }
        if !self.starved.is_empty() {
            self.turn_ends = self.displaced.front().and_then(|(until, _)| *until);
        }
    }

    /// Places that are free, or will be before long.
    pub(super) fn coming(&self) -> usize {
        self.config.max_total.saturating_sub(self.open) + self.closing + self.displaced.len()
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
            if self.displace(index, 0, now) {
                return true;
            }
        }
        false
    }

    /// A key that starves and has less than its share gets one from a key that has more.
    fn take_from_largest(&mut self, now: Instant) -> bool {
        let Some(&((_, ticket), starving)) = self.starved.first() else { return false };
        let has = self.entries[starving as usize].load.staying();
        let larger = self.competing.iter().rev().take_while(|(most, ..)| *most >= has + 2);
        let larger: Vec<u32> = larger.take(ATTEMPTS).map(|&(_, _, index)| index).collect();
        if larger.into_iter().any(|index| self.displace(index, ticket, now)) {
            return true;
        }
        if has > 0 {
            return false;
        }
        // It has none, and nobody gives up one of two: whoever has had its own for longest ends
        // its turn.
        let equals: Vec<_> = self.competing.iter().take(ATTEMPTS).copied().collect();
        for (_, since, index) in equals.into_iter().filter(|(_, _, index)| *index != starving) {
            match since.checked_add(self.config.turn) {
                Some(end) if end <= now => {
                    if self.displace(index, ticket, now) {
                        return true;
                    }
                }
                end => {
                    self.turn_ends = end;
                    return false;
                }
            }
        }
        false
    }

    /// Has a key give up one session, now or with its last lease, to a borrower with that ticket.
    fn displace(&mut self, index: u32, ticket: u64, now: Instant) -> bool {
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return false };
        if !core.give_up_one_to(ticket, now) {
            return false;
        }
        if core.load_on_total().retiring > entry.load.retiring {
            entry.displaced += 1;
            self.displaced.push_back((now.checked_add(self.config.turn), index));
        }
        self.enter(index, now);
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
            // A check that a borrower waits for comes before.
            let task = self.visit(index, now, |core| {
                core.allow_connects(1);
                let task = core.wants_connect(now).then(|| core.poll_task(now)).flatten();
                core.stop_connects();
                task
            });
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
        }
        None
    }

    /// The next piece of work of a key whose turn it is, connects excepted.
    fn next_ready(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        while let Some(index) = self.ready.pop_front() {
            self.entries[index as usize].is_ready = false;
            let task = self.visit(index, now, |core| core.poll_task(now));
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
        }
        None
    }

    fn id(&self, index: u32) -> KeyId {
        KeyId { index, generation: self.entries[index as usize].generation }
    }

    /// Somebody uses a key, so that its time to be forgotten begins anew.
    fn use_key(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        (entry.is_new, entry.quiet_since) = (false, None);
    }

    fn forget(&mut self, index: u32) {
        let key = self.id(index);
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        (entry.core, entry.load) = (None, LoadOnTotal::default());
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
        let ended = self.has_ended();
        let told = std::mem::replace(&mut self.drained, ended);
        if ended && !told {
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
        self.core(key)?;
        self.use_key(key.index);
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

    fn look<R>(&mut self, key: KeyId, read: impl FnOnce(&Core<S, E>) -> R) -> Option<R> {
        self.core(key)?;
        let full = self.open >= self.config.max_total;
        let core = self.entries[key.index as usize].core.as_mut()?;
        core.note_total(full);
        Some(read(core))
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.turn_ends.is_some_and(|at| at <= now) {
            self.make_room(now);
        }
        while let Some(index) = self.timers.pop_due(now) {
            if self.is_forgettable(index, now) {
                self.forget(index);
            } else {
                self.visit(index, now, |core| core.handle_timeout(now));
            }
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
        loop {
            let task = self.grant(now).or_else(|| self.next_ready(now));
            // A key that was looked at for work that it no longer has may want a place by now.
            if task.is_some() || !self.has_task(now) {
                return task;
            }
        }
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
    pub(super) fn forgotten_at(&self, config: &KeyedConfig) -> Option<Instant> {
        let patience = config.forget_after;
        let patience = if self.is_new { patience.max(BEFORE_FIRST_USE) } else { patience };
        self.quiet_since?.checked_add(patience)
    }

    fn vacant() -> Self {
        Self {
            generation: 0,
            core: None,
            load: LoadOnTotal::default(),
            displaced: 0,
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
