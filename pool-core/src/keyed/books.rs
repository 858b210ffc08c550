//! Which keys there are, whose turn it is, and what each has of the total.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use super::KeyedConfig;
use crate::shared::{Probe, Shared};

pub(super) struct Books<K, P: Probe> {
    pub(super) by_key: HashMap<K, u64>,
    pub(super) members: HashMap<u64, Member<K, P>>,
    pub(super) next_id: u64,
    pub(super) ready: VecDeque<u64>,
    pub(super) timers: BTreeSet<(Instant, u64)>,
    /// Keys that want a session the total has no place for, in order.
    pub(super) starved: VecDeque<u64>,
    /// Places taken, as of each key's last turn.
    pub(super) used: usize,
    pub(super) closed: bool,
}

pub(super) struct Member<K, P: Probe> {
    pub(super) key: K,
    pub(super) shared: Arc<Shared<P>>,
    /// Borrowers on their way to a session.
    pub(super) pins: usize,
    pub(super) used: usize,
    pub(super) timer: Option<Instant>,
    /// Since when nothing is open and nobody waits.
    pub(super) quiet_since: Option<Instant>,
    pub(super) ready: bool,
    pub(super) yielding: bool,
}

/// Whose turn it is, on which conditions.
pub(super) struct Turn<P: Probe> {
    pub(super) id: u64,
    pub(super) shared: Arc<Shared<P>>,
    /// How many sessions it may open.
    pub(super) places: usize,
    pub(super) yielding: bool,
}

/// What a turn has found out about a key.
pub(super) struct Found {
    pub(super) due: Option<Instant>,
    pub(super) open: usize,
    /// Nothing is open and nobody waits.
    pub(super) quiet: bool,
    pub(super) starved: bool,
}

impl<K, P: Probe> Books<K, P> {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            members: HashMap::new(),
            next_id: 0,
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            starved: VecDeque::new(),
            used: 0,
            closed: false,
        }
    }
}

impl<K: Eq + Hash, P: Probe> Books<K, P> {
    pub(super) fn make_ready(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id).filter(|member| !member.ready) {
            member.ready = true;
            self.ready.push_back(id);
        }
    }

    /// Whose turn it is, and how many places are free.
    pub(super) fn next_turn(&mut self, now: Instant, total: usize) -> Option<Turn<P>> {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            if let Some(member) = self.members.get_mut(&id) {
                member.timer = None;
            }
            self.make_ready(id);
        }
        loop {
            let id = self.ready.pop_front()?;
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.ready = false;
            let free = total.saturating_sub(self.used);
            // Who starves first is served first: nobody else gets a place before.
            let first = self.starved.front().is_none_or(|first| *first == id);
            let places = if first { free } else { free.saturating_sub(self.starved.len()) };
            // Whoever gets a session while others starve gives it up as soon as it is idle.
            let yielding = free == 0 && self.starved.iter().any(|other| *other != id);
            member.yielding = yielding;
            return Some(Turn { id, shared: Arc::clone(&member.shared), places, yielding });
        }
    }

    /// Enters what a turn has found, and forgets a key that has been quiet for long.
    pub(super) fn settle(
        &mut self,
        id: u64,
        now: Instant,
        found: &Found,
        config: &KeyedConfig,
    ) -> Option<Member<K, P>> {
        let Found { due, open, quiet, starved } = *found;
        let mut forgotten = None;
        let member = self.members.get_mut(&id)?;
        self.used = self.used - member.used + open;
        member.used = open;
        member.quiet_since = quiet.then(|| member.quiet_since.unwrap_or(now));
        let forget_at = member.quiet_since.and_then(|at| at.checked_add(config.forget_after));
        let idle = member.pins == 0 && member.shared.stats().open() == 0;
        if quiet && idle && forget_at.is_some_and(|at| at <= now) {
            forgotten = self.members.remove(&id);
            if let Some(member) = &forgotten {
                self.by_key.remove(&member.key);
                if let Some(at) = member.timer {
                    self.timers.remove(&(at, id));
                }
            }
            self.starved.retain(|other| *other != id);
        } else {
            let next = due.into_iter().chain(forget_at).min();
            if member.timer != next {
                if let Some(at) = std::mem::replace(&mut member.timer, next) {
                    self.timers.remove(&(at, id));
                }
                self.timers.extend(next.map(|at| (at, id)));
            }
            let listed = self.starved.contains(&id);
            if starved && !listed {
                self.starved.push_back(id);
            } else if !starved && listed {
                self.starved.retain(|other| *other != id);
            }
        }
        if self.used < config.max_total
            && let Some(first) = self.starved.front().copied()
        {
            self.make_ready(first);
        }
        forgotten
    }

    pub(super) fn end_yielding(&mut self) -> Vec<Arc<Shared<P>>> {
        let yielding = self.members.values_mut().filter(|member| member.yielding);
        yielding
            .map(|member| {
                member.yielding = false;
                Arc::clone(&member.shared)
            })
            .collect()
    }
}
