//! Backends chosen at run time, sync and async.

use std::sync::Arc;

use pool_core::{AsyncPool, Backend, Config, DynAsyncBackend, ErrorKind, Pool};
use pool_model::{Behaviour, FakeAsyncBackend, FakeBackend, FakeError, FakeSession};

type AnyBackend = Arc<dyn Backend<Session = FakeSession, Error = FakeError>>;
type AnyAsyncBackend = Arc<dyn DynAsyncBackend<FakeSession, FakeError>>;

#[test]
fn a_sync_backend_is_chosen_at_run_time() {
    for refusing in [false, true] {
        let chosen = FakeBackend::new();
        if refusing {
            chosen.connects.always(Behaviour::Err(ErrorKind::Permanent));
        }
        let backend: AnyBackend = Arc::new(chosen.clone());
        let pool = Pool::new(backend, Config::default());
        assert_eq!(pool.get().is_err(), refusing);
        if !refusing {
            pool.get().unwrap().mark_dirty();
            drop(pool.get().unwrap());
            assert_eq!(chosen.resets.calls(), 1);
        }
        pool.close().unwrap();
        assert_eq!(chosen.truth.closed(), u64::from(!refusing));
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_backend_is_chosen_at_run_time() {
    let chosen = FakeBackend::new();
    let backend: AnyAsyncBackend = Arc::new(FakeAsyncBackend(chosen.clone()));
    let config = Config::builder()
        .keepalive_interval(Some(std::time::Duration::from_secs(5)))
        .build()
        .unwrap();
    let pool = AsyncPool::new(backend, config);
    pool.get().await.unwrap().mark_dirty();
    drop(pool.get().await.unwrap());
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    drop(pool.get().await.unwrap());
    pool.close().await.unwrap();
    assert_eq!((chosen.resets.calls(), chosen.truth.closed()), (1, 1));
    assert!(chosen.checks.calls() + chosen.keepalives.calls() >= 10);
    assert!(chosen.keepalives.calls() >= 10, "not the default of `check`");
}
