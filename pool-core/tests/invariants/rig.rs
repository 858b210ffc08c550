//! A core with a clock and the plainest of worlds around it, for scenarios told step by step.

#![allow(clippy::needless_pass_by_value, reason = "what is given back is gone")]

use std::panic::Location;
use std::time::{Duration, Instant};

use pool_core::core::{
    Acquired, ConnectFailure, Core, Lease, Notice, Purpose, Refusal, Request, Returned, SlotId,
    Taken, Task, WaiterId,
};
use pool_core::{CloseReason, Config, ConfigBuilder, ErrorKind, Event, Stats};

/// A core of numbered sessions.
pub(crate) struct Rig {
    pub(crate) core: Core<u32, &'static str>,
    pub(crate) now: Instant,
    pub(crate) born: u32,
    /// Reason and age of each session closed so far.
    pub(crate) closed: Vec<(CloseReason, Duration)>,
    pub(crate) drained: u32,
}

pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Rig {
    pub(crate) fn new(config: ConfigBuilder) -> Self {
        let config: Config = config.seed(Some(1)).build().unwrap();
        Self::of(Core::new(config, true))
    }

    /// The same with shared sessions.
    pub(crate) fn shared(config: ConfigBuilder) -> Self {
        let config: Config = config.seed(Some(1)).build().unwrap();
        Self::of(Core::shared(config, |session| *session, true))
    }

    fn of(core: Core<u32, &'static str>) -> Self {
        Self { core, now: Instant::now(), born: 0, closed: Vec::new(), drained: 0 }
    }

    pub(crate) fn stats(&mut self) -> Stats {
        while let Some(notice) = self.core.poll_notice() {
            match notice {
                Notice::Event(Event::Closed { reason, age, .. }) => self.closed.push((reason, age)),
                Notice::Drained => self.drained += 1,
                Notice::Wake(_) | Notice::Event(_) | Notice::Interrupt(_) | Notice::Progress => {}
            }
        }
        self.core.stats()
    }

    pub(crate) fn request(&self, patience: Option<Duration>) -> Request {
        let deadline = patience.map(|patience| self.now + patience);
        Request { arrived: self.now, deadline, site: Location::caller(), ticket: None }
    }

    pub(crate) fn ask(&mut self, patience: Option<Duration>) -> Acquired<u32, &'static str> {
        self.core.acquire(self.request(patience), self.now)
    }

    /// A borrower that has to wait.
    pub(crate) fn wait(&mut self) -> WaiterId {
        match self.ask(None) {
            Acquired::Waiting(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// A borrower that is served at once.
    pub(crate) fn get(&mut self) -> Lease<u32> {
        match self.ask(None) {
            Acquired::Ready(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn take(&mut self, id: WaiterId) -> Option<Lease<u32>> {
        match self.core.take(id, self.now) {
            Taken::Ready(lease) => Some(lease),
            Taken::Pending => None,
            Taken::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    pub(crate) fn refusal(&mut self, id: WaiterId) -> Refusal<&'static str> {
        match self.core.take(id, self.now) {
            Taken::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn release(&mut self, lease: Lease<u32>, state: Returned) {
        let left = self.core.release(lease.id, Some(lease.session), state, self.now);
        assert!(left.is_none());
    }

    pub(crate) fn pass(&mut self, by: Duration) {
        self.now += by;
        self.core.handle_timeout(self.now);
    }

    pub(crate) fn start(&mut self) -> Vec<Task<u32>> {
        std::iter::from_fn(|| self.core.poll_task(self.now)).collect()
    }

    /// The one task that there is to start.
    pub(crate) fn only_task(&mut self) -> Task<u32> {
        let mut tasks = self.start();
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    }

    pub(crate) fn start_connect(&mut self) -> SlotId {
        match self.only_task() {
            Task::Connect { slot, .. } => slot,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn connected(&mut self, slot: SlotId) {
        self.core.connected(slot, self.born, self.now);
        self.born += 1;
    }

    pub(crate) fn fail(&mut self, slot: SlotId, kind: ErrorKind) {
        let failure = ConnectFailure::Error("no");
        self.core.connect_failed(slot, kind, failure, self.now);
    }

    /// Ends a task well.
    pub(crate) fn end(&mut self, task: Task<u32>) {
        match task {
            Task::Connect { slot, .. } => self.connected(slot),
            Task::Check { slot, session, .. } => {
                self.core.checked(slot, Some(session), true, self.now);
            }
            Task::Reset { slot, session, .. } => {
                self.core.reset_done(slot, Some(session), true, self.now);
            }
            Task::Close { slot, .. } => self.core.closed(slot, self.now),
        }
    }

    /// Starts all tasks and ends them well, until there is none.
    pub(crate) fn work(&mut self) {
        loop {
            let tasks = self.start();
            if tasks.is_empty() {
                return;
            }
            tasks.into_iter().for_each(|task| self.end(task));
        }
    }

    /// Opens that many sessions by lending and returning them.
    pub(crate) fn warm(&mut self, sessions: usize) {
        for _ in 0..sessions {
            self.core.add(self.born, self.now).unwrap();
            self.born += 1;
        }
    }

    /// What is pinged now.
    pub(crate) fn pings(&mut self) -> Vec<(SlotId, u32)> {
        let tasks = self.start().into_iter();
        let ping = |task| match task {
            Task::Check { slot, purpose: Purpose::Keepalive, session, .. } => Some((slot, session)),
            _ => None,
        };
        tasks.filter_map(ping).collect()
    }
}
