//! The main job, end to end: pooled commands on a real sshd and on the embedded server, over every
//! library that the features chose.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{for_each_library, on_embedded, on_sshd};
use hussh::sync::{Connection, ConnectionPool, Library};
use hussh::{Command, Error, HostKeyPolicy, Kind};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{PasswordUser, Sshd};

for_each_library! {
    thirty_two_threads_share_four_connections_on_sshd
    thirty_two_threads_share_four_connections_on_the_embedded_server
    a_server_restarted_between_two_borrows_is_not_noticed
    a_wrong_password_is_tried_exactly_once_however_many_threads_wait
    a_deadline_ends_a_command_and_the_pool_is_whole_afterwards
    streams_and_signals_arrive_through_a_pool
    a_changed_host_key_is_refused_before_any_credential_is_sent
    a_command_is_sent_again_only_where_it_cannot_have_started
    a_full_pool_says_who_holds_it
    nonsense_is_refused_by_name
    a_connection_with_keepalive_serves_many_threads
}

/// 32 threads run 50 commands each; the number of right outputs.
fn many_commands<L: Library>(pool: &ConnectionPool<L>) -> usize {
    let right = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let right = &right;
            scope.spawn(move || {
                for number in 0..50 {
                    let command = format!("echo {thread}-{number}; exit {}", number % 3);
                    // The last half of a lost wake-up would otherwise look like a slow machine.
                    let command = Command::new(command).timeout(Duration::from_secs(20));
                    let output = pool.execute_with(&command).expect("output");
                    assert_eq!(output.stdout_lossy(), format!("{thread}-{number}\n"));
                    assert_eq!(output.status.code(), number % 3);
                    right.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    right.into_inner()
}

fn thirty_two_threads_share_four_connections_on_sshd<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(4).build().expect("valid");
    let start = Instant::now();
    assert_eq!(many_commands(&pool), 1600);
    println!("sshd: 1600 commands in {:?}", start.elapsed());
    pool.close().expect("closed");
    std::thread::sleep(Duration::from_millis(200));
    assert!((1..=4).contains(&server.authentications()), "{}", server.authentications());
}

fn thirty_two_threads_share_four_connections_on_the_embedded_server<L: Library>() {
    let server = EmbeddedServer::builder().max_sessions(2000).start().expect("embedded server");
    let pool = on_embedded::<L>(&server).max_connections(4).build().expect("valid");
    let start = Instant::now();
    assert_eq!(many_commands(&pool), 1600);
    println!("embedded: 1600 commands in {:?}", start.elapsed());
    assert!((1..=4).contains(&server.handshakes()), "{}", server.handshakes());
    assert_eq!(server.commands(), 1600);
}

fn a_server_restarted_between_two_borrows_is_not_noticed<L: Library>() {
    let mut server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(3).build().expect("valid");
    let leases: Vec<_> = (0..3).map(|_| pool.get().expect("a connection")).collect();
    drop(leases);
    server.restart().expect("restarted");
    for number in 0..6 {
        let output = pool.execute(format!("echo {number}")).expect("nothing is noticed");
        assert_eq!(output.stdout_lossy(), format!("{number}\n"));
    }
    assert_eq!(pool.stats().open(), 1, "the dead ones are gone");
}

fn a_wrong_password_is_tried_exactly_once_however_many_threads_wait<L: Library>() {
    let sshd = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let embedded = EmbeddedServer::start().expect("embedded server");
    let builders = [
        ConnectionPool::<L>::builder(sshd.host(), user.name()).port(sshd.port()),
        ConnectionPool::<L>::builder(embedded.host(), embedded.user()).port(embedded.port()),
    ];
    for builder in builders {
        let pool = builder
            .password("wrong-secret")
            .host_keys(HostKeyPolicy::DangerAcceptAny)
            .build()
            .expect("valid");
        let refused = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let error = pool.execute("true").expect_err("refused");
                    assert_eq!(error.kind(), Some(Kind::AuthenticationFailed), "{error}");
                    assert!(!format!("{error} {error:?} {pool:?}").contains("wrong-secret"));
                    refused.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(refused.into_inner(), 16);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sshd.failed_authentications(), 1);
    assert_eq!(embedded.failed_authentications(), 1);
}

fn a_deadline_ends_a_command_and_the_pool_is_whole_afterwards<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(2).build().expect("valid");
    for _ in 0..3 {
        let lease = pool.get().expect("a connection");
        let start = Instant::now();
        let command = Command::new("echo begun; sleep 600").timeout(Duration::from_secs(1));
        let error = lease.execute_with(&command).expect_err("too long");
        assert!(error.is_timeout(), "{error}");
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
    }
    let start = Instant::now();
    let leases: Vec<_> = (0..2).map(|_| pool.get().expect("both are there")).collect();
    for lease in &leases {
        assert!(lease.execute("true").expect("output").success());
    }
    drop(leases);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!((pool.stats().open(), pool.stats().lent), (2, 0));
}

fn streams_and_signals_arrive_through_a_pool<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).build().expect("valid");
    let output = pool.execute("head -c 10000000 /dev/zero >&2").expect("output");
    assert_eq!(output.stderr.len(), 10_000_000);
    let output = pool.execute(r"printf '\377\376'").expect("output");
    assert_eq!(&output.stdout[..], b"\xff\xfe");
    let output = pool.execute("kill -KILL $$").expect("output");
    assert!(!output.success());
    assert_eq!(output.status.code(), 137);
    let error = pool.execute("a\0b").expect_err("NUL");
    assert_eq!(error.kind(), Some(Kind::InvalidInput));
    assert_eq!(pool.stats().open(), 1, "one connection did it all");
}

fn a_changed_host_key_is_refused_before_any_credential_is_sent<L: Library>() {
    let mut server = Sshd::start().expect("sshd");
    let build = || on_sshd::<L>(&server).build().expect("valid");
    assert!(build().execute("true").expect("recorded").success());
    server.change_host_key().expect("changed");
    let before = server.log().len();
    let error = on_sshd::<L>(&server).build().expect("valid").execute("true").expect_err("changed");
    assert_eq!(error.kind(), Some(Kind::HostKey), "{error}");
    std::thread::sleep(Duration::from_millis(300));
    let log = server.log();
    assert!(!log[before..].contains("publickey"), "{}", &log[before..]);
}

fn a_command_is_sent_again_only_where_it_cannot_have_started<L: Library>() {
    let server = EmbeddedServer::start().expect("embedded server");
    let proxy = FaultProxy::start(server.addr()).expect("proxy");
    let pool = on_embedded::<L>(&server).port(proxy.port()).build().expect("valid");
    // No channel is opened, ahead or for the command, so the command is not sent.
    server.delay_opens(Duration::from_secs(60));
    drop(pool.get().expect("a connection"));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| pool.execute("echo again"));
        std::thread::sleep(Duration::from_millis(300));
        server.delay_opens(Duration::ZERO);
        proxy.reset();
        let output = running.join().expect("no panic").expect("sent on another connection");
        assert_eq!(output.stdout_lossy(), "again\n");
    });
    assert_eq!((server.commands(), server.handshakes()), (1, 2));
    std::thread::scope(|scope| {
        // Is sent at once on the channel that was opened ahead: nobody knows whether it arrived.
        proxy.black_hole();
        let running = scope.spawn(|| pool.execute("echo lost"));
        std::thread::sleep(Duration::from_millis(300));
        proxy.reset();
        let error = running.join().expect("no panic").expect_err("never twice");
        assert!(error.may_have_started() && !error.is_retryable(), "{error}");
        // Not before: what was held back might still arrive.
        proxy.resume();
    });
    assert_eq!(server.commands(), 1);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| pool.execute("echo begun; sleep 600"));
        std::thread::sleep(Duration::from_millis(300));
        proxy.reset();
        let error = running.join().expect("no panic").expect_err("never twice");
        assert!(error.may_have_started() && !error.is_retryable(), "{error}");
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"begun\n");
    });
    assert_eq!(server.commands(), 2);
}

fn a_full_pool_says_who_holds_it<L: Library>() {
    let server = EmbeddedServer::start().expect("embedded server");
    let pool = on_embedded::<L>(&server)
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(200))
        .build()
        .expect("valid");
    let lease = pool.get().expect("the only one");
    assert!(pool.try_get().is_none());
    let error = pool.get().expect_err("none left");
    assert!(matches!(error, Error::Pool { .. }) && error.is_timeout());
    let text = error.to_string();
    assert!(text.contains("1 of 1 lent") && text.contains("pool.rs"), "{text}");
    drop(lease);
    assert!(pool.try_get().is_some());
    pool.close().expect("closed");
    let error = pool.get().expect_err("closed");
    assert!(error.to_string().contains("closed"), "{error}");
}

fn nonsense_is_refused_by_name<L: Library>() {
    let builder = || ConnectionPool::<L>::builder("h", "u").password("p");
    for (built, field) in [
        (ConnectionPool::<L>::builder("", "u").password("p").build(), "host"),
        (builder().port(0).build(), "port"),
        (builder().max_connections(0).build(), "max_connections"),
        (builder().max_connections(2).min_idle(3).build(), "min_idle"),
        (builder().connect_timeout(Duration::ZERO).build(), "connect_timeout"),
        (builder().keepalive_interval(Duration::ZERO).build(), "keepalive_interval"),
        (builder().keepalive_count_max(0).build(), "keepalive_count_max"),
    ] {
        let error = built.expect_err(field);
        assert_eq!(error.kind(), Some(Kind::InvalidInput));
        assert!(error.to_string().starts_with(&format!("`{field}` ")), "{error}");
    }
}

fn a_connection_with_keepalive_serves_many_threads<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let connection = Connection::<L>::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .keepalive_interval(Duration::from_millis(100))
        .keepalive_count_max(3)
        .connect()
        .expect("connected");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let connection = &connection;
            scope.spawn(move || {
                for number in 0..10 {
                    let command = format!("sleep 0.05; echo {thread}-{number}");
                    let output = connection.execute(command).expect("output");
                    assert_eq!(output.stdout_lossy(), format!("{thread}-{number}\n"));
                }
            });
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(connection.execute("true").expect("still there").success());
    connection.close();
    assert!(!connection.is_alive());
    assert_eq!(connection.execute("true").expect_err("closed").kind(), Some(Kind::Closed));
}

#[test]
fn everything_is_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<hussh::ConnectionPool>();
    shared::<hussh::Connection>();
    shared::<hussh::PooledConnection>();
    shared::<Error>();
}
