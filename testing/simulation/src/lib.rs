//! Pools and sessions over a simulated network, in one thread and on virtual time.
//!
//! A run is [`play`]ed from a [`Script`], which is drawn from a seed: clients as users write them,
//! servers that speak SSH, a network between them, and what happens to all three. What was promised
//! is checked against the servers' own books. See the README beside this.
#![forbid(unsafe_code)]

mod actor;
mod books;
mod client;
mod drawing;
mod ending;
mod events;
mod flow;
mod habits;
mod job;
mod net;
mod play;
mod records;
mod script;
mod shrink;
mod site;
mod stage;
mod trace;
mod world;

pub use actor::Expected;
pub use habits::Mood;
pub use job::{Job, Reading};
pub use net::Direction;
pub use play::{RECOVERY, Report, play};
pub use records::{Breach, Counts};
pub use script::{Client, Kind, Script, Step, What};
pub use shrink::shrink;
