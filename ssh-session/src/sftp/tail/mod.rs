//! A file that is followed while it grows, over rotation and truncation.
//!
//! [`Follower`] decides what to ask the server next, and knows neither I/O nor a clock; [`Client::follow`]
//! asks it; [`TailRead`] says when. Over SFTP nobody tells of changes, so it is looked, again and
//! again. What looks the same as before is the same to us:
//!
//! * The file is kept open. It is **another file** by now where what has its name differs from what is
//!   open: in size, time of change, owner or mode, asked before and behind, and once more to be sure.
//!   What is left of the old one is read first, then the new one from its start. What is written to
//!   the old one after that is not seen, and neither is a file that was there between two looks only.
//! * It was **truncated** where its end is before what was read; it is read from its start again. One
//!   that has grown beyond that since the last look can't be told from one that has only grown.

mod follower;
mod last_lines;
mod open;
mod timing;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use follower::{Ask, Follower, Look};
pub use open::TailFile;
pub use timing::{TailRead, TailStep};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TailFrom {
    /// At the end: what comes from now on.
    #[default]
    End,
    /// At the start: all of it.
    Start,
    /// So many bytes from the start; at the end where there are fewer.
    Offset(u64),
    /// So many lines before the end, as `tail -n`. What is behind the last `\n` is one.
    Lines(u64),
}

/// What of a followed file came next.
#[derive(Clone, PartialEq, Eq)]
pub enum Tailed {
    /// What is in it: never empty.
    Data {
        /// Where in the file this is.
        offset: u64,
        /// The bytes. In text, no character is cut in two but one that the file has not got whole.
        bytes: Bytes,
    },
    /// The file was truncated. What comes is from its start.
    Truncated,
    /// Another file has its name now. What comes is from that one's start.
    Replaced,
}

/// How a file is followed.
#[derive(Debug, Clone)]
pub struct TailOptions {
    pub(super) from: TailFrom,
    pub(super) interval: Duration,
    pub(super) text: bool,
    pub(super) max_line: usize,
    ends_after: Option<Duration>,
    ends_when_idle: Option<Duration>,
    pub(super) answer_timeout: Duration,
}

impl TailOptions {
    /// Follows a file from its end, and looks once in a second.
    pub fn new() -> Self {
        Self {
            from: TailFrom::End,
            interval: Duration::from_secs(1),
            text: true,
            max_line: crate::Lines::<()>::MAX_LINE,
            ends_after: None,
            ends_when_idle: None,
            answer_timeout: Duration::from_secs(30),
        }
    }

    /// Where to begin.
    #[must_use]
    pub fn from(mut self, from: TailFrom) -> Self {
        self.from = from;
        self
    }

    /// The time between two looks at a file that has not grown: 10 ms to 1 h, 1 s by default. One or
    /// two round trips each.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_millis(10), Duration::from_secs(3600));
        self
    }

    /// Whether the file is UTF-8 text, as by default: a character of which only a part is there is
    /// held back until it is whole. Otherwise, bytes come as they are.
    #[must_use]
    pub fn text(mut self, text: bool) -> Self {
        self.text = text;
        self
    }

    /// How much of a line is kept at most, in bytes: 1 and up, 64 KiB by default. A longer one comes
    /// in pieces.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes.max(1);
        self
    }

    /// Iteration ends so long after it was begun to follow the file; `None`, the default, never.
    #[must_use]
    pub fn ends_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.ends_after = time.into();
        self
    }

    /// Iteration ends where nothing has come for so long; `None`, the default, never. With
    /// `Duration::ZERO` it ends where the file does now.
    #[must_use]
    pub fn ends_when_idle(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.ends_when_idle = time.into();
        self
    }

    /// How long a look at the file may take, 30 s by default. A server that takes longer is an error.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// What a look may cost.
    pub fn bounds(&self) -> super::Bounds {
        let (deadline, idle) = (Some(self.answer_timeout), self.answer_timeout);
        super::Bounds { deadline, idle, ..super::Bounds::default() }
    }

    /// How long an iteration waits for more, so long after it was begun to follow the file; `None`
    /// where it is over.
    pub fn patience(&self, followed_for: Duration) -> Option<Duration> {
        let left = self.ends_after.map(|time| time.saturating_sub(followed_for));
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        Some(left.into_iter().chain(self.ends_when_idle).min().unwrap_or(Duration::MAX))
    }
}

impl Default for TailOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Tailed {
    /// What came, as text, with `U+FFFD` for what is not UTF-8; nothing where the file was truncated
    /// or replaced.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Data { bytes, .. } => String::from_utf8_lossy(bytes),
            Self::Truncated | Self::Replaced => "".into(),
        }
    }
}

/// Sizes only.
impl fmt::Debug for Tailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { offset, bytes } => write!(f, "Data({} bytes at {offset})", bytes.len()),
            Self::Truncated => f.write_str("Truncated"),
            Self::Replaced => f.write_str("Replaced"),
        }
    }
}
