//! One task of the core, run as a future that always answers.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::backend::{AsyncBackend, Tasks};
use super::runtime::Runtime;
use crate::backend::ErrorKind;
use crate::core::{ConnectFailure, Purpose, SlotId, Task};
use crate::shared::{Shared, quietly};

/// How an operation ended.
pub(super) enum End<T> {
    Done(T),
    TimedOut,
    Panicked,
}

/// Owes the answer from now on, not from its first poll on: a runtime that goes down may never
/// poll it.
pub(crate) fn run<B: AsyncBackend>(
    shared: Arc<Shared<Tasks<B>>>,
    task: Task<B::Session>,
) -> impl Future<Output = ()> + Send {
    let owed = Owed { shared, answer: Some(Answer::to(&task)) };
    answer(Job { task, owed })
}

/// In this order, so that a session is gone before the core hears of it.
struct Job<B: AsyncBackend> {
    task: Task<B::Session>,
    owed: Owed<B>,
}

async fn answer<B: AsyncBackend>(job: Job<B>) {
    let Job { task, mut owed } = job;
    let shared = Arc::clone(&owed.shared);
    let Tasks { backend, runtime } = &shared.probe;
    match task {
        Task::Connect { slot, deadline } => {
            let (kind, failure) = match within(&**runtime, deadline, || backend.connect()).await {
                End::Done(Ok(session)) => {
                    owed.answer = None;
                    return shared.with(|state, now| state.core.connected(slot, session, now));
                }
                End::Done(Err(error)) => {
                    let kind = quietly(|| backend.classify(&error)).unwrap_or(ErrorKind::Transient);
                    tracing::debug!(%error, ?kind, "connect failed");
                    (kind, ConnectFailure::Error(Arc::new(error)))
                }
                End::TimedOut => (ErrorKind::Transient, ConnectFailure::TimedOut),
                End::Panicked => (ErrorKind::Transient, ConnectFailure::Panicked),
            };
            owed.answer = None;
            shared.connect_failed(slot, kind, failure);
        }
        Task::Check { slot, purpose, mut session, deadline } => {
            let alive = match purpose {
                Purpose::Keepalive => {
                    within(&**runtime, deadline, || backend.keepalive(&mut session)).await.is_ok()
                }
                _ => within(&**runtime, deadline, || backend.check(&mut session)).await.is_ok(),
            };
            owed.answer = None;
            shared.with(|state, now| state.core.checked(slot, session, alive, now));
        }
        Task::Reset { slot, mut session, deadline } => {
            let clean = within(&**runtime, deadline, || backend.reset(&mut session)).await.is_ok();
            owed.answer = None;
            shared.with(|state, now| state.core.reset_done(slot, session, clean, now));
        }
        Task::Close { slot, session, reason, deadline } => {
            tracing::trace!(?reason, "closing a session");
            within(&**runtime, deadline, || backend.close(session)).await;
            owed.answer = None;
            shared.with(|state, now| state.core.closed(slot, now));
        }
    }
}

impl<E: std::error::Error> End<Result<(), E>> {
    pub(super) fn is_ok(&self) -> bool {
        if let Self::Done(Err(error)) = self {
            tracing::debug!(%error, "session is dead");
        }
        matches!(self, Self::Done(Ok(())))
    }
}

/// Runs an operation of the backend up to a deadline. A panic of it is caught.
pub(super) async fn within<F: Future + Send>(
    runtime: &dyn Runtime,
    deadline: Option<Instant>,
    operation: impl FnOnce() -> F,
) -> End<F::Output> {
    let Some(operation) = quietly(|| Box::pin(operation())) else { return End::Panicked };
    let mut operation = Some(operation);
    let mut sleep = deadline.map(|at| runtime.sleep_until(at));
    poll_fn(|cx| {
        let polled = operation.as_mut().and_then(|op| quietly(|| op.as_mut().poll(cx)));
        let end = match polled {
            Some(Poll::Ready(output)) => End::Done(output),
            None => End::Panicked,
            Some(Poll::Pending) => match sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => End::TimedOut,
                _ => return Poll::Pending,
            },
        };
        let ended = operation.take();
        quietly(|| drop(ended));
        Poll::Ready(end)
    })
    .await
}

/// What the core is told where a job is dropped before its end, as at the end of a runtime.
struct Owed<B: AsyncBackend> {
    shared: Arc<Shared<Tasks<B>>>,
    answer: Option<Answer>,
}

enum Answer {
    ConnectFailed(SlotId),
    Lost(SlotId),
    Closed(Option<SlotId>),
}

impl Answer {
    fn to<S>(task: &Task<S>) -> Self {
        match task {
            Task::Connect { slot, .. } => Self::ConnectFailed(*slot),
            Task::Check { slot, .. } | Task::Reset { slot, .. } => Self::Lost(*slot),
            Task::Close { slot, .. } => Self::Closed(*slot),
        }
    }
}

impl<B: AsyncBackend> Drop for Owed<B> {
    fn drop(&mut self) {
        match self.answer.take() {
            Some(Answer::ConnectFailed(slot)) => {
                let failure = ConnectFailure::Panicked;
                self.shared.connect_failed(slot, ErrorKind::Transient, failure);
            }
            Some(Answer::Lost(slot)) => self.shared.with(|state, now| state.core.lost(slot, now)),
            Some(Answer::Closed(slot)) => {
                self.shared.with(|state, now| state.core.closed(slot, now));
            }
            None => {}
        }
    }
}
