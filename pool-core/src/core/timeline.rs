//! At most one deadline for each small integer key, for deadlines that mostly come in order.
//!
//! Borrowers with the same patience come and go in the order of their deadlines, so a list serves
//! them at no cost. Whoever is out of order goes to a heap.

use std::time::Instant;

use super::deadlines::Deadlines;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Timeline {
    /// By key; those that are listed are in order.
    links: Vec<Link>,
    head: u32,
    tail: u32,
    others: Deadlines,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    at: Option<Instant>,
    prev: u32,
    next: u32,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { links: Vec::new(), head: NONE, tail: NONE, others: Deadlines::default() }
    }
}

impl Timeline {
    pub(super) fn set(&mut self, key: u32, at: Instant) {
        self.clear(key);
        if self.listed(self.tail).is_some_and(|last| at < last) {
            return self.others.set(key, at);
        }
        if key as usize >= self.links.len() {
            let unlisted = Link { at: None, prev: NONE, next: NONE };
            self.links.resize(key as usize + 1, unlisted);
        }
        self.links[key as usize] = Link { at: Some(at), prev: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = key,
            last => self.links[last as usize].next = key,
        }
        self.tail = key;
    }

    pub(super) fn clear(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize).filter(|link| link.at.is_some()) else {
            return self.others.clear(key);
        };
        let (prev, next) = (link.prev, link.next);
        link.at = None;
        match prev {
            NONE => self.head = next,
            _ => self.links[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => self.links[next as usize].prev = prev,
        }
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        match (self.listed(self.head), self.others.next()) {
            (Some(at), other) if other.is_none_or(|other| at <= other) => {
                let first = self.head;
                (at <= now).then(|| {
                    self.clear(first);
                    first
                })
            }
            _ => self.others.pop_due(now),
        }
    }

    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        match (self.listed(self.head), self.others.next()) {
            (Some(at), Some(other)) => Some(at.min(other)),
            (at, other) => at.or(other),
        }
    }

    #[inline]
    fn listed(&self, key: u32) -> Option<Instant> {
        self.links.get(key as usize)?.at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn behaves_as_a_map_from_key_to_deadline() {
        let start = Instant::now();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut ours = Timeline::default();
        let mut model = BTreeMap::new();
        for step in 0..40_000 {
            let key = rng.u32(..40);
            // For a while in order, then in none, and so on.
            let millis = if step / 100 % 2 == 0 { step } else { rng.u64(..40_000) };
            let at = start + Duration::from_millis(millis);
            match rng.u32(..4) {
                0 | 1 => {
                    ours.set(key, at);
                    model.insert(key, at);
                }
                2 => {
                    ours.clear(key);
                    model.remove(&key);
                }
                _ => {
                    let due = ours.pop_due(at);
                    let earliest = model.values().min().copied();
                    assert_eq!(due.is_some(), earliest.is_some_and(|first| first <= at));
                    if let Some(key) = due {
                        assert_eq!(model.remove(&key), earliest);
                    }
                }
            }
            assert_eq!(ours.next(), model.values().min().copied());
        }
    }
}
