//! What it costs to ask for a session that is not there.

use std::time::{Duration, Instant};

use pool_core::{Backend, Config, Pool};
use pool_model::FakeBackend;

use crate::Figure;

/// A `try_get` where all sessions are lent: the median of many.
fn try_get(sessions: usize) -> String {
    let backend = FakeBackend::new();
    let config = Config::builder().max_size(sessions).build().expect("it is in range");
    let pool = Pool::new(backend.clone(), config);
    for _ in 0..sessions {
        let session = Backend::connect(&backend).expect("it was not told to fail");
        drop(pool.add(session));
    }
    let leases: Vec<_> = (0..sessions).map(|_| pool.get()).collect();
    let mut times: Vec<Duration> = (0..501)
        .map(|_| {
            let start = Instant::now();
            drop(pool.try_get());
            start.elapsed()
        })
        .collect();
    drop(leases);
    times.sort();
    format!("{:.1} µs", times[250].as_secs_f64() * 1e6)
}

pub(crate) fn figures() -> Vec<Figure> {
    vec![
        ("28", "`try_get` where all of 10 sessions are lent", try_get(10)),
        ("28", "`try_get` where all of 10,000 sessions are lent", try_get(10_000)),
    ]
}
