//! When to ask a silent peer whether it is still there, and when to give it up.

use std::time::{Duration, Instant};

/// Heartbeats as OpenSSH defines them (`ServerAliveInterval`, `ServerAliveCountMax` in
/// ssh_config(5)): after `interval` without anything received a heartbeat goes out; after
/// `count_max` heartbeats in a row without anything received, and one more `interval`, the peer
/// is dead. So a peer that falls silent is given up `interval * (count_max + 1)` after its last
/// sign of life.
///
/// The machine has no clock and sends nothing: it is told what happens and says what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    interval: Duration,
    count_max: u32,
    last_life: Instant,
    last_sent: Instant,
    unanswered: u32,
    /// It would be dead, but for what has come and was not looked at.
    doubted: bool,
}

/// What a [`Keepalive`] wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveStep {
    /// Nothing until then.
    WaitUntil(Instant),
    /// Send a heartbeat that asks for a reply, and say so with [`Keepalive::sent`].
    Send,
    /// The peer is dead.
    Dead,
}

impl Keepalive {
    /// Starts with a sign of life at `now`. An interval of zero is taken as one nanosecond.
    pub fn new(interval: Duration, count_max: u32, now: Instant) -> Self {
        let interval = interval.max(Duration::from_nanos(1));
        Self { interval, count_max, last_life: now, last_sent: now, unanswered: 0, doubted: false }
    }

    /// Something came from the peer: data, or the reply to a heartbeat.
    pub fn received(&mut self, now: Instant) {
        self.last_life = self.last_life.max(now);
        (self.unanswered, self.doubted) = (0, false);
    }

    /// Something came from the peer while nobody looked: no earlier than the last heartbeat, and
    /// nothing more is known of when.
    pub fn received_meanwhile(&mut self) {
        self.last_life = self.last_life.max(self.last_sent);
        (self.unanswered, self.doubted) = (0, false);
    }

    /// A heartbeat went out.
    pub fn sent(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// What to do now.
    pub fn step(&self, now: Instant) -> KeepaliveStep {
        let reference = if self.unanswered == 0 { self.last_life } else { self.last_sent };
        match reference.checked_add(self.interval) {
            Some(due) if due > now => KeepaliveStep::WaitUntil(due),
            // Past what the clock can say: nothing is ever due.
            None => KeepaliveStep::WaitUntil(far(now)),
            Some(_) if self.unanswered >= self.count_max => KeepaliveStep::Dead,
            Some(_) => KeepaliveStep::Send,
        }
    }

    /// The peer would be [`Dead`](KeepaliveStep::Dead), but something has come that nobody has
    /// looked at: this process may have been stopped. Says when it is dead all the same, a twentieth
    /// of the interval from now, unless that is looked at and [`received`](Self::received); `None`
    /// where that time was given already.
    pub fn doubt(&mut self, now: Instant) -> Option<Instant> {
        let doubted = std::mem::replace(&mut self.doubted, true);
        (!doubted).then(|| now.checked_add(self.interval / 20).unwrap_or(now))
    }

    /// How long after its last sign of life a silent peer is given up.
    pub fn detection_time(&self) -> Duration {
        self.interval.saturating_mul(self.count_max.saturating_add(1))
    }
}

fn far(now: Instant) -> Instant {
    now.checked_add(Duration::from_secs(60 * 60 * 24 * 365)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_dead_after_interval_times_count_plus_one() {
        for (interval, count) in [(1000, 3), (20, 0), (1, 1), (30_000, 10)] {
            let start = Instant::now();
            let interval = Duration::from_millis(interval);
            let mut keepalive = Keepalive::new(interval, count, start);
            let mut now = start;
            let mut beats = 0;
            loop {
                match keepalive.step(now) {
                    KeepaliveStep::WaitUntil(at) => {
                        assert!(at > now);
                        now = at;
                    }
                    KeepaliveStep::Send => {
                        beats += 1;
                        keepalive.sent(now);
                    }
                    KeepaliveStep::Dead => break,
                }
            }
            assert_eq!(beats, count);
            assert_eq!(now - start, keepalive.detection_time());
            assert_eq!(keepalive.detection_time(), interval * (count + 1));
        }
    }

    #[test]
    fn a_reply_that_is_found_late_does_not_delay_the_next_heartbeat() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut keepalive = Keepalive::new(second, 2, start);
        for beat in 1..10 {
            let now = start + second * beat;
            keepalive.received_meanwhile();
            let before = now - Duration::from_nanos(1);
            assert_eq!(keepalive.step(before), KeepaliveStep::WaitUntil(now), "nor sends it early");
            assert_eq!(keepalive.step(now), KeepaliveStep::Send);
            keepalive.sent(now);
        }
        let silent = start + second * 9;
        assert_eq!(keepalive.step(silent + second), KeepaliveStep::Send);
        keepalive.sent(silent + second);
        assert_eq!(keepalive.step(silent + second * 2), KeepaliveStep::Dead);
    }

    #[test]
    fn anything_received_counts_as_life() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut keepalive = Keepalive::new(second, 1, start);
        let mut now = start + second;
        for _ in 0..10 {
            assert_eq!(keepalive.step(now), KeepaliveStep::Send);
            keepalive.sent(now);
            keepalive.received(now + second / 2);
            now += second / 2;
            assert_eq!(keepalive.step(now), KeepaliveStep::WaitUntil(now + second));
            now += second;
        }
    }

    #[test]
    fn what_is_told_late_takes_nothing_back() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut keepalive = Keepalive::new(second, 2, start);
        keepalive.received(start + second * 5);
        keepalive.received(start + second);
        let due = start + second * 6;
        assert_eq!(keepalive.step(start + second * 5), KeepaliveStep::WaitUntil(due));
        keepalive.sent(due);
        keepalive.sent(start);
        assert_eq!(keepalive.step(due), KeepaliveStep::WaitUntil(due + second));
    }

    #[test]
    fn an_interval_that_no_clock_can_say_is_never_over() {
        let start = Instant::now();
        let keepalive = Keepalive::new(Duration::MAX, 0, start);
        let year = Duration::from_secs(31_536_000);
        assert_eq!(keepalive.step(start), KeepaliveStep::WaitUntil(start + year));
        let later = start + Duration::from_secs(1_000_000);
        assert!(matches!(keepalive.step(later), KeepaliveStep::WaitUntil(at) if at > later));
        assert_eq!(keepalive.detection_time(), Duration::MAX);
    }

    #[test]
    fn what_was_not_looked_at_puts_death_off_once_and_again_after_every_sign_of_life() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut keepalive = Keepalive::new(second, 0, start);
        for life in [Keepalive::received_meanwhile, |keepalive: &mut Keepalive| {
            keepalive.received(keepalive.last_life);
        }] {
            let now = keepalive.last_life + second;
            assert_eq!(keepalive.step(now), KeepaliveStep::Dead);
            assert_eq!(keepalive.doubt(now), Some(now + second / 20));
            assert_eq!(keepalive.doubt(now + second / 20), None, "not looked at in time");
            life(&mut keepalive);
        }
        let now = keepalive.last_life + second;
        assert_eq!(keepalive.doubt(now), Some(now + second / 20), "a doubt of its own");
    }
}
