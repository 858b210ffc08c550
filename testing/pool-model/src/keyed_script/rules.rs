//! What must be true after every step.

use std::time::Duration;

use pool_core::core::Core;
use pool_core::keyed_core::KeyId;

use super::harness::KeyedHarness;
use super::view::{KeyView, View};
use crate::script::violation::Checked;

/// How long a key is known, at the least, before anybody has used it.
const BEFORE_FIRST_USE: Duration = Duration::from_secs(1);

impl KeyedHarness {
    pub(super) fn check_rules(&mut self, before: &View) -> Checked {
        self.check_limits(before)?;
        self.check_truth()?;
        self.check_waiters()?;
        self.check_shares(before)?;
        self.check_quiet(before)?;
        let audit = if self.went_back { Ok(()) } else { self.core.audit(self.now) };
        ensure!(audit.is_ok(), "K0", "{}", audit.err().unwrap_or_default());
        Ok(())
    }

    /// K1.
    fn check_limits(&mut self, before: &View) -> Checked {
        let (open, was) = (self.view.open(), before.open());
        ensure!(open <= self.total.max(was), "K1", "{open} open, {was} before");
        ensure!(self.core.open() == open, "K1", "{open} open, told {}", self.core.open());
        let (staying, spare) = (self.view.staying(), self.view.spare());
        ensure!(staying <= self.total || spare == 0, "K1", "{staying} stay, {spare} to spare");
        for key in &self.view.keys {
            let was = before.key(key.id).map_or(0, |key| key.stats.open());
            let (open, most) = (key.stats.open(), key.stats.max_size);
            ensure!(open <= most.max(was), "I1", "{open} open of {:?}, at most {most}", key.id);
        }
        for name in &self.names {
            let Some(key) = name.id.and_then(|id| self.view.key(id)) else { continue };
            ensure!(key.stats.max_size == name.max_size, "I1", "{:?}", key.stats);
        }
        ensure!(self.core.keys() == self.view.keys.len(), "K5", "{} keys", self.core.keys());
        let ended = self.closed && open + self.view.sum(|s| s.orphans) == 0;
        // Again where a session came late.
        self.ends += u32::from(ended && !self.ended);
        self.ended = ended;
        ensure!(self.drained == self.ends, "I25", "drained was said {} times", self.drained);
        Ok(())
    }

    /// I3: sessions that exist are in the books, with a borrower, or with a task.
    fn check_truth(&self) -> Checked {
        let alive = self.truth.alive().unsigned_abs() as usize - self.detached.len();
        let most = self.view.sum(|s| s.open() + s.orphans + s.hung());
        ensure!(alive <= most, "I3", "{alive} alive, {most} in the books");
        let least = self.view.sum(|s| s.open() - s.connecting + s.orphans);
        ensure!(least <= alive, "I3", "{least} in the books, {alive} alive");
        ensure!(self.view.sum(|s| s.lent) == self.held.len(), "I2", "{} held", self.held.len());
        Ok(())
    }

    /// I11: whoever waits has something to wait for.
    fn check_waiters(&self) -> Checked {
        let fronts: Vec<u64> = self.view.keys.iter().filter_map(|key| key.front).collect();
        let places: std::collections::HashSet<_> = fronts.iter().collect();
        ensure!(places.len() == fronts.len(), "K2", "two with the same place: {fronts:?}");
        for key in &self.view.keys {
            let KeyView { stats, front, wants, id, .. } = key;
            if front.is_none() {
                continue;
            }
            ensure!(!self.closed, "I24", "somebody waits after close");
            let moving = stats.open() + stats.hung() > 0 || *wants || stats.max_size == 0;
            let told = self.core.core(*id).and_then(Core::poll_timeout).is_some();
            ensure!(moving || told, "I11", "{id:?} has waiters and nothing happens: {stats:?}");
        }
        Ok(())
    }

    /// K2: whose connect this is, it has waited longest of all who could use the place.
    pub(super) fn check_connect(&self, before: &View, key: KeyId) -> Checked {
        ensure!(before.open() < self.total, "K1", "a connect at {} open", before.open());
        ensure!(!self.closed, "I24", "a connect after close");
        // Fronts tell the time before they ask for work.
        if self.went_back || before.due.is_some_and(|at| at <= self.now) {
            return Ok(());
        }
        let Some((first, whose)) = before.starving().min_by_key(|(hunger, _)| *hunger) else {
            return Ok(());
        };
        ensure!(whose == key, "K2", "{key:?} was served before {whose:?}: {first:?}");
        Ok(())
    }

    /// K2: a place is not kept free while somebody could use it.
    pub(super) fn check_places_used(&self) -> Checked {
        let late = self.went_back || self.view.due.is_some_and(|at| at <= self.now);
        if late || self.view.open() >= self.total {
            return Ok(());
        }
        let wants = self.view.keys.iter().find(|key| key.wants);
        ensure!(wants.is_none(), "K2", "a place is free, and {:?} wants it", wants.map(|k| k.id));
        Ok(())
    }

    /// K5: since when keys are quiet; and that none is forgotten too early.
    fn check_quiet(&mut self, before: &View) -> Checked {
        let uses = self.uses();
        for key in &self.news.forgotten {
            let Some(name) = self.names.iter_mut().find(|name| name.id == Some(*key)) else {
                ensure!(false, "K5", "{key:?} was forgotten and not known");
                return Ok(());
            };
            (name.id, name.warm) = (None, 0);
            let in_use = uses.get(key).copied().unwrap_or(0);
            ensure!(in_use == 0, "K5", "{key:?} was forgotten with {in_use} uses");
            let busy = before.key(*key).is_none_or(|key| key.busy);
            // What happens in the very step may have ended the last of it.
            let since = name.quiet_since.filter(|_| !busy);
            let patience = match name.used {
                true => self.setup.forget_after,
                false => self.setup.forget_after.max(BEFORE_FIRST_USE),
            };
            let at = since.and_then(|since| since.checked_add(patience));
            let early = at.is_some_and(|at| at > self.now) && !self.went_back;
            ensure!(!early, "K5", "{key:?} was forgotten {:?} early", at.map(|at| at - self.now));
            ensure!(busy || since.is_some(), "K5", "{key:?} was forgotten, and was not quiet");
        }
        for name in &mut self.names {
            let touched = std::mem::take(&mut name.touched);
            let Some(id) = name.id else { continue };
            // What it still wanted was work as well, if there was a place for it.
            let wanted = |view: &View| view.key(id).is_some_and(|key| key.wants || key.works);
            let wanted = wanted(before) || wanted(&self.view) || name.warm > 0;
            let quiet = self.view.key(id).is_some_and(|key| !key.busy) && !uses.contains_key(&id);
            name.quiet_since = match name.quiet_since {
                _ if !quiet => None,
                Some(since) if !touched => Some(since),
                _ => Some(self.now),
            };
            name.idle_since = match name.idle_since {
                _ if !quiet || wanted => None,
                Some(since) if !touched => Some(since),
                _ => Some(self.now),
            };
        }
        Ok(())
    }

    /// K5: after a tick no key is known that has been quiet for long enough.
    pub(super) fn check_forgotten(&self) -> Checked {
        if self.went_back {
            return Ok(());
        }
        for name in &self.names {
            let patience = match name.used {
                true => self.setup.forget_after,
                false => self.setup.forget_after.max(BEFORE_FIRST_USE),
            };
            let (Some(id), Some(since)) = (name.id, name.idle_since) else { continue };
            let Some(at) = since.checked_add(patience) else { continue };
            ensure!(at > self.now, "K5", "{id:?} should be forgotten since {:?}", self.now - at);
        }
        Ok(())
    }
}
