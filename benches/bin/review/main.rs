//! What a hard look found slow or stuck, as figures: `cargo run --release -p benches --bin review`.
//!
//! The README has the same figures as they were when that look was taken. Where a clock set by hand
//! can tell, seconds are its seconds, and come out the same everywhere.
#![forbid(unsafe_code)]

mod asking;
mod closing;
mod tasks;
mod threads;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A figure: which finding it is of, what it is, and its value.
type Figure = (&'static str, &'static str, String);

fn main() {
    println!("| finding | figure | |\n|---|---|---:|");
    let figures = closing::figures()
        .into_iter()
        .chain(asking::figures())
        .chain(threads::figures())
        .chain(tasks::figures());
    for (finding, what, value) in figures {
        println!("| {finding} | {what} | {value} |");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
