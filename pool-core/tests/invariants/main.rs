//! The contract of the pool, line by line; `../README.md` says which test proves which line.

mod machine;
mod regressions;
