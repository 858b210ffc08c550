//! Decides call by call what an operation of the fake backend does.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
        self.plan().permits += calls;
        self.inner.1.notify_all();
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

    pub(super) fn pass(&self) -> Result<(), FakeError> {
        let mut plan = self.plan();
        plan.calls += 1;
        self.inner.1.notify_all();
        let behaviour = plan.next.pop_front().unwrap_or(plan.then);
        match behaviour {
            Behaviour::Ok => Ok(()),
            Behaviour::Err(kind) => Err(FakeError(kind)),
            Behaviour::Panic => {
                drop(plan);
                panic!("the fake backend panics as told")
            }
            Behaviour::Block | Behaviour::BlockErr(_) => {
                plan.blocked += 1;
                while plan.permits == 0 {
                    plan = self.inner.1.wait(plan).unwrap_or_else(PoisonError::into_inner);
                }
                plan.permits -= 1;
                plan.blocked -= 1;
                match behaviour {
                    Behaviour::BlockErr(kind) => Err(FakeError(kind)),
                    _ => Ok(()),
                }
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
