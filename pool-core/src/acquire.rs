//! Acquiring a session, written once for all fronts: a state machine that is polled with a waker.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::backend::Moment;
use crate::core::{Acquired, Lease, Refusal, Request, Taken, WaiterId};
use crate::domain::{Domain, ErrorOf, LocalChecks, Machine, NotReady, SessionOf};
use crate::error::AcquireError;
use crate::event::Event;
use crate::guard::Guard;
use crate::kinds::CloseReason;
use crate::kinds::WaitPhase;
use crate::locate::Locate;
use crate::panics::{discard, quietly};
use crate::shared::Shared;

/// Timeouts shorter than this count from the very moment, longer ones from the last tick of the
/// cheap clock, a few milliseconds before.
const PRECISE: Duration = Duration::from_secs(1);

/// One acquire under way. Dropped before its end, it leaves the queue and nothing behind.
pub(crate) struct Acquiring<D: Domain, L> {
    /// Moves into the guard at the end.
    shared: Option<Arc<Shared<D>>>,
    locate: L,
    /// The core that it asks, once it has asked.
    at: Option<(D::Key, D::Place)>,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    request: Option<Request>,
    waiter: Option<WaiterId>,
    /// What it waited for when it last looked, where slow acquires are logged.
    waits_for: Option<WaitPhase>,
    /// Somebody is there to work for it, as far as it knows.
    attended: bool,
    /// On which runtime that somebody is.
    driver_runtime: Option<u64>,
}

enum Step<D: Domain> {
    Lease(Lease<SessionOf<D>>),
    Registered,
    Unregistered,
    Refused(Refusal<Arc<ErrorOf<D>>>),
    /// The core was forgotten since it was looked up.
    Lost,
}

type Unusable<D> = (Lease<SessionOf<D>>, CloseReason);
type Outcome<D> = Result<Guard<D>, AcquireError<ErrorOf<D>>>;

/// Acquires what is ready this moment, without a look at the rest: nearly all acquires end here.
/// Where a session was found and was broken, its place in the order of arrival is kept.
#[inline]
pub(crate) fn acquire_ready<D: Domain>(
    shared: &Arc<Shared<D>>,
    key: D::Key,
    place: D::Place,
    site: &'static Location<'static>,
) -> Result<Guard<D>, Option<u64>> {
    if shared.is_contended() {
        return Err(None);
    }
    let found = shared.with_coarse(|state, now| state.machine.acquire_ready(key, site, now));
    let Ok(mut lease) = found else { return Err(None) };
    match flaw(shared, &place, &mut lease, site, None) {
        None => Ok(Guard::new(Arc::clone(shared), key, place, lease)),
        Some(reason) => {
            let ticket = lease.ticket;
            give_back(shared, key, lease, reason);
            Err(Some(ticket))
        }
    }
}

/// What is wrong with a session that was lent, at the first look.
#[inline(always)]
fn flaw<D: Domain>(
    shared: &Shared<D>,
    place: &D::Place,
    lease: &mut Lease<SessionOf<D>>,
    site: &'static Location<'static>,
    waits_for: Option<WaitPhase>,
) -> Option<CloseReason> {
    let backend = shared.domain.backend(place);
    match quietly(|| backend.is_broken(&mut lease.session, Moment::Acquire)) {
        Some(false) => {
            if shared.domain.is_observed() || shared.slow_acquire.is_some() {
                tell(shared, place, lease, site, waits_for);
            }
            None
        }
        Some(true) => Some(CloseReason::Broken),
        None => Some(CloseReason::Panicked),
    }
}

#[inline(never)]
fn tell<D: Domain>(
    shared: &Shared<D>,
    place: &D::Place,
    lease: &Lease<SessionOf<D>>,
    site: &'static Location<'static>,
    waits_for: Option<WaitPhase>,
) {
    let &Lease { slot, arrived, uses, .. } = lease;
    let waited = shared.clock.now().saturating_duration_since(arrived);
    if shared.slow_acquire.is_some_and(|limit| waited > limit) {
        let waited_for = waits_for.unwrap_or(WaitPhase::Check);
        quietly(|| tracing::warn!(?waited, ?waited_for, %site, "acquired slowly"));
    }
    shared.tell(place, &Event::Acquired { session: slot.number(), waited, uses });
}

/// A session that was lent is of no use.
#[inline(never)]
fn give_back<D: Domain>(
    shared: &Shared<D>,
    key: D::Key,
    lease: Lease<SessionOf<D>>,
    reason: CloseReason,
) {
    let Lease { id, session, .. } = lease;
    let session = shared.hand_back(session);
    let left = shared.with_core(key, |core, now| core.unusable(id, session, reason, now)).flatten();
    quietly(|| drop(left));
}

impl<D: Domain, L: Locate<D>> Acquiring<D, L> {
    #[inline]
    pub(crate) fn new(
        shared: Arc<Shared<D>>,
        locate: L,
        timeout: Option<Duration>,
        site: &'static Location<'static>,
    ) -> Self {
        Self {
            shared: Some(shared),
            locate,
            at: None,
            timeout,
            site,
            request: None,
            waiter: None,
            waits_for: None,
            attended: true,
            driver_runtime: None,
        }
    }

    /// Asks in place of somebody who was served, at its place in the order of arrival.
    pub(crate) fn in_place_of(mut self, ticket: u64) -> Self {
        self.request = Some(self.request_at(Some(ticket)));
        self
    }

    /// When this acquire gives up, once it has begun.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request.as_ref().and_then(|request| request.deadline)
    }

    /// The pool, until the acquire has ended.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared<D>>> {
        self.shared.as_ref()
    }

    /// Whether there was a worker or a driver when this acquire was last polled.
    pub(crate) fn is_attended(&self) -> bool {
        self.attended
    }

    /// The runtime that the driver is on, as far as is known.
    pub(crate) fn driver_runtime(&self) -> Option<u64> {
        self.driver_runtime
    }

    /// Asks for a session that is ready this moment, and leaves no trace where there is none.
    pub(crate) fn try_now(&mut self) -> Option<Guard<D>> {
        loop {
            let lease = self.ready(false)?;
            match self.accept(lease) {
                Ok(guard) => return Some(guard),
                Err((lease, reason)) => self.replace(lease, reason),
            }
        }
    }

    /// Goes on; the waker is asked for only where the acquire has to wait.
    #[inline]
    pub(crate) fn poll(&mut self, waker: impl Fn() -> Waker) -> Poll<Outcome<D>> {
        let mut broken = None;
        if self.request.is_none()
            && let Some(lease) = self.ready(true)
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
        mut broken: Option<Unusable<D>>,
        waker: impl Fn() -> Waker,
    ) -> Poll<Outcome<D>> {
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
                Step::Lost => self.look_again(),
            }
        }
    }

    /// Nearly all acquires end here, by the cheap clock. With a hint that there is something to be
    /// had, they don't even look otherwise.
    #[inline(always)]
    fn ready(&mut self, by_hint: bool) -> Option<Lease<SessionOf<D>>> {
        let shared = self.shared.as_ref().filter(|shared| !by_hint || !shared.is_contended())?;
        if self.at.is_none() {
            self.at = self.locate.locate(shared);
        }
        let (key, site) = (self.at.as_ref()?.0, self.site);
        let found = shared.with_coarse(|state, now| state.machine.acquire_ready(key, site, now));
        match found {
            Ok(lease) => Some(lease),
            Err(NotReady::Busy) => None,
            Err(NotReady::Forgotten) => {
                self.look_again();
                None
            }
        }
    }

    fn look_again(&mut self) {
        if let (Some((key, place)), Some(shared)) = (self.at.take(), &self.shared) {
            self.locate.lost(shared, key, &place);
        }
    }

    fn replace(&self, lease: Lease<SessionOf<D>>, reason: CloseReason) {
        if let (Some(shared), Some((key, _))) = (&self.shared, &self.at) {
            give_back(shared, *key, lease, reason);
        }
    }

    fn request_at(&self, ticket: Option<u64>) -> Request {
        let now = self.shared.as_ref().map_or_else(Instant::now, |shared| shared.clock.now());
        new_request(self.timeout, self.site, now, ticket)
    }

    #[inline]
    fn step(&mut self, broken: Option<Unusable<D>>, mut register: Option<Waker>) -> Step<D> {
        let Self { shared, locate, at, timeout, site, request, waiter, waits_for, .. } = self;
        let Some(shared) = shared else { return Step::Refused(Refusal::Closed) };
        if at.is_none() {
            *at = locate.locate(shared);
        }
        let Some((key, _)) = at else { return Step::Refused(Refusal::Closed) };
        let key = *key;
        let short = timeout.is_some_and(|timeout| timeout < PRECISE);
        let now = match waiter {
            None if short => shared.clock.now(),
            _ => shared.now_coarse(),
        };
        let broken = broken.map(|(lease, reason)| {
            let Lease { id, session, ticket, .. } = lease;
            (id, shared.hand_back(session), ticket, reason)
        });
        let (mut replaced, mut left) = (None, None);
        let explain = shared.slow_acquire.is_some();
        let (step, attended, driver_runtime) = shared.at(now, |state, now| {
            let asked = state.machine.with_core(key, now, |core| {
                if let Some((id, session, ticket, reason)) = broken {
                    if let Some(request) = request {
                        request.ticket = Some(ticket);
                    }
                    left = core.unusable(id, session, reason, now);
                }
                let id = match waiter {
                    Some(id) => *id,
                    None => {
                        let request =
                            request.get_or_insert_with(|| new_request(*timeout, site, now, None));
                        match core.acquire(*request, now) {
                            Acquired::Ready(lease) => return Ok(Step::Lease(lease)),
                            Acquired::Refused(refusal) => return Ok(Step::Refused(refusal)),
                            Acquired::Waiting(id) => *waiter.insert(id),
                        }
                    }
                };
                match core.take(id, now) {
                    Taken::Ready(lease) => Ok(Step::Lease(lease)),
                    Taken::Refused(refusal) => Ok(Step::Refused(refusal)),
                    Taken::Pending => {
                        if explain {
                            *waits_for = Some(core.wait_phase(now));
                        }
                        Err(id)
                    }
                }
            });
            let step = match asked {
                None => Step::Lost,
                Some(Ok(step)) => step,
                Some(Err(id)) => match register.take() {
                    None => Step::Unregistered,
                    Some(waker) => {
                        replaced = state.set_waker(key, id.index(), waker);
                        Step::Registered
                    }
                },
            };
            (step, state.workers > 0, state.driver_runtime)
        });
        (self.attended, self.driver_runtime) = (attended, driver_runtime);
        discard(register);
        discard(replaced);
        quietly(|| drop(left));
        step
    }

    #[inline(always)]
    fn accept(&mut self, mut lease: Lease<SessionOf<D>>) -> Result<Guard<D>, Unusable<D>> {
        let (Some(shared), Some((key, place))) = (self.shared.take(), self.at.take()) else {
            unreachable!("a lease comes only from the pool that is asked")
        };
        match flaw(&shared, &place, &mut lease, self.site, self.waits_for) {
            None => Ok(Guard::new(shared, key, place, lease)),
            Some(reason) => {
                (self.shared, self.at) = (Some(shared), Some((key, place)));
                Err((lease, reason))
            }
        }
    }
}

impl<D: Domain, L> Acquiring<D, L> {
    /// Gives up: leaves the queue.
    pub(crate) fn cancel(&mut self) {
        if let (Some(id), Some(shared), Some((key, _))) =
            (self.waiter.take(), &self.shared, &self.at)
        {
            let waker = shared.with(|state, now| {
                state.machine.with_core(*key, now, |core| core.cancel(id, now));
                state.take_waker(*key, id.index())
            });
            discard(waker);
        }
    }
}

impl<D: Domain, L> Drop for Acquiring<D, L> {
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
