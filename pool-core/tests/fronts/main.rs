//! F1: one script, three pools. The bare core, the async front and the sync front see the same
//! events in the same order (threads: step by step, as two of them may act at once), end every
//! step with the same counts and the same work under way, and serve the same borrowers with the
//! same sessions.

mod bare;
mod desk;
mod shells;
mod step;

use std::time::{Duration, Instant};

use pool_core::{Config, Order};

use self::bare::Bare;
use self::desk::Verdict;
use self::shells::{Async, Sync};
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

struct Trio {
    /// As tasks run it, and as threads do.
    bare: [Bare; 2],
    task: Async,
    thread: Sync,
    played: Vec<Step>,
}

impl Trio {
    fn new(order: Order, leases: usize) -> Self {
        let now = Instant::now();
        let (config, shared) = (|| config(order, leases), leases > 1);
        Self {
            bare: [true, false].map(|ends| Bare::new(config(), shared, now, ends)),
            task: Async::new(config(), shared),
            thread: Sync::new(config(), shared),
            played: Vec::new(),
        }
    }

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
        assert!(expected.stats.closed || expected == threaded, "{:?}", self.played);
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
            let holds = |(n, o): (&usize, &Outcome)| matches!(o, Outcome::Holds(_)).then_some(*n);
            if let Some(&ticket) = view.working.first() {
                self.play(Step::Finish(ticket, Verdict::Ok));
            } else if let Some(number) = view.borrowers.iter().find_map(holds) {
                self.play(Step::Return(number, How::Clean));
            } else {
                assert_eq!(view.stats.open(), 0, "{:?}", self.played);
                return self.thread.join();
            }
        }
        panic!("the pool never drains: {:?}", self.played);
    }
}

fn random(order: Order, leases: usize, seed: u64, steps: usize) {
    let mut trio = Trio::new(order, leases);
    let mut dice = seed;
    for _ in 0..steps {
        let step = choose(&mut dice, &trio.view(), seed.is_multiple_of(4));
        trio.play(step);
    }
    trio.end();
}

#[test]
fn f1_threads_tasks_and_the_core_tell_the_same_story() {
    for seed in 0..40 {
        random(Order::Lifo, 1, seed, 80);
        random(Order::Fifo, 1, seed + 1000, 40);
    }
}

#[test]
fn f1_so_they_do_of_sessions_with_several_leases() {
    for seed in 0..40 {
        random(Order::Lifo, 3, seed, 80);
        random(Order::Fifo, 2, seed + 1000, 40);
    }
}
