//! What is reported when an invariant does not hold.

use std::fmt;

use super::{Op, Setup};

/// An invariant that did not hold, and how it came to that.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Its name in the contract (`I10`).
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
    /// The configuration.
    pub setup: Box<Setup>,
    /// The steps up to the one after which it was found; the wind_down has none.
    pub steps: Vec<Op>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n{:?}", self.invariant, self.detail, self.setup)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{number:4} {step:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// A violation without its history.
pub(crate) struct Broken(pub(crate) &'static str, pub(crate) String);

pub(crate) type Checked<T = ()> = Result<T, Broken>;

/// Reports a violation of the named invariant unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $invariant:expr, $($detail:tt)+) => {
        if !$condition {
            return Err($crate::script::violation::Broken($invariant, format!($($detail)+)));
        }
    };
}
