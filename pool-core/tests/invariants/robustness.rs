//! I27, I29 and I30 as far as the core goes; I28 belongs to the fronts.

use std::time::Duration;

use pool_core::core::{Phase, Returned, Task};
use pool_core::{CloseReason, Config};
use pool_model::script::{run_keepalive, run_script};

use crate::rig::{Rig, millis};

#[test]
fn i27_a_task_that_is_lost_frees_its_slot() {
    for reset in [false, true] {
        let mut rig =
            Rig::new(Config::builder().max_size(1).check_after_idle(millis(10)).max_maintaining(1));
        rig.warm(1);
        let waiter = match reset {
            true => {
                let lease = rig.get();
                rig.release(lease, Returned::NeedsReset);
                rig.wait()
            }
            false => {
                rig.pass(millis(20));
                rig.wait()
            }
        };
        let (Task::Check { slot, .. } | Task::Reset { slot, .. }) = rig.only_task() else {
            panic!("neither check nor reset")
        };
        rig.core.lost(slot, rig.now);
        rig.core.lost(slot, rig.now);
        assert_eq!(rig.stats().counters.closed(CloseReason::Panicked), 1);
        rig.work();
        assert!(rig.take(waiter).is_some());
    }
}

#[test]
fn i27_a_close_that_is_lost_lets_the_next_one_run() {
    let mut rig = Rig::new(Config::builder().max_size(3).max_closing(1));
    rig.warm(3);
    rig.core.evict_all(rig.now);
    for left in (0..3).rev() {
        let Task::Close { slot, .. } = rig.only_task() else { panic!("no close") };
        rig.core.lost(slot, rig.now);
        rig.core.lost(slot, rig.now);
        assert_eq!(rig.stats().closing, left);
    }
    assert_eq!(rig.stats().counters.closed(CloseReason::Evicted), 3);
}

#[test]
fn i29_the_clock_may_go_back() {
    let config = Config::builder().min_idle(2).keepalive_interval(Some(millis(50)));
    let mut rig = Rig::new(config);
    rig.work();
    let lease = rig.get();
    rig.now -= Duration::from_secs(1_000);
    rig.release(lease, Returned::Clean);
    let _leases = [rig.get(), rig.get()];
    rig.wait();
    rig.pass(millis(0));
    rig.work();
    rig.now += Duration::from_secs(2_000);
    rig.pass(millis(0));
    rig.work();
    let taken = rig.core.phases().filter(|entry| entry.1 != Phase::Vacant).count();
    assert_eq!(rig.stats().open(), taken);
}

#[test]
fn i30_every_deadline_is_announced_and_none_is_early() {
    let config = Config::builder().jitter(0.0).keepalive_interval(Some(millis(70)));
    let config = config.idle_timeout(Some(millis(300))).max_lifetime(Some(millis(200)));
    let mut rig = Rig::new(config.connect_timeout(millis(40)));
    rig.warm(1);
    rig.ask(None);
    let wakes = std::iter::from_fn(|| {
        let due = rig.core.poll_timeout()?;
        assert!(due > rig.now);
        let before = rig.stats();
        rig.now = due - Duration::from_nanos(1);
        rig.pass(millis(0));
        assert_eq!(rig.stats(), before);
        rig.pass(Duration::from_nanos(1));
        let _left_running = rig.start();
        Some(due)
    });
    assert!(wakes.take(50).count() > 0);
}

/// The bodies of the fuzz targets over what is checked in and over random input.
#[test]
fn i1_to_i42_hold_for_the_seeds_of_the_fuzz_targets() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let read = |name: &str| {
        let files = std::fs::read_dir(seeds.join(name)).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    let (scripts, beats) = (read("core_script"), read("keepalive"));
    assert!(!scripts.is_empty() && !beats.is_empty());
    for script in scripts {
        run_script(&script).unwrap_or_else(|violation| panic!("{violation}"));
    }
    let mut rng = fastrand::Rng::with_seed(22);
    let random = (0..20_000).map(|_| (0..rng.usize(..60)).map(|_| rng.u8(..)).collect());
    for bytes in beats.into_iter().chain(random) {
        run_keepalive(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
    }
}

#[test]
fn i4_a_session_brought_back_from_a_look_that_nobody_takes_is_closed() {
    let mut rig = Rig::new(Config::builder().max_size(1).check_after_idle(millis(10)));
    rig.warm(1);
    rig.pass(millis(20));
    rig.wait();
    let check = rig.only_task();
    rig.core.inspected(check.slot(), 99, true, rig.now);
    assert_eq!((rig.stats().orphans, rig.stats().checking), (1, 1));
}

#[test]
fn a_session_that_has_just_given_a_sign_of_life_is_not_doubted_with_its_siblings() {
    let mut rig = Rig::new(Config::builder().max_size(2).check_after_idle(millis(10)));
    rig.warm(2);
    let kept = rig.get();
    rig.pass(millis(20));
    let waiter = rig.wait();
    let Task::Check { slot, session, .. } = rig.only_task() else { panic!("no check") };
    rig.release(kept, Returned::Clean);
    let lease = rig.take(waiter).unwrap();
    rig.release(lease, Returned::Clean);
    rig.core.checked(slot, Some(session), false, rig.now);
    let lease = rig.get();
    assert_ne!(lease.session, session);
}
