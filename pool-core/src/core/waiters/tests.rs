use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

#[test]
fn the_next_deadline_is_the_earliest_of_all_who_are_queued() {
    let start = Instant::now();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut waiters = Waiters::<()>::default();
    let mut queued = BTreeMap::new();
    let mut promised = Vec::new();
    for step in 0..40_000 {
        match rng.u32(..8) {
            0..3 => {
                // For a while the same patience for all, then any, and some have no end of it.
                let patience = if step / 100 % 2 == 0 { 500 } else { rng.u64(..1000) };
                let deadline = start + Duration::from_millis(step + patience);
                let deadline = (rng.u32(..8) > 0).then_some(deadline);
                let site = Location::caller();
                let request = Request { arrived: start, deadline, site, ticket: None };
                let ticket = waiters.ticket();
                queued.insert(waiters.push(request, ticket).index, deadline);
            }
            3 | 4 => {
                if let Some(first) = waiters.front() {
                    waiters.reserve(first, 0);
                    promised.extend(queued.remove(&first).map(|deadline| (first, deadline)));
                }
            }
            5 if !promised.is_empty() => {
                let (index, deadline) = promised.swap_remove(rng.usize(..promised.len()));
                if rng.bool() {
                    waiters.unreserve(index);
                    queued.insert(index, deadline);
                } else {
                    waiters.remove(index);
                }
            }
            6 => {
                let any = queued.keys().copied().nth(rng.usize(..=queued.len()));
                if let Some(index) = any {
                    waiters.remove(index);
                    queued.remove(&index);
                }
            }
            _ => {
                let now = start + Duration::from_millis(step);
                while let Some((index, _)) = waiters.uncollected(now) {
                    waiters.finish(index, ());
                    waiters.remove(index);
                    let place = promised.iter().position(|(other, _)| *other == index);
                    let (_, at) = promised.swap_remove(place.expect("it was promised"));
                    assert!(at.is_some_and(|at| at <= now));
                }
                assert!(promised.iter().all(|(_, at)| at.is_none_or(|at| at > now)));
                let earliest = queued.values().flatten().min().copied();
                let due = waiters.pop_due(now);
                assert_eq!(due.is_some(), earliest.is_some_and(|first| first <= now));
                if let Some(index) = due {
                    waiters.finish(index, ());
                    waiters.remove(index);
                    assert_eq!(queued.remove(&index), Some(earliest));
                }
            }
        }
        let due = queued.values().chain(promised.iter().map(|(_, at)| at)).flatten().min();
        let known = waiters.next_deadline();
        assert!(known.is_some() == due.is_some() && known <= due.copied(), "{known:?} {due:?}");
        assert_eq!(waiters.queued(), queued.len());
    }
}
