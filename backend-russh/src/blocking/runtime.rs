//! The private runtime, and how a thread waits for it.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use ssh_session::{ProcessId, SshError, Target, net};
use tokio::runtime::{self, Builder};

/// The runtime's threads. One would do for one session; two keep one that encrypts a lot from
/// delaying the others.
const THREADS: usize = 2;

/// A handle of the one private runtime.
#[derive(Debug, Clone)]
pub(super) struct Runtime(runtime::Handle);

/// Never ended, so that no drop has to wait for it.
static SHARED: Mutex<Option<(ProcessId, runtime::Runtime)>> = Mutex::new(None);

impl Runtime {
    /// The process's runtime, started if there is none yet.
    pub(super) fn shared(target: &Target) -> Result<Self, SshError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runtime)) = shared.as_ref().filter(|(home, _)| home.is_current()) {
            return Ok(Self(runtime.handle().clone()));
        }
        let runtime = start().map_err(|error| net::connect_error(target, error))?;
        let handle = runtime.handle().clone();
        // That of a process which we were forked from has no threads here, and shares its list of
        // watched sockets with the one there: it must not be ended.
        std::mem::forget(shared.replace((ProcessId::current(), runtime)));
        Ok(Self(handle))
    }
}

fn start() -> io::Result<runtime::Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("hussh-russh")
        .enable_all()
        .build()
}

/// Waits for what the runtime works on. `block_on` would panic on a thread of another runtime.
pub(super) fn wait<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    // For its timers and sockets; the work is polled here, and runs there.
    let _entered = runtime.0.enter();
    let alarm = Arc::new(Alarm { rang: AtomicBool::new(false), sleeper: thread::current() });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut context) {
            return result;
        }
        while !alarm.rang.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Wakes a thread that waits. Others may unpark it for reasons of their own.
struct Alarm {
    rang: AtomicBool,
    sleeper: Thread,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.sleeper.unpark();
    }
}
