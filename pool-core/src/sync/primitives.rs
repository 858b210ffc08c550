//! Locks and threads, replaced by loom's where loom checks the shell.

#[cfg(not(loom))]
use std::sync as imp;

#[cfg(loom)]
use loom::sync as imp;

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use imp::MutexGuard;
#[cfg(loom)]
pub(crate) use loom::thread_local;
#[cfg(not(loom))]
pub(crate) use std::{thread, thread_local};

/// Loom's own `unpark` is forgotten where its thread is about to lock something just then.
#[cfg(loom)]
pub(crate) mod thread {
    use std::sync::Arc;

    use loom::sync::Notify;
    pub(crate) use loom::thread::Builder;

    #[derive(Clone)]
    pub(crate) struct Thread(Arc<Notify>);

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new(Notify::new()));
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    pub(crate) fn park() {
        current().0.wait();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }
}

/// A mutex that cannot be poisoned: no code that could panic runs under it.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits, at most that long where a time is given.
    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        at_most: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        match at_most {
            None => self.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}
