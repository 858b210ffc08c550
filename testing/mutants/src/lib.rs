//! Mutation testing of `pool-core` that builds once.
//!
//! `cargo mutants` builds and tests the crate anew for each mutant; here all mutants that it lists
//! ([`list`]) are built into one set of test programs, each behind a switch ([`sites`],
//! [`switch`]) that an environment variable turns on. What no compiler takes is found in a few
//! rounds ([`compile`]). A mutant then costs what it takes the tests that reach it ([`stages`]) to
//! fail. The few that can't be switched, those in constants above all, are built one by one.
#![forbid(unsafe_code)]

pub mod list;
pub mod sites;
pub mod switch;
pub mod workspace;
pub mod compile;
pub mod run;
pub mod stages;
pub mod results;
