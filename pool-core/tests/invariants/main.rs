//! The contract of the pool, line by line; `../README.md` says which test proves which line.

mod accounting;
mod closing;
mod connecting;
mod exclusivity;
mod keeping;
mod machine;
mod regressions;
mod rig;
mod robustness;
mod waiters;
