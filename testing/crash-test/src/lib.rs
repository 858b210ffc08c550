//! The crash test: what networks, servers, operators and our own process do to pooled sessions, and
//! what a borrower sees of it.
//!
//! Each scenario plays against a real sshd behind a proxy that does what networks do, once for each
//! way to use the product ([`api::Api`]). Every command carries a nonce that the server writes down
//! when it runs the command, so what was lost or run twice is a fact ([`ledger`]). Each scenario is
//! bounded by a limit of its own: what is not done then counts as hung.
//!
//! `cargo xtask faults` plays all of them and writes `FAULTS.md`; the tests of this crate play them
//! quick.
#![forbid(unsafe_code)]

pub mod api;
pub mod figures;
pub mod idle;
pub mod ledger;
pub mod scenarios;
pub mod soak;
pub mod stage;
pub mod table;
