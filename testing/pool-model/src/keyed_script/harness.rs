//! The player of scripts: the books, the world around them, and the model beside them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::{LeaseId, Notice, Purpose, Request, SlotId, WaiterId};
use pool_core::keyed_core::{CoreMaker, KeyId, KeyedCore};
use pool_core::{CloseReason, Event, Machine, Said};

use super::shares::Shares;
use super::view::{Session, View};
use super::{KeyedOp, KeyedSetup, KeyedViolation};
use crate::script::Span;
use crate::script::violation::Checked;
use crate::{FakeError, SessionCounters};

/// Plays a script step by step, and checks all that can be checked after each.
#[derive(Debug)]
pub struct KeyedHarness {
    pub(super) setup: KeyedSetup,
    steps: Vec<KeyedOp>,
    pub(super) core: KeyedCore<Session, FakeError>,
    pub(super) truth: Arc<SessionCounters>,
    pub(super) now: Instant,
    /// The clock was set back once.
    pub(super) went_back: bool,
    pub(super) total: usize,
    pub(super) closed: bool,
    pub(super) drained: u32,
    pub(super) ends: u32,
    pub(super) ended: bool,
    pub(super) names: Vec<Name>,
    /// All keys that were ever known.
    pub(super) seen: HashSet<KeyId>,
    pub(super) waiters: Vec<Waiting>,
    pub(super) held: Vec<Held>,
    pub(super) running: Vec<Running>,
    pub(super) detached: Vec<Session>,
    pub(super) view: View,
    pub(super) news: News,
    pub(super) shares: Shares,
    /// Sessions that were displaced while idle, in all.
    pub(super) displaced: u64,
}

/// What the model knows of a key.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) id: Option<KeyId>,
    pub(super) used: bool,
    /// Since when it could be forgotten: it is quiet, and nobody has used it later.
    pub(super) quiet_since: Option<Instant>,
    /// The same, and it does not want a session either.
    pub(super) idle_since: Option<Instant>,
    /// In this step.
    pub(super) touched: bool,
    pub(super) max_size: usize,
    /// So many sessions somebody waits to be opened.
    pub(super) warm: usize,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) name: usize,
    pub(super) key: KeyId,
    pub(super) id: WaiterId,
    pub(super) request: Request,
    pub(super) woken: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: usize,
    pub(super) key: KeyId,
    pub(super) id: LeaseId,
    pub(super) session: Session,
    pub(super) ticket: u64,
    pub(super) request: Request,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) key: KeyId,
    pub(super) slot: SlotId,
    pub(super) work: Work,
    pub(super) session: Option<Session>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Connect,
    Check(Purpose),
    Reset,
    Close,
}

/// What the books said in the last step.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) closed: Vec<(KeyId, u64, CloseReason)>,
    pub(super) forgotten: Vec<KeyId>,
}

impl KeyedHarness {
    /// No key, and nobody around.
    pub fn new(setup: KeyedSetup) -> Self {
        let share = setup.is_shared().then_some(Arc::clone as fn(&Session) -> Session);
        let make = CoreMaker { share, observed: true, describe: None };
        let core = KeyedCore::new(setup.config(), make);
        let now = Instant::now();
        let name = |_| Name {
            id: None,
            used: false,
            quiet_since: None,
            idle_since: None,
            touched: false,
            max_size: setup.max_size,
            warm: 0,
        };
        let view = View::read(&core, now);
        Self {
            setup,
            steps: Vec::new(),
            core,
            truth: Arc::default(),
            now,
            went_back: false,
            total: setup.total,
            closed: false,
            drained: 0,
            ends: 0,
            ended: false,
            names: (0..setup.keys).map(name).collect(),
            seen: HashSet::new(),
            waiters: Vec::new(),
            held: Vec::new(),
            running: Vec::new(),
            detached: Vec::new(),
            view,
            news: News::default(),
            shares: Shares::default(),
            displaced: 0,
        }
    }

    /// Does one thing and checks every invariant after it.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn step(&mut self, op: KeyedOp) -> Result<(), KeyedViolation> {
        self.steps.push(op);
        self.shares.one_input = op.has_one_input();
        let done = self.apply(op);
        self.blame(done)
    }

    /// Brings the books to rest: everybody is served; then closes the pool, or has all keys
    /// forgotten, and looks whether anything is left.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn finish(mut self) -> Result<(), KeyedViolation> {
        let done = self.wind_down();
        self.blame(done)
    }

    fn blame(&self, done: Checked) -> Result<(), KeyedViolation> {
        done.map_err(|violation| KeyedViolation {
            invariant: violation.0,
            detail: violation.1,
            setup: Box::new(self.setup),
            steps: self.steps.clone(),
        })
    }

    fn apply(&mut self, op: KeyedOp) -> Checked {
        match op {
            KeyedOp::Acquire(key, patience) => self.acquire(key, patience),
            KeyedOp::Take(n) => self.take_nth(n),
            KeyedOp::TakeAll => self.take_all(),
            KeyedOp::Cancel(n) => self.cancel(n),
            KeyedOp::Release(n, back) => self.release(n, back),
            KeyedOp::Replace(n) => self.replace(n),
            KeyedOp::Detach(n) => self.detach(n),
            KeyedOp::Mark(n) => self.mark(n),
            KeyedOp::Start => self.start().map(drop),
            KeyedOp::StartAll => self.start_all(),
            KeyedOp::Finish(n, end) => self.finish_nth(n, end),
            KeyedOp::FinishAll => self.finish_all(),
            KeyedOp::Open(key) => self.open(key),
            KeyedOp::Look(key) => self.look(key),
            KeyedOp::Warm(key, n) => self.warm(key, usize::from(n)),
            KeyedOp::Resize(key, n) => self.resize(key, usize::from(n)),
            KeyedOp::ResizeTotal(n) => self.resize_total(usize::from(n)),
            KeyedOp::Evict(key) => self.evict(key),
            KeyedOp::EvictAll => self.evict_all(),
            KeyedOp::Add(key) => self.add(key),
            KeyedOp::Close => self.close(),
            KeyedOp::Wait(span) => {
                self.pass(span);
                Ok(())
            }
            KeyedOp::Tick(span) => {
                self.pass(span);
                self.tick()
            }
        }
    }

    fn pass(&mut self, span: Span) {
        let due = self.core.poll_timeout();
        let moved = match span {
            Span::Ahead(by) => self.now.checked_add(by),
            Span::Back(by) => self.now.checked_sub(by),
            Span::Due => due.map(|at| at.max(self.now)),
            Span::AlmostDue => {
                let almost = due.and_then(|at| at.checked_sub(Duration::from_nanos(1)));
                almost.map(|at| at.max(self.now))
            }
        };
        let moved = moved.unwrap_or(self.now);
        self.went_back |= moved < self.now;
        self.now = moved;
    }

    /// Reads what the books said and what became of them, then checks the rules. Each call is
    /// followed by this. Returns what there was before.
    pub(super) fn observe(&mut self) -> Checked<View> {
        self.news.closed.clear();
        self.news.forgotten.clear();
        while self.core.has_notice() {
            let Some((key, said)) = self.core.poll_notice() else { break };
            match said {
                Said::Core(Notice::Wake(id)) => {
                    let waiter = self.waiters.iter_mut().find(|w| w.key == key && w.id == id);
                    ensure!(waiter.is_some(), "I13", "{key:?} woke somebody unknown");
                    waiter.into_iter().for_each(|waiter| waiter.woken = true);
                }
                Said::Core(Notice::Event(Event::Closed { session, reason, .. })) => {
                    self.news.closed.push((key, session, reason));
                }
                Said::Core(Notice::Drained) => self.drained += 1,
                Said::Core(_) => {}
                Said::Forgotten => self.news.forgotten.push(key),
            }
        }
        let view = View::read(&self.core, self.now);
        let before = std::mem::replace(&mut self.view, view);
        self.check_rules(&before)?;
        Ok(before)
    }

    /// By key, how many of ours are under way there.
    pub(super) fn uses(&self) -> HashMap<KeyId, usize> {
        let mut uses = HashMap::new();
        let all = self.waiters.iter().map(|w| w.key).chain(self.held.iter().map(|h| h.key));
        for key in all {
            *uses.entry(key).or_default() += 1;
        }
        uses
    }
}
