//! The main job for tasks: what `pool.rs` shows for threads, and futures that are dropped.
#![cfg(feature = "russh")]

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hussh::{
    AsyncConnection, AsyncConnectionPool, Builder, Chunk, Command, Error, HostKeyPolicy, Kind,
};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};
use tokio::time::timeout;

fn on_sshd(server: &Sshd) -> Builder<AsyncConnectionPool> {
    AsyncConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_share_four_connections_and_ten_at_default_limits() {
    let server = Sshd::start().expect("sshd");
    for (connections, channels) in [(4, 1), (10, 1), (10, 5)] {
        let pool = on_sshd(&server)
            .max_connections(connections)
            .channels_per_connection(channels)
            .build()
            .expect("valid");
        let before = server.authentications();
        let tasks = (0..100).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let output = pool.execute(format!("echo {number}")).await.expect("output");
                assert_eq!(output.stdout_lossy(), format!("{number}\n"));
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("right");
        }
        assert!(pool.connections() <= connections);
        pool.close().await.expect("closed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(server.authentications() - before <= connections);
    }
    assert_eq!(server.refused_startups(), 0);
}

#[tokio::test]
async fn a_hundred_tasks_half_of_them_cancelled_leave_every_connection_usable() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd(&server).max_connections(4).build().expect("valid");
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let work = pool.execute(format!("sleep 0.0{}; echo {number}", number % 7));
                match number % 2 {
                    0 => timeout(Duration::from_millis(number * 3), work).await.ok(),
                    _ => Some(work.await),
                }
            })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let done = task.await.expect("no panic");
        assert!(done.is_some() || number % 2 == 0);
        if let Some(output) = done {
            assert_eq!(output.expect("output").stdout_lossy(), format!("{number}\n"));
        }
    }
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(pool.get().await.expect("all four can be lent"));
    }
    for lease in &leases {
        assert!(lease.execute("true").await.expect("output").success());
    }
}

#[tokio::test]
async fn a_borrow_or_command_dropped_at_any_poll_leaves_the_pool_whole() {
    let server = EmbeddedServer::start().expect("embedded server");
    let pool = AsyncConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .max_connections(1)
        .build()
        .expect("valid");
    for polls in 0..40 {
        {
            let mut work = Box::pin(pool.execute("echo kept"));
            for _ in 0..polls {
                if poll_once(work.as_mut()).is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let output = pool.execute("echo next").await.expect("the pool is whole");
        assert_eq!(output.stdout_lossy(), "next\n", "after {polls} polls");
    }
    assert_eq!((pool.stats().lent, pool.stats().waiting), (0, 0));
}

fn poll_once<F: Future>(work: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_however_many_tasks_wait() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let pool = AsyncConnectionPool::builder(server.host(), user.name())
        .port(server.port())
        .password("wrong-secret")
        .host_keys(HostKeyPolicy::DangerAcceptAny)
        .build()
        .expect("valid");
    let tasks = (0..16).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.execute("true").await.expect_err("refused") })
    });
    for task in tasks.collect::<Vec<_>>() {
        let error = task.await.expect("no panic");
        assert_eq!(error.kind(), Some(Kind::AuthenticationFailed), "{error}");
        assert!(!format!("{error} {error:?} {pool:?}").contains("wrong-secret"));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.failed_authentications(), 1);
}

#[tokio::test]
async fn a_connection_runs_feeds_and_ends_commands() {
    let server = Sshd::start().expect("sshd");
    let connection = AsyncConnection::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .keepalive_interval(Duration::from_millis(200))
        .connect()
        .await
        .expect("connected");
    let process = connection.spawn(&Command::new("cat").stdin_piped()).await.expect("runs");
    process.write(b"to and fro").await.expect("written");
    match process.read().await.expect("read") {
        Some(Chunk::Stdout(bytes)) => assert_eq!(&bytes[..], b"to and fro"),
        other => panic!("{other:?}"),
    }
    assert!(process.wait().await.expect("ended").success());
    let output = connection.execute("exit 3").await.expect("output");
    assert_eq!(output.status.code(), 3);
    connection.ping(Duration::from_secs(5)).await.expect("alive");
    connection.close();
    assert!(!connection.is_alive());
    let error = connection.execute("true").await.expect_err("closed");
    assert_eq!(error.kind(), Some(Kind::Closed));
}

#[tokio::test]
async fn a_full_pool_says_who_holds_it() {
    let server = EmbeddedServer::start().expect("embedded server");
    let pool = AsyncConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(200))
        .build()
        .expect("valid");
    let lease = pool.get().await.expect("the only one");
    assert!(pool.try_get().is_none());
    let error = pool.get().await.expect_err("none left");
    assert!(matches!(error, Error::Pool { .. }) && error.is_timeout());
    let text = error.to_string();
    assert!(text.contains("1 of 1 lent") && text.contains("async_pool.rs"), "{text}");
    drop(lease);
    pool.close().await.expect("closed");
    let error = pool.get().await.expect_err("closed");
    assert!(error.to_string().contains("closed"), "{error}");
}

#[test]
fn a_pool_serves_one_runtime_after_another() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd(&server).max_connections(2).build().expect("valid");
    for round in 0..3 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let output = runtime.block_on(pool.execute(format!("echo {round}"))).expect("output");
        assert_eq!(output.stdout_lossy(), format!("{round}\n"));
    }
}

#[test]
fn everything_can_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>(_: T) {}
    shared::<AsyncConnectionPool>();
    shared::<AsyncConnection>();
    shared::<hussh::PooledAsyncConnection>();
    shared::<hussh::AsyncProcess<'static>>();
    let pool = AsyncConnectionPool::builder("h", "u").password("p").build().expect("valid");
    sent(pool.get());
    sent(pool.execute("true"));
}
