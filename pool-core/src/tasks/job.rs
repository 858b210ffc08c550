//! One task of the core, run as a future that always answers.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::backend::{AsyncAdapter, AsyncBackend};
use super::driver::wake_driver;
use crate::backend::ErrorKind;
use crate::core::{SlotId, Task};
use crate::domain::{Domain, SessionOf};
use crate::interrupt::Interrupt;
use crate::kinds::{ConnectFailure, Purpose};
use crate::panics::quietly;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// A task of one core, and what tells it to end.
pub(crate) struct Job<D: Domain> {
    pub(crate) key: D::Key,
    pub(crate) place: Option<D::Place>,
    pub(crate) task: Task<SessionOf<D>>,
    pub(crate) interrupt: Interrupt,
}

/// How an operation ended.
pub(super) enum End<T> {
    Done(T),
    TimedOut,
    /// Nobody wants its result any more.
    Interrupted,
    Panicked,
}

/// Owes the answer from now on, not from its first poll on: a runtime that goes down may never
/// poll it.
pub(crate) fn run<D, B>(shared: Arc<Shared<D>>, job: Job<D>) -> impl Future<Output = ()> + Send
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    let (key, slot) = (job.key, job.task.slot());
    let connect = matches!(job.task, Task::Connect { .. });
    let owed = Owed { shared, key, slot, connect, answered: false };
    answer(Owing { job, owed })
}

/// In this order, so that a session is gone before the core hears of it.
struct Owing<D: Domain> {
    job: Job<D>,
    owed: Owed<D>,
}

async fn answer<D, B>(owing: Owing<D>)
where
    D: Domain<Backend = AsyncAdapter<B>>,
    B: AsyncBackend,
{
    let Owing { job: Job { key, place, task, interrupt }, mut owed } = owing;
    let shared = Arc::clone(&owed.shared);
    let Some(place) = place else { return };
    let AsyncAdapter(backend) = shared.domain.backend(&place);
    let within = Within { runtime: shared.runtime.as_deref(), interrupt: Some(&interrupt) };
    match task {
        Task::Connect { slot, deadline } => {
            let (kind, failure) = match within.run(deadline, || backend.connect()).await {
                End::Done(Ok(session)) => {
                    owed.answered = true;
                    shared.answer(key, slot, |core, now| core.connected(slot, session, now));
                    // Where the pool was closed just now, its driver has gone, and this is to be
                    // closed all the same.
                    wake_driver(&shared);
                    return;
                }
                End::Done(Err(error)) => {
                    let kind = quietly(|| backend.classify(&error)).unwrap_or(ErrorKind::Transient);
                    quietly(|| tracing::debug!(%error, ?kind, "connect failed"));
                    (kind, ConnectFailure::Error(Arc::new(error)))
                }
                End::TimedOut | End::Interrupted => {
                    (ErrorKind::Transient, ConnectFailure::TimedOut)
                }
                End::Panicked => (ErrorKind::Transient, ConnectFailure::Panicked),
            };
            owed.answered = true;
            shared.connect_failed(key, slot, kind, failure);
        }
        Task::Check { slot, purpose, mut session, deadline } => {
            let alive = match purpose {
                Purpose::Watch => quietly(|| backend.is_broken(&mut session)) == Some(false),
                Purpose::Keepalive => {
                    within.run(deadline, || backend.keepalive(&mut session)).await.succeeded()
                }
                _ => within.run(deadline, || backend.check(&mut session)).await.succeeded(),
            };
            let session = shared.hand_back(session);
            owed.answered = true;
            shared.answer(key, slot, |core, now| core.checked(slot, session, alive, now));
        }
        Task::Reset { slot, mut session, deadline } => {
            let clean = within.run(deadline, || backend.reset(&mut session)).await.succeeded();
            let session = shared.hand_back(session);
            owed.answered = true;
            shared.answer(key, slot, |core, now| core.reset_done(slot, session, clean, now));
        }
        Task::Close { slot, session, reason, deadline } => {
            quietly(|| tracing::trace!(?reason, "closing a session"));
            within.run(deadline, || backend.close(session)).await;
            owed.answered = true;
            shared.answer(key, slot, |core, now| core.closed(slot, now));
        }
    }
}

impl<E: std::error::Error> End<Result<(), E>> {
    pub(super) fn succeeded(self) -> bool {
        let Self::Done(result) = self else { return false };
        let ok = result.is_ok();
        quietly(|| {
            if let Err(error) = &result {
                tracing::debug!(%error, "session is dead");
            }
        });
        quietly(|| drop(result));
        ok
    }
}

/// Runs operations of a backend up to a deadline, or until nobody wants them any more.
pub(super) struct Within<'a> {
    pub(super) runtime: Option<&'a dyn Runtime>,
    pub(super) interrupt: Option<&'a Interrupt>,
}

impl Within<'_> {
    /// A panic of the operation is caught.
    pub(super) async fn run<F: Future + Send>(
        &self,
        deadline: Option<Instant>,
        operation: impl FnOnce() -> F,
    ) -> End<F::Output> {
        let Some(operation) = quietly(|| Box::pin(operation())) else { return End::Panicked };
        let mut operation = Some(operation);
        let mut sleep = deadline.zip(self.runtime).map(|(at, runtime)| runtime.sleep_until(at));
        poll_fn(|cx| {
            // Nobody wants what it may bring just now.
            if self.interrupt.is_some_and(Interrupt::is_interrupted) {
                let unwanted = operation.take();
                quietly(|| drop(unwanted));
                return Poll::Ready(End::Interrupted);
            }
            let polled = operation.as_mut().and_then(|op| quietly(|| op.as_mut().poll(cx)));
            let end = match polled {
                Some(Poll::Ready(output)) => End::Done(output),
                None => End::Panicked,
                Some(Poll::Pending) => {
                    let unwanted = self.interrupt.map(|wish| wish.poll_interrupted(cx));
                    match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
                        Some(Poll::Ready(())) => End::TimedOut,
                        _ if unwanted.is_some_and(|wish| wish.is_ready()) => End::Interrupted,
                        _ => return Poll::Pending,
                    }
                }
            };
            let ended = operation.take();
            quietly(|| drop(ended));
            Poll::Ready(end)
        })
        .await
    }
}

/// What the core is told where a job is dropped before its end, as at the end of a runtime.
struct Owed<D: Domain> {
    shared: Arc<Shared<D>>,
    key: D::Key,
    slot: SlotId,
    connect: bool,
    answered: bool,
}

impl<D: Domain> Drop for Owed<D> {
    fn drop(&mut self) {
        let Self { shared, key, slot, connect, answered } = self;
        if *answered {
            return;
        }
        let slot = *slot;
        if *connect {
            let failure = ConnectFailure::Panicked;
            shared.connect_failed(*key, slot, ErrorKind::Transient, failure);
        } else {
            shared.answer(*key, slot, |core, now| core.lost(slot, now));
        }
    }
}
