//! Borrowing, written once for both fronts: a state machine that is polled with a waker.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::core::{Acquired, Lease, Refusal, Request, Taken, WaiterId};
use crate::error::AcquireError;
use crate::event::CloseReason;
use crate::guard::Guard;
use crate::shared::{Probe, Shared, discard, quietly};

/// Timeouts shorter than this count from the very moment, longer ones from the last tick of the
/// cheap clock, a few milliseconds before.
const PRECISE: Duration = Duration::from_secs(1);

/// One borrow under way. Dropped before its end, it leaves the queue and nothing behind.
#[derive(Debug)]
pub(crate) struct Acquiring<P: Probe> {
    /// Moves into the guard at the end.
    shared: Option<Arc<Shared<P>>>,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    request: Option<Request>,
    waiter: Option<WaiterId>,
    /// Somebody is there to work for it, as far as it knows.
    attended: bool,
}

enum Step<P: Probe> {
    Lease(Lease<P::Session>),
    Registered,
    Unregistered,
    Refused(Refusal<Arc<P::Error>>),
}

impl<P: Probe> Acquiring<P> {
    pub(crate) fn new(
        shared: Arc<Shared<P>>,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Self {
        let shared = Some(shared);
        Self { shared, timeout, site, request: None, waiter: None, attended: false }
    }

    /// When this borrow gives up, once it has begun.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request.as_ref().and_then(|request| request.deadline)
    }

    /// The pool, until the borrow has ended.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared<P>>> {
        self.shared.as_ref()
    }

    /// Whether there was a worker or a driver when this borrow began to wait.
    pub(crate) fn is_attended(&self) -> bool {
        self.attended
    }

    /// Goes on; the waker is asked for only where the borrow has to wait.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        waker: impl Fn() -> Waker,
    ) -> Poll<Result<Guard<P>, AcquireError<P::Error>>> {
        let mut broken = None;
        if self.request.is_none()
            && let Some(lease) = self.ready()
        {
            match self.accept(lease) {
                Ok(guard) => return Poll::Ready(Ok(guard)),
                Err((lease, reason)) => {
                    self.request = Some(self.request_at(Some(lease.ticket)));
                    broken = Some((lease, reason));
                }
            }
        }
        self.poll_queue(broken, waker)
    }

    #[inline(never)]
    fn poll_queue(
        &mut self,
        mut broken: Option<(Lease<P::Session>, CloseReason)>,
        waker: impl Fn() -> Waker,
    ) -> Poll<Result<Guard<P>, AcquireError<P::Error>>> {
        // A newcomer will most likely have to wait.
        let mut register = self.request.is_none().then(&waker);
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
                Step::Registered => return Poll::Pending,
                // Cloning a waker is its owner's code, so it happens outside the lock; asking
                // once more with it finds what came meanwhile. Who was woken has no need of it.
                Step::Unregistered => register = Some(waker()),
            }
        }
    }

    /// Gives up: leaves the queue.
    pub(crate) fn cancel(&mut self) {
        if let (Some(id), Some(shared)) = (self.waiter.take(), &self.shared) {
            let waker = shared.with(|state, now| {
                state.core.cancel(id, now);
                state.take_waker(id.index())
            });
            discard(waker);
        }
    }

    /// By the cheap clock, as nearly all borrows end here.
    #[inline]
    fn ready(&self) -> Option<Lease<P::Session>> {
        let shared = self.shared.as_ref().filter(|shared| !shared.is_crowded())?;
        shared.with_coarse(|state, now| state.core.acquire_ready(self.site, now))
    }

    fn request_at(&self, ticket: Option<u64>) -> Request {
        let now = self.shared.as_ref().map_or_else(Instant::now, |shared| shared.clock.now());
        new_request(self.timeout, self.site, now, ticket)
    }

    #[inline]
    fn step(
        &mut self,
        broken: Option<(Lease<P::Session>, CloseReason)>,
        mut register: Option<Waker>,
    ) -> Step<P> {
        let Self { shared, timeout, site, request, waiter, attended } = self;
        let Some(shared) = shared else { return Step::Refused(Refusal::Closed) };
        let short = timeout.is_some_and(|timeout| timeout < PRECISE);
        let now = match waiter {
            None if short => shared.clock.now(),
            _ => shared.coarse(),
        };
        let mut replaced = None;
        let step = shared.at(now, |state, now| {
            if let Some((lease, reason)) = broken {
                if let Some(request) = request {
                    request.ticket = Some(lease.ticket);
                }
                state.core.unusable(lease.slot, lease.session, reason, now);
            }
            let id = match waiter {
                Some(id) => *id,
                None => {
                    let request =
                        request.get_or_insert_with(|| new_request(*timeout, site, now, None));
                    match state.core.acquire(*request, now) {
                        Acquired::Ready(lease) => return Step::Lease(lease),
                        Acquired::Refused(refusal) => return Step::Refused(refusal),
                        Acquired::Waiting(id) => *waiter.insert(id),
                    }
                }
            };
            match state.core.take(id, now) {
                Taken::Ready(lease) => Step::Lease(lease),
                Taken::Refused(refusal) => Step::Refused(refusal),
                Taken::Pending => match register.take() {
                    None => Step::Unregistered,
                    Some(waker) => {
                        *attended = state.workers > 0;
                        replaced = state.set_waker(id.index(), waker);
                        Step::Registered
                    }
                },
            }
        });
        discard(register);
        discard(replaced);
        step
    }

    #[inline]
    fn accept(
        &mut self,
        mut lease: Lease<P::Session>,
    ) -> Result<Guard<P>, (Lease<P::Session>, CloseReason)> {
        let Some(shared) = self.shared.take() else {
            unreachable!("a lease comes only from the pool that is asked")
        };
        let reason = match quietly(|| shared.probe.is_broken(&mut lease.session)) {
            Some(false) => return Ok(Guard::new(shared, lease.slot, lease.session)),
            Some(true) => CloseReason::Broken,
            None => CloseReason::Panicked,
        };
        self.shared = Some(shared);
        Err((lease, reason))
    }
}

impl<P: Probe> Drop for Acquiring<P> {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn new_request(
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    now: Instant,
    ticket: Option<u64>,
) -> Request {
    let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
    Request { arrived: now, deadline, site, ticket }
}
