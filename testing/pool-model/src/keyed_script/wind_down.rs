//! The end of every script: all are served, then nothing is left.

use pool_core::Machine;

use super::Back;
use super::harness::KeyedHarness;
use crate::script::violation::Checked;

/// Rounds that nobody needs.
const ENDLESS: usize = 2_000;

impl KeyedHarness {
    pub(super) fn wind_down(&mut self) -> Checked {
        self.shares.one_input = false;
        if !self.closed {
            self.come_to_rest()?;
        }
        if self.closed || self.setup.closes || self.setup.min_idle > 0 {
            self.end_by_close()
        } else {
            self.end_by_forgetting()
        }
    }

    /// Everybody is served, though whoever has a session gives it back at once.
    fn come_to_rest(&mut self) -> Checked {
        self.resize_total(self.total.max(1))?;
        for name in 0..self.names.len() {
            let known = self.names[name].id.is_some();
            if known && self.names[name].max_size == 0 {
                self.resize(u8::try_from(name).unwrap_or(u8::MAX), 1)?;
            }
        }
        self.tick()?;
        for _ in 0..ENDLESS {
            if self.waiters.is_empty() {
                self.give_all_back()?;
                return Ok(());
            }
            let waiting = self.waiters.len();
            let woken = self.waiters.iter().any(|waiter| waiter.woken);
            self.take_all()?;
            let held = !self.held.is_empty();
            self.give_all_back()?;
            self.start_all()?;
            let ran = !self.running.is_empty();
            self.finish_all()?;
            let progress = woken || held || ran || self.waiters.len() < waiting;
            if !progress && !self.core.has_task(self.now) {
                let due = self.core.poll_timeout();
                ensure!(due.is_some(), "I15", "{waiting} wait for nothing: {:?}", self.view.keys);
                self.now = due.unwrap_or(self.now).max(self.now);
            }
            self.tick()?;
        }
        let left: Vec<_> = self.waiters.iter().map(|w| (w.name, w.request.deadline)).collect();
        ensure!(false, "I15", "{left:?} wait still");
        Ok(())
    }

    fn give_all_back(&mut self) -> Checked {
        while !self.held.is_empty() {
            self.release(0, Back::Clean)?;
        }
        Ok(())
    }

    fn end_by_close(&mut self) -> Checked {
        self.close()?;
        for _ in 0..ENDLESS {
            self.take_all()?;
            self.give_all_back()?;
            self.start_all()?;
            self.finish_all()?;
            if self.core.is_drained() {
                break;
            }
        }
        ensure!(self.core.is_drained(), "I25", "it is not drained: {:?}", self.view.keys);
        ensure!(self.waiters.is_empty(), "I24", "{} wait after close", self.waiters.len());
        self.check_nothing_left()
    }

    /// All sessions go, and with them all keys.
    fn end_by_forgetting(&mut self) -> Checked {
        self.finish_all()?;
        for name in 0..self.names.len() {
            let name = u8::try_from(name).unwrap_or(u8::MAX);
            if self.names[usize::from(name)].id.is_some() {
                self.warm(name, 0)?;
            }
        }
        for _ in 0..ENDLESS {
            self.evict_all()?;
            self.start_all()?;
            self.finish_all()?;
            let asked_in_vain = self.view.keys.iter().any(|key| key.wants);
            if self.view.open() == 0 && !asked_in_vain {
                break;
            }
            self.tick()?;
        }
        let patient = self.setup.forget_after.as_secs() > 1_000;
        for _ in 0..ENDLESS {
            if self.core.keys() == 0 || patient {
                break;
            }
            self.start_all()?;
            self.finish_all()?;
            let due = self.core.poll_timeout();
            ensure!(due.is_some(), "K5", "{} keys stay for ever", self.core.keys());
            self.now = due.unwrap_or(self.now).max(self.now);
            self.tick()?;
        }
        ensure!(self.core.keys() == 0 || patient, "K5", "{} keys are left", self.core.keys());
        let due = self.core.poll_timeout();
        ensure!(due.is_none() || patient, "K5", "a timer without a key: {due:?}");
        self.check_nothing_left()
    }

    fn check_nothing_left(&self) -> Checked {
        let alive = self.truth.alive().unsigned_abs() as usize;
        let kept = self.detached.len();
        ensure!(alive == kept, "I3", "{alive} sessions are left, {kept} were detached");
        ensure!(self.core.open() == 0, "K1", "{} are open at the end", self.core.open());
        Ok(())
    }
}
