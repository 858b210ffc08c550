//! Scripts of inputs over a bare core, with every invariant of the pool checked after each step.
//!
//! A [`Script`] is plain data: a [`Setup`] and a list of [`Op`]s. A [`Harness`] plays it in virtual
//! time beside a model of its own, and reports the first [`Violation`] with the steps that led to
//! it. The property tests of `pool-core`, their checked-in seeds and the fuzz target `core_script`
//! all run this.

#[macro_use]
pub(crate) mod violation;
mod books;
mod borrowers;
mod wind_down;
mod facts;
mod gate;
mod handle;
mod harness;
mod keepalive;
mod keyed;
mod limits;
mod noticed;
mod op;
mod order;
mod owner;
mod rules;
mod setup;
mod sharing;
mod strays;
mod tasks;
mod ticks;

pub use self::harness::Harness;
pub use self::keepalive::run_keepalive;
pub use self::op::{End, Keyed, Op, Patience, Return, Span};
pub use self::setup::{SETUP_BYTES, Setup};
pub use self::violation::Violation;

/// A configuration and what is done to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The configuration.
    pub setup: Setup,
    /// The steps.
    pub ops: Vec<Op>,
}

impl Script {
    /// Reads a script from bytes; any will do.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut head = [0; SETUP_BYTES];
        let given = bytes.len().min(SETUP_BYTES);
        head[..given].copy_from_slice(&bytes[..given]);
        let pairs = bytes[given..].chunks_exact(2);
        let ops = pairs.map(|pair| Op::from_bytes(pair[0], pair[1])).collect();
        Self { setup: Setup::from_bytes(head), ops }
    }

    /// Plays the script, then brings the core to rest and closes it.
    ///
    /// # Errors
    ///
    /// The first invariant that did not hold.
    pub fn run(&self) -> Result<(), Violation> {
        let mut harness = Harness::new(self.setup);
        for &op in &self.ops {
            harness.step(op)?;
        }
        harness.finish()
    }
}

/// Plays a script given as bytes: the body of the fuzz target.
///
/// # Errors
///
/// The first invariant that did not hold.
pub fn run_script(bytes: &[u8]) -> Result<(), Violation> {
    Script::from_bytes(bytes).run()
}
