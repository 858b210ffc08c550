//! K7: a keyed pool with one key behaves, step for step, as a pool of its own.
//!
//! The same steps are played over a [`Core`] and over a [`KeyedCore`] whose total is not in the
//! way, by one player that knows only what both can do; everything that is said and can be seen
//! goes into two logs that must be equal.

use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::{Acquired, ConnectFailure, Core, LeaseId, Returned, SlotId, Taken, Task};
use pool_core::core::{Request, WaiterId};
use pool_core::keyed_core::{CoreMaker, KeyedCore};
use pool_core::{CloseReason, ErrorKind, KeyedConfig, Machine, Said};

use super::view::Session;
use super::{Back, KeyedOp, KeyedScript, KeyedSetup};
use crate::script::{End, Patience, Span};
use crate::{FakeError, FakeSession, SessionCounters};

/// The configuration of both.
pub type AloneSetup = KeyedSetup;

/// Plays a script given as bytes over both.
///
/// # Errors
///
/// The first step after which they differ, and how.
pub fn run_alone(bytes: &[u8]) -> Result<(), String> {
    let script = KeyedScript::from_bytes(bytes);
    play_alone(script.setup, &script.ops)
}

/// Plays steps over both.
///
/// # Errors
///
/// The first step after which they differ, and how.
pub fn play_alone(setup: AloneSetup, ops: &[KeyedOp]) -> Result<(), String> {
    let now = Instant::now();
    let share = setup.is_shared().then_some(Arc::clone as fn(&Session) -> Session);
    let single = match share {
        Some(share) => Core::shared(setup.per_key(), share, true),
        None => Core::new(setup.per_key(), true),
    };
    let config = KeyedConfig::new(setup.per_key(), 1_000_000).map_err(|error| error.to_string())?;
    let config = config.forget_after(Duration::MAX).turn(setup.turn);
    let mut keyed = KeyedCore::new(config, CoreMaker { share, observed: true, describe: None });
    let key = keyed.open_key(now).ok_or("no key")?;
    let mut single = Player::new(single, (), setup, now);
    let mut keyed = Player::new(keyed, key, setup, now);
    for (number, &op) in ops.iter().enumerate() {
        single.play(op);
        // Where a single pool would be looked at, the keyed one may have to be looked at before.
        keyed.play_at(op, single.now);
        if single.log != keyed.log {
            let steps = &ops[..=number];
            let (alone, one) = (&single.log, &keyed.log);
            return Err(format!("K7\n{setup:?}\n{steps:#?}\nalone: {alone}\nkeyed: {one}"));
        }
    }
    Ok(())
}

struct Player<M: Machine> {
    machine: M,
    key: M::Key,
    setup: KeyedSetup,
    truth: Arc<SessionCounters>,
    now: Instant,
    start: Instant,
    waiters: Vec<WaiterId>,
    held: Vec<(LeaseId, Session)>,
    running: Vec<Running>,
    /// What was said in the last step.
    log: String,
}

struct Running {
    slot: SlotId,
    name: &'static str,
    session: Option<Session>,
}

impl<M> Player<M>
where
    M: Machine<Session = Session, Error = FakeError>,
    M::Key: Copy,
{
    fn new(machine: M, key: M::Key, setup: KeyedSetup, now: Instant) -> Self {
        Self {
            machine,
            key,
            setup,
            truth: Arc::default(),
            now,
            start: now,
            waiters: Vec::new(),
            held: Vec::new(),
            running: Vec::new(),
            log: String::new(),
        }
    }

    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.log, "{what}");
    }

    fn core<R>(
        &mut self,
        input: impl FnOnce(&mut Core<Session, FakeError>, Instant) -> R,
    ) -> Option<R> {
        let now = self.now;
        self.machine.with_core(self.key, now, |core| input(core, now))
    }

    fn play_at(&mut self, op: KeyedOp, now: Instant) {
        match op {
            KeyedOp::Wait(_) | KeyedOp::Tick(_) => self.now = now,
            _ => {}
        }
        self.apply(op);
        self.look();
    }

    fn play(&mut self, op: KeyedOp) {
        if let KeyedOp::Wait(span) | KeyedOp::Tick(span) = op {
            let due = self.machine.poll_timeout();
            self.now = match span {
                Span::Ahead(by) => self.now + by,
                // A clock that went back makes checks needless that were due. The single pool
                // sees that at this tick, the keyed one when it next looks at the key: no promise
                // is about that, and K1 to K6 hold with such clocks.
                Span::Back(_) => self.now,
                Span::Due | Span::AlmostDue => due.map_or(self.now, |at| at.max(self.now)),
            };
        }
        self.apply(op);
        self.look();
    }

    /// Writes down what was said, and what can be seen.
    fn look(&mut self) {
        while let Some((_, said)) = self.machine.poll_notice() {
            match said {
                Said::Core(notice) => self.say(format_args!("{notice:?}")),
                Said::Forgotten => {}
            }
        }
        let seen = self.machine.look(self.key, |core| {
            (core.stats(), core.queue().collect::<Vec<_>>(), core.phases().collect::<Vec<_>>())
        });
        let drained = self.machine.is_drained();
        self.say(format_args!("{seen:?} drained: {drained}"));
    }

    fn apply(&mut self, op: KeyedOp) {
        self.log.clear();
        match op {
            KeyedOp::Acquire(_, patience) => self.acquire(patience),
            KeyedOp::Take(n) => self.take(n),
            KeyedOp::TakeAll => (0..self.waiters.len()).for_each(|_| self.take(0)),
            KeyedOp::Cancel(n) => {
                if let Some(nth) = pick(n, self.waiters.len()) {
                    let id = self.waiters.remove(nth);
                    self.core(|core, now| core.cancel(id, now));
                }
            }
            KeyedOp::Release(n, back) => self.release(n, back),
            KeyedOp::Replace(n) | KeyedOp::Mark(n) => {
                if let Some(&(lease, _)) = pick(n, self.held.len()).and_then(|n| self.held.get(n)) {
                    self.core(|core, now| core.mark_broken(lease, CloseReason::Marked, now));
                }
            }
            KeyedOp::Detach(n) => {
                if let Some(nth) = pick(n, self.held.len()).filter(|_| !self.setup.is_shared()) {
                    let (lease, _kept) = self.held.remove(nth);
                    self.core(|core, now| core.detach(lease, now));
                }
            }
            KeyedOp::Start => drop(self.start()),
            KeyedOp::StartAll => while self.start() {},
            KeyedOp::Finish(n, end) => {
                if let Some(nth) = pick(n, self.running.len()) {
                    self.finish(nth, end);
                }
            }
            KeyedOp::FinishAll => {
                while !self.running.is_empty() {
                    self.finish(0, End::Ok);
                }
            }
            KeyedOp::Warm(_, n) => {
                let _ = self.core(|core, _| core.warm(usize::from(n)));
            }
            KeyedOp::Resize(_, n) => {
                let _ = self.core(|core, now| core.resize(usize::from(n), now));
            }
            KeyedOp::Evict(_) | KeyedOp::EvictAll => {
                let _ = self.core(Core::evict_all);
            }
            KeyedOp::Add(_) => {
                let session = Arc::new(FakeSession::new(&self.truth));
                let added = self.core(|core, now| core.add(session, now).is_ok());
                self.say(format_args!("added: {added:?}"));
            }
            KeyedOp::Close => self.machine.close(self.now),
            KeyedOp::Tick(_) => self.machine.handle_timeout(self.now),
            KeyedOp::Wait(_) | KeyedOp::Open(_) | KeyedOp::Look(_) | KeyedOp::ResizeTotal(_) => {}
        }
    }

    fn acquire(&mut self, patience: Patience) {
        let millis = |n: u8| Duration::from_millis(u64::from(n));
        let deadline = match patience {
            Patience::Endless => None,
            Patience::None | Patience::Past => Some(self.now),
            Patience::Millis(n) => Some(self.now + millis(n)),
        };
        let site = Location::caller();
        let request = Request { arrived: self.now, deadline, site, ticket: None };
        match self.core(|core, now| core.acquire(request, now)) {
            Some(Acquired::Ready(lease)) => self.lend(lease.id, lease.ticket, lease.session),
            Some(Acquired::Waiting(id)) => {
                self.say(format_args!("waiting {id:?}"));
                self.waiters.push(id);
            }
            other => self.say(format_args!("{other:?}")),
        }
    }

    fn lend(&mut self, id: LeaseId, ticket: u64, session: Session) {
        self.say(format_args!("lease {id:?} ticket {ticket} session {}", session.id));
        self.held.push((id, session));
    }

    fn take(&mut self, n: u8) {
        let Some(nth) = pick(n, self.waiters.len()) else { return };
        let id = self.waiters.remove(nth);
        match self.core(|core, now| core.take(id, now)) {
            Some(Taken::Ready(lease)) => self.lend(lease.id, lease.ticket, lease.session),
            Some(Taken::Pending) => {
                self.say(format_args!("pending"));
                self.waiters.push(id);
            }
            other => self.say(format_args!("{other:?}")),
        }
    }

    fn release(&mut self, n: u8, back: Back) {
        let Some(nth) = pick(n, self.held.len()) else { return };
        let (lease, session) = self.held.remove(nth);
        let shared = self.setup.is_shared();
        let state = match back {
            Back::Refused if shared => Returned::Refused,
            Back::Clean | Back::Refused => Returned::Clean,
            Back::Dirty => Returned::NeedsReset,
            Back::Broken => Returned::Broken(CloseReason::Marked),
        };
        let session = (!shared).then_some(session);
        self.core(|core, now| core.release(lease, session, state, now));
    }

    fn start(&mut self) -> bool {
        // As the fronts do before they ask for work.
        self.machine.handle_timeout(self.now);
        let told = self.machine.has_task(self.now);
        let Some((_, task)) = self.machine.poll_task(self.now) else { return false };
        if !told {
            self.say(format_args!("not announced"));
        }
        let slot = task.slot();
        let start = self.start;
        let at = |deadline: Option<Instant>| deadline.map(|at| at - start);
        let (name, session, what) = match task {
            Task::Connect { deadline, .. } => ("connect", None, format!("{:?}", at(deadline))),
            Task::Check { purpose, session, deadline, .. } => {
                ("check", Some(session), format!("{purpose:?} {:?}", at(deadline)))
            }
            Task::Reset { session, deadline, .. } => {
                ("reset", Some(session), format!("{:?}", at(deadline)))
            }
            Task::Close { session, reason, deadline, .. } => {
                ("close", Some(session), format!("{reason:?} {:?}", at(deadline)))
            }
        };
        self.say(format_args!("{name} {slot:?} {what}"));
        self.running.push(Running { slot, name, session });
        true
    }

    fn finish(&mut self, nth: usize, end: End) {
        let Running { slot, name, session } = self.running.remove(nth);
        let shared = self.setup.is_shared();
        let new =
            (name == "connect" && end == End::Ok).then(|| Arc::new(FakeSession::new(&self.truth)));
        let well = end == End::Ok;
        self.core(|core, now| match (name, end) {
            ("connect", End::Ok) => new.into_iter().for_each(|s| core.connected(slot, s, now)),
            ("connect", End::Fail(kind)) => {
                core.connect_failed(slot, kind, ConnectFailure::Error(FakeError(kind)), now);
            }
            ("connect", End::Lost) => {
                let failure = ConnectFailure::Panicked;
                core.connect_failed(slot, ErrorKind::Transient, failure, now);
            }
            ("close", _) => core.closed(slot, now),
            (_, End::Lost) => {
                drop(session);
                core.lost(slot, now);
            }
            ("check", _) => core.checked(slot, session.filter(|_| !shared), well, now),
            _ => core.reset_done(slot, session.filter(|_| !shared), well, now),
        });
    }
}

fn pick(n: u8, of: usize) -> Option<usize> {
    usize::from(n).checked_rem(of)
}
