//! Calls that hang on threads: by a clock set by hand, with a little real time for every step.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pool_core::{Clock, Config, ErrorKind, Pool};
use pool_model::{Behaviour, FakeBackend, ManualClock};

use crate::{Figure, SECOND, seconds};

/// Twelve sessions in a black hole: when somebody gets a new one after all of them were found out.
fn served_after(hang: impl FnOnce(&FakeBackend)) -> Option<Duration> {
    let backend = FakeBackend::new();
    let clock = Arc::new(ManualClock::new());
    let config = Config::builder().max_size(30).acquire_timeout(None).idle_timeout(None);
    let config = config.max_lifetime(None).build().expect("it is in range");
    let pool = Pool::builder(backend.clone()).config(config).clock(clock.clone()).build();
    let leases: Vec<_> = (0..12).map(|_| pool.get()).collect();
    drop(leases);
    clock.advance(2 * SECOND);
    hang(&backend);
    let (send, receive) = mpsc::channel();
    let start = clock.now();
    let time = Arc::clone(&clock);
    thread::spawn(move || {
        for _ in 0..12 {
            std::mem::forget(pool.get());
        }
        while time.now() < start + 60 * SECOND {
            thread::yield_now();
        }
        let asked = time.now();
        std::mem::forget(pool.get());
        let _ = send.send(time.now() - asked);
    });
    for _ in 0..1000 {
        if let Ok(waited) = receive.recv_timeout(Duration::from_millis(5)) {
            return Some(waited);
        }
        clock.advance(SECOND / 2);
    }
    None
}

pub(crate) fn figures() -> Vec<Figure> {
    let say = |served: Option<Duration>| served.map_or("not within 400 s".into(), seconds);
    let checks = served_after(|backend| backend.checks.always(Behaviour::Block));
    let closes = served_after(|backend| {
        backend.checks.always(Behaviour::Err(ErrorKind::Transient));
        backend.closes.always(Behaviour::Block);
    });
    vec![
        ("21", "12 checks that hang on threads: next borrower", say(checks)),
        ("21", "12 closes that hang on threads: next borrower", say(closes)),
    ]
}
