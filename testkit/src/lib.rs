//! Placeholder until the first commit.

#[cfg(feature = "fake")]
pub mod fake;
