//! Several commands at once on one connection, and servers that carry fewer than asked.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{for_each_library, on_sshd};
use hussh::Command;
use hussh::sync::{ConnectionPool, Library};
use test_servers::sshd::Sshd;

for_each_library! {
    a_hundred_commands_at_once_all_succeed_at_default_limits
    five_commands_share_one_connection
    a_server_that_carries_fewer_is_found_out_and_no_command_fails
    a_server_of_one_channel_serves_a_pool
    a_command_given_up_costs_its_neighbours_nothing
    borrowers_of_an_overfull_connection_wait_and_the_pool_learns
    thirty_commands_at_once_on_one_connection_all_run
}

/// That many threads run a command each; how many outputs were right.
fn at_once<L: Library>(pool: &ConnectionPool<L>, threads: usize, rounds: usize) -> usize {
    let right = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let right = &right;
            scope.spawn(move || {
                for round in 0..rounds {
                    let command = Command::new(format!("echo {thread}-{round}"));
                    let output = pool.execute_with(&command.timeout(Duration::from_secs(30)));
                    let output = output.unwrap_or_else(|error| panic!("{thread}: {error}"));
                    assert_eq!(output.stdout_lossy(), format!("{thread}-{round}\n"));
                    right.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    right.into_inner()
}

fn a_hundred_commands_at_once_all_succeed_at_default_limits<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(10).build().expect("valid");
    assert_eq!(at_once(&pool, 100, 1), 100);
    let pool = on_sshd::<L>(&server).max_connections(10).channels_per_connection(5);
    let pool = pool.build().expect("valid");
    assert_eq!(at_once(&pool, 100, 1), 100);
    assert!(pool.connections() <= 10, "{}", pool.connections());
    assert_eq!(server.refused_startups(), 0);
}

fn five_commands_share_one_connection<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).channels_per_connection(5);
    let pool = pool.build().expect("valid");
    assert_eq!(at_once(&pool, 20, 10), 200);
    assert_eq!(pool.connections(), 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.authentications(), 1);
}

fn a_server_that_carries_fewer_is_found_out_and_no_command_fails<L: Library>() {
    let server = Sshd::builder().max_sessions(2).start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(3).channels_per_connection(8);
    let pool = pool.build().expect("valid");
    assert_eq!(at_once(&pool, 24, 5), 120);
    assert!(pool.connections() <= 3, "{}", pool.connections());
}

fn a_server_of_one_channel_serves_a_pool<L: Library>() {
    let server = Sshd::builder().max_sessions(1).start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(2).build().expect("valid");
    assert_eq!(at_once(&pool, 6, 10), 60);
    assert!(pool.connections() <= 2, "{}", pool.connections());
}

fn a_command_given_up_costs_its_neighbours_nothing<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).channels_per_connection(3);
    let pool = pool.build().expect("valid");
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| pool.execute("sleep 3; echo whole"));
        for _ in 0..4 {
            let command = Command::new("sleep 600").timeout(Duration::from_millis(200));
            assert!(pool.execute_with(&command).expect_err("too long").is_timeout());
        }
        let output = neighbour.join().expect("no panic").expect("output");
        assert_eq!(output.stdout_lossy(), "whole\n");
    });
    assert_eq!(at_once(&pool, 3, 3), 9);
}

/// The server's limit is found out from commands of borrowers, too, though none of them fails.
fn borrowers_of_an_overfull_connection_wait_and_the_pool_learns<L: Library>() {
    let server = Sshd::builder().max_sessions(2).start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).channels_per_connection(8);
    let pool = pool.build().expect("valid");
    let together = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let lease = pool.get().expect("lent");
                together.wait();
                let output = lease.execute("sleep 0.3; echo held").expect("its turn");
                assert_eq!(output.stdout_lossy(), "held\n");
            });
        }
    });
    assert!((1..8).contains(&pool.channels_per_connection()), "{:?}", pool.stats());
    assert_eq!(server.authentications(), 1, "the connection is good");
}

fn thirty_commands_at_once_on_one_connection_all_run<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).build().expect("valid");
    let lease = pool.get().expect("lent");
    let right = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..30 {
            let (lease, right) = (&lease, &right);
            scope.spawn(move || {
                let output = lease.execute(format!("sleep 0.1; echo {number}")).expect("its turn");
                assert_eq!(output.stdout_lossy(), format!("{number}\n"));
                right.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(right.into_inner(), 30);
    drop(lease);
    assert_eq!(pool.execute("echo still").expect("good").stdout_lossy(), "still\n");
    assert_eq!(server.authentications(), 1, "the connection is good");
}
