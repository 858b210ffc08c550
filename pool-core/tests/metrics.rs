//! The figures that reach a recorder of the `metrics` crate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use pool_core::core::ConnectFailure;
use pool_core::{Config, Counters, ErrorKind, Event, Guard, MetricsObserver, Observer, Pool};
use pool_model::FakeBackend;

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
    assert_eq!(value("pool_leases"), 1.0);
    assert_eq!(value("pool_acquires_total"), 3.0);
    assert_eq!(value("pool_acquire_wait_seconds"), 3.0);
    assert_eq!(value("pool_held_seconds"), 1.0);
    assert_eq!(value("pool_connects_total"), 3.0);
    drop((kept, held));
}

#[test]
fn every_failure_and_every_end_of_a_session_has_its_own_label() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let observer = MetricsObserver::new("fleet");
    let reasons: Vec<_> = Counters::default().closed_by_reason().map(|entry| entry.0).collect();
    let kinds =
        [ErrorKind::Transient, ErrorKind::Permanent, ErrorKind::Busy, ErrorKind::Unreachable];
    metrics::with_local_recorder(&recorder, || {
        for &reason in &reasons {
            observer.on_event(&Event::Added { session: 1 });
            observer.on_event(&Event::Closed { session: 1, reason, age: Duration::ZERO });
        }
        for kind in kinds {
            let reason = ConnectFailure::Error(());
            observer.on_event(&Event::ConnectFailed { kind, reason, error: None });
        }
    });
    let mut labels = [BTreeSet::new(), BTreeSet::new()];
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let label = |name| key.key().labels().find(|label| label.key() == name).cloned();
        match (key.key().name(), value) {
            ("pool_closed_total", DebugValue::Counter(1)) => labels[0].extend(label("reason")),
            ("pool_connect_failures_total", DebugValue::Counter(1)) => {
                labels[1].extend(label("kind"));
            }
            ("pool_sessions_open", value) => assert_eq!(value, DebugValue::Gauge(0.0.into())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(labels.map(|labels| labels.len()), [reasons.len(), kinds.len()]);
}
