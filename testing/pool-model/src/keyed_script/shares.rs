//! Whose sessions are given up for others, and when: K2 and K3.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use pool_core::keyed_core::KeyId;
use pool_core::{CloseReason, Machine};

use super::KeyedOp;
use super::harness::KeyedHarness;
use super::view::{KeyView, View};
use crate::script::violation::Checked;

/// What the model remembers.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Since when keys have had sessions that can be lent.
    tenure: HashMap<KeyId, Instant>,
    /// Sessions that were lent when they were given up, and until when they are counted on to come
    /// back; `None` is for ever.
    pending: Vec<(KeyId, Option<Instant>)>,
    /// Until when more may be counted on: what was given up and found broken in one tick goes as
    /// broken, and nothing tells that it was given up.
    unclear: Option<Option<Instant>>,
    /// The step has one input of one key at most, and what follows from it.
    pub(super) one_input: bool,
}

/// What was given up in a step, by key.
struct GivenUp {
    idle: Vec<KeyId>,
    lent: Vec<KeyId>,
}

impl KeyedOp {
    /// Whether more than one core may be told something.
    pub(super) fn has_one_input(&self) -> bool {
        !matches!(self, Self::Tick(_) | Self::Start | Self::StartAll | Self::EvictAll | Self::Close)
    }
}

impl KeyedHarness {
    pub(super) fn check_shares(&mut self, before: &View) -> Checked {
        let given = self.given_up(before);
        self.check_given_up(before, &given)?;
        self.check_longest_idle(before, &given)?;
        self.check_taken(before, &given)?;
        self.remember(before, &given);
        self.check_excess(before, &given)?;
        self.check_shortage()
    }

    fn given_up(&mut self, before: &View) -> GivenUp {
        let was_displaced = |key, number| {
            let displaced = before.key(key).map(|key| &key.displaced);
            displaced.is_some_and(|slots| slots.iter().any(|slot| slot.number() == number))
        };
        let closed = self.news.closed.iter().copied();
        let closed = closed.filter(|(.., reason)| *reason == CloseReason::Displaced);
        let idle = closed.filter(|(key, session, _)| !was_displaced(*key, *session));
        let lent = self.view.keys.iter().flat_map(|key| {
            // One that was to go because its key was made smaller goes for the total, where its key
            // grows again.
            let was = before.key(key.id).map_or(&[][..], |key| &key.retiring);
            let new = key.displaced.iter().filter(move |slot| !was.contains(slot));
            new.map(|_| key.id)
        });
        GivenUp { idle: idle.map(|(key, ..)| key).collect(), lent: lent.collect() }
    }

    /// K3: a session is given up only for a key that starves, one for each, or because too many are
    /// open; an idle one only for somebody who waits under another key.
    fn check_given_up(&mut self, before: &View, given: &GivenUp) -> Checked {
        let too_many = before.staying().saturating_sub(self.total);
        let starving: HashSet<_> =
            before.starving().chain(self.view.starving()).map(|(_, key)| key).collect();
        let (idle, lent, keys) = (given.idle.len(), given.lent.len(), starving.len());
        ensure!(
            idle + lent <= keys + too_many,
            "K3",
            "{idle} idle, {lent} lent given up for {keys} keys, with {too_many} too many"
        );
        self.displaced += idle as u64;
        for key in &given.idle {
            let other = too_many > 0 || starving.iter().any(|starving| starving != key);
            ensure!(other, "K3", "{key:?} gave one up for nobody else");
        }
        Ok(())
    }

    /// K3: of idle sessions to spare that goes which has been idle for longest.
    fn check_longest_idle(&self, before: &View, given: &GivenUp) -> Checked {
        if self.went_back {
            return Ok(());
        }
        for key in &given.idle {
            let was = before.key(*key);
            let since = was.and_then(|key| key.spare_since).unwrap_or(self.now);
            // Nobody has used what somebody waited for, or was promised, and wants no more.
            let unused = |key: &KeyView| key.stats.idle + key.stats.reserved > 0;
            if was.is_some_and(|key| key.spare_since.is_none() && unused(key)) {
                continue;
            }
            for other in self.view.keys.iter().filter(|other| other.id != *key) {
                let was = before.key(other.id).and_then(|other| other.spare_since);
                let longer = other.spare_since.filter(|now| was == Some(*now));
                let longer = longer.is_some_and(|other| other < since);
                ensure!(!longer, "K3", "{key:?} gave one up, {:?} had a longer idle one", other.id);
            }
        }
        Ok(())
    }

    /// K2: what is lent is taken only from a key that has two more than the one that starves, or
    /// has had its own for a turn while the other has none.
    fn check_taken(&self, before: &View, given: &GivenUp) -> Checked {
        if self.went_back || before.staying() > self.total {
            return Ok(());
        }
        for key in &given.lent {
            let taken = given.lent.iter().filter(|other| *other == key).count();
            let had = self.view.key(*key).map_or(0, |key| key.staying) + taken;
            // What else it had may have timed out a moment later.
            let was = before.key(*key).map_or(0, |key| key.staying);
            if was == 0 {
                // It was on its way out for another reason.
                continue;
            }
            let had = had.max(was);
            let turn_is_over = self.turn_end(*key).is_some_and(|end| end <= self.now);
            let justifies = |view: &View| {
                let mut starving = view.starving().filter(|(_, starving)| starving != key);
                starving.any(|(_, starving)| {
                    let has = view.key(starving).map_or(0, |key| key.staying);
                    had >= has + 2 || (has == 0 && turn_is_over)
                })
            };
            let fair = justifies(before) || justifies(&self.view);
            ensure!(fair, "K2", "{key:?} had {had} and gave one up in its turn");
        }
        Ok(())
    }

    /// When the turn of a key's last session is over.
    fn turn_end(&self, key: KeyId) -> Option<Instant> {
        let turn = self.setup.turn.max(Duration::from_millis(1));
        self.shares.tenure.get(&key)?.checked_add(turn)
    }

    fn remember(&mut self, before: &View, given: &GivenUp) {
        let until = self.now.checked_add(self.setup.turn.max(Duration::from_millis(1)));
        let goes = |key: &KeyView| {
            let was = before.key(key.id).map_or(&[][..], |key| &key.retiring);
            let new = key.retiring.iter().filter(|slot| !was.contains(slot));
            new.filter(|slot| !key.displaced.contains(slot)).count() > 0
        };
        if !self.shares.one_input && self.view.keys.iter().any(goes) {
            self.shares.unclear = Some(until);
        }
        let Shares { tenure, pending, .. } = &mut self.shares;
        pending.extend(given.lent.iter().map(|key| (*key, until)));
        for key in &self.view.keys {
            while pending.iter().filter(|(other, _)| *other == key.id).count() > key.retiring.len()
            {
                let first = pending.iter().position(|(other, _)| *other == key.id);
                first.map(|first| pending.remove(first));
            }
            match key.staying {
                0 => drop(tenure.remove(&key.id)),
                _ if key.spare > 0 => drop(tenure.entry(key.id).or_insert(self.now)),
                _ => {}
            }
        }
        let known = |key: &KeyId| self.view.key(*key).is_some();
        tenure.retain(|key, _| known(key));
        pending.retain(|(key, _)| known(key));
    }

    /// Those that are counted on to come back, by when.
    fn pending(&self) -> impl Iterator<Item = Option<Instant>> + '_ {
        let pending = self.shares.pending.iter().map(|(_, until)| *until);
        pending.filter(|until| until.is_none_or(|until| until > self.now))
    }

    /// Places that are free, or will be before long.
    fn coming(&self) -> usize {
        let free = self.total.saturating_sub(self.view.open());
        free + self.view.sum(|stats| stats.closing) + self.pending().count()
    }

    /// K3: nothing is given up where as many places are free or coming as keys starve for.
    fn check_excess(&self, before: &View, given: &GivenUp) -> Checked {
        let any = !given.idle.is_empty() || !given.lent.is_empty();
        let too_many = before.staying() > self.total;
        if !any || too_many || self.went_back || !self.shares.one_input {
            return Ok(());
        }
        let (coming, starving) = (self.coming(), self.view.starving().count());
        ensure!(coming <= starving, "K3", "{coming} places come for {starving} keys");
        Ok(())
    }

    /// K2: where places are short, whoever has more than its share, or had its turn, has given one
    /// up; and a timer is set for the next that will.
    fn check_shortage(&mut self) -> Checked {
        let due = self.view.due;
        let over = |until: Option<Instant>| until.is_some_and(|until| until <= self.now);
        self.shares.unclear = self.shares.unclear.filter(|until| !over(*until));
        if self.went_back || due.is_some_and(|at| at <= self.now) || self.closed {
            return Ok(());
        }
        let count = self.view.starving().count();
        ensure!(self.core.starving() == count, "K0", "{count} starve, {}", self.core.starving());
        // One key says nothing about another.
        ensure!(!self.core.is_crowded(), "K0", "a hint that all have to wait");
        let busy = count > 0 || due.is_some() || self.view.sum(|s| s.open() + s.orphans) > 0;
        ensure!(self.core.is_busy() == busy, "K0", "busy: {busy} by the model");
        let Some((_, first)) = self.view.starving().min_by_key(|(hunger, _)| *hunger) else {
            return Ok(());
        };
        let in_time = |end: Instant| due.is_some_and(|at| at <= end);
        if self.shares.unclear.is_some() {
            return Ok(());
        }
        if count <= self.coming() {
            let first = self.pending().flatten().min();
            let told = first.is_none_or(in_time);
            ensure!(told, "K2", "a session may not come back by {first:?}, a look is at {due:?}");
            return Ok(());
        }
        let has = self.view.key(first).map_or(0, |key| key.staying);
        let competes = |key: &&KeyView| key.front.is_some() && key.spare > 0;
        let competing: Vec<_> = self.view.keys.iter().filter(competes).collect();
        // What is promised to those who came first is kept.
        let could = |key: &KeyView| key.stats.reserved == 0;
        for key in &competing {
            let greater = key.staying >= has + 2 && could(key);
            ensure!(!greater, "K2", "{:?} keeps {}, {first:?} has {has}", key.id, key.staying);
        }
        let order = |key: &KeyView| (key.staying, self.shares.tenure.get(&key.id).copied());
        let Some(least) = competing.iter().map(|key| order(key)).min() else { return Ok(()) };
        let mut equals = competing.into_iter().filter(|key| order(key) == least);
        let Some(end) = equals.clone().next().and_then(|key| self.turn_end(key.id)) else {
            return Ok(());
        };
        if has == 0 && equals.all(could) {
            ensure!(end > self.now, "K2", "{first:?} has none, and a turn was over at {end:?}");
            ensure!(in_time(end), "K2", "a turn ends at {end:?}, a look is at {due:?}");
        }
        Ok(())
    }
}
