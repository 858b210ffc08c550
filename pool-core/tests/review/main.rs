//! What a hard look at the pool found, as tests: each fails at the commit that the look was at.
//! `tests/README.md` says which finding is which test.

mod asking;
mod birth;
mod closing;
mod fronts;
mod guards;
mod hooks;
mod leases;
mod log;
mod owning;
mod panics;
mod rig;
