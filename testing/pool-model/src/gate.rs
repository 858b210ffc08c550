//! Decides call by call what an operation of the fake backend does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use pool_core::ErrorKind;

use super::FakeError;

/// What one call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Succeeds at once.
    #[default]
    Ok,
    /// Fails at once.
    Err(ErrorKind),
    /// Panics.
    Panic,
    /// Waits until [`Gate::open`], then succeeds.
    Block,
    /// Waits until [`Gate::open`], then fails.
    BlockErr(ErrorKind),
}

/// A door that every call of one operation goes through. Clones are the same door.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inner: Arc<(Mutex<Plan>, Condvar)>,
}

#[derive(Debug, Default)]
struct Plan {
    /// What the next calls do, one each.
    next: VecDeque<Behaviour>,
    /// What all later calls do.
    then: Behaviour,
    calls: u64,
    blocked: u64,
    /// How many blocked calls may go on.
    permits: u64,
    wakers: Vec<Waker>,
}

impl Behaviour {
    fn blocks(self) -> bool {
        matches!(self, Self::Block | Self::BlockErr(_))
    }

    fn result(self) -> Result<(), FakeError> {
        match self {
            Self::Ok | Self::Block => Ok(()),
            Self::Err(kind) | Self::BlockErr(kind) => Err(FakeError(kind)),
            Self::Panic => panic!("the fake backend panics as told"),
        }
    }
}

/// Keeps the count of blocked calls right where one is cancelled.
struct Waiting<'a> {
    gate: &'a Gate,
    blocked: bool,
}

impl Waiting<'_> {
    fn end(&mut self) {
        if std::mem::take(&mut self.blocked) {
            self.gate.plan().blocked -= 1;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Gate {
    /// What all calls do from now on, after those given to [`next`](Self::next).
    pub fn always(&self, behaviour: Behaviour) {
        self.plan().then = behaviour;
    }

    /// What the next call does that nothing was said about yet.
    pub fn next(&self, behaviour: Behaviour) {
        self.plan().next.push_back(behaviour);
    }

    /// Lets that many blocked calls go on, those to come included.
    pub fn open(&self, calls: u64) {
        let mut plan = self.plan();
        plan.permits += calls;
        let wakers = std::mem::take(&mut plan.wakers);
        drop(plan);
        self.inner.1.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Calls so far, those still blocked included.
    pub fn calls(&self) -> u64 {
        self.plan().calls
    }

    /// Calls that wait now.
    pub fn blocked(&self) -> u64 {
        self.plan().blocked
    }

    /// Waits until that many calls have come.
    pub fn wait_for_calls(&self, calls: u64) {
        let mut plan = self.plan();
        while plan.calls < calls {
            plan = self.inner.1.wait(plan).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The twin of [`pass`](Self::pass) for tasks.
    pub(super) async fn pass_async(&self) -> Result<(), FakeError> {
        let behaviour = self.begin();
        if behaviour.blocks() {
            let mut waiting = Waiting { gate: self, blocked: true };
            poll_fn(|cx| {
                let mut plan = self.plan();
                if plan.permits == 0 {
                    plan.wakers.push(cx.waker().clone());
                    return Poll::Pending;
                }
                plan.permits -= 1;
                Poll::Ready(())
            })
            .await;
            waiting.end();
        }
        behaviour.result()
    }

    fn begin(&self) -> Behaviour {
        let mut plan = self.plan();
        plan.calls += 1;
        let behaviour = plan.next.pop_front().unwrap_or(plan.then);
        plan.blocked += u64::from(behaviour.blocks());
        self.inner.1.notify_all();
        behaviour
    }

    pub(super) fn pass(&self) -> Result<(), FakeError> {
        let behaviour = self.begin();
        if behaviour.blocks() {
            let mut plan = self.plan();
            while plan.permits == 0 {
                plan = self.inner.1.wait(plan).unwrap_or_else(PoisonError::into_inner);
            }
            plan.permits -= 1;
            plan.blocked -= 1;
        }
        behaviour.result()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
