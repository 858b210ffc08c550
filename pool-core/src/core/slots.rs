//! The book of sessions: a slab of slots, each in exactly one phase.

use std::time::{Duration, Instant};

use super::idle::Links;
use crate::event::CloseReason;

/// Names one slot for as long as one session lives in it. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SlotId {
    /// A number that no other session of this pool has, for logs and events.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Where a slot is. The pool's counts of sessions are the numbers of slots in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Free.
    Vacant,
    /// A connect is under way.
    Connecting,
    /// Can be lent; nobody has it.
    Idle,
    /// No lease is out, but at least one is promised.
    Reserved,
    /// Being asked for a sign of life while nobody has it; cannot be lent until it answers.
    Checking,
    /// At least one lease is out.
    Lent,
    /// Being cleaned of what its borrowers left.
    Resetting,
    /// Being closed; counts against the limit until that is done or given up.
    Closing,
    /// Being closed, and counts no more: it arrived after its slot had been given up.
    Orphan,
}

pub(super) const PHASES: usize = 9;

/// Why a session is asked for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A borrower waits for it.
    Lend,
    /// Its keepalive is due.
    Keepalive,
    /// A sibling failed, so it is suspect.
    Sweep,
    /// It is looked at, and not asked.
    Watch,
    /// A caller of `retain` looks at it.
    Inspect,
}

/// What a task does with a slot's session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    None,
    Check,
    Reset,
    Close,
}

#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) purpose: Purpose,
    pub(super) work: Work,
    /// Opened before the last `evict_all` when below the core's.
    pub(super) epoch: u32,
    /// The part of the time limits that this session gets, drawn at birth.
    pub(super) portion: f32,
    pub(super) suspect: bool,
    /// Close to its end, so its replacement may be opened already.
    aging: bool,
    /// In the upkeep queue.
    pub(super) queued: bool,
    /// Somebody used it without finding it broken, it answered a check, or lasted until a look.
    pub(super) proven: bool,
    /// Used since it was opened or last answered a check.
    pub(super) used: bool,
    /// A lease left something behind that a reset has to remove.
    pub(super) dirty: bool,
    /// Past its lifetime and lent all the same, until its successor is open.
    pub(super) overdue: bool,
    /// Being asked for a sign of life while leases are out.
    pub(super) asked: bool,
    /// Its operation was told to end.
    pub(super) interrupted: bool,
    /// Takes no further lease, and closes with its last one.
    pub(super) retiring: Option<CloseReason>,
    /// Leases out.
    pub(super) leases: u32,
    /// Leases promised to borrowers that have not collected them yet.
    pub(super) reserved: u32,
    /// The most leases at once, as far as is known of its peer.
    pub(super) limit: u32,
    /// How many borrowers its check may serve, and how many of them it probably will.
    may_serve: u32,
    promised: u32,
    pub(super) links: Links,
    /// How often it was lent.
    pub(super) uses: u64,
    /// Where the core owns it: idle, reserved, queued for a task, or shared.
    pub(super) session: Option<S>,
    /// Last use; start of the connect while there is no session.
    pub(super) since: Instant,
    /// Last use or answered check.
    pub(super) verified: Instant,
    /// When it was last looked at.
    pub(super) watched: Instant,
    pub(super) born: Instant,
    pub(super) expires_at: Option<Instant>,
    /// When the running operation is given up.
    pub(super) deadline: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Slots<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    counts: [usize; PHASES],
    /// Leases out, over all slots.
    pub(super) leases: usize,
    /// Leases promised, over all slots.
    pub(super) reserved: usize,
    /// Sessions with leases out that take no further one.
    pub(super) retiring: usize,
    /// Sessions past their lifetime that are still lent.
    pub(super) overdue: usize,
    /// Borrowers that the checks under way for them may serve, and those that probably will.
    lend_capacity: usize,
    promised: usize,
    aging_idle: usize,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            counts: [0; PHASES],
            leases: 0,
            reserved: 0,
            retiring: 0,
            overdue: 0,
            lend_capacity: 0,
            promised: 0,
            aging_idle: 0,
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
    pub(super) fn open(&mut self, phase: Phase, now: Instant, epoch: u32, portion: f32) -> u32 {
        let (index, generation) = match self.free.pop() {
            Some(index) => (index, self[index].generation),
            None => {
                self.slots.push(Slot::vacant(now));
                self.counts[Phase::Vacant as usize] += 1;
                (self.slots.len() as u32 - 1, 0)
            }
        };
        self[index] = Slot { generation, epoch, portion, ..Slot::vacant(now) };
        self.enter(index, phase);
        index
    }

    /// Frees a slot and outdates its id. What was left in it comes back.
    pub(super) fn vacate(&mut self, index: u32) -> Option<S> {
        self.unmark(index);
        self.enter(index, Phase::Vacant);
        let slot = &mut self[index];
        slot.generation = slot.generation.wrapping_add(1);
        let session = slot.session.take();
        self.free.push(index);
        session
    }

    /// Moves a slot to another phase: the only place where counts of sessions change.
    #[inline]
    pub(super) fn enter(&mut self, index: u32, phase: Phase) {
        let slot = &mut self.slots[index as usize];
        self.counts[slot.phase as usize] -= 1;
        self.counts[phase as usize] += 1;
        if slot.aging {
            self.aging_idle -= usize::from(slot.phase == Phase::Idle);
            self.aging_idle += usize::from(phase == Phase::Idle);
        }
        slot.phase = phase;
    }

    /// A check for borrowers begins: those that it may serve are counted as supplied.
    pub(super) fn begin_lend_check(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let room = slot.limit.saturating_sub(slot.load()).max(1);
        // A keepalive serves whoever comes meanwhile, but nobody has to wait for it where another
        // session can be checked.
        slot.may_serve = if slot.purpose == Purpose::Lend { room } else { 0 };
        slot.promised = if slot.suspect { 0 } else { room };
        self.lend_capacity += slot.may_serve as usize;
        self.promised += slot.promised as usize;
    }

    /// The slot of a check for borrowers carries fewer leases than it did.
    pub(super) fn recount_lend_check(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if slot.may_serve + slot.promised > 0 {
            self.end_lend_check(index);
            self.begin_lend_check(index);
        }
    }

    pub(super) fn end_lend_check(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        self.lend_capacity -= slot.may_serve as usize;
        self.promised -= slot.promised as usize;
        (slot.may_serve, slot.promised) = (0, 0);
    }

    /// Marks an idle session as close to its end.
    pub(super) fn enter_age(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.aging {
            slot.aging = true;
            self.aging_idle += 1;
        }
    }

    /// A session with leases out takes no further one.
    pub(super) fn mark_retiring(&mut self, index: u32, reason: CloseReason) {
        let slot = &mut self.slots[index as usize];
        if slot.retiring.replace(reason).is_none() {
            self.retiring += 1;
        }
        // It wants no successor any more: it has one, or goes for another reason.
        self.overdue -= usize::from(std::mem::take(&mut slot.overdue));
    }

    /// A session that is past its lifetime is lent once more.
    pub(super) fn mark_overdue(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        self.overdue += usize::from(!slot.overdue);
        slot.overdue = true;
    }

    /// Forgets what was decided for as long as leases are out.
    pub(super) fn unmark(&mut self, index: u32) -> Option<CloseReason> {
        let slot = &mut self.slots[index as usize];
        self.overdue -= usize::from(slot.overdue);
        slot.overdue = false;
        let reason = slot.retiring.take();
        self.retiring -= usize::from(reason.is_some());
        reason
    }

    pub(super) fn is_aging(&self, index: u32) -> bool {
        self.slots[index as usize].aging
    }

    /// Borrowers that checks under way may serve.
    pub(super) fn lend_capacity(&self) -> usize {
        self.lend_capacity
    }

    /// Those of them that will probably be served.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    pub(super) fn aging_idle(&self) -> usize {
        self.aging_idle
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

    #[inline]
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.counts[phase as usize]
    }

    /// Everything that counts against the limit.
    #[inline]
    pub(super) fn in_use(&self) -> usize {
        let apart = self.counts[Phase::Vacant as usize] + self.counts[Phase::Orphan as usize];
        self.slots.len() - apart
    }

    /// What counts against the limit and is not on its way out.
    pub(super) fn staying(&self) -> usize {
        self.in_use() - self.count(Phase::Closing) - self.retiring
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<S> {
        0..self.slots.len() as u32
    }

    pub(super) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = u32> + '_ {
        self.indices().filter(move |&index| self[index].phase == phase)
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

    #[inline]
    fn index(&self, index: u32) -> &Slot<S> {
        &self.slots[index as usize]
    }
}

impl<S> std::ops::IndexMut<u32> for Slots<S> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Slot<S> {
        &mut self.slots[index as usize]
    }
}

impl<S> Slot<S> {
    fn vacant(now: Instant) -> Self {
        Self {
            generation: 0,
            phase: Phase::Vacant,
            purpose: Purpose::Lend,
            work: Work::None,
            epoch: 0,
            portion: 1.0,
            suspect: false,
            aging: false,
            queued: false,
            proven: false,
            used: false,
            dirty: false,
            overdue: false,
            asked: false,
            interrupted: false,
            retiring: None,
            leases: 0,
            reserved: 0,
            limit: 1,
            may_serve: 0,
            promised: 0,
            links: Links::default(),
            uses: 0,
            session: None,
            since: now,
            verified: now,
            watched: now,
            born: now,
            expires_at: None,
            deadline: None,
        }
    }

    /// Leases out and promised.
    #[inline]
    pub(super) fn load(&self) -> u32 {
        self.leases + self.reserved
    }

    /// Whether one more lease may be added, as far as its phase and its limit go.
    #[inline]
    pub(super) fn is_lendable(&self) -> bool {
        let free = matches!(self.phase, Phase::Idle | Phase::Reserved | Phase::Lent);
        free && self.load() < self.limit && self.retiring.is_none() && !self.asked
    }

    /// A time limit as it applies to this session: never longer, and whole where the portion is.
    pub(super) fn shortened(&self, limit: Duration) -> Duration {
        // The part that goes is at most half of it, so not even `Duration::MAX` overflows.
        limit.saturating_sub(limit.mul_f64((1.0 - f64::from(self.portion)).clamp(0.0, 0.5)))
    }
}
