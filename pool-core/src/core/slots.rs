//! The book of sessions: a slab of slots, each in exactly one phase, and the list of idle ones.

use std::panic::Location;
use std::time::{Duration, Instant};

use super::waiters::WaiterId;

/// Names one slot for as long as one session lives in it. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Where a slot is. The pool's counts are the numbers of slots in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Free.
    Vacant,
    /// A connect is under way.
    Connecting,
    /// Can be lent.
    Idle,
    /// Waits for the borrower that it was promised to.
    Reserved,
    /// Being asked for a sign of life; cannot be lent until it answers.
    Checking,
    /// A guard owns the session.
    Lent,
    /// Being cleaned of what its borrower left.
    Resetting,
    /// Being closed; counts against the limit until that is done or given up.
    Closing,
}

pub(super) const PHASES: usize = 8;

/// Why a slot is [`Phase::Checking`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A borrower waits for it.
    Lend,
    /// Its keepalive is due.
    Keepalive,
    /// A sibling failed, so it is suspect.
    Sweep,
    /// A caller of `retain` looks at it.
    Inspect,
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) purpose: Purpose,
    /// Opened before the last `evict_all` when below the core's.
    pub(super) epoch: u32,
    /// The share of the time limits that this session gets, drawn at birth.
    pub(super) share: f32,
    pub(super) suspect: bool,
    /// Close to its end, so its replacement may be opened already.
    aging: bool,
    /// In the upkeep queue.
    pub(super) queued: bool,
    /// Its check serves a borrower and will probably succeed, so it counts as supply.
    promised: bool,
    /// A task closes it now.
    pub(super) close_runs: bool,
    linked: bool,
    prev: u32,
    next: u32,
    /// Where the core owns it: idle, reserved, or queued for a task.
    pub(super) session: Option<S>,
    pub(super) waiter: Option<WaiterId>,
    /// Last use when idle, reserved or checking; start of the phase otherwise.
    pub(super) since: Instant,
    /// Last use or answered check.
    pub(super) verified: Instant,
    pub(super) born: Instant,
    pub(super) expires_at: Option<Instant>,
    /// When the running operation is given up.
    pub(super) deadline: Option<Instant>,
    pub(super) site: Option<&'static Location<'static>>,
}

#[derive(Debug)]
pub(super) struct Slots<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    counts: [usize; PHASES],
    lend_checks: usize,
    promised: usize,
    aging_idle: usize,
    head: u32,
    tail: u32,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; PHASES],
            lend_checks: 0,
            promised: 0,
            aging_idle: 0,
            head: NONE,
            tail: NONE,
        }
    }
}

impl<S> Slots<S> {
    /// Makes room for one more slot, and never for more than there may be.
    pub(super) fn reserve(&mut self, most: usize) {
        if self.free.is_empty() {
            grow(&mut self.slots, most);
        }
    }

    /// Takes a free slot, or a new one.
    pub(super) fn open(&mut self, phase: Phase, now: Instant, epoch: u32, share: f32) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                phase: Phase::Vacant,
                purpose: Purpose::Lend,
                epoch,
                share,
                suspect: false,
                aging: false,
                queued: false,
                promised: false,
                close_runs: false,
                linked: false,
                prev: NONE,
                next: NONE,
                session: None,
                waiter: None,
                since: now,
                verified: now,
                born: now,
                expires_at: None,
                deadline: None,
                site: None,
            });
            self.counts[Phase::Vacant as usize] += 1;
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.epoch = epoch;
        slot.share = share;
        (slot.suspect, slot.aging, slot.queued, slot.close_runs) = (false, false, false, false);
        (slot.since, slot.verified, slot.born) = (now, now, now);
        (slot.expires_at, slot.deadline, slot.site) = (None, None, None);
        self.enter(index, phase);
        index
    }

    /// Frees a slot and outdates its id. What was left in it comes back.
    pub(super) fn vacate(&mut self, index: u32) -> Option<S> {
        self.unlink(index);
        self.enter(index, Phase::Vacant);
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.waiter = None;
        self.free.push(index);
        slot.session.take()
    }

    /// Moves a slot to another phase: the only place where counts change.
    #[inline]
    pub(super) fn enter(&mut self, index: u32, phase: Phase) {
        let slot = &mut self.slots[index as usize];
        self.counts[slot.phase as usize] -= 1;
        self.counts[phase as usize] += 1;
        if slot.aging {
            self.aging_idle -= usize::from(slot.phase == Phase::Idle);
            self.aging_idle += usize::from(phase == Phase::Idle);
        }
        if slot.phase == Phase::Checking && slot.purpose == Purpose::Lend {
            self.lend_checks -= 1;
            self.promised -= usize::from(slot.promised);
        }
        slot.promised = false;
        slot.phase = phase;
    }

    /// Starts a check; one that will probably succeed for a borrower counts as supply.
    pub(super) fn enter_checking(&mut self, index: u32, purpose: Purpose) {
        self.enter(index, Phase::Checking);
        let slot = &mut self.slots[index as usize];
        slot.purpose = purpose;
        if purpose == Purpose::Lend {
            slot.promised = !slot.suspect;
            self.lend_checks += 1;
            self.promised += usize::from(slot.promised);
        }
    }

    /// Marks an idle session as close to its end.
    pub(super) fn enter_age(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.aging && slot.phase == Phase::Idle {
            slot.aging = true;
            self.aging_idle += 1;
        }
    }

    pub(super) fn is_aging(&self, index: u32) -> bool {
        self.slots[index as usize].aging
    }

    /// Checks that serve a borrower.
    pub(super) fn lend_checks(&self) -> usize {
        self.lend_checks
    }

    /// Those of them that will probably succeed.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    pub(super) fn aging_idle(&self) -> usize {
        self.aging_idle
    }

    /// Puts a slot into the idle list, which is ordered by last use, the newest first.
    #[inline]
    pub(super) fn link(&mut self, index: u32) {
        if self.slots[index as usize].linked {
            return;
        }
        let since = self.slots[index as usize].since;
        let (mut newer, mut older) = (NONE, self.head);
        while older != NONE && self.slots[older as usize].since > since {
            (newer, older) = (older, self.slots[older as usize].next);
        }
        let slot = &mut self.slots[index as usize];
        (slot.linked, slot.prev, slot.next) = (true, newer, older);
        match newer {
            NONE => self.head = index,
            _ => self.slots[newer as usize].next = index,
        }
        match older {
            NONE => self.tail = index,
            _ => self.slots[older as usize].prev = index,
        }
    }

    #[inline]
    pub(super) fn unlink(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.linked {
            return;
        }
        slot.linked = false;
        let (prev, next) = (slot.prev, slot.next);
        match prev {
            NONE => self.head = next,
            _ => self.slots[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => self.slots[next as usize].prev = prev,
        }
    }

    #[inline]
    pub(super) fn get(&self, id: SlotId) -> Option<u32> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.phase != Phase::Vacant).then_some(id.index)
    }

    #[inline]
    pub(super) fn id(&self, index: u32) -> SlotId {
        SlotId { index, generation: self[index].generation }
    }

    /// The idle session used last, or first where `newest` is false.
    #[inline]
    pub(super) fn first_idle(&self, newest: bool) -> Option<u32> {
        self.idle(newest).next()
    }

    /// The idle sessions from the one used last, or first where `newest` is false.
    #[inline]
    pub(super) fn idle(&self, newest: bool) -> impl Iterator<Item = u32> + '_ {
        let mut index = if newest { self.head } else { self.tail };
        std::iter::from_fn(move || {
            while index != NONE {
                let (found, slot) = (index, &self.slots[index as usize]);
                index = if newest { slot.next } else { slot.prev };
                // A keepalive leaves its session in the list; there are few of them.
                if slot.phase == Phase::Idle {
                    return Some(found);
                }
            }
            None
        })
    }

    #[inline]
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.counts[phase as usize]
    }

    /// Everything that counts against the limit.
    #[inline]
    pub(super) fn in_use(&self) -> usize {
        self.slots.len() - self.counts[Phase::Vacant as usize]
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<S> {
        0..self.slots.len() as u32
    }

    /// The lease that has been out for longest.
    pub(super) fn oldest_lease(&self) -> Option<&Slot<S>> {
        self.slots.iter().filter(|slot| slot.phase == Phase::Lent).min_by_key(|slot| slot.since)
    }
}

/// Makes room for one more, as a vector does by itself, but for `most` at most where that is enough.
pub(super) fn grow<T>(vec: &mut Vec<T>, most: usize) {
    if vec.len() == vec.capacity() {
        let doubled = most.saturating_sub(vec.len()).min(vec.len().max(4));
        vec.reserve_exact(doubled.max(1));
    }
}

impl<S> std::ops::Index<u32> for Slots<S> {
    type Output = Slot<S>;

    fn index(&self, index: u32) -> &Slot<S> {
        &self.slots[index as usize]
    }
}

impl<S> std::ops::IndexMut<u32> for Slots<S> {
    fn index_mut(&mut self, index: u32) -> &mut Slot<S> {
        &mut self.slots[index as usize]
    }
}

impl<S> Slot<S> {
    /// A time limit as it applies to this session: never longer, and whole where the share is.
    pub(super) fn shortened(&self, limit: Duration) -> Duration {
        // The part that goes is at most half of it, so not even `Duration::MAX` overflows.
        limit.saturating_sub(limit.mul_f64((1.0 - f64::from(self.share)).clamp(0.0, 0.5)))
    }
}
