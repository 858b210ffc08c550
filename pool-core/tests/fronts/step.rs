//! What a script does, and what every front must be able to tell about itself.

use std::collections::BTreeMap;
use std::time::Duration;

use pool_core::Stats;
use pool_model::draw;

use crate::desk::{Ticket, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Clean,
    Dirty,
    Marked,
    Killed,
    /// The peer does not give it what it wants.
    Refused,
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new borrower comes for a key, with that much patience.
    Borrow(u8, Duration),
    /// That borrower returns its session.
    Return(usize, How),
    /// An operation comes to its end.
    Finish(Ticket, Verdict),
    /// Time passes: never past a timer, and only where no operation is under way.
    Advance(Duration),
    Resize(u8, usize),
    /// All keys together get another size.
    ResizeTotal(usize),
    Evict(u8),
    Close,
}

/// What became of a borrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Waits,
    Holds(u8, u64),
    TimedOut,
    Failed,
    Closed,
    Overloaded,
    Gone,
}

/// All that can be seen of a front; equal in all of them when they are at rest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// Of the keys known.
    pub(crate) stats: BTreeMap<u8, Stats>,
    pub(crate) working: Vec<Ticket>,
    pub(crate) borrowers: BTreeMap<usize, Outcome>,
    /// As they print, by key: errors are the same where they say the same.
    pub(crate) events: BTreeMap<u8, Vec<String>>,
}

/// The next step of a random script, from what is there.
pub(crate) fn choose(seed: &mut u64, view: &View, keys: u8, closing: bool) -> Step {
    let pick = |seed: &mut u64, count: usize| draw(seed, count as u64) as usize;
    let holders: Vec<_> = view
        .borrowers
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Holds(..)))
        .map(|(number, _)| *number)
        .collect();
    loop {
        let key = if keys > 1 { pick(seed, usize::from(keys)) as u8 } else { 0 };
        match draw(seed, 20) {
            0..=4 => {
                let patience = [1, 200, 5_000, 60_000][pick(seed, 4)];
                return Step::Borrow(key, Duration::from_millis(patience));
            }
            5..=9 if !holders.is_empty() => {
                let how = [
                    How::Clean,
                    How::Clean,
                    How::Clean,
                    How::Dirty,
                    How::Marked,
                    How::Killed,
                    How::Refused,
                    How::Detached,
                ];
                return Step::Return(holders[pick(seed, holders.len())], how[pick(seed, 8)]);
            }
            10..=14 if !view.working.is_empty() => {
                let ticket = view.working[pick(seed, view.working.len())];
                let verdicts = [Verdict::Ok, Verdict::Ok, Verdict::Ok, Verdict::Transient];
                let verdict = match draw(seed, 16) {
                    0 => Verdict::Permanent,
                    _ => verdicts[pick(seed, 4)],
                };
                return Step::Finish(ticket, verdict);
            }
            15..=17 if view.working.is_empty() => {
                let by = [1, 50, 700, 3_000, 40_000][pick(seed, 5)];
                return Step::Advance(Duration::from_millis(by));
            }
            18 if keys > 1 && draw(seed, 2) == 0 => return Step::ResizeTotal(1 + pick(seed, 5)),
            18 => return Step::Resize(key, 1 + pick(seed, 4)),
            19 if draw(seed, 4) == 0 => return Step::Evict(key),
            19 if closing && draw(seed, 8) == 0 => return Step::Close,
            _ => {}
        }
    }
}
