//! Benchmarks of the workspace: `README.md` has their tables and says how they are made.
#![forbid(unsafe_code)]

pub mod load;
pub mod pools;
pub mod ssh;
