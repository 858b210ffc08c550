//! What happened, in order: one hash of it all, and its lines where somebody wants to read them.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What happened so far in one run. Clones are the same trace.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    start: Instant,
    hash: u64,
    events: u64,
    line: String,
    shown: bool,
}

impl Trace {
    /// Begins now; `shown` prints every line.
    pub(crate) fn new(shown: bool) -> Self {
        let start = Instant::now();
        let state =
            State { start, hash: 0xcbf2_9ce4_8422_2325, events: 0, line: String::new(), shown };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Something happened now.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut state = self.state();
        let at = state.start.elapsed();
        let mut line = std::mem::take(&mut state.line);
        line.clear();
        // Writing to a string does not fail.
        let _ = write!(line, "{:>12.3} {what}", at.as_secs_f64());
        // FNV-1a: equal traces are what is to be told, not forged ones.
        for byte in line.bytes().chain([b'\n']) {
            state.hash = (state.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        state.events += 1;
        if state.shown {
            println!("{line}");
        }
        state.line = line;
    }

    /// Of all that happened so far.
    pub(crate) fn hash(&self) -> u64 {
        self.state().hash
    }

    /// How much that was.
    pub(crate) fn events(&self) -> u64 {
        self.state().events
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes something in the trace of a world.
macro_rules! note {
    ($world:expr, $($what:tt)*) => {
        $world.trace.note(format_args!($($what)*))
    };
}
pub(crate) use note;
