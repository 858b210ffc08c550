//! What a borrower without a session is told: one sentence that it can act on.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{AcquireError, Config, ConfigBuilder, ErrorKind, Event, Observer, Pool, Stats};
use pool_model::{Behaviour, FakeBackend, FakeError};

const MOMENT: Duration = Duration::from_millis(20);

fn pool(backend: &FakeBackend, config: ConfigBuilder) -> Pool<FakeBackend> {
    Pool::new(backend.clone(), config.max_size(1).build().unwrap())
}

/// What is told once the pool has come that far.
fn told_when(pool: &Pool<FakeBackend>, ready: impl Fn(&Stats) -> bool) -> AcquireError<FakeError> {
    let _ = pool.get_timeout(MOMENT);
    while !ready(&pool.stats()) {
        std::thread::yield_now();
    }
    pool.get_timeout(MOMENT).unwrap_err()
}

fn told(pool: &Pool<FakeBackend>) -> String {
    let error = pool.get_timeout(MOMENT).unwrap_err();
    assert!(error.is_timeout());
    assert!(format!("{error:?}").starts_with("TimedOut"));
    error.to_string()
}

#[test]
fn a_timeout_says_who_holds_the_sessions() {
    let pool = pool(&FakeBackend::new(), Config::builder());
    let _held = pool.get().unwrap();
    let told = told(&pool);
    let expected = "waiting for a session to be returned (1 of 1 lent, 0 idle, 0 connecting, ";
    assert!(told.contains(expected), "{told}");
    assert!(told.contains("the oldest lease is out for"), "{told}");
    assert!(told.contains(file!()), "{told}");
}

#[test]
fn a_timeout_says_that_a_connect_takes_long() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Block);
    let pool = pool(&backend, Config::builder());
    let told = told_when(&pool, |stats| stats.connecting == 1).to_string();
    assert!(told.contains("waiting for a session being opened (0 of 1 lent"), "{told}");
    backend.connects.open(9);
}

#[test]
fn a_timeout_says_why_the_last_connect_failed() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Err(ErrorKind::Transient));
    let slow = Duration::from_secs(60);
    let pool = pool(&backend, Config::builder().backoff_base(slow).backoff_max(slow));
    let error = told_when(&pool, |stats| stats.counters.connect_failures == 1);
    let told = error.to_string();
    assert!(told.contains("waiting for the delay after a failed connect"), "{told}");
    assert!(told.ends_with("the last connect failed: fake Transient error"), "{told}");
    assert_eq!(error.source().unwrap().to_string(), "fake Transient error");
    backend.connects.always(Behaviour::Panic);
    pool.evict_all();
    let told = told_when(&pool, |stats| stats.counters.connect_failures == 2).to_string();
    assert!(told.ends_with("the last connect panicked"), "{told}");
}

#[test]
fn a_timeout_says_that_the_last_connect_timed_out() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Block);
    let slow = Duration::from_secs(60);
    let config = Config::builder().backoff_base(slow).backoff_max(slow);
    let pool = pool(&backend, config.connect_timeout(Duration::from_millis(1)));
    let error = told_when(&pool, |stats| stats.counters.connect_failures == 1);
    assert!(error.to_string().ends_with("the last connect timed out"), "{error}");
    assert!(error.connect_error().is_none() && error.source().is_none());
    backend.connects.open(9);
}

#[test]
fn a_timeout_says_that_a_session_is_being_checked() {
    let backend = FakeBackend::new();
    let pool = pool(&backend, Config::builder().check_after_idle(Duration::ZERO));
    drop(pool.get().unwrap());
    std::thread::sleep(MOMENT);
    backend.checks.always(Behaviour::Block);
    let told = told(&pool);
    assert!(told.contains("waiting for a check of an idle session"), "{told}");
    backend.checks.open(9);
}

#[test]
fn other_refusals_say_what_is_wrong() {
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let pool = pool(&backend, Config::builder().close_timeout(MOMENT));
    let error = pool.get().unwrap_err();
    assert_eq!(error.to_string(), "no session could be opened: fake Permanent error");
    assert_eq!(error.source().unwrap().to_string(), "fake Permanent error");
    assert!(format!("{error:?}").starts_with("Connect"));
    backend.connects.always(Behaviour::Ok);
    pool.evict_all();
    let held = pool.get().unwrap();
    let error = pool.close().unwrap_err().to_string();
    let expected = "1 sessions were still open (1 leases out, 0 hanging operations) when the time \
                    to close the pool was up";
    assert_eq!(error, expected);
    let error = pool.get().unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), format!("{error:?}").as_str()),
        ("the pool is closed", "Closed")
    );
    assert!(error.source().is_none() && !error.is_timeout());
    drop(held);
    let error: AcquireError<std::fmt::Error> =
        AcquireError::NoWorker(std::io::Error::other("full"));
    assert_eq!(error.to_string(), "no worker thread could be started: full");
    assert_eq!(error.source().unwrap().to_string(), "full");
}

#[test]
fn an_observer_is_told_the_error_of_a_connect() {
    struct Errors(Mutex<Vec<String>>);
    impl Observer for Errors {
        fn on_event(&self, event: &Event) {
            if let Event::ConnectFailed { error: Some(error), .. } = event {
                self.0.lock().unwrap().push(error.get().to_string());
            }
        }
    }
    let backend = FakeBackend::new();
    backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let errors = Arc::new(Errors(Mutex::default()));
    let pool = Pool::builder(backend.clone()).observer(errors.clone()).build();
    pool.get().unwrap_err();
    assert_eq!(*errors.0.lock().unwrap(), [FakeError(ErrorKind::Permanent).to_string()]);
}
