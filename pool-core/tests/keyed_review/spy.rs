//! I28 for keys: hashing, comparing, cloning and dropping one, making its backend and telling its
//! observer are somebody else's code. Each of them looks at the pool here, which would stand still
//! if it ran under the lock.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use pool_core::{Config, Event, KeyedConfig, KeyedObserver, KeyedPool};
use pool_model::FakeBackend;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

static POOL: OnceLock<KeyedPool<NosyKey, FakeBackend>> = OnceLock::new();
static CALLS: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
const NAMES: [&str; 6] = ["hash", "eq", "clone", "drop", "maker", "observer"];

thread_local! {
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Looks at everything, unless this is such a look already.
fn look(call: usize) {
    CALLS[call].fetch_add(1, Ordering::Relaxed);
    if LOOKING.replace(true) {
        return;
    }
    if let Some(pool) = POOL.get() {
        let _ = pool.stats();
        let _ = pool.keys();
        let _ = pool.stats_of(&NosyKey(1));
        let _ = pool.try_get(&NosyKey(2));
    }
    LOOKING.set(false);
}

#[derive(Debug)]
struct NosyKey(u64);

impl Hash for NosyKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        look(0);
        // All keys have the same hash, so that they are compared.
        0_u64.hash(state);
    }
}

impl PartialEq for NosyKey {
    fn eq(&self, other: &Self) -> bool {
        look(1);
        self.0 == other.0
    }
}

impl Eq for NosyKey {}

impl Clone for NosyKey {
    fn clone(&self) -> Self {
        look(2);
        Self(self.0)
    }
}

impl Drop for NosyKey {
    fn drop(&mut self) {
        look(3);
    }
}

struct NosyObserver;

impl KeyedObserver<NosyKey> for NosyObserver {
    fn on_event(&self, _: &NosyKey, _: &Event) {
        look(5);
    }
}

fn use_it_all() {
    let per_key = Config::builder().max_size(2).idle_timeout(Some(50 * MILLISECOND));
    let config = KeyedConfig::new(per_key.build().unwrap(), 3).unwrap();
    let config = config.forget_after(20 * MILLISECOND);
    let backend = FakeBackend::new();
    let pool = KeyedPool::builder(config, move |_: &NosyKey| {
        look(4);
        backend.clone()
    });
    let pool = pool.observer(Arc::new(NosyObserver)).build();
    let pool = POOL.get_or_init(|| pool);
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..20 {
                    let key = NosyKey((thread + round) % 5);
                    let session = pool.get(&key).unwrap();
                    session.use_it(thread::yield_now);
                }
            });
        }
    });
    pool.resize(&NosyKey(1), 1);
    pool.retain(|_, _| false);
    pool.evict(&NosyKey(2));
    pool.evict_all();
    pool.resize_total(2);
    assert!(pool.warm(&NosyKey(3), 1, SECOND).is_ok());
    assert!(pool.with_backend(&NosyKey(3), |_| ()).is_some());
    LOOKING.set(true);
    while pool.stats().keys > 0 {
        thread::sleep(5 * MILLISECOND);
    }
    LOOKING.set(false);
    drop(pool.get(&NosyKey(9)).unwrap());
    pool.close().unwrap();
}

#[test]
fn i28_nothing_of_a_key_runs_under_the_lock() {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        use_it_all();
        let _ = ended.send(());
    });
    assert!(end.recv_timeout(30 * SECOND).is_ok(), "it stands still, or panicked");
    for (name, calls) in NAMES.iter().zip(&CALLS) {
        assert!(calls.load(Ordering::Relaxed) > 0, "{name} was never called");
    }
}
