//! Calls that come too late or twice, and must change nothing.

use pool_core::CloseReason;
use pool_core::core::{Phase, Refusal, Returned, Taken};

use super::facts::Facts;
use super::handle::Handle;
use super::harness::Harness;
use super::violation::Checked;

impl Harness {
    pub(super) fn stray(&mut self, n: u8) -> Checked {
        let idle = self.book.in_phase(Phase::Idle).next();
        let calm = |slot: &_| !self.is_worked_on(*slot);
        let lent = self.book.in_phase(Phase::Lent).find(calm);
        match (n % 10, self.gone_waiter, self.gone_slot) {
            (0, Some(id), _) => {
                let answer = self.core.take(id, self.now);
                ensure!(matches!(answer, Taken::Refused(Refusal::Closed)), "I13", "{answer:?}");
            }
            (1, Some(id), _) => self.core.cancel(id, self.now),
            (2, ..) => {
                if let Some(lease) = self.gone_lease {
                    self.core.detach(lease, self.now);
                }
            }
            (3, _, Some(slot)) => {
                let none = self.core.inspect(slot).is_none();
                ensure!(none, "I4", "a slot that is gone was looked at");
            }
            (4, _, Some(slot)) if self.book.stats.hung() == 0 => {
                self.core.closed(slot, self.now);
            }
            (5, _, Some(slot)) if self.book.stats.hung() == 0 => {
                self.core.lost(slot, self.now);
            }
            (6, ..) => {
                if let Some(slot) = idle.or(lent) {
                    self.core.closed(slot, self.now);
                    self.core.lost(slot, self.now);
                }
            }
            (7, ..) if self.closed => self.core.close(self.now),
            (8, ..) if self.gone_lease.is_some() => return self.stray_return(),
            (9, ..) => {
                if let Some(lease) = self.gone_lease {
                    self.core.mark_broken(lease, CloseReason::Marked, self.now);
                }
            }
            _ => {}
        }
        let before = self.observe()?;
        ensure!(before == self.book, "I4", "a stray call had an effect");
        Ok(())
    }

    /// A session comes back for a lease that has ended: it can only be closed. Where sessions are
    /// shared, it is only a handle, which comes back.
    fn stray_return(&mut self) -> Checked {
        let Some(lease) = self.gone_lease else { return Ok(()) };
        let session = Handle::new(&self.truth, &self.handles);
        if !self.setup.shared {
            let facts = Facts { dead: Some("it came back too late"), ..Facts::new(self.now) };
            self.facts.insert(session.id, facts);
            self.tally.created += 1;
        }
        let left = self.core.release(lease, Some(session), Returned::Clean, self.now);
        ensure!(left.is_some() == self.setup.shared, "I4", "a stray session: {left:?}");
        self.dropped += u64::from(left.is_some());
        drop(left);
        let before = self.observe()?;
        let same = before.slots_of_the_pool() == self.book.slots_of_the_pool();
        ensure!(same, "I4", "a late return changed the slots");
        let came = self.book.stats.orphans - before.stats.orphans;
        ensure!(came == usize::from(!self.setup.shared), "I4", "{came} orphans came");
        Ok(())
    }
}
