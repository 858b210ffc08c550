//! Borrowing, written once for both fronts: a state machine that is polled with a waker.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::core::{Acquired, Lease, Refusal, Request, Taken, WaiterId};
use crate::error::AcquireError;
use crate::event::CloseReason;
use crate::guard::Guard;
use crate::shared::{Probe, Shared, quietly};

/// One borrow under way. Dropped before its end, it leaves the queue and nothing behind.
#[derive(Debug)]
pub(crate) struct Acquiring<P: Probe> {
    shared: Arc<Shared<P>>,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    request: Option<Request>,
    waiter: Option<WaiterId>,
}

enum Step<P: Probe> {
    Lease(Lease<P::Session>),
    Wait { registered: bool },
    Refused(Refusal<Arc<P::Error>>),
}

impl<P: Probe> Acquiring<P> {
    pub(crate) fn new(
        shared: Arc<Shared<P>>,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Self {
        Self { shared, timeout, site, request: None, waiter: None }
    }

    /// When this borrow gives up, once it has begun.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request.as_ref().and_then(|request| request.deadline)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<P>> {
        &self.shared
    }

    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Guard<P>, AcquireError<P::Error>>> {
        let mut broken = None;
        let mut register = None;
        loop {
            match self.step(broken.take(), register.take()) {
                Step::Refused(refusal) => {
                    self.waiter = None;
                    return Poll::Ready(Err(refusal.into()));
                }
                Step::Lease(lease) => {
                    self.waiter = None;
                    match self.accept(lease) {
                        Ok(guard) => return Poll::Ready(Ok(guard)),
                        Err(unusable) => broken = Some(unusable),
                    }
                }
                Step::Wait { registered: true } => return Poll::Pending,
                // Cloning a waker is its owner's code, so it happens outside the lock; asking
                // once more with it finds what came meanwhile.
                Step::Wait { registered: false } => register = Some(waker.clone()),
            }
        }
    }

    fn step(
        &mut self,
        broken: Option<(Lease<P::Session>, CloseReason)>,
        register: Option<Waker>,
    ) -> Step<P> {
        let Self { shared, timeout, site, request, waiter } = self;
        let (step, _dropped_unlocked) = shared.with(|state, now| {
            if let Some((lease, reason)) = broken {
                if let Some(request) = request {
                    request.ticket = Some(lease.ticket);
                }
                state.core.unusable(lease.slot, lease.session, reason, now);
            }
            let id = match waiter {
                Some(id) => *id,
                None => {
                    let request = request.get_or_insert_with(|| Request {
                        arrived: now,
                        deadline: timeout.and_then(|timeout| now.checked_add(timeout)),
                        site,
                        ticket: None,
                    });
                    match state.core.acquire(*request, now) {
                        Acquired::Ready(lease) => return (Step::Lease(lease), register),
                        Acquired::Refused(refusal) => return (Step::Refused(refusal), register),
                        Acquired::Waiting(id) => *waiter.insert(id),
                    }
                }
            };
            let Some(waker) = register else { return (Step::Wait { registered: false }, None) };
            match state.core.take(id, now) {
                Taken::Ready(lease) => (Step::Lease(lease), Some(waker)),
                Taken::Refused(refusal) => (Step::Refused(refusal), Some(waker)),
                Taken::Pending => {
                    (Step::Wait { registered: true }, state.set_waker(id.index(), waker))
                }
            }
        });
        step
    }

    fn accept(
        &self,
        mut lease: Lease<P::Session>,
    ) -> Result<Guard<P>, (Lease<P::Session>, CloseReason)> {
        match quietly(|| self.shared.probe.is_broken(&mut lease.session)) {
            Some(false) => Ok(Guard::new(Arc::clone(&self.shared), lease.slot, lease.session)),
            Some(true) => Err((lease, CloseReason::Broken)),
            None => Err((lease, CloseReason::Panicked)),
        }
    }
}

impl<P: Probe> Drop for Acquiring<P> {
    fn drop(&mut self) {
        if let Some(id) = self.waiter.take() {
            let _dropped_unlocked = self.shared.with(|state, now| {
                state.core.cancel(id, now);
                state.take_waker(id.index())
            });
        }
    }
}
