//! The counts and queues of a keyed pool, recounted: for tests.

use std::collections::BTreeSet;
use std::time::Instant;

use super::KeyedCore;
use super::entry::Entry;
use crate::core::{Core, LoadOnTotal};

macro_rules! same {
    ($name:expr, $counted:expr, $found:expr) => {
        let (counted, found) = ($counted, $found);
        if counted != found {
            return Err(format!("{}: {counted:?} in the books, {found:?} found", $name));
        }
    };
}

impl<S, E: Clone> KeyedCore<S, E> {
    /// Recounts the books against the cores, and says what differs. Where a timer is due that
    /// nobody has told of, what depends on time is left out.
    ///
    /// # Errors
    ///
    /// What differs.
    #[doc(hidden)]
    pub fn audit(&self, now: Instant) -> Result<(), String> {
        let mut sum = [0; 5];
        let (mut starved, mut competing) = (BTreeSet::new(), BTreeSet::new());
        let (mut displaced, mut most_spare) = (0, false);
        for (index, entry) in (0..).zip(&self.entries) {
            let Some(core) = &entry.core else {
                same!("a vacant entry", entry.load, LoadOnTotal::default());
                same!("a vacant entry", (entry.starved, entry.competing), (None, None));
                same!("a vacant timer", self.timers.at(index), None);
                continue;
            };
            let load = core.load_on_total();
            same!(format!("load of {index}"), entry.load, load);
            let all = [load.open, load.closing, load.staying(), load.orphans, 1];
            sum = std::array::from_fn(|nth| sum[nth] + all[nth]);
            displaced += entry.displaced;
            most_spare |= core.spare_since().is_some();
            let late = self.timers.at(index).is_some_and(|at| at <= now);
            if late {
                starved.extend(entry.starved.map(|ticket| (ticket, index)));
            } else {
                let waits = core.front_ticket().filter(|_| core.wants_connect(now));
                let waits = waits.map(|ticket| (load.staying() > 0, ticket));
                same!(format!("starving {index}"), entry.starved, waits);
                starved.extend(waits.map(|ticket| (ticket, index)));
                self.audit_queues(index, entry, core, now)?;
            }
            let competes = core.front_ticket().is_some() && load.spare > 0;
            let competes = entry.tenure.filter(|_| competes);
            competing.extend(competes.map(|since| (load.staying(), since, index)));
            let bound = self.spare.at(index);
            if core.spare_since().is_some_and(|since| bound.is_none_or(|bound| bound > since)) {
                return Err(format!("spare of {index}: bound {bound:?}"));
            }
            let due = core.poll_timeout().into_iter().chain(entry.forgotten_at(&self.config)).min();
            let timer = self.timers.at(index);
            if due.is_some_and(|due| timer.is_none_or(|timer| timer > due)) {
                return Err(format!("timer of {index}: {timer:?}, due {due:?}"));
            }
        }
        let books = [self.open, self.closing, self.staying, self.orphans, self.known];
        same!("open, closing, staying, orphans, known", books, sum);
        same!("starved", &self.starved, &starved);
        same!("competing", &self.competing, &competing);
        same!("displaced", self.displaced.len(), displaced);
        if self.staying > self.config.max_total && most_spare {
            return Err(format!("{} stay and a session is idle", self.staying));
        }
        let short = !self.closed && self.starved.len() > self.coming();
        if short && most_spare {
            return Err(format!("{} starve and a session is idle", self.starved.len()));
        }
        Ok(())
    }

    fn audit_queues(
        &self,
        index: u32,
        entry: &Entry<S, E>,
        core: &Core<S, E>,
        now: Instant,
    ) -> Result<(), String> {
        let ready = self.ready.iter().filter(|other| **other == index).count();
        same!(format!("ready {index}"), usize::from(entry.is_ready), ready);
        let wishing = self.wishing.iter().filter(|other| **other == index).count();
        same!(format!("wishing {index}"), usize::from(entry.is_wishing), wishing);
        let works = core.has_task(now) && ready == 0;
        let wishes = core.wants_connect(now) && core.front_ticket().is_none() && wishing == 0;
        if works || wishes {
            return Err(format!("work of {index} is in no queue: {works} {wishes}"));
        }
        Ok(())
    }
}
