//! What a pool's owner may ask of it: warming, health, an observer, limits on waiting, and ends.

mod common;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{for_each_library, on_embedded};
use hussh::sync::{ConnectionPool, Library};
use hussh::{Error, Event, Kind, Observer};
use test_servers::embedded::EmbeddedServer;

for_each_library! {
    a_pool_is_warmed_before_anybody_asks
    warming_with_a_wrong_password_fails_at_once_and_says_so
    a_pool_that_never_had_a_connection_says_at_once_that_nobody_listens
    a_pool_that_is_told_to_waits_for_a_server_that_is_still_starting
    as_many_wait_as_may_and_one_more_is_told_so
    an_observer_hears_of_connections_and_leases
    closing_a_pool_whose_only_connect_hangs_returns_at_once
    several_commands_share_a_connection_and_a_verb_of_it_is_one_of_the_pools
}

/// Longer than anything here may take, shorter than what is given up.
const SOON: Duration = Duration::from_secs(5);

fn a_pool_is_warmed_before_anybody_asks<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(4).build().expect("valid");
    assert!(pool.health().is_ready() && pool.connections() == 0);
    pool.warm(3, SOON).expect("three");
    assert_eq!((pool.connections(), pool.stats().idle), (3, 3));
    pool.warm(9, SOON).expect("as many as there may be");
    assert_eq!(pool.connections(), 4);
    pool.close().expect("closed");
}

fn warming_with_a_wrong_password_fails_at_once_and_says_so<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = ConnectionPool::<L>::builder(server.host(), server.user())
        .port(server.port())
        .password("wrong")
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("valid");
    let start = Instant::now();
    let error = pool.warm(2, Duration::from_secs(60)).expect_err("refused");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(error.kind(), Some(Kind::AuthenticationFailed), "{error}");
    assert!(!error.is_retryable() && matches!(error, Error::Warm { .. }));
    let health = pool.health();
    assert!(!health.is_ready() && health.retry_in.is_some(), "{health:?}");
}

/// A port that nobody listens at.
fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn a_pool_that_never_had_a_connection_says_at_once_that_nobody_listens<L: Library>() {
    let pool = ConnectionPool::<L>::builder("127.0.0.1", "nobody").port(nobody()).password("p");
    let pool = pool.acquire_timeout(Duration::from_secs(60)).build().expect("valid");
    let start = Instant::now();
    let error = pool.execute("true").expect_err("nobody is there");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(error.kind(), Some(Kind::Connect), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

fn a_pool_that_is_told_to_waits_for_a_server_that_is_still_starting<L: Library>() {
    let mut server = EmbeddedServer::start().expect("a server");
    server.stop().expect("stopped");
    let pool = on_embedded::<L>(&server).fail_fast(false).build().expect("valid");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.execute("echo here"));
        while pool.stats().counters.connect_failures == 0 {
            std::thread::yield_now();
        }
        server.restart().expect("started");
        let output = waits.join().expect("no panic").expect("output");
        assert_eq!(output.stdout_lossy(), "here\n");
    });
}

fn as_many_wait_as_may_and_one_more_is_told_so<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).max_waiters(1);
    let pool = pool.build().expect("valid");
    let held = pool.get().expect("the only one");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.get().map(drop));
        while pool.stats().waiting == 0 {
            std::thread::yield_now();
        }
        let error = pool.get().map(drop).expect_err("too many");
        assert!(error.to_string().contains("1 borrowers wait already"), "{error}");
        assert!(error.is_retryable() && !error.is_timeout());
        drop(held);
        waits.join().expect("no panic").expect("served");
    });
}

#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Observer for Diary {
    fn on_event(&self, event: &Event) {
        let word = match event {
            Event::Connected { .. } => "connected",
            Event::Acquired { .. } => "acquired",
            Event::Released { .. } => "released",
            Event::Closed { .. } => "closed",
            _ => return,
        };
        self.0.lock().expect("no panic").push(word.to_owned());
    }
}

fn an_observer_hears_of_connections_and_leases<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let diary = Arc::new(Diary::default());
    let observer: Arc<dyn Observer> = Arc::<Diary>::clone(&diary);
    let pool = on_embedded::<L>(&server).observer(observer).build().expect("valid");
    pool.execute("true").expect("output");
    pool.close().expect("closed");
    let told = diary.0.lock().expect("no panic").clone();
    assert_eq!(told, ["connected", "acquired", "released", "closed"]);
}

fn closing_a_pool_whose_only_connect_hangs_returns_at_once<L: Library>() {
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let pool = ConnectionPool::<L>::builder("127.0.0.1", "nobody").port(port).password("p");
    let pool = pool.connect_timeout(Duration::from_secs(60)).build().expect("valid");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.get().map(drop));
        while pool.stats().connecting == 0 {
            std::thread::yield_now();
        }
        let start = Instant::now();
        pool.close().expect("nothing is open");
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        waits.join().expect("no panic").expect_err("closed");
        // Its thread is let go, too.
        while pool.stats().hung() > 0 {
            assert!(start.elapsed() < SOON, "{:?}", pool.stats());
            std::thread::yield_now();
        }
    });
}

fn several_commands_share_a_connection_and_a_verb_of_it_is_one_of_the_pools<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).channels_per_connection(3);
    let pool = pool.build().expect("valid");
    let leases: Vec<_> = (0..3).map(|_| pool.get().expect("a lease")).collect();
    assert_eq!((pool.stats().lent, pool.connections()), (3, 1));
    for lease in &leases {
        assert!(lease.is_alive());
        lease.ping(SOON).expect("it answers");
        assert_eq!(lease.execute("echo one").expect("output").stdout_lossy(), "one\n");
    }
    assert!(pool.try_get().is_none());
    drop(leases);
    assert_eq!((pool.stats().lent, pool.connections()), (0, 1));
}
