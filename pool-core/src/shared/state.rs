//! What the lock guards: the books, with the wakers and kill switches that belong to them.
//!
//! An access leaves an [`Outbox`] behind, which is emptied after the lock was released.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::Shared;
use crate::core::{Notice, SlotId};
use crate::domain::{Domain, ErrorOf, Machine, Said};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::panics::quietly;

/// The books, and who is to be told what becomes of them.
pub(crate) struct State<D: Domain> {
    pub(crate) machine: D::Machine,
    pub(crate) places: D::Places,
    /// By the index of the core, then of the waiter.
    wakers: Vec<Vec<Option<Waker>>>,
    /// Those who wait for the end of a closed pool, or for sessions to be opened.
    pub(super) watchers: Vec<Weak<Watcher>>,
    /// How many sessions of which core each of those wants to be open.
    pub(crate) warming: Vec<(D::Key, usize)>,
    /// The errors that the core may still know, so that it never drops the last copy of one.
    pub(super) errors: Errors<ErrorOf<D>>,
    /// How the operations that run now can be ended.
    pub(super) interrupts: HashMap<(D::Key, SlotId), Interrupt>,
    /// The driver task of an async pool, and the runtime that it is on, if that is known.
    pub(crate) driver: Option<Waker>,
    pub(crate) driver_runtime: Option<u64>,
    /// The deadline that somebody sleeps towards.
    pub(crate) armed: Option<Instant>,
    /// Worker threads of a sync pool, and how many of them sleep; an async pool has one driver
    /// task or none.
    pub(crate) workers: usize,
    pub(crate) sleeping: usize,
    /// Keeps an async pool without handles alive for its driver until all is closed. The driver
    /// takes it out at its end, so it is no cycle for ever.
    pub(crate) itself: Option<Arc<Shared<D>>>,
}

/// Somebody who waits for the end of a closed pool, or for sessions to be opened. The pool knows it
/// for as long as it waits.
pub(crate) struct Watcher(pub(crate) Waker);

impl Wake for Watcher {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Errors of the backend, each dropped where its panic harms nobody. Declared after the books, and
/// so dropped after them.
pub(super) struct Errors<E>(pub(super) Vec<Arc<E>>);

impl<E> Drop for Errors<E> {
    fn drop(&mut self) {
        for error in self.0.drain(..) {
            quietly(|| drop(error));
        }
    }
}

/// What is to be done after the lock is released.
pub(super) struct Outbox<D: Domain> {
    pub(super) first: Option<Waker>,
    pub(super) more: Vec<Waker>,
    pub(super) events: Vec<(D::Place, Event)>,
    pub(super) interrupts: Vec<Interrupt>,
    pub(super) forgotten: Vec<(D::Key, D::Place)>,
    pub(super) nudge: bool,
}

impl<D: Domain> State<D> {
    pub(super) fn new(machine: D::Machine) -> Self {
        Self {
            machine,
            places: D::Places::default(),
            wakers: Vec::new(),
            watchers: Vec::new(),
            warming: Vec::new(),
            errors: Errors(Vec::new()),
            interrupts: HashMap::new(),
            driver: None,
            driver_runtime: None,
            armed: None,
            workers: 0,
            sleeping: 0,
            itself: None,
        }
    }

    /// Whether an access has left anything to be done.
    #[inline]
    pub(super) fn has_news(&self, now: Instant) -> bool {
        self.machine.has_notice() || self.is_due(now)
    }

    /// Whether whoever works for the pool has to look at it before it meant to.
    #[inline]
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let earlier = match (self.machine.poll_timeout(), self.armed) {
            (Some(due), Some(armed)) => due < armed,
            (due, _) => due.is_some(),
        };
        earlier || self.machine.has_task(now) || self.machine.is_drained()
    }

    /// What an access has left to be done.
    pub(super) fn collect(&mut self, domain: &D, nudge: bool) -> Outbox<D> {
        let mut outbox = Outbox::new(nudge && self.sleeping > 0);
        if nudge {
            outbox.wake(self.driver.take());
        }
        while let Some((key, said)) = self.machine.poll_notice() {
            match said {
                Said::Core(Notice::Wake(id)) => {
                    let waker = self.take_waker(key, id.index());
                    outbox.wake(waker);
                }
                Said::Core(Notice::Event(event)) => {
                    let place = D::place(&self.places, key);
                    outbox.events.extend(place.map(|place| (place, event)));
                }
                Said::Core(Notice::Interrupt(slot)) => {
                    outbox.interrupts.extend(self.interrupts.remove(&(key, slot)));
                }
                Said::Core(Notice::Progress | Notice::Drained) => {
                    outbox.more.extend(self.take_watchers());
                }
                Said::Forgotten => {
                    if let Some(wakers) = self.wakers.get_mut(D::index(key)) {
                        wakers.clear();
                    }
                    let place = domain.forget(&mut self.places, key);
                    outbox.forgotten.extend(place.map(|place| (key, place)));
                }
            }
        }
        outbox
    }

    /// Whether somebody has to be there to run tasks and watch deadlines.
    pub(crate) fn needs_worker(&self, now: Instant) -> bool {
        self.machine.is_busy() || self.machine.has_task(now)
    }

    /// Keeps the waker of a waiter; what it replaces is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn set_waker(&mut self, key: D::Key, waiter: usize, waker: Waker) -> Option<Waker> {
        let index = D::index(key);
        if index >= self.wakers.len() {
            self.wakers.resize_with(index + 1, Vec::new);
        }
        let wakers = &mut self.wakers[index];
        if waiter >= wakers.len() {
            wakers.resize(waiter + 1, None);
        }
        wakers[waiter].replace(waker)
    }

    /// Takes the waker of a waiter out, to be dropped outside the lock.
    #[must_use]
    pub(crate) fn take_waker(&mut self, key: D::Key, waiter: usize) -> Option<Waker> {
        self.wakers.get_mut(D::index(key))?.get_mut(waiter)?.take()
    }

    /// Takes the wakers of all who wait out, to have them look again.
    #[must_use]
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        let waiting = self.wakers.iter_mut().flatten().filter_map(Option::take);
        let mut wakers: Vec<_> = waiting.collect();
        wakers.extend(self.take_watchers());
        wakers
    }

    fn take_watchers(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.watchers.drain(..).filter_map(|watcher| watcher.upgrade().map(Waker::from))
    }
}

impl<D: Domain> Outbox<D> {
    fn new(nudge: bool) -> Self {
        Self {
            first: None,
            more: Vec::new(),
            events: Vec::new(),
            interrupts: Vec::new(),
            forgotten: Vec::new(),
            nudge,
        }
    }

    fn wake(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            waker => self.more.extend(waker),
        }
    }
}
