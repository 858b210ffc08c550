//! The pool's counts.

use crate::kinds::{CloseReason, REASONS};

/// One consistent snapshot of a pool. Phases are counts of now, [`counters`](Self::counters) only
/// grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The most sessions open at once.
    pub max_size: usize,
    /// Being opened.
    pub connecting: usize,
    /// Ready to be lent.
    pub idle: usize,
    /// Leases promised to borrowers that have not collected them yet.
    pub reserved: usize,
    /// Sessions being asked for a sign of life while nobody has them.
    pub checking: usize,
    /// Leases that borrowers have; several can be of one session.
    pub lent: usize,
    /// Sessions of which at least one lease is out or promised.
    pub in_use: usize,
    /// Being cleaned.
    pub resetting: usize,
    /// Being closed.
    pub closing: usize,
    /// Borrowers that wait.
    pub waiting: usize,
    /// Sessions being closed that count against no limit: they came back, or were opened, after
    /// their operation had been given up.
    pub orphans: usize,
    /// Connects that were given up and have not come back.
    pub hung_connects: usize,
    /// Checks and resets that were given up and have not come back.
    pub hung_checks: usize,
    /// Closes that were given up and have not come back.
    pub hung_closes: usize,
    /// Whether the pool is closed.
    pub closed: bool,
    /// What has happened so far.
    pub counters: Counters,
}

impl Stats {
    /// The counts of two pools together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            max_size: self.max_size + other.max_size,
            connecting: self.connecting + other.connecting,
            idle: self.idle + other.idle,
            reserved: self.reserved + other.reserved,
            checking: self.checking + other.checking,
            lent: self.lent + other.lent,
            in_use: self.in_use + other.in_use,
            resetting: self.resetting + other.resetting,
            closing: self.closing + other.closing,
            waiting: self.waiting + other.waiting,
            orphans: self.orphans + other.orphans,
            hung_connects: self.hung_connects + other.hung_connects,
            hung_checks: self.hung_checks + other.hung_checks,
            hung_closes: self.hung_closes + other.hung_closes,
            closed: self.closed && other.closed,
            counters: self.counters.plus(other.counters),
        }
    }

    /// All sessions that count against the limit.
    pub fn open(&self) -> usize {
        let free = self.idle + self.checking + self.resetting;
        self.connecting + free + self.in_use + self.closing
    }

    /// Sessions that can be used, are used, or are looked after: all but those being opened and
    /// closed.
    pub fn sessions(&self) -> usize {
        self.idle + self.in_use + self.checking + self.resetting
    }

    /// Operations that were given up at their deadlines and have not come back.
    pub fn hung(&self) -> usize {
        self.hung_connects + self.hung_checks + self.hung_closes
    }
}

/// What has happened in a pool since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Borrows asked for.
    pub acquires: u64,
    /// Borrows that got a session.
    pub served: u64,
    /// Sessions that were broken when they were to be lent, and replaced unseen.
    pub replaced: u64,
    /// Borrows that reached their deadline.
    pub timed_out: u64,
    /// Borrows given up by the borrower.
    pub cancelled: u64,
    /// Borrows that failed with a permanent connect error.
    pub failed: u64,
    /// Borrows refused because the pool was closed.
    pub refused_closed: u64,
    /// Borrows refused because as many waited as may.
    pub overloaded: u64,
    /// Leases that a session's peer refused.
    pub refusals: u64,
    /// Connects started.
    pub connects: u64,
    /// Connects that failed or took too long. Of those started, all others have brought a session,
    /// are under way, or were given up as the pool was closed. A session that was broken when it was
    /// first looked at is among those [`created`](Self::created) and closed as
    /// [`Broken`](CloseReason::Broken) or [`CheckFailed`](CloseReason::CheckFailed); that its
    /// [`Event::ConnectFailed`](crate::Event::ConnectFailed) is told besides says only that the next
    /// connect waits as after a failed one.
    pub connect_failures: u64,
    /// Sessions that came into the pool.
    pub created: u64,
    /// Sessions that left it with a borrower for good.
    pub detached: u64,
    /// Checks started.
    pub checks: u64,
    /// Keepalives started.
    pub keepalives: u64,
    /// Checks and keepalives that failed.
    pub check_failures: u64,
    pub(crate) closed: [u64; REASONS.len()],
}

impl Counters {
    fn plus(self, other: Self) -> Self {
        let mut closed = self.closed;
        closed.iter_mut().zip(other.closed).for_each(|(sum, more)| *sum += more);
        Self {
            acquires: self.acquires + other.acquires,
            served: self.served + other.served,
            replaced: self.replaced + other.replaced,
            timed_out: self.timed_out + other.timed_out,
            cancelled: self.cancelled + other.cancelled,
            failed: self.failed + other.failed,
            refused_closed: self.refused_closed + other.refused_closed,
            overloaded: self.overloaded + other.overloaded,
            refusals: self.refusals + other.refusals,
            connects: self.connects + other.connects,
            connect_failures: self.connect_failures + other.connect_failures,
            created: self.created + other.created,
            detached: self.detached + other.detached,
            checks: self.checks + other.checks,
            keepalives: self.keepalives + other.keepalives,
            check_failures: self.check_failures + other.check_failures,
            closed,
        }
    }

    /// Sessions closed for that reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Sessions closed for whatever reason, those being closed now included.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Every reason with its count.
    pub fn closed_by_reason(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        REASONS.iter().map(|&reason| (reason, self.closed(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, Stats};

    /// Every count another one, beginning with this.
    fn stats(first: u64) -> Stats {
        let mut last = first;
        let mut next = || {
            last = (last * 7 + 3) % 1_009;
            last
        };
        let counters = Counters {
            acquires: next(),
            served: next(),
            replaced: next(),
            timed_out: next(),
            cancelled: next(),
            failed: next(),
            refused_closed: next(),
            overloaded: next(),
            refusals: next(),
            connects: next(),
            connect_failures: next(),
            created: next(),
            detached: next(),
            checks: next(),
            keepalives: next(),
            check_failures: next(),
            closed: std::array::from_fn(|_| next()),
        };
        let mut count = || next() as usize;
        Stats {
            max_size: count(),
            connecting: count(),
            idle: count(),
            reserved: count(),
            checking: count(),
            lent: count(),
            in_use: count(),
            resetting: count(),
            closing: count(),
            waiting: count(),
            orphans: count(),
            hung_connects: count(),
            hung_checks: count(),
            hung_closes: count(),
            closed: true,
            counters,
        }
    }

    /// All that is counted, in the order of the fields.
    fn counts(stats: Stats) -> Vec<u64> {
        let shown = format!("{stats:?}");
        let numbers = shown.split(|character: char| !character.is_ascii_digit());
        numbers.filter_map(|number| number.parse().ok()).collect()
    }

    #[test]
    fn the_counts_of_two_pools_are_added_one_by_one() {
        let (one, other) = (stats(2), stats(5));
        let sums = counts(one).into_iter().zip(counts(other)).map(|(one, other)| one + other);
        assert_eq!(counts(one.plus(other)), sums.collect::<Vec<_>>());
        assert_eq!(counts(one).len(), 30 + one.counters.closed.len());
        assert!(one.plus(other).closed);
        let open = Stats { closed: false, ..other };
        assert!(!one.plus(open).closed && !open.plus(one).closed);
    }

    #[test]
    fn sessions_are_what_is_open_and_neither_opened_nor_closed_now() {
        let all = stats(2);
        assert_eq!(all.sessions() + all.connecting + all.closing, all.open());
    }
}
