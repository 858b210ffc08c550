//! Pools and what they lend, in processes that were forked off.
//!
//! A forked-off process has copies of its parent's pools, but none of the threads that serve them,
//! and locks that such a thread held stay locked for ever. So a copy is never touched, not even to
//! drop it: a pool is made anew where it is first used, and what was on loan is left as it is.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use ssh_session::ProcessId;

/// A value of one process: in any other it is forgotten instead of dropped.
pub(crate) struct ForkGuard<T> {
    home: ProcessId,
    /// There until the drop.
    value: Option<T>,
}

impl<T> ForkGuard<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { home: ProcessId::current(), value: Some(value) }
    }
}

impl<T> ForkGuard<T> {
    /// The value, in the process that it is of; it is not to be used afterwards.
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.home.is_current() { self.value.take() } else { None }
    }
}

impl<T> ForkGuard<T> {
    /// The value, if it is of this process and was not taken.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.home.is_current())
    }
}

impl<T> Deref for ForkGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for ForkGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for ForkGuard<T> {
    fn drop(&mut self) {
        if !self.home.is_current() {
            std::mem::forget(self.value.take());
        }
    }
}

type Make<P> = Arc<dyn Fn() -> Option<P> + Send + Sync>;

/// A pool, and how to make another one like it.
pub(crate) struct PerProcess<P> {
    pool: ForkGuard<P>,
    make: Make<P>,
    /// In a process that was forked off, or one forked off from that.
    anew: OnceLock<Box<Self>>,
}

impl<P> PerProcess<P> {
    pub(crate) fn new(pool: P, make: Make<P>) -> Self {
        Self { pool: ForkGuard::new(pool), make, anew: OnceLock::new() }
    }

    /// The pool of this process.
    pub(crate) fn here(&self) -> &P {
        if self.pool.home.is_current() {
            return &self.pool;
        }
        if let Some(anew) = self.anew.get() {
            return anew.here();
        }
        match (self.make)() {
            Some(pool) => {
                self.anew.get_or_init(|| Box::new(Self::new(pool, Arc::clone(&self.make)))).here()
            }
            // What made one pool makes another; if not, this one tells its borrowers so in time.
            None => &self.pool,
        }
    }
}

impl<P> fmt::Debug for PerProcess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}
