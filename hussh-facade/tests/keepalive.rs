//! Who asks a pool's idle connections for a sign of life, and how often: the sessions themselves.

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{for_each_library, on_sshd};
#[cfg(feature = "russh")]
use hussh::AsyncConnectionPool;
use hussh::Builder;
use hussh::sync::{ConnectionPool, Library};
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

for_each_library! {
    an_idle_connection_is_asked_once_per_interval
    an_idle_connection_whose_peer_is_gone_is_replaced_before_anybody_wants_it
}

const INTERVAL: Duration = Duration::from_millis(100);

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(20);

fn talkative() -> Sshd {
    Sshd::builder().option("LogLevel DEBUG1").start().expect("sshd")
}

/// How often sshd was asked for a sign of life so far: by global requests of russh's sessions, and by
/// the variable that libssh2's set on the channel opened ahead.
fn asked(server: &Sshd) -> usize {
    let is_asked = |line: &&str| {
        line.contains("rtype keepalive@openssh.com") || line.contains(" request env reply ")
    };
    server.log().lines().filter(is_asked).count()
}

/// Several borrowers may share the connection, which is one all the same. A pool that asked, too,
/// would do so at other times, by its jitter.
fn asking<T: hussh::PoolKind>(builder: Builder<T>) -> Builder<T> {
    let builder = builder.max_connections(1).channels_per_connection(3).jitter(0.5);
    builder.keepalive_interval(INTERVAL).keepalive_count_max(20)
}

/// Watches an idle connection for a while. Requests are an interval apart at least, however busy
/// this machine is.
fn watch(server: &Sshd) {
    let (before, start) = (asked(server), Instant::now());
    sleep(INTERVAL * 40);
    let asked = asked(server) - before;
    let intervals = start.elapsed().as_millis() / INTERVAL.as_millis();
    let intervals = usize::try_from(intervals).expect("few");
    assert!(asked <= intervals + 1, "asked {asked} times in {intervals} intervals");
    assert!(asked * 5 >= intervals * 3, "asked {asked} times in {intervals} intervals");
}

fn an_idle_connection_is_asked_once_per_interval<L: Library>() {
    let server = talkative();
    let pool = asking(on_sshd::<L>(&server)).build().expect("valid");
    let leases: Vec<_> = (0..3).map(|_| pool.get().expect("a lease")).collect();
    for lease in &leases {
        lease.execute("true").expect("output");
    }
    drop(leases);
    assert_eq!(pool.connections(), 1);
    watch(&server);
    assert_eq!(pool.stats().counters.checks + pool.stats().counters.keepalives, 0);
    assert!(pool.execute("true").expect("output").success());
    assert_eq!(server.connections(), 1);
}

#[cfg(feature = "russh")]
#[test]
fn an_idle_connection_of_an_async_pool_is_asked_once_per_interval() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = talkative();
    let builder = on_sshd::<hussh::sync::Russh>(&server).to::<AsyncConnectionPool>();
    runtime.block_on(async {
        let pool = asking(builder).build().expect("valid");
        pool.execute("true").await.expect("output");
        tokio::task::spawn_blocking(move || {
            watch(&server);
            assert_eq!(server.connections(), 1);
        })
        .await
        .expect("no panic");
        assert_eq!(pool.stats().counters.keepalives, 0);
        pool.close().await.expect("closed");
    });
}

fn an_idle_connection_whose_peer_is_gone_is_replaced_before_anybody_wants_it<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("a proxy");
    let builder: Builder<ConnectionPool<L>> = on_sshd(&server).port(proxy.port()).min_idle(1);
    let builder = builder.keepalive_interval(INTERVAL).keepalive_count_max(2);
    let pool = builder.build().expect("valid");
    pool.warm(1, SOON).expect("one");
    pool.execute("true").expect("output");
    let start = Instant::now();
    // While the first one was lent, another was wanted to be idle.
    while pool.stats().connecting > 0 {
        assert!(start.elapsed() < SOON, "{:?}", pool.stats());
        sleep(INTERVAL / 10);
    }
    let before = pool.stats().counters.created;
    proxy.half_open();
    let all_are_new = || {
        let stats = pool.stats();
        stats.idle > 0 && stats.idle as u64 == stats.counters.created - before
    };
    while !all_are_new() {
        assert!(start.elapsed() < 2 * SOON, "{:?}", pool.stats());
        sleep(INTERVAL / 10);
    }
    let start = Instant::now();
    assert!(pool.execute("true").expect("output").success());
    assert!(start.elapsed() < SOON / 4, "it had to be opened first");
    assert_eq!(pool.stats().counters.replaced, 0);
}
