//! What the owner of a pool does.

use pool_core::CloseReason;
use pool_core::core::Phase;

use super::books::{Book, Entry};
use super::borrowers::pick;
use super::facts::Facts;
use super::gate::GateModel;
use super::handle::Handle;
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    pub(super) fn resize(&mut self, max_size: usize) -> Checked {
        self.max_size = max_size;
        self.core.resize(max_size, self.now);
        let before = self.observe()?;
        self.check_surplus(&before)
    }

    /// I37: those with the fewest leases go.
    fn check_surplus(&self, before: &Book) -> Checked {
        let resized = |entry: &&Entry| entry.retiring == Some(CloseReason::Resized);
        let leases = |entry: &Entry| before.entry(entry.slot).map_or(0, |entry| entry.leases);
        let most = self.book.slots.iter().filter(resized).map(leases).max();
        let kept = self.book.slots.iter().filter(|entry| entry.stays() && entry.leases > 0);
        let least = kept.map(leases).min();
        let right = most.is_none_or(|most| least.is_none_or(|least| most <= least));
        ensure!(right, "I37", "{most:?} leases end, {least:?} go on");
        Ok(())
    }

    pub(super) fn evict_all(&mut self) -> Checked {
        for id in self.home.values() {
            self.facts.entry(*id).and_modify(|facts| facts.evicted = true);
        }
        for task in &mut self.running {
            task.evicted = true;
        }
        self.gate = GateModel::new();
        self.vain = false;
        self.core.evict_all(self.now);
        self.observe().map(drop)
    }

    pub(super) fn add(&mut self) -> Checked {
        let room = !self.closed && self.book.stats.open() < self.max_size;
        let session = Handle::new(&self.truth, &self.handles);
        let id = session.id;
        let added = self.core.add(session, self.now);
        ensure!(added.is_ok() == room, "I1", "added: {}, room: {room}", added.is_ok());
        match added {
            Ok(()) => {
                self.tally.created += 1;
                self.facts.insert(id, Facts::new(self.now));
                let new = self.core.phases().find(|(slot, phase)| {
                    *phase != Phase::Vacant && self.book.entry(*slot).is_none()
                });
                if let Some((slot, _)) = new {
                    self.home.insert(slot, id);
                    self.limits.born(slot);
                }
            }
            Err(session) => {
                self.dropped += 1;
                drop(session);
            }
        }
        self.observe().map(drop)
    }

    pub(super) fn warm(&mut self, sessions: usize) -> Checked {
        self.warm = sessions.min(self.max_size);
        self.core.warm(sessions);
        self.observe().map(drop)
    }

    pub(super) fn inspect(&mut self, n: u8) -> Checked {
        let slots = self.core.idle_slots();
        ensure!(slots.len() == self.book.stats.idle, "I2", "{} idle", slots.len());
        let Some(pick) = pick(n, slots.len()) else { return Ok(()) };
        let Some(session) = self.core.inspect(slots[pick]) else {
            ensure!(false, "I2", "an idle slot without a session");
            return Ok(());
        };
        session.use_it(|| ());
        self.looks.push((slots[pick], session));
        self.observe().map(drop)
    }

    pub(super) fn inspected(&mut self, n: u8, keep: bool) -> Checked {
        let Some(pick) = pick(n, self.looks.len()) else { return Ok(()) };
        let (slot, session) = self.looks.remove(pick);
        if let Some(facts) = self.facts.get_mut(&session.id).filter(|_| !keep) {
            facts.dead = Some("it was refused");
        }
        self.core.inspected(slot, session, keep, self.now);
        self.observe().map(drop)
    }

    pub(super) fn close(&mut self) -> Checked {
        let told = self.closed || self.warm == 0;
        self.closed = true;
        self.limits.closed();
        self.core.close(self.now);
        let before = self.observe()?;
        ensure!(told || self.news.progress, "I20", "who waits for a warm pool was not told");
        let (was, is) = (before.stats.counters, self.book.stats.counters);
        let refused = is.refused_closed - was.refused_closed;
        ensure!(refused == before.stats.waiting as u64, "I24", "{refused} waiters refused");
        ensure!(self.book.stats.connecting == 0, "I40", "still connecting after close");
        Ok(())
    }
}
