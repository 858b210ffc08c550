//! After each use of a core: what its key has, wants and can spare is entered anew, and what
//! follows from it for other keys is done.

use std::time::Instant;

use super::KeyedCore;
use super::entry::KeyId;
use crate::core::Notice;
use crate::domain::Said;

impl<S, E: Clone> KeyedCore<S, E> {
    /// Enters what a key has, wants and can spare, and does for others what follows from it.
    pub(super) fn settle(&mut self, index: u32, now: Instant) {
        self.enter(index, now);
        if self.staying > self.config.max_total {
            self.displace(index, 0, now);
        }
        if self.starved.is_empty() {
            self.turn_ends = None;
        } else {
            self.make_room(now);
        }
        self.note_drained();
    }

    pub(super) fn enter(&mut self, index: u32, now: Instant) {
        self.looks += 1;
        let entry = &mut self.entries[index as usize];
        let Some(core) = entry.core.as_mut() else { return };
        let key = KeyId { index, generation: entry.generation };
        while let Some(notice) = core.poll_notice() {
            if !matches!(notice, Notice::Drained) {
                self.notices.push_back((key, Said::Core(notice)));
            }
        }
        let (was, load) = (entry.load, core.load_on_total());
        self.open = self.open - was.open + load.open;
        self.closing = self.closing - was.closing + load.closing;
        self.staying = self.staying - was.staying() + load.staying();
        self.orphans = self.orphans - was.orphans + load.orphans;
        entry.load = load;
        while entry.displaced > load.retiring {
            entry.displaced -= 1;
            let came_back = self.displaced.iter().position(|(_, other)| *other == index);
            came_back.map(|place| self.displaced.remove(place));
        }
        match load.staying() {
            0 => entry.tenure = None,
            _ if load.spare > 0 => drop(entry.tenure.get_or_insert(now)),
            _ => {}
        }
        let (waits, wants) = (core.front_ticket(), core.wants_connect(now));
        if core.has_task(now) && !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(index);
        }
        if wants && waits.is_none() && !entry.is_wishing {
            entry.is_wishing = true;
            self.wishing.push_back(index);
        }
        let starved = waits.filter(|_| wants).map(|ticket| (load.staying() > 0, ticket));
        if entry.starved != starved {
            let before = std::mem::replace(&mut entry.starved, starved);
            before.map(|hunger| self.starved.remove(&(hunger, index)));
            starved.map(|hunger| self.starved.insert((hunger, index)));
        }
        let competes = waits.is_some() && load.spare > 0;
        let competing = entry.tenure.filter(|_| competes).map(|since| (load.staying(), since));
        if entry.competing != competing {
            let before = std::mem::replace(&mut entry.competing, competing);
            before.map(|(has, since)| self.competing.remove(&(has, since, index)));
            competing.map(|(has, since)| self.competing.insert((has, since, index)));
        }
        if let Some(since) = core.spare_since()
            && self.spare.at(index).is_none_or(|bound| since < bound)
        {
            self.spare.set(index, since);
        }
        let quiet = load.quiet && starved.is_none() && !core.has_task(now);
        let due = core.poll_timeout();
        entry.quiet_since = quiet.then(|| entry.quiet_since.unwrap_or(now));
        let due = due.into_iter().chain(entry.forgotten_at(&self.config)).min();
        if let Some(due) = due
            && self.timers.at(index).is_none_or(|at| due < at)
        {
            self.timers.set(index, due);
        }
    }

    pub(super) fn note_drained(&mut self) {
        let ended = self.has_ended();
        let told = std::mem::replace(&mut self.drained, ended);
        if ended && !told {
            let nobody = KeyId { index: u32::MAX, generation: 0 };
            self.notices.push_back((nobody, Said::Core(Notice::Drained)));
        }
    }
}
