//! Benchmarks of the workspace: see `benches/` for the targets and `README.md` for their tables.

pub mod pools;
