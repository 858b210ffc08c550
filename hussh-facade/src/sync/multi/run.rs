//! A call under way on many hosts, and the threads that do it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ssh_session::{ConnectProblem, Session as _, SshError, Target};

use super::work::Fleet;
use crate::Error;
use crate::forked::ForkGuard;
use crate::multi::{HostResult, MultiResult, Plan, Planned, Succeeds, Tally, panicked};
use crate::sync::Library;

/// A call under way on many hosts: an iterator of what became of each, as it comes.
/// [`wait`](Self::wait) has all of it, in the order in which the hosts were given.
///
/// Dropped before its end, nothing more is begun, and what runs is ended, without waiting for that:
/// commands are killed as far as their servers allow, within 100 ms; connections on which files are
/// transferred are closed. A host that is just being connected to may still be for up to its time, and
/// its connection is kept for later.
///
/// Results that nobody fetches hold up the hosts whose turn it has not been yet.
#[must_use = "dropping it ends the call"]
pub struct MultiRun<T> {
    running: ForkGuard<Running<T>>,
    hosts: Arc<[Target]>,
}

struct Running<T> {
    results: Receiver<HostResult<T>>,
    cancel: Box<dyn Fn() + Send>,
}

impl<T> MultiRun<T> {
    /// The hosts of the call, in their order.
    pub fn hosts(&self) -> &[Target] {
        &self.hosts
    }
}

impl<T: Succeeds> MultiRun<T> {
    /// Waits for all hosts.
    pub fn wait(self) -> MultiResult<T> {
        MultiResult::new(self.collect())
    }
}

impl<T> Iterator for MultiRun<T> {
    type Item = HostResult<T>;

    /// Waits for the next host that is done; `None` where all are.
    fn next(&mut self) -> Option<HostResult<T>> {
        // A process that was forked off has none of the threads.
        self.running.get()?.results.recv().ok()
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        (self.cancel)();
    }
}

impl<T> fmt::Debug for MultiRun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRun").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

/// Whether a call is still wanted, and what is to be closed where it is not.
pub(super) struct Wanted<L: Library> {
    cancelled: AtomicBool,
    /// Whose operations can only be ended with them.
    closing: Mutex<Vec<Arc<L::Session>>>,
}

impl<L: Library> Wanted<L> {
    fn new() -> Self {
        Self { cancelled: AtomicBool::new(false), closing: Mutex::new(Vec::new()) }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.cancelled.load(Ordering::SeqCst)
    }

    /// Does something on a session that is closed if the call is not wanted any more.
    pub(super) fn on<R>(&self, session: &Arc<L::Session>, work: impl FnOnce() -> R) -> R {
        self.sessions().push(Arc::clone(session));
        if !self.is_wanted() {
            session.close();
        }
        let done = work();
        let mut sessions = self.sessions();
        if let Some(at) = sessions.iter().position(|one| Arc::ptr_eq(one, session)) {
            sessions.swap_remove(at);
        }
        done
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for session in self.sessions().drain(..) {
            session.close();
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Arc<L::Session>>> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the threads of a call share.
struct Call<L: Library, J, T> {
    fleet: Arc<Fleet<L>>,
    plan: Plan<J>,
    next: AtomicUsize,
    wanted: Arc<Wanted<L>>,
    tally: Tally,
    operate: Operate<L, J, T>,
}

/// What is done on each host.
pub(super) type Operate<L, J, T> = fn(&Fleet<L>, &Wanted<L>, &Planned<J>) -> Result<T, Error>;

/// Starts a call: a thread for each host, up to so many.
pub(super) fn start<L, J, T>(
    fleet: &Arc<Fleet<L>>,
    plan: Plan<J>,
    operate: Operate<L, J, T>,
) -> MultiRun<T>
where
    L: Library,
    J: Send + Sync + 'static,
    T: Succeeds + Send + 'static,
{
    let hosts = plan.targets();
    let threads = fleet.limits.hosts.min(hosts.len());
    let (sender, results) = sync_channel(threads.max(1));
    let wanted = Arc::new(Wanted::new());
    let tally = Tally::new(fleet.progress.clone(), hosts.len());
    let call = Arc::new(Call {
        fleet: Arc::clone(fleet),
        plan,
        next: AtomicUsize::new(0),
        wanted: Arc::clone(&wanted),
        tally,
        operate,
    });
    let fleet = Arc::clone(fleet);
    let cancel = Box::new(move || {
        wanted.cancel();
        fleet.connects.wake();
    });
    for number in 0..threads {
        let (worker, sender) = (Arc::clone(&call), sender.clone());
        let thread = thread::Builder::new().name("hussh-multi".into());
        match thread.spawn(move || worker.work(&sender)) {
            Ok(_) => {}
            // Those that could be started do it all.
            Err(_) if number > 0 => break,
            Err(error) => {
                let results = call.refused(&Arc::new(error));
                let running = Running { results, cancel };
                return MultiRun { running: ForkGuard::new(running), hosts };
            }
        }
    }
    MultiRun { running: ForkGuard::new(Running { results, cancel }), hosts }
}

impl<L: Library, J, T: Succeeds> Call<L, J, T> {
    /// Takes one host after another.
    fn work(&self, results: &SyncSender<HostResult<T>>) {
        while self.wanted.is_wanted() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(planned) = self.plan.hosts.get(index) else { return };
            let host = planned.target().clone();
            self.tally.started(&host);
            let operate = AssertUnwindSafe(|| (self.operate)(&self.fleet, &self.wanted, planned));
            let result = catch_unwind(operate).unwrap_or_else(|_| Err(panicked()));
            if !self.wanted.is_wanted() {
                return;
            }
            let result = HostResult { host, index, result };
            self.tally.ended(&result.host, result.success());
            if results.send(result).is_err() {
                return;
            }
        }
    }

    /// The results where this machine has no room for a single thread.
    fn refused(&self, source: &Arc<std::io::Error>) -> Receiver<HostResult<T>> {
        let (sender, results) = sync_channel(self.plan.hosts.len());
        for (index, planned) in self.plan.hosts.iter().enumerate() {
            let (host, source) = (planned.target().clone(), Arc::clone(source));
            let (target, problem) = (host.clone(), ConnectProblem::Other);
            let error = SshError::Connect { target, problem, source };
            // There is room for all.
            let _ = sender.try_send(HostResult { host, index, result: Err(error.into()) });
        }
        results
    }
}
