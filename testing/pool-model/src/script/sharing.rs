//! What must be true of sessions with several leases (I7, I32 to I34, I37, I38).

use std::time::Duration;

use pool_core::CloseReason;
use pool_core::core::Phase;

use super::books::{Book, Entry};
use super::facts::least;
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    /// I7, I8, I32, I33, I37, I38.
    pub(super) fn check_sharing(&self, before: &Book) -> Checked {
        for entry in &self.book.slots {
            self.check_session(entry)?;
            let Some(was) = before.entry(entry.slot) else { continue };
            let grew = entry.load() > was.load();
            let going = was.retiring.is_some() && entry.retiring.is_some();
            ensure!(!grew || !going, "I33", "{entry:?} was lent although it goes");
            let asked = self.running.iter().any(|task| {
                task.slot == entry.slot && task.work.is_check() && task.is_wanted(Some(entry))
            });
            ensure!(!grew || !asked, "I32", "{entry:?} was lent while it is looked at");
        }
        let resized = |entry: &&Entry| entry.retiring == Some(CloseReason::Resized);
        let resized = self.book.slots.iter().filter(resized).count();
        let open = self.book.stats.open();
        let needless = resized > 0 && open <= self.max_size;
        ensure!(!needless, "I37", "{resized} go though only {open} are open");
        Ok(())
    }

    fn check_session(&self, entry: &Entry) -> Checked {
        let none_left = entry.load() == 0;
        let retiring = entry.retiring.is_some();
        // What goes with its last lease has one, and nobody was promised another.
        let goes = !retiring || (entry.phase == Phase::Lent && entry.reserved == 0);
        ensure!(goes, "I33", "{entry:?} goes, and keeps promises");
        let Some(facts) = self.facts_of(entry.slot) else { return Ok(()) };
        let ends = entry.phase == Phase::Closing || (entry.phase == Phase::Lent && retiring);
        if let Some(why) = facts.dead {
            ensure!(ends, "I7", "{entry:?} although {why}");
        }
        let looked_at = matches!(entry.phase, Phase::Checking | Phase::Resetting);
        // Those that somebody looks at go when they come back.
        ensure!(!facts.evicted || ends || looked_at, "I7", "{entry:?} although evicted");
        let clean = matches!(entry.phase, Phase::Idle) && facts.dirty && none_left;
        ensure!(!clean, "I38", "{entry:?} is idle and unclean");
        Ok(())
    }

    /// I34: a session opened while others are lent past their lifetime succeeds one of them.
    pub(super) fn check_succession(&self, before: &Book, opened: bool) -> Checked {
        let overdue = |entry: &&Entry| {
            let overdue = self.facts_of(entry.slot).is_some_and(|facts| facts.overdue);
            overdue && entry.leases > 0
        };
        let were = before.slots.iter().filter(overdue).filter(|entry| entry.stays()).count();
        // One that is older, and was lent when its own end had come, may go before those.
        let lifetime = self.setup.max_lifetime.unwrap_or(Duration::MAX);
        let least = least(&self.setup, lifetime);
        let old = |entry: &&Entry| {
            let facts = self.facts_of(entry.slot);
            facts.is_none_or(|facts| facts.age(self.latest) >= least)
        };
        let stays = |entry: &Entry| self.book.entry(entry.slot).is_some_and(Entry::stays);
        let mut lent = before.slots.iter().filter(|entry| entry.stays() && entry.leases > 0);
        let succeeded = !opened || were == 0 || lent.any(|entry| old(&entry) && !stays(entry));
        ensure!(succeeded, "I34", "{were} past their lifetime, and none was succeeded");
        Ok(())
    }
}
