//! One gate for all dials of a process to one address: sshd drops connections at random where too
//! many at once have not logged in yet (`MaxStartups`, 10:30:100), whoever's they are.
//!
//! Pools and single connections know nothing of each other; what they dial they dial through here.
//! A dial that a busy server has turned away comes again in its old place, after a pause.

mod queue;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use self::queue::{GateQueue, Outcome};
use crate::{Kind, Options, ProcessId, Route, SshError, Target};

/// The first pause before a busy server is dialled again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One address, as it is dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Address {
    host: String,
    port: u16,
    /// Behind the jump host of this name; names of another network may be others' here.
    via: Option<(String, u16)>,
    /// By connections that the caller makes, which lead wherever they like.
    transport: Option<u64>,
}

/// What a dial does about a server that is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// Comes again, in its old place, for as long as it has the time.
    ComeAgain,
    /// Says so: a pool tries again by itself, and tells those who wait why.
    SaySo,
}

/// The gates of this process that are in use.
struct Gates {
    home: ProcessId,
    gates: HashMap<Address, Weak<Gate>>,
}

static GATES: Mutex<Option<Gates>> = Mutex::new(None);

#[derive(Debug)]
struct Gate {
    address: Address,
    home: ProcessId,
    /// So that not all processes that a busy server turns away come again together.
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: GateQueue,
    wakers: HashMap<u64, Waker>,
    /// Let in, but they have not seen it yet.
    admitted: BTreeSet<u64>,
}

/// A dial to one address, from its first attempt to its last.
#[derive(Debug)]
pub struct Dialling {
    gate: Arc<Gate>,
    ticket: u64,
    limit: usize,
}

/// Waits for the gate; dropped, it waits no longer. For threads, too: it needs no runtime.
#[derive(Debug)]
#[must_use = "it does nothing unless polled"]
pub struct Entering<'d> {
    dialling: &'d Dialling,
    waits: bool,
}

/// Somebody who may dial, until it is dropped.
#[derive(Debug)]
pub struct Admission<'d> {
    dialling: &'d Dialling,
    outcome: Outcome,
}

impl Dialling {
    /// A dial that comes behind all that came before. `hop` is the jump host that it goes through.
    pub fn new(options: &Options, hop: Option<&Target>) -> Self {
        let name = |target: &Target| (target.host().to_ascii_lowercase(), target.port());
        let (host, port) = name(&options.target);
        let transport = match &options.route {
            Route::Transport(transport) => Some(transport.number()),
            _ => None,
        };
        let gate = Gate::of(Address { host, port, via: hop.map(name), transport });
        let ticket = gate.lock().queue.arrive();
        Self { gate, ticket, limit: options.max_startups }
    }

    /// Those of a whole way: of each jump host, and of the target.
    pub fn for_route(options: &Options) -> Vec<Self> {
        let hops = match &options.route {
            Route::Jump(hops) => hops.as_slice(),
            _ => &[],
        };
        let vias = std::iter::once(None).chain(hops.iter().map(|hop| Some(&hop.target)));
        hops.iter().chain([options]).zip(vias).map(|(next, via)| Self::new(next, via)).collect()
    }

    /// Waits until no more are dialling the address than may, in the order of [`new`](Self::new).
    pub fn enter(&self) -> Entering<'_> {
        Entering { dialling: self, waits: false }
    }

    /// How long to wait until a busy server is dialled again, after so many attempts.
    pub fn pause(&self, attempts: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE);
        let mut hash = DefaultHasher::new();
        (self.gate.seed, self.ticket, attempts).hash(&mut hash);
        // From a half of it to all of it.
        doubled.mul_f64(0.5 + (hash.finish() % 1024) as f64 / 2048.0)
    }
}

impl<'d> Future for Entering<'d> {
    type Output = Admission<'d>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Admission<'d>> {
        let dialling = self.dialling;
        let ticket = dialling.ticket;
        let mut state = dialling.gate.lock();
        if !std::mem::replace(&mut self.waits, true) {
            state.queue.wait(ticket, dialling.limit);
        }
        let woken = state.admit();
        let admitted = state.admitted.remove(&ticket);
        if !admitted {
            state.wakers.insert(ticket, context.waker().clone());
        }
        self.waits = !admitted;
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        match admitted {
            true => Poll::Ready(Admission { dialling, outcome: Outcome::Over }),
            false => Poll::Pending,
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if !self.waits || !self.dialling.gate.is_current() {
            return;
        }
        let ticket = self.dialling.ticket;
        self.dialling.gate.change(|state| {
            state.wakers.remove(&ticket);
            // Or it was let in and never knew.
            match state.admitted.remove(&ticket) {
                true => state.queue.leave(Outcome::Over),
                false => state.queue.give_up(ticket),
            }
        });
    }
}

impl Admission<'_> {
    /// Lets the next one in, and says what came of the dial.
    pub fn leave<T>(mut self, result: &Result<T, SshError>) {
        self.outcome = match result {
            Ok(_) => Outcome::LoggedIn,
            Err(error) if error.kind() == Kind::Busy => Outcome::Busy,
            Err(_) => Outcome::Over,
        };
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.dialling.gate.is_current() {
            let outcome = self.outcome;
            self.dialling.gate.change(|state| state.queue.leave(outcome));
        }
    }
}

impl Gate {
    /// That of an address in this process; another one than that of the process it was forked from,
    /// whose dials are not ours.
    fn of(address: Address) -> Arc<Self> {
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        let home = ProcessId::current();
        let gates = match &mut *gates {
            Some(gates) if gates.home.is_current() => gates,
            // What is of the other process is left as it is.
            other => {
                std::mem::forget(other.replace(Gates { home, gates: HashMap::new() }));
                let Some(gates) = other else { unreachable!("it was put there") };
                gates
            }
        };
        let known = gates.gates.get(&address).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            // Ways that the caller makes are to be taken again alike.
            let seed = address.transport.map_or(u64::from(std::process::id()), |_| 0);
            let (queue, wakers, admitted) = (GateQueue::new(), HashMap::new(), BTreeSet::new());
            let state = Mutex::new(State { queue, wakers, admitted });
            let gate = Arc::new(Self { address: address.clone(), home, seed, state });
            gates.gates.insert(address, Arc::downgrade(&gate));
            gate
        })
    }

    /// Changes something, and wakes whoever is let in by it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let woken = state.admit();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether it is of this process: who knows who held its lock when this one was forked off.
    fn is_current(&self) -> bool {
        self.home.is_current()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that nobody dials is forgotten.
impl Drop for Gate {
    fn drop(&mut self) {
        if !self.is_current() {
            return;
        }
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gates) = gates.as_mut().filter(|gates| gates.home.is_current())
            && gates.gates.get(&self.address).is_some_and(|gate| gate.strong_count() == 0)
        {
            gates.gates.remove(&self.address);
        }
    }
}

impl State {
    /// Lets in whoever may go in, and says whom to wake, once nothing is locked.
    fn admit(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(ticket) = self.queue.admit() {
            self.admitted.insert(ticket);
            woken.extend(self.wakers.remove(&ticket));
        }
        woken
    }
}

#[cfg(test)]
mod tests;
