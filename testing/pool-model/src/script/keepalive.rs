//! Scripts over the keepalive machine alone.

use std::time::{Duration, Instant};

use pool_core::{Keepalive, KeepaliveStep};

/// Plays a keepalive machine against a model that keeps every event: the body of the fuzz target
/// `keepalive`. Bytes are the interval, the count, then pairs of an event and a time in
/// milliseconds (signed, so the clock goes back at times).
///
/// # Errors
///
/// What did not hold.
pub fn run_keepalive(bytes: &[u8]) -> Result<(), String> {
    let [interval, count_max, events @ ..] = bytes else { return Ok(()) };
    let start = Instant::now();
    // Some intervals reach past what a clock can say.
    let interval = match interval {
        255 => Duration::MAX,
        n => Duration::from_millis(u64::from(*n)),
    };
    let count_max = u32::from(*count_max) % 5;
    let mut machine = Keepalive::new(interval, count_max, start);
    let tick = interval.max(Duration::from_nanos(1));
    let (mut now, mut life, mut sent, mut unanswered) = (start, start, start, 0_u32);
    for pair in events.chunks_exact(2) {
        let step = Duration::from_millis(u64::from(pair[1] & 0x7f));
        now = match pair[1] & 0x80 {
            0 => now + step,
            _ => now.checked_sub(step).unwrap_or(now),
        };
        match pair[0] % 4 {
            0 => {
                machine.received(now);
                life = life.max(now);
                unanswered = 0;
            }
            1 => {
                if let KeepaliveStep::WaitUntil(at) = machine.step(now) {
                    now = now.max(at.min(now + Duration::from_secs(3600)));
                }
            }
            _ => {}
        }
        let due = if unanswered == 0 { life } else { sent }.checked_add(tick);
        let wanted = match due {
            Some(at) if at > now => Some(KeepaliveStep::WaitUntil(at)),
            Some(_) if unanswered < count_max => Some(KeepaliveStep::Send),
            Some(_) => Some(KeepaliveStep::Dead),
            None => None,
        };
        let step = machine.step(now);
        if step != machine.step(now) {
            return Err("asking twice gives two answers".into());
        }
        match (step, wanted) {
            (KeepaliveStep::WaitUntil(at), None) if at > now => {}
            (step, Some(wanted)) if step == wanted => {}
            (step, wanted) => return Err(format!("{step:?} instead of {wanted:?}")),
        }
        if step == KeepaliveStep::Send {
            machine.sent(now);
            sent = sent.max(now);
            unanswered += 1;
        }
    }
    // Left alone from now on, the peer is declared dead in bounded time, after what is left of the
    // beats.
    if due_never(now, interval, count_max) {
        return Ok(());
    }
    let (mut beats, limit) = (0, now.max(life).max(sent) + machine.detection_time() + tick);
    loop {
        match machine.step(now) {
            KeepaliveStep::WaitUntil(at) if at <= now => return Err("waits for the past".into()),
            KeepaliveStep::WaitUntil(at) => now = at,
            KeepaliveStep::Send => {
                beats += 1;
                machine.sent(now);
            }
            KeepaliveStep::Dead if beats == count_max - unanswered.min(count_max) => return Ok(()),
            KeepaliveStep::Dead => return Err(format!("dead after {beats} beats")),
        }
        if now > limit {
            return Err("a silent peer lives on".into());
        }
    }
}

fn due_never(now: Instant, interval: Duration, count_max: u32) -> bool {
    now.checked_add(interval.saturating_mul(count_max + 4)).is_none()
}
