//! The figures that reach a recorder of the `metrics` crate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::{SharedString, Unit};
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use pool_core::core::{ConnectFailure, Operation, Purpose, WaitPhase};
use pool_core::{
    Config, Counters, ErrorKind, Event, Guard, MetricsObserver, NotAcquired, Observer, Pool, Stats,
};
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

/// All that was recorded, a line for each figure.
fn lines(snapshotter: &Snapshotter) -> BTreeSet<String> {
    let line =
        |(key, _, _, value): (CompositeKey, Option<Unit>, Option<SharedString>, DebugValue)| {
            let labels =
                key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
            let labels = labels.collect::<Vec<_>>().join(",");
            let value = match value {
                DebugValue::Counter(count) => format!("{count}"),
                DebugValue::Gauge(level) => format!("{:.1}", level.0),
                DebugValue::Histogram(all) => {
                    format!("{:?}", all.iter().map(|it| it.0).collect::<Vec<_>>())
                }
            };
            format!("{} {labels} {value}", key.key().name())
        };
    snapshotter.snapshot().into_vec().into_iter().map(line).collect()
}

/// What reaches the recorder of these events, without the pool's label.
fn recorded(events: &[Event]) -> BTreeSet<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let observer = MetricsObserver::new("fleet");
    metrics::with_local_recorder(&recorder, || events.iter().for_each(|it| observer.on_event(it)));
    let of_pool = |line: String| line.replace("pool=fleet,", "").replace("pool=fleet ", "");
    lines(&snapshotter).into_iter().map(of_pool).collect()
}

#[track_caller]
fn assert_recorded<const N: usize>(events: &[Event], expected: [&str; N]) {
    let expected = expected.map(str::to_owned).into_iter().collect();
    assert_eq!(recorded(events), expected);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn leases_and_connects_leave_these_figures() {
    let (session, waited, uses) = (1, SECOND / 4, 0);
    let acquired = Event::Acquired { session, waited, uses };
    let served = [
        "pool_acquires_total outcome=served 2",
        "pool_acquire_wait_seconds outcome=served [0.25, 0.25]",
    ];
    assert_recorded(
        &[acquired.clone(), acquired.clone()],
        [served[0], served[1], "pool_leases 2.0"],
    );
    let released = Event::Released { session, held: 3 * SECOND };
    let held = "pool_held_seconds [3.0]";
    assert_recorded(
        &[acquired.clone(), acquired, released],
        [served[0], served[1], held, "pool_leases 1.0"],
    );
    let site = std::panic::Location::caller();
    let long = Event::HeldLong { session, held: SECOND, site };
    assert_recorded(&[long.clone(), long], ["pool_held_long_total 2"]);
    let connected = Event::Connected { session, took: SECOND / 2 };
    let connects = ["pool_connects_total 1", "pool_connect_seconds [0.5]"];
    assert_recorded(
        std::slice::from_ref(&connected),
        [connects[0], connects[1], "pool_sessions_open 1.0"],
    );
    let detached = Event::Detached { session };
    let gone = ["pool_sessions_open 0.0", "pool_leases -1.0"];
    assert_recorded(&[connected, detached], [connects[0], connects[1], gone[0], gone[1]]);
    assert_recorded(&[Event::Added { session }], ["pool_sessions_open 1.0"]);
    assert_recorded(&[Event::LimitLearned { leases: 3 }], ["pool_leases_per_session 3.0"]);
}

#[test]
fn every_outcome_has_its_own_label() {
    let outcomes = [
        (NotAcquired::TimedOut(WaitPhase::Check), "timed_out"),
        (NotAcquired::Cancelled, "cancelled"),
        (NotAcquired::Failed, "failed"),
        (NotAcquired::Closed, "closed"),
        (NotAcquired::Overloaded, "overloaded"),
    ];
    for (why, label) in outcomes {
        let lines = [
            &*format!("pool_acquires_total outcome={label} 1"),
            &*format!("pool_acquire_wait_seconds outcome={label} [2.0]"),
        ];
        assert_recorded(&[Event::NotAcquired { why, waited: 2 * SECOND }], lines);
    }
    let purposes = [
        (Purpose::Lend, "lend"),
        (Purpose::Keepalive, "keepalive"),
        (Purpose::Sweep, "sweep"),
        (Purpose::Watch, "watch"),
        (Purpose::Inspect, "inspect"),
    ];
    for (purpose, label) in purposes {
        for (alive, said) in [(true, "yes"), (false, "no")] {
            let line = format!("pool_checks_total purpose={label},alive={said} 1");
            assert_recorded(&[Event::Checked { session: 1, purpose, alive }], [&line]);
        }
    }
    let operations =
        [(Operation::Connect, "connect"), (Operation::Check, "check"), (Operation::Close, "close")];
    for (operation, label) in operations {
        let line = format!("pool_hung_total operation={label} 1");
        assert_recorded(&[Event::Hung { session: 1, operation }], [&line]);
    }
}

#[test]
fn a_report_has_what_waits_and_hangs_now() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut stats = Stats::default();
    (stats.waiting, stats.idle, stats.connecting) = (1, 2, 3);
    (stats.hung_connects, stats.hung_checks, stats.hung_closes) = (4, 5, 6);
    metrics::with_local_recorder(&recorder, || MetricsObserver::new("fleet").report(&stats));
    let expected = [
        "pool_connecting pool=fleet 3.0",
        "pool_hung pool=fleet 15.0",
        "pool_idle pool=fleet 2.0",
        "pool_waiting pool=fleet 1.0",
    ];
    assert_eq!(lines(&snapshotter), expected.map(str::to_owned).into_iter().collect());
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
