//! Who dials a host next, and how many may at once.

use std::collections::BTreeMap;

/// The dials to one address that are under way, and those that wait. Those that wait go in the order
/// they came first, each once no more are under way than it allows itself.
#[derive(Debug)]
pub(super) struct GateQueue {
    last_ticket: u64,
    /// By ticket: how many may be inside, that one included.
    waiting: BTreeMap<u64, usize>,
    inside: usize,
    /// How many the server takes, as far as is known: halved when it says that it is busy, one more
    /// with each login.
    ceiling: usize,
}

/// What came of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    LoggedIn,
    /// The server takes fewer of us.
    Busy,
    /// It failed otherwise, or was given up.
    Over,
}

impl GateQueue {
    pub(super) fn new() -> Self {
        Self { last_ticket: 0, waiting: BTreeMap::new(), inside: 0, ceiling: usize::MAX }
    }

    /// Somebody is going to dial, perhaps again and again.
    pub(super) fn arrive(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Waits from now on, where so many may be inside.
    pub(super) fn wait(&mut self, ticket: u64, limit: usize) {
        self.waiting.insert(ticket, limit);
    }

    /// Waits no longer.
    pub(super) fn give_up(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// Lets the next one in, if there is room for it.
    pub(super) fn admit(&mut self) -> Option<u64> {
        let first = self.waiting.first_entry()?;
        if self.inside >= self.ceiling.min(*first.get()).max(1) {
            return None;
        }
        self.inside += 1;
        Some(first.remove_entry().0)
    }

    /// One that was let in has come to its end.
    pub(super) fn leave(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::LoggedIn => self.ceiling = self.ceiling.saturating_add(1),
            Outcome::Busy => self.ceiling = self.ceiling.min((self.inside / 2).max(1)),
            Outcome::Over => {}
        }
        self.inside = self.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{GateQueue, Outcome};

    #[derive(Debug, Clone)]
    enum Step {
        Arrive(usize),
        GiveUp(usize),
        Leave(usize, Outcome),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome =
            prop_oneof![Just(Outcome::LoggedIn), Just(Outcome::Busy), Just(Outcome::Over)];
        prop_oneof![
            4 => (1..10_usize).prop_map(Step::Arrive),
            1 => (0..100_usize).prop_map(Step::GiveUp),
            3 => ((0..100_usize), outcome).prop_map(|(index, outcome)| Step::Leave(index, outcome)),
        ]
    }

    proptest! {
        /// First come, first served; never more inside than the one let in allows; nobody waits
        /// while nobody is inside; one that is turned away keeps its place.
        #[test]
        fn the_gate_keeps_its_rules(steps in prop::collection::vec(step(), 1..200)) {
            let mut queue = GateQueue::new();
            let mut waiting: BTreeMap<u64, usize> = BTreeMap::new();
            let mut inside: Vec<(u64, usize)> = Vec::new();
            let mut learned = usize::MAX;
            for step in steps {
                match step {
                    Step::Arrive(limit) => {
                        let ticket = queue.arrive();
                        queue.wait(ticket, limit);
                        waiting.insert(ticket, limit);
                    }
                    Step::GiveUp(index) => {
                        let ticket = waiting.keys().nth(index).copied().unwrap_or(u64::MAX);
                        queue.give_up(ticket);
                        waiting.remove(&ticket);
                    }
                    Step::Leave(index, outcome) if !inside.is_empty() => {
                        let (ticket, limit) = inside.remove(index % inside.len());
                        learned = match outcome {
                            Outcome::LoggedIn => learned.saturating_add(1),
                            Outcome::Busy => learned.min(inside.len().div_ceil(2).max(1)),
                            Outcome::Over => learned,
                        };
                        queue.leave(outcome);
                        if outcome == Outcome::Busy {
                            queue.wait(ticket, limit);
                            waiting.insert(ticket, limit);
                        }
                    }
                    Step::Leave(..) => {}
                }
                while let Some(ticket) = queue.admit() {
                    let (first, limit) = waiting.pop_first().expect("somebody waited");
                    prop_assert_eq!(ticket, first, "out of turn");
                    inside.push((ticket, limit));
                    prop_assert!(inside.len() <= limit.min(learned).max(1));
                }
                let first = waiting.first_key_value();
                let has_room = |limit: usize| inside.len() < limit.min(learned);
                prop_assert!(first.is_none_or(|(_, limit)| !has_room(*limit)), "it waits for nothing");
                prop_assert!(waiting.is_empty() || !inside.is_empty());
            }
        }
    }
}
