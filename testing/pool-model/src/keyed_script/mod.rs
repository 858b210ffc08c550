//! Scripts over the books of a keyed pool: many cores under one total, in virtual time.
//!
//! A [`KeyedScript`] is plain data: a [`KeyedSetup`] and a list of [`KeyedOp`]s. A
//! [`KeyedHarness`] plays it, recounts the books against the cores after every step, and checks
//! K1 to K5; what holds inside one core is the business of [`script`](super::script). `alone`
//! plays the same steps over a single core and over a keyed one with one key, and compares all
//! that can be seen (K7).

mod alone;
mod wind_down;
mod harness;
mod inputs;
mod op;
mod rules;
mod setup;
mod shares;
mod view;

use std::fmt;

pub use self::alone::{AloneSetup, play_alone, run_alone};
pub use self::harness::KeyedHarness;
pub use self::op::{Back, KeyedOp, OP_BYTES};
pub use self::setup::{KEYED_SETUP_BYTES, KeyedSetup};

/// A configuration and what is done to it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedScript {
    /// The configuration.
    pub setup: KeyedSetup,
    /// The steps.
    pub ops: Vec<KeyedOp>,
}

impl KeyedScript {
    /// Reads a script from bytes; any will do.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut head = [0; KEYED_SETUP_BYTES];
        let given = bytes.len().min(KEYED_SETUP_BYTES);
        head[..given].copy_from_slice(&bytes[..given]);
        let ops = bytes[given..].chunks_exact(OP_BYTES);
        let ops = ops.map(|op| KeyedOp::from_bytes([op[0], op[1], op[2]])).collect();
        Self { setup: KeyedSetup::from_bytes(head), ops }
    }

    /// Plays the script, then brings the books to rest, and ends them.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn run(&self) -> Result<(), KeyedViolation> {
        let mut harness = KeyedHarness::new(self.setup);
        for &op in &self.ops {
            harness.step(op)?;
        }
        harness.finish()
    }

    /// Leaves out steps for as long as the script still fails.
    ///
    /// # Errors
    ///
    /// What the shortest script found that still fails; a script that holds is left alone.
    pub fn shrink(mut self) -> Result<(), KeyedViolation> {
        let mut found = self.run();
        let what = found.as_ref().err().map(|violation| violation.invariant);
        let mut size = self.ops.len();
        while size > 0 {
            let mut at = 0;
            while at < self.ops.len() {
                let mut shorter = self.clone();
                shorter.ops.drain(at..(at + size).min(self.ops.len()));
                match shorter.run() {
                    Err(violation) if Some(violation.invariant) == what => {
                        found = Err(violation);
                        self = shorter;
                    }
                    _ => at += size,
                }
            }
            size /= 2;
        }
        found
    }
}

/// Plays a script given as bytes: the body of the fuzz target.
///
/// # Errors
///
/// The first invariant that did not hold.
pub fn run_keyed_script(bytes: &[u8]) -> Result<(), KeyedViolation> {
    KeyedScript::from_bytes(bytes).run()
}

/// An invariant that did not hold, and how it came to that.
#[derive(Debug, Clone)]
pub struct KeyedViolation {
    /// Its name in the contract (`K2`).
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
    /// The configuration.
    pub setup: Box<KeyedSetup>,
    /// The steps up to the one after which it was found; the wind_down has none.
    pub steps: Vec<KeyedOp>,
}

impl fmt::Display for KeyedViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\n{:?}", self.invariant, self.detail, self.setup)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{number:4} {step:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for KeyedViolation {}
