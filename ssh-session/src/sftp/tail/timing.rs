//! When to look at a followed file, for somebody who reads it: without a clock of its own.

use std::time::{Duration, Instant};

use super::{TailFile, TailOptions};

/// Longer than anybody waits: what a clock can surely count.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A reader's calls: when the next look is due.
#[derive(Debug)]
pub struct TailRead {
    interval: Duration,
    longest: Duration,
    /// When to look again; at once, where the last look found something.
    due: Option<Instant>,
    deadline: Option<Instant>,
    in_lines: bool,
    /// All that is there now is asked for, whatever is due.
    at_once: bool,
}

/// What a reader is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailStep {
    /// Take what has come.
    Ready,
    /// Nothing has come, and time is up.
    Late,
    /// [Follow](super::super::Client::follow) the file, and say whether something [came](TailRead::looked).
    Look,
    /// Wait so long.
    Sleep(Duration),
}

impl TailRead {
    /// Before the first call.
    pub fn new(options: &TailOptions) -> Self {
        let (interval, longest) = (options.interval, options.answer_timeout);
        Self { interval, longest, due: None, deadline: None, in_lines: false, at_once: false }
    }

    /// A call begins, which may take so long; it looks at once where that is no time.
    pub fn begin(&mut self, timeout: Duration, in_lines: bool, now: Instant) {
        self.in_lines = in_lines;
        self.at_once = timeout.is_zero();
        // A line may come in many looks.
        let timeout = if self.at_once { self.longest } else { timeout };
        self.deadline = Some(now + timeout.min(LONGEST));
    }

    /// What the call is to do next.
    pub fn step(&mut self, file: &mut TailFile, now: Instant) -> TailStep {
        if file.is_ready(self.in_lines) {
            return TailStep::Ready;
        }
        if self.at_once || self.due.is_none_or(|due| due <= now) {
            if self.deadline.is_some_and(|at| at < now) {
                return TailStep::Late;
            }
            file.waited();
            return TailStep::Look;
        }
        let until = self.due.into_iter().chain(self.deadline).min().unwrap_or(now);
        match until.saturating_duration_since(now) {
            left if left.is_zero() => TailStep::Late,
            left => TailStep::Sleep(left),
        }
    }

    /// The file was looked at.
    pub fn looked(&mut self, came: bool, now: Instant) {
        self.due = (!came).then(|| now + self.interval);
        if self.at_once && !came {
            self.at_once = false;
            self.deadline = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{TailFile, TailOptions};
    use super::{TailRead, TailStep};

    /// What a reader of a file in which nothing happens does, in milliseconds: looks as `None`.
    fn steps(reading: &mut TailRead, file: &mut TailFile, now: &mut Instant) -> Vec<Option<u128>> {
        let mut steps = Vec::new();
        loop {
            match reading.step(file, *now) {
                TailStep::Late => return steps,
                TailStep::Look => {
                    *now += Duration::from_millis(10);
                    reading.looked(false, *now);
                    steps.push(None);
                }
                TailStep::Sleep(time) => {
                    *now += time;
                    steps.push(Some(time.as_millis()));
                }
                TailStep::Ready => panic!("nothing came"),
            }
        }
    }

    #[test]
    fn it_is_looked_at_once_and_then_in_intervals_whoever_asks() {
        let options = TailOptions::new().interval(Duration::from_millis(100));
        let (mut reading, mut file) = (TailRead::new(&options), TailFile::new("/f", &options));
        let mut now = Instant::now();
        let mut read = |timeout: u64, in_lines| {
            reading.begin(Duration::from_millis(timeout), in_lines, now);
            steps(&mut reading, &mut file, &mut now)
        };
        assert_eq!(read(250, false), [None, Some(100), None, Some(100), None, Some(20)]);
        // Short calls don't look more often than long ones.
        assert_eq!(read(50, true), [Some(50)]);
        assert_eq!(read(50, true), [Some(30), None, Some(10)]);
        // Who has no time looks once.
        assert_eq!(read(0, false), [None]);
        assert_eq!(read(0, true), [None]);
    }

    #[test]
    fn who_has_no_time_looks_as_long_as_something_comes() {
        let options = TailOptions::new().answer_timeout(Duration::from_secs(1));
        let (mut reading, mut file) = (TailRead::new(&options), TailFile::new("/f", &options));
        let mut now = Instant::now();
        reading.begin(Duration::ZERO, true, now);
        for _ in 0..9 {
            assert_eq!(reading.step(&mut file, now), TailStep::Look);
            now += Duration::from_millis(100);
            reading.looked(true, now);
        }
        // But not for ever: a line may have no end.
        now += Duration::from_millis(200);
        assert_eq!(reading.step(&mut file, now), TailStep::Late);
    }
}
