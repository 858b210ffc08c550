//! How an operation that hangs is ended from outside.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::panics::quietly;
use crate::sync::primitives::Mutex;

/// Ends a call that hangs: by shutting down a socket, say. Run on another thread, at most once.
pub type KillSwitch = Box<dyn FnOnce() + Send>;

/// The wish that an operation should end, from the pool to whoever runs it.
#[derive(Clone)]
pub struct Interrupt(Arc<Mutex<State>>);

enum State {
    /// Nobody wants it to end, and this is what would end it.
    Running(Option<KillSwitch>),
    /// A task waits to hear of it.
    Waiting(Waker),
    Interrupted,
}

impl Default for Interrupt {
    /// The wish of nobody.
    fn default() -> Self {
        Self::new()
    }
}

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Running(None))))
    }

    /// Says what ends the operation, in place of what was said before. Where it is to end already,
    /// that happens at once.
    pub fn on_interrupt(&self, end: impl FnOnce() + Send + 'static) {
        let end: KillSwitch = Box::new(end);
        let late = {
            let mut state = self.0.lock();
            match *state {
                State::Interrupted => Some(end),
                _ => match std::mem::replace(&mut *state, State::Running(Some(end))) {
                    State::Running(before) => before.map(|before| Box::new(|| drop(before)) as _),
                    _ => None,
                },
            }
        };
        if let Some(late) = late {
            quietly(late);
        }
    }

    /// Whether the operation is to end.
    pub fn is_interrupted(&self) -> bool {
        matches!(*self.0.lock(), State::Interrupted)
    }

    /// Ends the operation, as far as anybody said how.
    pub(crate) fn interrupt(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Interrupted);
        match before {
            State::Running(Some(end)) => drop(quietly(end)),
            State::Waiting(waker) => drop(quietly(|| waker.wake())),
            State::Running(None) | State::Interrupted => {}
        }
    }

    /// For tasks, which end an operation by dropping it.
    pub(crate) fn poll_interrupted(&self, cx: &Context<'_>) -> Poll<()> {
        // Cloning a waker, and dropping one, is somebody else's code.
        let waker = cx.waker().clone();
        let _replaced = {
            let mut state = self.0.lock();
            match *state {
                State::Interrupted => return Poll::Ready(()),
                _ => std::mem::replace(&mut *state, State::Waiting(waker)),
            }
        };
        Poll::Pending
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("interrupted", &self.is_interrupted()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting(count: &Arc<AtomicU32>) -> impl FnOnce() + Send + 'static {
        let count = Arc::clone(count);
        move || {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_was_said_last_ends_the_operation_once() {
        let (first, second) = (Arc::default(), Arc::default());
        let interrupt = Interrupt::new();
        interrupt.on_interrupt(counting(&first));
        interrupt.on_interrupt(counting(&second));
        assert!(!interrupt.is_interrupted());
        interrupt.interrupt();
        interrupt.interrupt();
        assert!(interrupt.is_interrupted());
        assert_eq!((first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn what_is_said_too_late_happens_at_once_and_may_panic() {
        let count = Arc::default();
        let interrupt = Interrupt::new();
        interrupt.interrupt();
        interrupt.on_interrupt(counting(&count));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        interrupt.on_interrupt(|| panic!("the kill switch panics"));
    }

    #[test]
    fn a_task_that_waits_is_woken() {
        let count = Arc::new(AtomicU32::new(0));
        struct Wake(Arc<AtomicU32>);
        impl std::task::Wake for Wake {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let waker = Waker::from(Arc::new(Wake(Arc::clone(&count))));
        let cx = Context::from_waker(&waker);
        let interrupt = Interrupt::new();
        assert!(interrupt.poll_interrupted(&cx).is_pending());
        interrupt.interrupt();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(interrupt.poll_interrupted(&cx).is_ready());
    }
}
