//! A generic session pool.
#![forbid(unsafe_code)]

mod backend;

pub use backend::{Backend, ErrorKind};
