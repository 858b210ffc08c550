//! A call under way on many hosts, and the tasks that do it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::{FutureExt as _, Stream};
use ssh_session::{SshError, Target};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::work::Fleet;
use crate::Error;
use crate::multi::{HostResult, MultiResult, Plan, Planned, Succeeds, Tally, panicked};

/// A call under way on many hosts: a stream of what became of each, as it comes.
/// [`wait`](Self::wait) has all of it, in the order in which the hosts were given.
///
/// Dropped before its end, nothing more is begun, and what runs is ended, without waiting for that:
/// commands are killed as far as their servers allow, transfers are given up.
///
/// Results that nobody fetches hold up the hosts whose turn it has not been yet.
#[must_use = "dropping it ends the call"]
pub struct AsyncMultiRun<T> {
    results: mpsc::Receiver<HostResult<T>>,
    hosts: Arc<[Target]>,
    /// Aborted when it is dropped.
    _tasks: JoinSet<()>,
}

impl<T> AsyncMultiRun<T> {
    /// The hosts of the call, in their order.
    pub fn hosts(&self) -> &[Target] {
        &self.hosts
    }

    /// Waits for the next host that is done; `None` where all are. Cancel-safe.
    pub async fn next(&mut self) -> Option<HostResult<T>> {
        self.results.recv().await
    }
}

impl<T: Succeeds> AsyncMultiRun<T> {
    /// Waits for all hosts. Dropping the future ends the call.
    pub async fn wait(mut self) -> MultiResult<T> {
        let mut hosts = Vec::with_capacity(self.hosts.len());
        while let Some(host) = self.next().await {
            hosts.push(host);
        }
        MultiResult::new(hosts)
    }
}

impl<T> Stream for AsyncMultiRun<T> {
    type Item = HostResult<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<HostResult<T>>> {
        self.results.poll_recv(cx)
    }
}

impl<T> fmt::Debug for AsyncMultiRun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMultiRun").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

/// Starts a call: a task for each host, up to so many.
pub(super) fn start<J, T, O>(
    fleet: &Arc<Fleet>,
    plan: Plan<J>,
    operate: O,
) -> Result<AsyncMultiRun<T>, Error>
where
    J: Send + Sync + 'static,
    T: Succeeds + Send + 'static,
    O: Operate<J, T>,
{
    let runtime = Handle::try_current()
        .map_err(|_| SshError::invalid("runtime", "is missing: call it within a tokio runtime"))?;
    let hosts = plan.targets();
    let tasks = fleet.limits.hosts.min(hosts.len());
    let (sender, results) = mpsc::channel(tasks.max(1));
    let call = Arc::new(Call {
        tally: Tally::new(fleet.progress.clone(), hosts.len()),
        fleet: Arc::clone(fleet),
        plan,
        next: AtomicUsize::new(0),
    });
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        set.spawn_on(work(Arc::clone(&call), operate, sender.clone()), &runtime);
    }
    Ok(AsyncMultiRun { results, hosts, _tasks: set })
}

/// What is done on each host.
pub(super) trait Operate<J, T>: Copy + Send + 'static {
    fn on(
        &self,
        fleet: &Fleet,
        planned: &Planned<J>,
    ) -> impl Future<Output = Result<T, Error>> + Send;
}

/// What the tasks of a call share.
struct Call<J> {
    fleet: Arc<Fleet>,
    plan: Plan<J>,
    next: AtomicUsize,
    tally: Tally,
}

/// Takes one host after another.
async fn work<J, T, O>(call: Arc<Call<J>>, operate: O, results: mpsc::Sender<HostResult<T>>)
where
    J: Send + Sync + 'static,
    T: Succeeds + Send + 'static,
    O: Operate<J, T>,
{
    loop {
        let index = call.next.fetch_add(1, Ordering::Relaxed);
        let Some(planned) = call.plan.hosts.get(index) else { return };
        let host = planned.target().clone();
        call.tally.started(&host);
        let result = AssertUnwindSafe(operate.on(&call.fleet, planned)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| Err(panicked()));
        let result = HostResult { host, index, result };
        call.tally.ended(&result.host, result.success());
        if results.send(result).await.is_err() {
            return;
        }
    }
}
