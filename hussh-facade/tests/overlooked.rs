//! What a pool must not overlook: refusals, deadlines, what is left behind, and the configuration.

mod common;

use std::time::{Duration, Instant};

use common::{for_each_library, on_embedded, on_sshd};
use hussh::sync::{ConnectionPool, Library};
#[cfg(feature = "russh")]
use hussh::{AsyncConnectionPool, HostKeyPolicy};
use hussh::{Command, Kind, SshConfig};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::{Direction, FaultProxy};
use test_servers::sshd::Sshd;

for_each_library! {
    a_command_that_is_refused_has_what_is_left_of_its_deadline
    a_refused_spawn_tells_the_pool_what_a_connection_carries
    a_connection_with_a_command_left_on_it_is_not_lent_as_it_is
    a_pool_asks_as_often_as_the_configuration_says
}

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(10);

fn a_command_that_is_refused_has_what_is_left_of_its_deadline<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("valid");
    (1..=200).for_each(|number| server.refuse_open(number));
    pool.warm(1, SOON).expect("a connection");
    server.delay_opens(Duration::from_millis(250));
    let start = Instant::now();
    let command = Command::new("true").timeout(Duration::from_millis(900));
    let error = pool.execute_with(&command).expect_err("refused again and again");
    assert!(error.is_timeout(), "{error} after {:?}", start.elapsed());
    assert!(!error.may_have_started(), "{error}");
}

fn a_refused_spawn_tells_the_pool_what_a_connection_carries<L: Library>() {
    let server = Sshd::builder().max_sessions(1).start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).channels_per_connection(3);
    let pool = pool.acquire_timeout(Duration::from_millis(500)).build().expect("valid");
    let first = pool.get().expect("a connection");
    let held = first.spawn(&Command::new("cat").stdin_piped()).expect("the only channel");
    let second = pool.get().expect("the same one");
    let hasty = Command::new("true").wait_for_channel(false);
    let error = second.spawn(&hasty).map(drop).expect_err("refused");
    assert_eq!(error.kind(), Some(Kind::ChannelRefused), "{error}");
    drop(second);
    // It carries one, which is lent.
    let error = pool.get().map(drop).expect_err("nothing to lend");
    assert!(error.is_timeout(), "{error}");
    assert!(held.wait().expect("its end").success());
    drop(first);
    assert!(pool.execute("true").expect("output").success());
}

#[cfg(feature = "russh")]
#[test]
fn a_refused_async_spawn_tells_the_pool_what_a_connection_carries() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = Sshd::builder().max_sessions(1).start().expect("sshd");
        let pool = AsyncConnectionPool::builder(server.host(), server.user())
            .port(server.port())
            .private_key(server.identity(), None)
            .host_keys(HostKeyPolicy::DangerAcceptAny)
            .max_connections(1)
            .channels_per_connection(3)
            .acquire_timeout(Duration::from_millis(500))
            .build()
            .expect("valid");
        let first = pool.get().await.expect("a connection");
        let held = first.spawn(&Command::new("cat").stdin_piped()).await.expect("the only one");
        let second = pool.get().await.expect("the same one");
        let hasty = Command::new("true").wait_for_channel(false);
        let error = second.spawn(&hasty).await.map(drop).expect_err("refused");
        assert_eq!(error.kind(), Some(Kind::ChannelRefused), "{error}");
        drop(second);
        let error = pool.get().await.map(drop).expect_err("nothing to lend");
        assert!(error.is_timeout(), "{error}");
        assert!(held.wait().await.expect("its end").success());
        drop(first);
        assert!(pool.execute("true").await.expect("output").success());
    });
}

fn a_connection_with_a_command_left_on_it_is_not_lent_as_it_is<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let proxy = FaultProxy::start(server.addr()).expect("a proxy");
    let pool = on_embedded::<L>(&server).port(proxy.port()).max_connections(1).build();
    let pool = pool.expect("valid");
    let first = pool.get().expect("a connection");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            // Nobody hears that the command was killed, so nobody knows whether it was.
            proxy.black_hole_towards(Direction::ToClient);
            std::thread::sleep(Duration::from_millis(2_000));
            proxy.resume();
        });
        let command = Command::new("sleep 600").timeout(Duration::from_millis(500));
        assert!(first.execute_with(&command).expect_err("too long").is_timeout());
        drop(first);
        assert!(pool.execute("true").expect("on another connection").success());
    });
    assert_eq!(server.handshakes(), 2, "what could not be reset is not lent");
    assert_eq!(pool.connections(), 1);
}

fn a_pool_asks_as_often_as_the_configuration_says<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let proxy = FaultProxy::start(server.addr()).expect("a proxy");
    let file = server.dir().join("config_of_test");
    let text = format!(
        "Host h\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n IdentityAgent none\n \
         StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n ServerAliveInterval 1\n",
        proxy.port(),
        server.user(),
        server.identity().display(),
    );
    std::fs::write(&file, text).expect("written");
    let config = SshConfig::load(&file).expect("a configuration");
    let pool = ConnectionPool::<L>::from_config("h", &config).expect("known").build();
    let pool = pool.expect("valid");
    assert!(pool.execute("true").expect("output").success());
    // The end of the command, and a channel for the next.
    std::thread::sleep(Duration::from_millis(500));
    let before = proxy.bytes(Direction::ToServer);
    let start = Instant::now();
    while proxy.bytes(Direction::ToServer) == before {
        assert!(start.elapsed() < SOON, "nothing was asked for {SOON:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
