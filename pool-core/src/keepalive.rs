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
        Self { interval, count_max, last_life: now, last_sent: now, unanswered: 0 }
    }

    /// Something came from the peer: data, or the reply to a heartbeat.
    pub fn received(&mut self, now: Instant) {
        self.last_life = self.last_life.max(now);
        self.unanswered = 0;
    }

    /// Something came from the peer while nobody looked: no earlier than the last heartbeat, and
    /// nothing more is known of when.
    pub fn received_meanwhile(&mut self) {
        self.last_life = self.last_life.max(self.last_sent);
        self.unanswered = 0;
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
    fn an_interval_past_what_the_clock_can_say_is_looked_at_once_a_year() {
        let start = Instant::now();
        let keepalive = Keepalive::new(Duration::MAX, 1, start);
        let year = Duration::from_secs(31_536_000);
        assert_eq!(keepalive.step(start), KeepaliveStep::WaitUntil(start + year));
    }
}
