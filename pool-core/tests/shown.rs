//! What a program can ask of a pool and its guards, and what it sees when it prints them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{
    Backend, Config, ErrorKind, Event, EventError, Guard, Interrupt, KeyedConfig, KeyedPool,
    NotAcquired, Observer, Pool,
};
use pool_model::{Behaviour, FakeBackend, FakeError, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

fn pool(max_size: usize) -> Pool<FakeBackend> {
    Pool::new(FakeBackend::new(), Config::builder().max_size(max_size).build().unwrap())
}

#[test]
fn what_is_printed_says_what_it_is() {
    let builder = Pool::builder(FakeBackend::new());
    assert!(format!("{builder:?}").starts_with("PoolBuilder {"));
    let pool = builder.build();
    assert!(format!("{pool:?}").starts_with("Pool {"));
    let mut guard = pool.get().unwrap();
    assert!(format!("{guard:?}").starts_with("Guard {"));
    assert!(format!("{:?}", Guard::scope(&mut guard)).starts_with("Scope {"));
    assert_eq!(format!("{:?}", Interrupt::default()), "Interrupt { interrupted: false }");
    let builder = KeyedPool::builder(keyed(), |_: &u8| FakeBackend::new());
    assert!(format!("{builder:?}").starts_with("KeyedPoolBuilder {"));
    assert!(format!("{:?}", builder.build()).starts_with("KeyedPool {"));
}

#[test]
fn the_error_of_an_event_is_itself_alone_and_says_what_it_says() {
    let new = || EventError::new(Arc::new(FakeError(ErrorKind::Busy)));
    let (one, other) = (new(), new());
    assert!(one == one.clone() && one != other);
    let (shown, said) = (format!("{one:?}"), one.to_string());
    assert_eq!((&*shown, &*said), ("FakeError(Busy)", "fake Busy error"));
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Observer for Told {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[test]
fn an_observer_is_told_of_the_error_and_of_who_got_nothing_for_it() {
    let (backend, told) = (FakeBackend::new(), Arc::new(Told::default()));
    backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
    let pool = Pool::builder(backend).observer(told.clone()).build();
    pool.get().unwrap_err();
    let told = told.0.lock().unwrap();
    let error = told.iter().find_map(|event| match event {
        Event::ConnectFailed { error, .. } => error.clone(),
        _ => None,
    });
    let error = error.expect("the backend's error");
    assert_eq!(error.get().downcast_ref(), Some(&FakeError(ErrorKind::Permanent)));
    let failed =
        |event: &&Event| matches!(event, Event::NotAcquired { why: NotAcquired::Failed, .. });
    assert_eq!(told.iter().filter(failed).count(), 1);
}

#[test]
fn a_kill_switch_that_is_replaced_and_panics_harms_nobody() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a kill switch panics when it is dropped");
        }
    }
    let (interrupt, panics) = (Interrupt::default(), Panics);
    interrupt.on_interrupt(move || drop(panics));
    interrupt.on_interrupt(|| ());
    assert!(!interrupt.is_interrupted());
}

#[test]
fn a_keyed_pool_s_settings_are_what_they_were_set_to() {
    let per_key = Config::builder().max_size(7).build().unwrap();
    let config = KeyedConfig::new(per_key.clone(), 9).unwrap();
    assert_eq!((config.per_key(), config.max_total()), (&per_key, 9));
}

#[test]
fn a_keyed_pool_waits_for_as_long_as_its_keys_are_to() {
    let never = Config::builder().max_size(1).acquire_timeout(Some(Duration::ZERO));
    let never = KeyedConfig::new(never.build().unwrap(), 1).unwrap();
    let clock = Arc::new(ManualClock::new());
    let pool = KeyedPool::builder(never, |_: &u8| FakeBackend::new()).clock(clock).build();
    assert!(pool.get(&1).unwrap_err().is_timeout(), "time stands still");
}

#[test]
fn the_greatest_sizes_are_taken() {
    let config = Config::builder().max_size(1_000_000).leases_per_session(10_000).build().unwrap();
    assert_eq!((config.max_size(), config.leases_per_session()), (1_000_000, 10_000));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn what_is_printed_of_tasks_says_what_it_is() {
    use pool_core::{AsyncKeyedPool, AsyncPool};
    use pool_model::FakeAsyncBackend;

    let builder = AsyncPool::builder(FakeAsyncBackend(FakeBackend::new()));
    assert!(format!("{builder:?}").starts_with("AsyncPoolBuilder {"));
    let pool = builder.build();
    assert!(format!("{pool:?}").starts_with("AsyncPool {"));
    assert!(format!("{:?}", pool.get()).starts_with("Acquire {"));
    let keyed = AsyncKeyedPool::builder(keyed(), |_: &u8| FakeAsyncBackend(FakeBackend::new()));
    assert!(format!("{keyed:?}").starts_with("AsyncKeyedPoolBuilder {"));
    assert!(format!("{:?}", keyed.build()).starts_with("AsyncKeyedPool {"));
    assert!(pool.oldest_lease().is_none());
    let _guard = pool.get().await.unwrap();
    assert_eq!(pool.oldest_lease().unwrap().site.file(), file!());
}

#[test]
fn guards_of_two_sessions_are_not_of_one() {
    let pool = pool(2);
    let (one, other) = (pool.get().unwrap(), pool.get().unwrap());
    assert!(Guard::same_session(&one, &one));
    assert!(!Guard::same_session(&one, &other));
    let first_of_another = self::pool(2).get().unwrap();
    assert!(!Guard::same_session(&one, &first_of_another));
}

#[test]
fn a_pool_says_who_holds_its_oldest_lease_and_how_many_a_session_carries() {
    let pool = pool(1);
    assert!(pool.try_get().is_none() && pool.oldest_lease().is_none());
    drop(pool.get().unwrap());
    let line = line!() + 1;
    let _guard = pool.try_get().unwrap();
    let oldest = pool.oldest_lease().unwrap().site;
    assert_eq!((oldest.file(), oldest.line()), (file!(), line));
    let config = Config::builder().leases_per_session(3).build().unwrap();
    let asked = Pool::new(FakeBackend::new(), config).leases_per_session();
    assert_eq!((pool.leases_per_session(), asked), (1, 1), "its sessions have one owner");
}

/// What an owner asks of keyed pools and does to them, on threads and on tasks.
macro_rules! owns {
    ($pool:expr, $backend:expr, $pause:expr, $($await:tt)*) => {{
        let (pool, backend) = ($pool, $backend);
        assert!(pool.try_get(&"a").is_none() && pool.stats_of(&"b").is_none());
        let guard = pool.get(&"a")$($await)*.unwrap();
        assert_eq!(pool.keys(), ["a"]);
        assert_eq!(pool.stats_of(&"a").unwrap().lent, 1);
        assert!(pool.health_of(&"a").unwrap().is_ready());
        assert_eq!(pool.oldest_lease_of(&"a").unwrap().site.file(), file!());
        assert_eq!(pool.leases_per_session(&"a"), Some(1));
        assert!(pool.with_backend(&"a", |_| ()).is_some());
        drop(guard);
        drop(pool.try_get(&"a").unwrap());
        let idle = |key| pool.stats_of(key).unwrap().idle;
        assert_eq!(idle(&"a"), 1);
        pool.evict(&"a");
        assert_eq!(idle(&"a"), 0);
        drop(pool.get(&"a")$($await)*.unwrap());
        assert_eq!(idle(&"a"), 1);
        pool.evict_all();
        assert_eq!(idle(&"a"), 0);
        drop(pool.get(&"a")$($await)*.unwrap());
        pool.retain(|_, _| false);
        assert_eq!(idle(&"a"), 0);
        pool.resize(&"a", 5);
        assert_eq!(pool.stats_of(&"a").unwrap().max_size, 5);
        drop(pool.get(&"a")$($await)*.unwrap());
        drop(pool.get(&"b")$($await)*.unwrap());
        assert_eq!((idle(&"a"), idle(&"b")), (1, 1));
        pool.resize_total(1);
        assert_eq!(idle(&"a") + idle(&"b"), 1);
        let session = || Backend::connect(&backend).unwrap();
        let back = pool.add(&"c", session()).unwrap_err();
        assert_eq!((back.id, idle(&"c")), (backend.truth.created() - 1, 0), "the total is full");
        // What is being closed has its place still.
        while pool.stats().open > 1 {
            $pause;
        }
        pool.resize_total(3);
        pool.add(&"c", session()).unwrap();
        assert_eq!(idle(&"c"), 1);
        pool.warm(&"c", 2, SECOND)$($await)*.unwrap();
        assert_eq!(idle(&"c"), 2);
        pool.evict_all();
        while pool.stats().open > 0 {
            $pause;
        }
        backend.connects.always(Behaviour::Err(ErrorKind::Permanent));
        let lent = pool.get_timeout(&"a", Duration::ZERO)$($await)*;
        assert!(lent.is_err(), "nothing is open, and nothing can be opened");
        let error = pool.warm(&"c", 2, 60 * SECOND)$($await)*.unwrap_err();
        let FakeError(kind) = *error.last_failure.unwrap();
        assert_eq!((error.wanted, error.opened, kind), (2, 0, ErrorKind::Permanent));
        backend.connects.always(Behaviour::Ok);
        let _lent = pool.get(&"d")$($await)*.unwrap();
        let error = pool.close_timeout(Duration::ZERO)$($await)*.unwrap_err();
        assert_eq!((error.stats.lent, error.stats.max_size, error.stats.closed), (1, 3, true));
    }};
}

fn keyed() -> KeyedConfig {
    KeyedConfig::new(Config::builder().max_size(2).build().unwrap(), 8).unwrap()
}

#[test]
fn an_owner_of_keyed_threads_sees_and_does_all() {
    let backend = FakeBackend::new();
    let of_key = backend.clone();
    owns!(
        KeyedPool::new(keyed(), move |_: &&str| of_key.clone()),
        backend,
        std::thread::yield_now(),
    );
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn an_owner_of_keyed_tasks_sees_and_does_all() {
    let backend = FakeBackend::new();
    let of_key = pool_model::FakeAsyncBackend(backend.clone());
    owns!(pool_core::AsyncKeyedPool::new(keyed(), move |_: &&str| of_key.clone()), backend, tokio::task::yield_now().await, .await);
}
