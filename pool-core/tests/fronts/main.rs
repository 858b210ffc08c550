//! F1: one script, three pools. The bare core, the async front and the sync front see the same
//! events in the same order (threads: step by step, as two of them may act at once), end every
//! step with the same counts and the same work under way, and serve the same borrowers with the
//! same sessions.

mod bare;
mod books;
mod desk;
mod shells;
mod step;

use std::time::{Duration, Instant};

use pool_core::{AsyncKeyedPool, AsyncPool, Config, KeyedConfig, KeyedPool, Order, Pool, Stats};

use self::bare::Bare;
use self::books::{Books, ByName, One};
use self::desk::{AsyncDesk, Desk, KEYS, TOTAL, Verdict};
use self::shells::{Async, ForTasks, ForThreads, Sync};
use self::step::{How, Outcome, Step, View, choose};

/// Operations take no longer than the script wants, so their timeouts never come.
fn config(order: Order, leases: usize) -> Config {
    let days = Duration::from_secs(100_000);
    Config::builder()
        .max_size(3)
        .leases_per_session(leases)
        .limit_recovery(Duration::from_secs(20))
        .order(order)
        .max_connecting(1)
        .max_maintaining(2)
        .connect_timeout(days)
        .check_timeout(days)
        .reset_timeout(days)
        .close_timeout(days)
        .idle_timeout(Some(Duration::from_secs(120)))
        .max_lifetime(Some(Duration::from_secs(300)))
        .keepalive_interval(Some(Duration::from_secs(30)))
        .seed(Some(11))
        .build()
        .unwrap()
}

struct Trio<B: Books, A: ForTasks, S: ForThreads> {
    /// As tasks run it, and as threads do.
    bare: [Bare<B>; 2],
    task: Async<A>,
    thread: Sync<S>,
    played: Vec<Step>,
}

impl Trio<One, AsyncPool<AsyncDesk>, Pool<Desk>> {
    fn one(order: Order, leases: usize) -> Self {
        let now = Instant::now();
        let (config, shared) = (|| config(order, leases), leases > 1);
        Self {
            bare: [true, false].map(|ends| Bare::one(config(), shared, now, ends)),
            task: Async::one(config(), shared),
            thread: Sync::one(config(), shared),
            played: Vec::new(),
        }
    }
}

impl Trio<ByName, AsyncKeyedPool<u8, AsyncDesk>, KeyedPool<u8, Desk>> {
    fn keyed(order: Order, leases: usize) -> Self {
        let now = Instant::now();
        let shared = leases > 1;
        let config = || {
            let config = KeyedConfig::new(config(order, leases), TOTAL).unwrap();
            config.forget_after(Duration::from_secs(200)).turn(Duration::from_millis(250))
        };
        Self {
            bare: [true, false].map(|ends| Bare::keyed(config(), shared, now, ends)),
            task: Async::keyed(config(), shared),
            thread: Sync::keyed(config(), shared),
            played: Vec::new(),
        }
    }
}

impl<B: Books, A: ForTasks, S: ForThreads> Trio<B, A, S> {
    /// Plays one step on all three; they must look the same then.
    fn play(&mut self, step: Step) {
        let Step::Advance(mut left) = step else { return self.step(step) };
        while !left.is_zero() && self.view().working.is_empty() {
            let by = self.bare[1].until_due(left).max(Duration::from_nanos(1));
            self.step(Step::Advance(by));
            left = left.saturating_sub(by);
        }
    }

    fn step(&mut self, step: Step) {
        self.played.push(step);
        for bare in &mut self.bare {
            bare.play(step);
        }
        self.task.play(step);
        self.thread.play(step);
        let [expected, threaded] = self.bare.each_ref().map(Bare::view);
        let closed = self.played.contains(&Step::Close);
        assert!(closed || expected == threaded, "{:?}", self.played);
        let view = self.task.view();
        assert!(view == expected, "tasks: {view:#?}\ncore: {expected:#?}\n{:?}", self.played);
        if let Err(view) = self.thread.come_to(&threaded) {
            panic!("threads: {view:#?}\ncore: {threaded:#?}\n{:?}", self.played);
        }
    }

    /// What threads see: there, what is given up is still under way.
    fn view(&self) -> View {
        self.bare[1].view()
    }

    /// Everybody returns, all that is under way succeeds, and the pool closes.
    fn end(mut self) {
        self.play(Step::Close);
        for _ in 0..200 {
            let view = self.view();
            let holds = |(n, o): (&usize, &Outcome)| matches!(o, Outcome::Holds(..)).then_some(*n);
            if let Some(&ticket) = view.working.first() {
                self.play(Step::Finish(ticket, Verdict::Ok));
            } else if let Some(number) = view.borrowers.iter().find_map(holds) {
                self.play(Step::Return(number, How::Clean));
            } else {
                let open: usize = view.stats.values().map(Stats::open).sum();
                assert_eq!(open, 0, "{:?}", self.played);
                return self.thread.join();
            }
        }
        panic!("the pool never drains: {:?}", self.played);
    }
}

/// Forty scripts, and others with another `POOL_SEED`.
fn seeds() -> std::ops::Range<u64> {
    let first = std::env::var("POOL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    first..first + 40
}

fn random<B: Books, A: ForTasks, S: ForThreads>(
    mut trio: Trio<B, A, S>,
    keys: u8,
    seed: u64,
    steps: usize,
) {
    let mut dice = seed;
    for _ in 0..steps {
        // Nobody looks after what is left then, as keys that are still known.
        if trio.bare[0].has_ended() {
            break;
        }
        let step = choose(&mut dice, &trio.view(), keys, seed.is_multiple_of(4));
        trio.play(step);
    }
    trio.end();
}

#[test]
fn f1_threads_tasks_and_the_core_tell_the_same_story() {
    for seed in seeds() {
        random(Trio::one(Order::Lifo, 1), 1, seed, 80);
        random(Trio::one(Order::Fifo, 1), 1, seed + 1000, 40);
    }
}

#[test]
fn f1_so_they_do_of_sessions_with_several_leases() {
    for seed in seeds() {
        random(Trio::one(Order::Lifo, 3), 1, seed, 80);
        random(Trio::one(Order::Fifo, 2), 1, seed + 1000, 40);
    }
}

#[test]
fn f1_so_they_do_of_keys() {
    for seed in seeds() {
        random(Trio::keyed(Order::Lifo, 1), KEYS as u8, seed, 80);
        random(Trio::keyed(Order::Fifo, 1), 2, seed + 1000, 60);
    }
}

#[test]
fn f1_so_they_do_of_keys_whose_sessions_have_several_leases() {
    for seed in seeds() {
        random(Trio::keyed(Order::Lifo, 3), KEYS as u8, seed, 80);
        random(Trio::keyed(Order::Fifo, 2), 2, seed + 1000, 60);
    }
}
