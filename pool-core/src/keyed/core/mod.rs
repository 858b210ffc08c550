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

mod entry;
mod enter;
mod fairness;
mod machine;
mod audit;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub use self::entry::KeyId;
use self::entry::{Entry, Hunger};
use super::KeyedConfig;
use crate::core::{Core, Deadlines, LoadOnTotal, Share, Task};
use crate::domain::Said;
use crate::event::EventError;

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
    config: KeyedConfig,
    make: CoreMaker<S, E>,
    entries: Vec<Entry<S, E>>,
    free: Vec<u32>,
    /// Sessions that count against the total, over all keys.
    open: usize,
    /// Those of them that are being closed.
    closing: usize,
    /// Those of them that are not on their way out.
    staying: usize,
    orphans: usize,
    known: usize,
    /// Bounds, not later than what is due for a key.
    timers: Deadlines,
    /// Bounds, not later than since when a key has had an idle session to spare.
    spare: Deadlines,
    /// Keys with work that needs no leave, in turn.
    ready: VecDeque<u32>,
    /// Keys whose borrowers wait for a place: those without a session first, by who has waited
    /// longest.
    starved: BTreeSet<(Hunger, u32)>,
    /// Keys that want a place though nobody waits.
    wishing: VecDeque<u32>,
    /// Keys whose borrowers queue and that have sessions to give up, by how many they have, and
    /// since when they have had some.
    competing: BTreeSet<(usize, Instant, u32)>,
    /// Sessions that were lent when they were given up, by key, and until when they are counted on
    /// to come back.
    displaced: VecDeque<(Option<Instant>, u32)>,
    /// When a key that starves may be given a place of another.
    turn_ends: Option<Instant>,
    notices: VecDeque<(KeyId, Said)>,
    last_ticket: u64,
    /// How often a core was looked at, for tests of what things cost.
    looks: u64,
    closed: bool,
    drained: bool,
}

impl<S, E: Clone> KeyedCore<S, E> {
    /// No keys yet.
    pub fn new(mut config: KeyedConfig, make: CoreMaker<S, E>) -> Self {
        if make.share.is_none() && config.per_key.leases_per_session != 1 {
            Arc::make_mut(&mut config.per_key).leases_per_session = 1;
        }
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
        let config = Arc::clone(&self.config.per_key);
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

    /// The next piece of work of a key whose turn it is, connects excepted.
    pub(super) fn next_ready(&mut self, now: Instant) -> Option<(KeyId, Task<S>)> {
        while let Some(index) = self.ready.pop_front() {
            self.entries[index as usize].is_ready = false;
            let task = self.visit(index, now, |core| core.poll_task(now));
            if let Some(task) = task.flatten() {
                return Some((self.id(index), task));
            }
        }
        None
    }

    pub(super) fn id(&self, index: u32) -> KeyId {
        KeyId { index, generation: self.entries[index as usize].generation }
    }

    /// Somebody uses a key, so that its time to be forgotten begins anew.
    pub(super) fn use_key(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        (entry.is_new, entry.quiet_since) = (false, None);
    }

    pub(super) fn forget(&mut self, index: u32) {
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
    pub(super) fn is_forgettable(&self, index: u32, now: Instant) -> bool {
        self.entries[index as usize].forgotten_at(&self.config).is_some_and(|at| at <= now)
    }

    /// Whether the pool was closed and nothing of it is open any more.
    pub(super) fn has_ended(&self) -> bool {
        self.closed && self.open + self.orphans == 0
    }
}
