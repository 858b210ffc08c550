//! The book of leases: who has which session since when.

use std::panic::Location;
use std::time::Instant;

use super::deadlines::Deadlines;
use super::grow::grow;

/// Names one lease for as long as it is out. Never reused with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId {
    index: u32,
    generation: u32,
}

const OUT: u32 = 0xffff_fffe;
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    generation: u32,
    /// [`OUT`], or the next in the list of free records.
    next_free: u32,
    pub(super) slot: u32,
    pub(super) since: Instant,
    pub(super) site: &'static Location<'static>,
}

#[derive(Debug)]
pub(super) struct Leases {
    records: Vec<Record>,
    free: u32,
    /// When a lease is out for too long, where that is watched.
    pub(super) watch: Deadlines,
}

impl Default for Leases {
    fn default() -> Self {
        Self { records: Vec::new(), free: NONE, watch: Deadlines::default() }
    }
}

impl Leases {
    #[inline]
    pub(super) fn begin(
        &mut self,
        slot: u32,
        since: Instant,
        site: &'static Location<'static>,
        most: usize,
    ) -> LeaseId {
        if self.free == NONE {
            grow(&mut self.records, most);
            self.records.push(Record { generation: 0, next_free: NONE, slot, since, site });
            self.free = self.records.len() as u32 - 1;
        }
        let index = self.free;
        let record = &mut self.records[index as usize];
        self.free = record.next_free;
        *record = Record { generation: record.generation, next_free: OUT, slot, since, site };
        LeaseId { index, generation: record.generation }
    }

    /// Forgets a lease; `None` for one that has ended before.
    #[inline]
    pub(super) fn end(&mut self, id: LeaseId) -> Option<Record> {
        let record = self.records.get_mut(id.index as usize)?;
        if record.generation != id.generation || record.next_free != OUT {
            return None;
        }
        let ended = *record;
        record.generation = record.generation.wrapping_add(1);
        record.next_free = self.free;
        self.free = id.index;
        if !self.watch.is_empty() {
            self.watch.clear(id.index);
        }
        Some(ended)
    }

    pub(super) fn get(&self, id: LeaseId) -> Option<&Record> {
        let record = self.records.get(id.index as usize)?;
        (record.generation == id.generation && record.next_free == OUT).then_some(record)
    }

    pub(super) fn watch(&mut self, id: LeaseId, until: Instant) {
        self.watch.set(id.index, until);
    }

    /// The next lease that has been out for too long.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<Record> {
        let index = self.watch.pop_due(now)?;
        self.records.get(index as usize).copied()
    }

    /// The lease that has been out for longest.
    pub(super) fn oldest(&self) -> Option<&Record> {
        let out = self.records.iter().filter(|record| record.next_free == OUT);
        out.min_by_key(|record| record.since)
    }
}
