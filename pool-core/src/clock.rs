//! Where a pool's time comes from.

use std::task::Waker;
use std::time::{Duration, Instant};

/// The time, as a pool sees it. [`SystemClock`] is the one to use outside tests; a clock of your
/// own lets a test move time by hand.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// The time a few milliseconds ago at worst, at a fraction of the cost; never later than
    /// [`now`](Self::now). Borrowing and giving back go by this one, but for timeouts of less than
    /// a second and where an observer is told how long things took. By default the same as `now`.
    fn coarse(&self) -> Instant {
        self.now()
    }

    /// How long a thread has to sleep to wake up at `until`; `None` where only the wakers given
    /// to [`subscribe`](Self::subscribe) can tell.
    fn sleep_for(&self, until: Instant) -> Option<Duration> {
        Some(until.saturating_duration_since(self.now()))
    }

    /// Asks to be woken whenever the time is set forward by hand.
    #[allow(unused_variables)]
    fn subscribe(&self, on_jump: Waker) {}
}

/// The monotonic clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn coarse(&self) -> Instant {
        coarse_now()
    }
}

/// The monotonic clock as of the kernel's last tick, where the system has such a thing.
#[inline]
pub(crate) fn coarse_now() -> Instant {
    coarse_tick().1
}

/// The same, with a number that is another one from tick to tick, and never zero.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn coarse_tick() -> (u64, Instant) {
    use std::cell::Cell;

    use rustix::time::{ClockId, clock_gettime};

    thread_local! {
        /// The last tick that this thread saw, as there are many readings to a tick.
        static LAST: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
    }

    let coarse = clock_gettime(ClockId::MonotonicCoarse);
    let tick = number_of(coarse.tv_sec.cast_unsigned(), coarse.tv_nsec.cast_unsigned());
    match LAST.get() {
        Some((last, now)) if last == tick => (tick, now),
        _ => {
            let now = instant_of(coarse);
            LAST.set(Some((tick, now)));
            (tick, now)
        }
    }
}

/// The number of a tick, of its seconds since some start and the nanoseconds, which have 30 bits.
#[inline]
fn number_of(seconds: u64, nanos: u64) -> u64 {
    seconds << 32 | nanos << 1 | 1
}

#[cfg(target_os = "linux")]
#[cold]
fn instant_of(coarse: rustix::time::Timespec) -> Instant {
    use std::sync::OnceLock;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    /// One moment on both scales.
    static BASE: OnceLock<(Instant, Timespec)> = OnceLock::new();

    let (base, at) = BASE.get_or_init(|| {
        // In this order: what passes between the readings makes the base earlier, never later.
        let now = Instant::now();
        let coarse = clock_gettime(ClockId::MonotonicCoarse);
        let lag = since(&coarse, &clock_gettime(ClockId::Monotonic));
        (now.checked_sub(lag).unwrap_or(now), coarse)
    });
    base.checked_add(since(at, &coarse)).unwrap_or(*base)
}

#[cfg(target_os = "linux")]
fn since(earlier: &rustix::time::Timespec, later: &rustix::time::Timespec) -> Duration {
    let seconds = later.tv_sec - earlier.tv_sec;
    let nanos = seconds * 1_000_000_000 + (later.tv_nsec - earlier.tv_nsec);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The monotonic clock; this system has no cheaper one that we know of.
#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_tick() -> (u64, Instant) {
    use std::sync::OnceLock;

    static START: OnceLock<Instant> = OnceLock::new();

    let now = Instant::now();
    let since = now.saturating_duration_since(*START.get_or_init(|| now));
    (number_of(since.as_secs(), since.subsec_nanos().into()), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_lags_and_never_leads() {
        let mut last = SystemClock.coarse();
        for _ in 0..100_000 {
            let coarse = SystemClock.coarse();
            let now = SystemClock.now();
            assert!(coarse >= last && coarse <= now);
            assert!(now - coarse < Duration::from_secs(10), "not another clock altogether");
            last = coarse;
        }
    }

    #[test]
    fn every_tick_has_a_number_of_its_own_that_is_not_zero() {
        let ticks = [(0, 0), (0, 1), (0, 999_999_999), (1, 0), (1, 1), (2, 0), (3, 0)];
        let numbers = ticks.map(|(seconds, nanos)| number_of(seconds, nanos));
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later) && numbers[0] > 0);
        // The lowest bit says something else in the runtime's clock.
        assert!(numbers.iter().all(|number| number & 1 == 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_passed_between_two_readings_is_exact_and_never_negative() {
        let at = |tv_sec, tv_nsec| rustix::time::Timespec { tv_sec, tv_nsec };
        let (earlier, later) = (at(3, 900_000_000), at(5, 100_000_007));
        assert_eq!(since(&earlier, &later), Duration::new(1, 200_000_007));
        assert_eq!(since(&later, &earlier), Duration::ZERO);
        assert_eq!(since(&earlier, &at(3, 900_000_005)), Duration::from_nanos(5));
    }
}
