//! Somebody else's code that panics, or looks at the pool, from wherever it is called: row 25, and
//! what was suspected of locks and of threads that cannot be started.

use std::fmt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncBackend, AsyncPool, Backend, Config, ConfigBuilder, ErrorKind, Event,
    KillSwitch, Observer, Pool,
};
use pool_model::{Executor, FakeBackend};

use crate::log;
use crate::rig::{poll_once, until, within_watchdog};

const MANY: usize = 40;

fn quick() -> ConfigBuilder {
    let moment = Duration::from_millis(1);
    Config::builder().acquire_timeout(None).backoff_base(moment).backoff_max(moment)
}

/// What is done at a place of somebody else's code.
type Doing = Arc<dyn Fn() + Send + Sync>;

fn panics() -> Doing {
    Arc::new(|| panic!("as told"))
}

/// An error that does something when it is shown, or dropped.
struct Nasty {
    shown: Option<Doing>,
    dropped: Option<Doing>,
}

impl fmt::Display for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(doing) = &self.shown {
            doing();
        }
        f.write_str("nasty")
    }
}

impl fmt::Debug for Nasty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nasty")
    }
}

impl std::error::Error for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        if let Some(doing) = &self.dropped
            && !thread::panicking()
        {
            doing();
        }
    }
}

/// What a [`NastyBackend`] does where.
#[derive(Clone, Default)]
struct Plan {
    error_shown: Option<Doing>,
    error_dropped: Option<Doing>,
    session_dropped: Option<Doing>,
    switch_dropped: Option<Doing>,
    connects: Arc<AtomicUsize>,
    /// So many connects fail before one succeeds.
    failing: usize,
    checks_fail: bool,
}

struct Fragile(Option<Doing>);

impl Drop for Fragile {
    fn drop(&mut self) {
        if let Some(doing) = &self.0
            && !thread::panicking()
        {
            doing();
        }
    }
}

impl Plan {
    fn error(&self) -> Nasty {
        Nasty { shown: self.error_shown.clone(), dropped: self.error_dropped.clone() }
    }

    fn open(&self) -> Result<Fragile, Nasty> {
        if self.connects.fetch_add(1, Ordering::SeqCst) < self.failing {
            return Err(self.error());
        }
        Ok(Fragile(self.session_dropped.clone()))
    }

    fn ask(&self) -> Result<(), Nasty> {
        if self.checks_fail { Err(self.error()) } else { Ok(()) }
    }
}

impl Backend for Plan {
    type Session = Fragile;
    type Error = Nasty;

    fn connect(&self) -> Result<Fragile, Nasty> {
        self.open()
    }

    fn is_broken(&self, _: &mut Fragile) -> bool {
        false
    }

    fn check(&self, _: &mut Fragile) -> Result<(), Nasty> {
        self.ask()
    }

    fn kill_switch(&self, _: &mut Fragile) -> Option<KillSwitch> {
        let captured = Fragile(self.switch_dropped.clone());
        Some(Box::new(move || drop(captured)))
    }
}

impl AsyncBackend for Plan {
    type Session = Fragile;
    type Error = Nasty;

    async fn connect(&self) -> Result<Fragile, Nasty> {
        self.open()
    }

    fn is_broken(&self, _: &mut Fragile) -> bool {
        false
    }

    async fn check(&self, _: &mut Fragile) -> Result<(), Nasty> {
        self.ask()
    }
}

fn serves_in_spite_of_failed_connects(plan: Plan) {
    log::keep();
    let plan = Plan { failing: MANY, ..plan };
    let on_threads = plan.clone();
    let served = within_watchdog(move || {
        let pool = Pool::new(on_threads, quick().build().unwrap());
        pool.get().map(drop).is_ok()
    });
    assert_eq!(served, Some(true), "on threads");
    plan.connects.store(0, Ordering::SeqCst);
    let executor = Executor::new();
    let config = quick().build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), plan).config(config).build();
    drop(executor.block_on(pool.get()).unwrap());
}

/// Sessions that are checked at every lease, and fail the check or not.
fn serves_in_spite_of_checks(plan: Plan) {
    log::keep();
    let on_threads = plan.clone();
    let served = within_watchdog(move || {
        let config = quick().check_after_idle(Duration::from_nanos(1)).build().unwrap();
        let pool = Pool::new(on_threads, config);
        for _ in 0..MANY {
            drop(pool.get().unwrap());
            // The next one finds it silent for longer than that.
            thread::sleep(Duration::from_millis(12));
        }
        let stats = pool.stats();
        stats.counters.checks > 8 && stats.counters.served == MANY as u64
    });
    assert_eq!(served, Some(true), "on threads");
    let executor = Executor::new();
    let config = quick().check_after_idle(Duration::from_nanos(1)).build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), plan).config(config).build();
    for _ in 0..MANY {
        drop(executor.block_on(pool.get()).unwrap());
        executor.advance(Duration::from_secs(1));
    }
}

#[test]
fn row_25_an_error_that_panics_when_it_is_logged_costs_no_worker() {
    let plan = Plan { error_shown: Some(panics()), ..Plan::default() };
    serves_in_spite_of_failed_connects(plan.clone());
    serves_in_spite_of_checks(Plan { checks_fail: true, ..plan });
}

#[test]
fn row_25_an_error_that_panics_when_it_is_dropped_costs_no_worker() {
    let plan = Plan { error_dropped: Some(panics()), ..Plan::default() };
    serves_in_spite_of_failed_connects(plan.clone());
    serves_in_spite_of_checks(Plan { checks_fail: true, ..plan });
}

#[test]
fn row_25_a_session_that_panics_when_it_is_dropped_costs_no_worker() {
    let plan = Plan { session_dropped: Some(panics()), checks_fail: true, ..Plan::default() };
    serves_in_spite_of_checks(plan);
}

/// A worker that dies and stays counted is not missed before all others have ended. That they do
/// after five seconds without work, of the system's time.
#[test]
fn row_25_workers_that_run_into_panics_everywhere_are_replaced_after_all_have_ended() {
    log::keep();
    let plan = Plan {
        error_shown: Some(panics()),
        error_dropped: Some(panics()),
        session_dropped: Some(panics()),
        switch_dropped: Some(panics()),
        checks_fail: true,
        failing: 3,
        ..Plan::default()
    };
    let served = within_watchdog(move || {
        let config = quick().check_after_idle(Duration::from_nanos(1)).build().unwrap();
        let pool = Pool::new(plan, config);
        for _ in 0..5 {
            drop(pool.get().unwrap());
            thread::sleep(Duration::from_millis(12));
        }
        pool.evict_all();
        until(|| pool.stats().open() == 0);
        thread::sleep(Duration::from_secs(7));
        pool.get().map(drop).is_ok()
    });
    assert_eq!(served, Some(true));
}

#[test]
fn an_error_that_panics_when_it_is_dropped_lets_guards_and_pools_go_quietly() {
    let plan = Plan { error_dropped: Some(panics()), failing: 3, ..Plan::default() };
    let executor = Executor::new();
    let config = quick().build().unwrap();
    let pool = AsyncPool::builder_on(executor.runtime(), plan).config(config).build();
    let mut waiting = Box::pin(pool.get_timeout(Duration::from_secs(1)));
    assert!(poll_once(waiting.as_mut()).is_none());
    executor.advance(Duration::from_micros(1));
    drop(waiting);
    assert!(pool.health().last_failure.is_some());
    // The runtime ends, so that the handle is the last to go.
    executor.shut_down();
    drop(pool);
}

/// Errors, sessions and kill switches that look at the pool wherever they are shown and dropped:
/// under its lock, that would never end.
#[test]
fn errors_sessions_and_switches_are_shown_and_dropped_outside_the_lock() {
    log::keep();
    let done = within_watchdog(|| {
        let home: Arc<OnceLock<Pool<Plan>>> = Arc::default();
        let looks = Arc::new(AtomicUsize::new(0));
        let look: Doing = Arc::new({
            let (home, looks) = (Arc::clone(&home), Arc::clone(&looks));
            move || {
                if let Some(pool) = home.get() {
                    pool.stats();
                    looks.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let plan = Plan {
            error_shown: Some(look.clone()),
            error_dropped: Some(look.clone()),
            session_dropped: Some(look.clone()),
            switch_dropped: Some(look),
            failing: 5,
            ..Plan::default()
        };
        let config = quick().check_after_idle(Duration::from_nanos(1)).build().unwrap();
        let pool = home.get_or_init(|| Pool::new(plan, config));
        for _ in 0..5 {
            drop(pool.get().unwrap());
            thread::sleep(Duration::from_millis(12));
        }
        pool.evict_all();
        drop(pool.get().unwrap());
        pool.close().unwrap();
        looks.load(Ordering::SeqCst)
    });
    assert!(done.is_some_and(|looks| looks > 10), "{done:?}");
}

/// An observer that panics at everything, and looks at the pool first.
#[derive(Default)]
struct Rude(OnceLock<Pool<FakeBackend>>, AtomicUsize);

impl Observer for Rude {
    fn on_event(&self, _: &Event) {
        if let Some(pool) = self.0.get() {
            pool.stats();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        panic!("as told");
    }
}

#[test]
fn row_25_an_observer_that_panics_at_everything_costs_nothing_but_its_events() {
    let done = within_watchdog(|| {
        let rude = Arc::new(Rude::default());
        let pool = Pool::builder(FakeBackend::new())
            .config(quick().build().unwrap())
            .observer(rude.clone())
            .build();
        let _ = rude.0.set(pool.clone());
        for _ in 0..MANY {
            let lease = pool.get().unwrap();
            lease.killer()();
        }
        pool.close().unwrap();
        rude.1.load(Ordering::SeqCst)
    });
    assert!(done.is_some_and(|events| events > 3 * MANY), "{done:?}");
}

const CHILD: &str = "POOL_REVIEW_WITHOUT_THREADS";

/// In a process where threads that don't ask for less get a stack that no system has.
#[test]
fn where_no_worker_thread_can_be_started_all_who_wait_are_told() {
    if std::env::var_os(CHILD).is_some() {
        return threads_without_workers();
    }
    let name = "panics::where_no_worker_thread_can_be_started_all_who_wait_are_told";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env("RUST_MIN_STACK", (1_u64 << 46).to_string())
        .env(CHILD, "1")
        .spawn()
        .unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let id = child.id();
    thread::spawn(move || drop(sender.send(child.wait())));
    let ended = receiver.recv_timeout(Duration::from_secs(60));
    if ended.is_err() {
        let _ = Command::new("kill").arg("-9").arg(id.to_string()).status();
    }
    assert!(ended.is_ok_and(|status| status.is_ok_and(|status| status.success())));
}

fn threads_without_workers() {
    const THREADS: usize = 8;
    for _ in 0..200 {
        let pool = Pool::new(FakeBackend::new(), quick().build().unwrap());
        let start = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (pool, start) = (pool.clone(), Arc::clone(&start));
                let small = thread::Builder::new().stack_size(256 * 1024);
                small.spawn(move || {
                    start.wait();
                    matches!(pool.get(), Err(AcquireError::NoWorker(_)))
                })
            })
            .collect();
        for thread in threads {
            assert!(thread.unwrap().join().unwrap(), "told that there is no worker");
        }
    }
}

#[test]
fn errors_are_classified_by_the_backend() {
    // `ErrorKind` is what the backend says, and transient where its classification panics.
    struct Undecided;
    impl Backend for Undecided {
        type Session = ();
        type Error = Nasty;
        fn connect(&self) -> Result<(), Nasty> {
            Err(Nasty { shown: None, dropped: None })
        }
        fn is_broken(&self, (): &mut ()) -> bool {
            false
        }
        fn check(&self, (): &mut ()) -> Result<(), Nasty> {
            Ok(())
        }
        fn classify(&self, _: &Nasty) -> ErrorKind {
            panic!("as told")
        }
    }
    let pool = Pool::new(Undecided, quick().build().unwrap());
    let refused = pool.get_timeout(Duration::from_millis(50));
    assert!(matches!(refused, Err(AcquireError::TimedOut(_))));
}
