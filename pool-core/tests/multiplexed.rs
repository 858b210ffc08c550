//! Several leases of one session: the limit is learned, the session is closed once, by the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pool_core::{
    AcquireError, AsyncBackend, AsyncPool, Backend, Config, MultiplexError, Multiplexed, Share,
};
use testkit::fake::{FakeError, ManualClock};

/// A session that carries a few streams, as an SSH connection carries channels.
#[derive(Debug)]
struct Line {
    number: usize,
    streams: AtomicUsize,
    most: usize,
    dead: AtomicBool,
    /// A borrower left something that cannot be cleaned up.
    stained: AtomicBool,
    truth: Arc<Truth>,
}

#[derive(Debug, Default)]
struct Truth {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

impl Line {
    fn open_stream(&self) -> Result<(), ()> {
        if self.streams.fetch_add(1, Ordering::SeqCst) >= self.most {
            self.streams.fetch_sub(1, Ordering::SeqCst);
            return Err(());
        }
        Ok(())
    }

    fn close_stream(&self) {
        self.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
struct Lines {
    carried: usize,
    truth: Arc<Truth>,
}

impl Lines {
    fn new(carried: usize) -> Self {
        Self { carried, truth: Arc::default() }
    }

    fn open(&self) -> Arc<Line> {
        Arc::new(Line {
            number: self.truth.opened.fetch_add(1, Ordering::SeqCst),
            streams: AtomicUsize::new(0),
            most: self.carried,
            dead: AtomicBool::new(false),
            stained: AtomicBool::new(false),
            truth: Arc::clone(&self.truth),
        })
    }

    fn open_now(&self) -> usize {
        self.truth.opened.load(Ordering::SeqCst) - self.truth.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.truth.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Backend for Lines {
    type Session = Arc<Line>;
    type Error = FakeError;

    fn connect(&self) -> Result<Arc<Line>, FakeError> {
        Ok(self.open())
    }

    fn is_broken(&self, line: &mut Arc<Line>) -> bool {
        line.dead.load(Ordering::SeqCst)
    }

    fn check(&self, _line: &mut Arc<Line>) -> Result<(), FakeError> {
        Ok(())
    }

    fn needs_reset(&self, line: &mut Arc<Line>) -> bool {
        line.stained.load(Ordering::SeqCst)
    }

    fn reset(&self, _line: &mut Arc<Line>) -> Result<(), FakeError> {
        Err(FakeError(pool_core::ErrorKind::Transient))
    }
}

impl AsyncBackend for Lines {
    type Session = Arc<Line>;
    type Error = FakeError;

    async fn connect(&self) -> Result<Arc<Line>, FakeError> {
        tokio::task::yield_now().await;
        Ok(self.open())
    }

    fn is_broken(&self, line: &mut Arc<Line>) -> bool {
        line.dead.load(Ordering::SeqCst)
    }

    async fn check(&self, _line: &mut Arc<Line>) -> Result<(), FakeError> {
        Ok(())
    }
}

fn config(sessions: usize) -> Config {
    Config::builder().max_size(sessions).build().unwrap()
}

#[test]
fn shares_fill_a_session_before_another_is_opened() {
    let lines = Lines::new(10);
    let pool = Multiplexed::pool(lines.clone(), 3, &config(2)).unwrap();
    let three: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    assert_eq!(lines.open_now(), 1);
    let fourth = pool.get().unwrap();
    assert_eq!(lines.open_now(), 2);
    let rest = (pool.get().unwrap(), pool.get().unwrap());
    assert!(pool.try_get().is_none());
    assert!(Share::same_session(&three[0], &three[1]) && !Share::same_session(&three[0], &fourth));
    drop((three, fourth, rest));
    pool.close().unwrap();
    assert_eq!(lines.open_now(), 0);
}

#[test]
fn a_pool_of_shares_is_resized_by_sessions() {
    let lines = Lines::new(10);
    let pool = Multiplexed::pool(lines.clone(), 2, &config(1)).unwrap();
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    assert!(pool.try_get().is_none());
    pool.backend().resize(2);
    let third = pool.get().unwrap();
    assert_eq!((lines.open_now(), pool.backend().sessions()), (2, 2));
    pool.backend().resize(1);
    drop((held, third));
    let again = [pool.get().unwrap(), pool.get().unwrap()];
    assert!(pool.try_get().is_none());
    drop(again);
    pool.close().unwrap();
    assert_eq!(lines.open_now(), 0);
}

#[test]
fn the_limit_is_learned_from_the_first_refusal() {
    let lines = Lines::new(2);
    let pool = Multiplexed::pool(lines.clone(), 5, &config(2)).unwrap();
    let held: Vec<_> = (0..2).map(|_| pool.get().unwrap()).collect();
    for share in &held {
        share.open_stream().unwrap();
    }
    let third = pool.get().unwrap();
    assert_eq!((third.number, lines.open_now()), (0, 1));
    third.open_stream().unwrap_err();
    third.refused();
    assert_eq!((third.limit(), pool.stats().max_size), (2, 4));
    drop(third);
    // The same borrower finds a place on another session; the first was not closed for it.
    let again = pool.get().unwrap();
    again.open_stream().unwrap();
    assert_eq!((again.number, lines.open_now()), (1, 2));
    drop(held);
}

#[test]
fn a_hundred_commands_at_once_are_queued_and_spread() {
    let lines = Lines::new(4);
    let pool = Multiplexed::pool(lines.clone(), 10, &config(3)).unwrap();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                loop {
                    let share = pool.get().unwrap();
                    if share.open_stream().is_ok() {
                        thread::yield_now();
                        share.close_stream();
                        break;
                    }
                    share.refused();
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(done.into_inner(), 100);
    assert!(lines.open_now() <= 3);
}

#[test]
fn a_session_that_breaks_takes_all_its_shares_with_it() {
    let lines = Lines::new(10);
    let pool = Multiplexed::pool(lines.clone(), 3, &config(1)).unwrap();
    drop([pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap()]);
    assert_eq!(pool.stats().idle, 3);
    pool.get().unwrap().dead.store(true, Ordering::SeqCst);
    let next = pool.get().unwrap();
    assert_eq!(next.number, 1);
    assert_eq!(lines.truth.closed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reset_that_fails_retires_the_session_and_disturbs_nobody() {
    let lines = Lines::new(10);
    let pool = Multiplexed::pool(lines.clone(), 2, &config(2)).unwrap();
    let (leaver, sibling) = (pool.get().unwrap(), pool.get().unwrap());
    assert!(Share::same_session(&leaver, &sibling));
    leaver.stained.store(true, Ordering::SeqCst);
    drop(leaver);
    let next = pool.get().unwrap();
    assert_eq!((next.number, lines.open_now()), (1, 2), "no share of the stained one is lent");
    drop(sibling);
    pool.close_timeout(Duration::ZERO).unwrap_err();
    drop(next);
    pool.close().unwrap();
    assert_eq!(lines.open_now(), 0);
}

#[test]
fn a_session_is_replaced_at_its_age_however_young_its_shares() {
    let lines = Lines::new(10);
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().max_size(1).max_lifetime(Some(Duration::from_secs(100)));
    let config = config.idle_timeout(None).check_after_idle(Duration::MAX).build().unwrap();
    let time = Arc::clone(&clock);
    let pool =
        Multiplexed::pool_with(lines.clone(), 2, &config, |builder| builder.clock(time)).unwrap();
    let first = pool.get().unwrap();
    clock.advance(Duration::from_secs(60));
    let second = pool.get().unwrap();
    assert!(Share::same_session(&first, &second));
    clock.advance(Duration::from_secs(50));
    drop((first, second));
    let third = pool.get().unwrap();
    assert_eq!((third.number, lines.open_now()), (1, 1));
}

#[test]
fn a_detached_share_keeps_its_session_open() {
    let lines = Lines::new(10);
    let pool = Multiplexed::pool(lines.clone(), 2, &config(1)).unwrap();
    let mine = pool_core::Guard::detach(pool.get().unwrap());
    pool.close().unwrap();
    assert_eq!(lines.open_now(), 1);
    drop(mine);
    assert_eq!(lines.open_now(), 0);
}

#[test]
fn nonsense_is_refused() {
    let error = Multiplexed::pool(Lines::new(1), 0, &config(1)).unwrap_err();
    assert_eq!(error.field(), "leases_per_session");
    let error = Multiplexed::pool(Lines::new(1), usize::MAX, &config(2)).unwrap_err();
    assert_eq!(error.field(), "max_size");
}

#[test]
fn the_text_of_a_full_house_says_so() {
    let full: MultiplexError<FakeError> = MultiplexError::Full { sessions: 2, leases: 5 };
    assert_eq!(full.to_string(), "all 2 sessions carry 5 leases each, which is all they can");
    let _: Option<AcquireError<MultiplexError<FakeError>>> = None;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_share_sessions_too() {
    let lines = Lines::new(4);
    let pool = Multiplexed::async_pool(lines.clone(), 10, &config(3), AsyncPool::builder).unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    let share = pool.get().await.unwrap();
                    if share.open_stream().is_ok() {
                        tokio::task::yield_now().await;
                        share.close_stream();
                        return number;
                    }
                    share.refused();
                }
            })
        })
        .collect();
    let mut done = 0;
    for (index, task) in tasks.into_iter().enumerate() {
        if index % 7 == 0 {
            task.abort();
        }
        done += usize::from(task.await.is_ok());
    }
    assert!(done >= 171, "{done}");
    assert!(lines.open_now() <= 3);
    pool.close().await.unwrap();
    assert_eq!(lines.open_now(), 0);
}
