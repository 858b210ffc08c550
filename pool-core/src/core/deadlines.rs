//! At most one deadline for each small integer key, and the earliest of all.
//!
//! A binary heap that knows the place of every key, so that a deadline can be moved or removed
//! without leaving a dead entry behind.

use std::time::Instant;

use super::grow::grow;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// `place[key]` is the index in `heap` plus one, or 0.
    place: Vec<u32>,
}

impl Deadlines {
    /// Makes room for one more key, and never for more than there may be.
    pub(crate) fn reserve(&mut self, most: usize) {
        grow(&mut self.heap, most);
        grow(&mut self.place, most);
    }

    pub(crate) fn set(&mut self, key: u32, at: Instant) {
        let key_index = key as usize;
        if key_index >= self.place.len() {
            self.place.resize(key_index + 1, 0);
        }
        match self.place[key_index] {
            0 => {
                self.heap.push((at, key));
                let last = self.heap.len() - 1;
                self.place[key_index] = self.heap.len() as u32;
                self.up(last);
            }
            place => {
                let index = place as usize - 1;
                let earlier = at < self.heap[index].0;
                self.heap[index].0 = at;
                if earlier { self.up(index) } else { self.down(index) }
            }
        }
    }

    pub(crate) fn clear(&mut self, key: u32) {
        let Some(place) = self.place.get_mut(key as usize).filter(|place| **place != 0) else {
            return;
        };
        let index = *place as usize - 1;
        *place = 0;
        self.heap.swap_remove(index);
        if let Some(&(_, moved)) = self.heap.get(index) {
            self.place[moved as usize] = index as u32 + 1;
            self.up(index);
            self.down(index);
        }
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(at, key) = self.heap.first()?;
        (at <= now).then(|| {
            self.clear(key);
            key
        })
    }

    #[inline]
    pub(crate) fn at(&self, key: u32) -> Option<Instant> {
        match self.place.get(key as usize) {
            None | Some(0) => None,
            Some(&place) => Some(self.heap[place as usize - 1].0),
        }
    }

    /// The key whose deadline is the earliest, and that deadline.
    pub(crate) fn first(&self) -> Option<(u32, Instant)> {
        self.heap.first().map(|&(at, key)| (key, at))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    fn up(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / 2;
            if self.heap[parent].0 <= self.heap[index].0 {
                break;
            }
            self.swap(parent, index);
            index = parent;
        }
    }

    fn down(&mut self, mut index: usize) {
        loop {
            let left = 2 * index + 1;
            let Some(mut child) = (left < self.heap.len()).then_some(left) else { break };
            if left + 1 < self.heap.len() && self.heap[left + 1].0 < self.heap[left].0 {
                child = left + 1;
            }
            if self.heap[index].0 <= self.heap[child].0 {
                break;
            }
            self.swap(index, child);
            index = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place[self.heap[a].1 as usize] = a as u32 + 1;
        self.place[self.heap[b].1 as usize] = b as u32 + 1;
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
        let mut ours = Deadlines::default();
        let mut model = BTreeMap::new();
        for _ in 0..20_000 {
            let key = rng.u32(..40);
            let at = start + Duration::from_millis(rng.u64(..1000));
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
            assert_eq!(ours.at(key), model.get(&key).copied());
        }
    }
}
