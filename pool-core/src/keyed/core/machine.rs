//! A keyed core as fronts drive it.

use std::panic::Location;
use std::time::Instant;

use super::KeyedCore;
use super::entry::KeyId;
use crate::core::{Core, Lease, LeaseId, Returned, Task};
use crate::domain::{Machine, NotReady, Said};

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
