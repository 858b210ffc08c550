//! The figures that reach a recorder of the `metrics` crate.

use std::sync::Arc;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use pool_core::{Config, Guard, MetricsObserver, Pool};
use testkit::fake::FakeBackend;

#[test]
fn gauges_and_counters_follow_the_pool() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::set_global_recorder(recorder).unwrap();
    let pool = Pool::builder(FakeBackend::new())
        .config(Config::builder().max_size(3).build().unwrap())
        .observer(Arc::new(MetricsObserver::new("fleet")))
        .build();
    let kept = Guard::detach(pool.get().unwrap());
    let held = pool.get().unwrap();
    drop(pool.get().unwrap());
    let values: Vec<_> = snapshotter.snapshot().into_vec();
    let value = |name: &str| {
        let found = values.iter().find(|(key, ..)| key.key().name() == name);
        let (key, _, _, value) = found.unwrap_or_else(|| panic!("no {name}"));
        assert!(key.key().labels().any(|label| (label.key(), label.value()) == ("pool", "fleet")));
        match value {
            DebugValue::Counter(count) => *count as f64,
            DebugValue::Gauge(level) => level.0,
            DebugValue::Histogram(samples) => samples.len() as f64,
        }
    };
    assert_eq!(value("pool_sessions_open"), 2.0);
    assert_eq!(value("pool_sessions_lent"), 1.0);
    assert_eq!(value("pool_acquires_total"), 3.0);
    assert_eq!(value("pool_acquire_wait_seconds"), 3.0);
    assert_eq!(value("pool_held_seconds"), 1.0);
    assert_eq!(value("pool_connects_total"), 3.0);
    drop((kept, held));
}
