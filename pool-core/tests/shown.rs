//! What a program can ask of a pool and its guards, and what it sees when it prints them.

use pool_core::{Config, Guard, KeyedConfig, KeyedPool, Pool};
use pool_model::FakeBackend;

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
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn what_is_printed_of_tasks_says_what_it_is() {
    use pool_core::AsyncPool;
    use pool_model::FakeAsyncBackend;

    let builder = AsyncPool::builder(FakeAsyncBackend(FakeBackend::new()));
    assert!(format!("{builder:?}").starts_with("AsyncPoolBuilder {"));
    let pool = builder.build();
    assert!(format!("{pool:?}").starts_with("AsyncPool {"));
    assert!(format!("{:?}", pool.get()).starts_with("Acquire {"));
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
    ($pool:expr, $($await:tt)*) => {{
        let pool = $pool;
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
    }};
}

fn keyed() -> KeyedConfig {
    KeyedConfig::new(Config::builder().max_size(2).build().unwrap(), 8).unwrap()
}

#[test]
fn an_owner_of_keyed_threads_sees_and_does_all() {
    let backend = FakeBackend::new();
    owns!(KeyedPool::new(keyed(), move |_: &&str| backend.clone()),);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn an_owner_of_keyed_tasks_sees_and_does_all() {
    let backend = pool_model::FakeAsyncBackend(FakeBackend::new());
    owns!(pool_core::AsyncKeyedPool::new(keyed(), move |_: &&str| backend.clone()), .await);
}
