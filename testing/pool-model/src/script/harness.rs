//! The player of scripts: a core, the world around it, and the model beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::{Core, LeaseId, Notice, Phase, SlotId, WaiterId};
use pool_core::{CloseReason, Event, Stats};

use super::books::Book;
use super::facts::{Facts, Held, Running, Tally, Waiting};
use super::gate::GateModel;
use super::handle::{Handle, Handles};
use super::keyed::Leave;
use super::limits::LimitModel;
use super::violation::Checked;
use super::{Op, Setup, Span, Violation};
use crate::{FakeError, SessionCounters};

/// Plays a script step by step, and checks all that can be checked after each.
#[derive(Debug)]
pub struct Harness {
    pub(super) setup: Setup,
    steps: Vec<Op>,
    pub(super) core: Core<Handle, FakeError>,
    pub(super) truth: Arc<SessionCounters>,
    pub(super) handles: Arc<Handles>,
    /// Handles that the harness dropped; the core must not drop any.
    pub(super) dropped: u64,
    pub(super) now: Instant,
    /// The latest time the core was told.
    pub(super) latest: Instant,
    /// The clock was set back once.
    pub(super) went_back: bool,
    /// Errors so far that end waits.
    pub(super) hopeless: u64,
    pub(super) max_size: usize,
    pub(super) closed: bool,
    pub(super) drained: u32,
    ends: u32,
    pub(super) arrivals: u64,
    pub(super) waiters: Vec<Waiting>,
    pub(super) held: Vec<Held>,
    pub(super) looks: Vec<(SlotId, Handle)>,
    pub(super) running: Vec<Running>,
    /// The slot whose task has just ended.
    pub(super) ended: Option<SlotId>,
    pub(super) detached: Vec<Handle>,
    /// By the id of the session.
    pub(super) facts: HashMap<u64, Facts>,
    /// Which session lives in a slot.
    pub(super) home: HashMap<SlotId, u64>,
    pub(super) seen: HashSet<SlotId>,
    /// The numbers of all sessions so far.
    pub(super) numbers: HashSet<u64>,
    pub(super) gone_waiter: Option<WaiterId>,
    pub(super) gone_slot: Option<SlotId>,
    pub(super) gone_lease: Option<LeaseId>,
    pub(super) gate: GateModel,
    pub(super) limits: LimitModel,
    /// Somebody who never waits found nothing, and no connect has started since.
    pub(super) vain: bool,
    /// So many sessions are wanted to be open.
    pub(super) warm: usize,
    pub(super) leave: Leave,
    pub(super) tally: Tally,
    /// The books after the last step.
    pub(super) book: Book,
    pub(super) news: News,
}

/// What the core said in the last step.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) woken: Vec<WaiterId>,
    /// Which session, why, at what age.
    pub(super) closed: Vec<(u64, CloseReason, Duration)>,
    pub(super) interrupted: Vec<SlotId>,
    /// How many borrowers were told to have no session.
    pub(super) not_acquired: u64,
    /// Of which session, for how long.
    pub(super) held_long: Vec<(u64, Duration)>,
    pub(super) learned: Option<usize>,
    /// Those who wait for sessions to be opened were told.
    pub(super) progress: bool,
}

impl Harness {
    /// An empty core and nobody around it.
    pub fn new(setup: Setup) -> Self {
        let mut core = match setup.shared {
            true => Core::shared(setup.config(), Handle::share, true),
            false => Core::new(setup.config(), true),
        };
        if setup.keyed {
            core.allow_connects(0);
        }
        let now = Instant::now();
        let book = Book::read(&core);
        Self {
            setup,
            steps: Vec::new(),
            core,
            truth: Arc::default(),
            handles: Arc::default(),
            dropped: 0,
            now,
            latest: now,
            went_back: false,
            hopeless: 0,
            max_size: setup.max_size,
            closed: false,
            drained: 0,
            ends: 0,
            arrivals: 0,
            waiters: Vec::new(),
            held: Vec::new(),
            looks: Vec::new(),
            running: Vec::new(),
            ended: None,
            detached: Vec::new(),
            facts: HashMap::new(),
            home: HashMap::new(),
            seen: HashSet::new(),
            numbers: HashSet::new(),
            gone_waiter: None,
            gone_slot: None,
            gone_lease: None,
            gate: GateModel::new(),
            limits: LimitModel::new(setup.leases()),
            vain: false,
            warm: 0,
            leave: Leave::new(setup.keyed),
            tally: Tally::default(),
            book,
            news: News::default(),
        }
    }

    /// Does one thing and checks every invariant after it.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn step(&mut self, op: Op) -> Result<(), Violation> {
        self.steps.push(op);
        let done = self.apply(op);
        self.blame(done)
    }

    /// Brings the core to rest: everybody is served, every session can be lent at once, and after
    /// `close` nothing is left.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn finish(mut self) -> Result<(), Violation> {
        let done = self.wind_down();
        self.blame(done)
    }

    /// Lets everything end well until nobody waits and all sessions are free.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn rest(&mut self) -> Result<(), Violation> {
        let done = self.come_to_rest();
        self.blame(done)
    }

    /// The core's own counts.
    pub fn stats(&self) -> Stats {
        self.book.stats
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many leases are out.
    pub fn lent(&self) -> usize {
        self.held.len()
    }

    fn blame(&self, done: Checked) -> Result<(), Violation> {
        done.map_err(|violation| Violation {
            invariant: violation.0,
            detail: violation.1,
            setup: Box::new(self.setup),
            steps: self.steps.clone(),
        })
    }

    fn apply(&mut self, op: Op) -> Checked {
        match op {
            Op::Acquire(patience) => self.acquire(patience),
            Op::Take(n) => self.take(n),
            Op::Cancel(n) => self.cancel(n),
            Op::Release(n, state) => self.release(n, state),
            Op::Replace(n) => self.replace(n),
            Op::Refuse(n, again) => self.refuse(n, again),
            Op::MarkBroken(n) => self.mark_broken(n),
            Op::Detach(n) => self.detach(n),
            Op::Start => self.start().map(drop),
            Op::StartAll => self.start_due(),
            Op::Finish(n, end) => self.end_task(n, end),
            Op::Resize(n) => self.resize(usize::from(n)),
            Op::EvictAll => self.evict_all(),
            Op::Add => self.add(),
            Op::Warm(n) => self.warm(usize::from(n)),
            Op::Inspect(n) => self.inspect(n),
            Op::Inspected(n, keep) => self.inspected(n, keep),
            Op::Close => self.close(),
            Op::Wait(span) => {
                self.pass(span);
                Ok(())
            }
            Op::Tick(span) => {
                self.pass(span);
                self.tick()
            }
            Op::Peek => self.peek(),
            Op::Stray(n) => self.stray(n),
            Op::Keyed(op) if self.setup.keyed => self.keyed(op),
            Op::Keyed(_) => Ok(()),
        }
    }

    pub(super) fn pass(&mut self, span: Span) {
        let moved = match span {
            Span::Ahead(by) => self.now.checked_add(by),
            Span::Back(by) => self.now.checked_sub(by),
            Span::Due => self.core.poll_timeout().map(|at| at.max(self.now)),
            Span::AlmostDue => {
                self.core.poll_timeout().and_then(|at| at.checked_sub(Duration::from_nanos(1)))
            }
        };
        let moved = moved.unwrap_or(self.now);
        self.went_back |= moved < self.now;
        self.now = moved;
    }

    /// Reads what the core said and what became of its books; then checks the rules. Each call of
    /// the core is followed by this. Returns the books from before.
    pub(super) fn observe(&mut self) -> Checked<Book> {
        self.latest = self.latest.max(self.now);
        self.gate.told(self.now);
        self.listen()?;
        let before = std::mem::replace(&mut self.book, Book::read(&self.core));
        self.notice_interrupts(&before);
        self.notice_slots(&before)?;
        self.notice_given_up(&before)?;
        self.notice_doubts(&before);
        let ended = |book: &Book| book.stats.closed && book.stats.open() + book.stats.orphans == 0;
        // Again where a session came late.
        self.ends += u32::from(ended(&self.book) && !ended(&before));
        ensure!(self.drained == self.ends, "I25", "drained was said {} times", self.drained);
        let outcomes = |book: &Book| {
            let c = &book.stats.counters;
            c.timed_out + c.cancelled + c.failed + c.overloaded + c.refused_closed
        };
        let (told, new) = (self.news.not_acquired, outcomes(&self.book) - outcomes(&before));
        ensure!(told == new, "I5", "{told} outcomes without a session told, {new} counted");
        let dropped = self.handles.dropped();
        ensure!(dropped == self.dropped, "I28", "the core dropped a session itself");
        self.check_rules(&before)?;
        self.ended = None;
        Ok(before)
    }

    fn listen(&mut self) -> Checked {
        self.news = News::default();
        while self.core.has_notice() {
            let Some(notice) = self.core.poll_notice() else { break };
            match notice {
                Notice::Wake(id) => self.news.woken.push(id),
                Notice::Event(Event::Closed { session, reason, age }) => {
                    self.news.closed.push((session, reason, age));
                }
                Notice::Event(Event::NotAcquired { .. }) => self.news.not_acquired += 1,
                Notice::Event(Event::HeldLong { session, held, .. }) => {
                    self.news.held_long.push((session, held));
                }
                Notice::Event(Event::LimitLearned { leases }) => self.news.learned = Some(leases),
                Notice::Event(_) => {}
                Notice::Progress => self.news.progress = true,
                Notice::Interrupt(slot) => self.news.interrupted.push(slot),
                Notice::Drained => self.drained += 1,
            }
        }
        let silent = !self.core.has_notice() && self.core.poll_notice().is_none();
        ensure!(silent, "I11", "a notice is left that was not announced");
        let learned = self.news.learned.is_none_or(|leases| leases == self.core.lease_limit());
        ensure!(learned, "I35", "told of {:?} leases", self.news.learned);
        let idle_talk = self.news.progress && self.warm == 0;
        ensure!(!idle_talk, "I20", "progress is told, though nobody waits for it");
        Ok(())
    }

    /// A failed check casts doubt on what was not verified since.
    fn notice_doubts(&mut self, before: &Book) {
        if self.book.stats.counters.check_failures == before.stats.counters.check_failures {
            return;
        }
        for entry in &before.slots {
            let Some(facts) = self.home.get(&entry.slot).and_then(|id| self.facts.get_mut(id))
            else {
                continue;
            };
            let with_core = self.setup.shared || entry.phase != Phase::Lent;
            let free = matches!(entry.phase, Phase::Idle | Phase::Lent | Phase::Reserved);
            if free && with_core && facts.verified < self.now {
                facts.doubtful = true;
                // Of what is asked already, the answer counts.
                facts.suspect |= entry.purpose.is_none();
            }
        }
    }
}
