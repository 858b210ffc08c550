//! Pools of many hosts: one login to each, one limit over all, for threads and for tasks.

mod common;

use common::for_each_library;
use hussh::sync::{KeyedConnectionPool, Library};
use hussh::{Builder, Kind, Target};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

for_each_library! {
    commands_reach_the_host_that_is_named_and_each_logs_in_once
    the_total_holds_over_all_hosts_and_whoever_waits_is_served
    nonsense_is_refused_by_name_and_by_host
    a_proxy_command_is_told_the_host_that_was_named
}

/// Two servers that take the same credentials.
fn two_servers() -> [(EmbeddedServer, Target); 2] {
    [(); 2].map(|()| {
        let server = EmbeddedServer::builder().password("secret").start().expect("embedded");
        let target = Target::new(server.host(), server.port(), server.user()).expect("a target");
        (server, target)
    })
}

fn told<T>(builder: Builder<T>, server: &EmbeddedServer) -> Builder<T> {
    builder.password("secret").known_hosts([server.dir().join("known_hosts_of_test")])
}

fn commands_reach_the_host_that_is_named_and_each_logs_in_once<L: Library>() {
    let servers = [(); 2].map(|()| Sshd::start().expect("sshd"));
    let [one, other] = &servers;
    let authorized = std::fs::read_to_string(one.dir().join("authorized_keys")).expect("keys");
    for line in authorized.lines() {
        other.authorize(line).expect("authorized");
    }
    let pool = KeyedConnectionPool::<L>::builder()
        .private_key(one.identity(), None)
        .known_hosts([one.dir().join("known_hosts_of_test")])
        .build()
        .expect("valid");
    let targets = servers
        .each_ref()
        .map(|server| Target::new(server.host(), server.port(), server.user()).expect("a target"));
    for _ in 0..3 {
        for (server, target) in servers.iter().zip(&targets) {
            let output = pool.execute(target, "echo $SSH_CONNECTION").expect("output");
            let port = format!(" {}\n", server.port());
            assert!(output.stdout_lossy().ends_with(&port), "{}", output.stdout_lossy());
        }
    }
    assert_eq!(servers.each_ref().map(Sshd::authentications), [1, 1]);
    let stats = pool.stats();
    assert_eq!((stats.keys, stats.open, stats.starved), (2, 2, 0));
    assert_eq!(pool.stats_of(&targets[0]).map(|stats| stats.idle), Some(1));
    pool.close().expect("closed");
    assert!(pool.execute(&targets[0], "true").is_err());
}

fn the_total_holds_over_all_hosts_and_whoever_waits_is_served<L: Library>() {
    let servers = two_servers();
    let builder = told(KeyedConnectionPool::<L>::builder(), &servers[0].0);
    let pool = builder.max_connections(2).max_total(1).build().expect("valid");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let ((_, target), pool) = (&servers[number % 2], pool.clone());
            scope.spawn(move || {
                for _ in 0..5 {
                    let output = pool.execute(target, format!("echo {number}")).expect("output");
                    assert_eq!(output.stdout_lossy(), format!("{number}\n"));
                    assert!(pool.stats().open <= 1, "{:?}", pool.stats());
                }
            });
        }
    });
    let lease = pool.get(&servers[0].1).expect("a connection");
    assert!(lease.is_alive());
    drop(lease);
    pool.resize_total(2);
    for (_, target) in &servers {
        pool.execute(target, "true").expect("output");
    }
    assert_eq!(pool.stats().open, 2);
}

fn nonsense_is_refused_by_name_and_by_host<L: Library>() {
    let error = KeyedConnectionPool::<L>::builder().max_total(0).build().expect_err("no total");
    assert!(error.to_string().contains("max_total"), "{error}");
    let [(server, target), _] = two_servers();
    let pool = KeyedConnectionPool::<L>::builder()
        .password("wrong")
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("valid");
    let error = pool.execute(&target, "true").expect_err("refused");
    assert_eq!(error.kind(), Some(Kind::AuthenticationFailed));
    assert!(error.to_string().contains(&target.to_string()), "{error}");
    assert!(!error.to_string().contains("any.invalid"), "{error}");
}

fn a_proxy_command_is_told_the_host_that_was_named<L: Library>() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("named");
    let pool = KeyedConnectionPool::<L>::builder()
        .password("secret")
        .proxy_command(format!("echo %n > {}", file.display()))
        .acquire_timeout(std::time::Duration::from_secs(2))
        .build()
        .expect("valid");
    let target = Target::new("h.example", 22, "u").expect("a target");
    pool.execute(&target, "true").expect_err("no server is there");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "h.example\n");
}

#[cfg(feature = "russh")]
#[tokio::test(flavor = "multi_thread")]
async fn tasks_share_one_total_too_and_a_borrower_that_goes_away_leaves_nothing() {
    let servers = two_servers();
    let builder = told(hussh::AsyncKeyedConnectionPool::builder(), &servers[0].0);
    let pool = builder.max_total(1).build().expect("valid");
    let lease = pool.get(&servers[0].1).await.expect("a connection");
    let waiting = pool.execute(&servers[1].1, "true");
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, waiting).await.is_err());
    let known = pool.stats();
    assert_eq!((known.open, known.starved), (1, 0), "nobody waits any more");
    drop(lease);
    let commands: Vec<_> = (0..8)
        .map(|number| {
            let (pool, target) = (pool.clone(), servers[number % 2].1.clone());
            tokio::spawn(async move { pool.execute(&target, format!("echo {number}")).await })
        })
        .collect();
    for (number, command) in commands.into_iter().enumerate() {
        let output = command.await.expect("no panic").expect("output");
        assert_eq!(output.stdout_lossy(), format!("{number}\n"));
    }
    assert!(pool.stats().open <= 1);
    assert_eq!(servers.each_ref().map(|(server, _)| server.connections() > 0), [true, true]);
    pool.close().await.expect("closed");
}
