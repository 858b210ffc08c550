//! What can be seen of the books between two steps.

use std::sync::Arc;
use std::time::Instant;

use pool_core::core::{Phase, SlotId};
use pool_core::keyed_core::{KeyId, KeyedCore};
use pool_core::{CloseReason, Machine, Stats};

use crate::{FakeError, FakeSession};

/// Sessions may be shared.
pub(super) type Session = Arc<FakeSession>;

/// All keys, and what their cores say.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) keys: Vec<KeyView>,
    pub(super) due: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct KeyView {
    pub(super) id: KeyId,
    pub(super) stats: Stats,
    /// The ticket of whoever is first in the queue.
    pub(super) front: Option<u64>,
    /// It has a session that stays, or one that is being opened.
    pub(super) stays: bool,
    /// A connect is due, as far as the key goes.
    pub(super) wants: bool,
    /// It has work to be run.
    pub(super) works: bool,
    /// Sessions that are not on their way out.
    pub(super) staying: usize,
    /// Those of them that no task works on.
    pub(super) spare: usize,
    /// Since when it has had an idle session that it can spare.
    pub(super) spare_since: Option<Instant>,
    /// Sessions that go with their last lease, and those of them that go for another key.
    pub(super) retiring: Vec<SlotId>,
    pub(super) displaced: Vec<SlotId>,
    /// A waiter or an outcome that nobody collected, a session, or something that hangs.
    pub(super) busy: bool,
}

impl View {
    pub(super) fn read(core: &KeyedCore<Session, FakeError>, now: Instant) -> Self {
        let keys = core.ids().into_iter().filter_map(|id| {
            let core = core.core(id)?;
            let stats = core.stats();
            let gone = |phase| matches!(phase, Phase::Vacant | Phase::Closing | Phase::Orphan);
            let stays = |(slot, phase): &_| !gone(*phase) && core.retiring(*slot).is_none();
            let free = |phase| matches!(phase, Phase::Idle | Phase::Reserved | Phase::Lent);
            let staying = core.phases().filter(stays);
            let retiring = core.phases().map(|(slot, _)| slot);
            let retiring = retiring.filter_map(|slot| Some((slot, core.retiring(slot)?)));
            let retiring: Vec<_> = retiring.collect();
            let displaced = retiring.iter().filter(|(_, why)| *why == CloseReason::Displaced);
            let spare = core.phases().filter(stays).filter(|(_, phase)| free(*phase)).count();
            Some(KeyView {
                id,
                stats,
                front: core.front_ticket(),
                stays: core.opened() + stats.connecting > 0,
                wants: core.wants_connect(now),
                works: core.has_task(now),
                staying: staying.count(),
                spare,
                spare_since: core.spare_since(),
                displaced: displaced.map(|(slot, _)| *slot).collect(),
                retiring: retiring.iter().map(|(slot, _)| *slot).collect(),
                busy: stats.open() + stats.orphans + stats.waiting + stats.hung() > 0,
            })
        });
        Self { keys: keys.collect(), due: core.poll_timeout() }
    }

    pub(super) fn key(&self, id: KeyId) -> Option<&KeyView> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn sum(&self, of: impl Fn(&Stats) -> usize) -> usize {
        self.keys.iter().map(|key| of(&key.stats)).sum()
    }

    pub(super) fn staying(&self) -> usize {
        self.keys.iter().map(|key| key.staying).sum()
    }

    pub(super) fn spare(&self) -> usize {
        self.keys.iter().map(|key| key.spare).sum()
    }

    pub(super) fn open(&self) -> usize {
        self.sum(Stats::open)
    }

    /// Keys that could use a place for somebody who waits: whether they have a session that stays,
    /// and that borrower's ticket.
    pub(super) fn starving(&self) -> impl Iterator<Item = ((bool, u64), KeyId)> + '_ {
        let starving = self.keys.iter().filter(|key| key.wants);
        starving.filter_map(|key| Some(((key.stays, key.front?), key.id)))
    }
}
