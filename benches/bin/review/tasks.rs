//! Figures that take tokio and real time: a second each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use pool_core::{AsyncBackend, AsyncPool, Config};
use pool_model::{FakeAsyncBackend, FakeError};
use tokio::runtime::{Builder, Runtime};

use crate::{Figure, SECOND, seconds};

/// Accepts, and hangs up.
#[derive(Clone, Default)]
struct HangsUp(Arc<AtomicUsize>);

impl AsyncBackend for HangsUp {
    type Session = ();
    type Error = FakeError;

    async fn connect(&self) -> Result<(), FakeError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_broken(&self, (): &mut ()) -> bool {
        true
    }

    async fn check(&self, (): &mut ()) -> Result<(), FakeError> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be had")
}

fn connects_in_a_second() -> usize {
    let backend = HangsUp::default();
    runtime().block_on(async {
        let pool = AsyncPool::new(backend.clone(), Config::default());
        drop(pool.get_timeout(SECOND).await);
    });
    backend.0.load(Ordering::Relaxed)
}

/// How long an acquire with a second's patience takes whose pool's driver stands still.
fn beside_a_driver_that_stands_still() -> String {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let home = runtime();
        let config = Config::builder().max_size(1).build().expect("it is in range");
        let pool = AsyncPool::new(FakeAsyncBackend::default(), config);
        let lease = home.block_on(pool.get());
        let start = Instant::now();
        let answer = runtime().block_on(pool.get_timeout(SECOND));
        let _ = send.send(start.elapsed());
        drop((lease, answer));
    });
    receive.recv_timeout(5 * SECOND).map_or("not within 5 s".into(), seconds)
}

/// Of 64 tasks on 10 idle sessions that acquire and release without another await: how many have
/// been served when the first has been a thousand times.
fn served_beside_a_hog() -> usize {
    const TASKS: usize = 64;
    runtime().block_on(async {
        let config = Config::builder().max_size(10).build().expect("it is in range");
        let pool = AsyncPool::new(FakeAsyncBackend::default(), config);
        let mut idle = Vec::new();
        for _ in 0..10 {
            idle.push(pool.get().await);
        }
        drop(idle);
        let served: Arc<Vec<AtomicUsize>> = Arc::new((0..TASKS).map(|_| 0.into()).collect());
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..TASKS {
            let (pool, served, send) = (pool.clone(), Arc::clone(&served), send.clone());
            tokio::spawn(async move {
                loop {
                    drop(pool.get().await);
                    if served[number].fetch_add(1, Ordering::Relaxed) == 1000 {
                        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 0;
                        let so_far = served.iter().filter(|&served| count(served)).count();
                        if send.send(so_far).is_err() {
                            return;
                        }
                    }
                    if send.is_closed() || served[number].load(Ordering::Relaxed) > 1000 {
                        return;
                    }
                }
            });
        }
        receive.recv().await.unwrap_or_default()
    })
}

pub(crate) fn figures() -> Vec<Figure> {
    vec![
        (
            "22",
            "connects in a second, for one borrower, to a peer that hangs up at once",
            connects_in_a_second().to_string(),
        ),
        (
            "24",
            "`get_timeout(1 s)` beside a driver whose runtime stands still",
            beside_a_driver_that_stands_still(),
        ),
        (
            "32",
            "of 64 tasks that await nothing else, served when one has been 1,000 times",
            served_beside_a_hog().to_string(),
        ),
    ]
}
