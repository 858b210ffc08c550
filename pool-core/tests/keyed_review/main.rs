//! Keyed pools: the model of their books (K1 to K7), and what users of them look at.

mod machine;
mod spy;
mod rows;
mod shares;
