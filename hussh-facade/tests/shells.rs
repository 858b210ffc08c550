//! Interactive shells: of a device that has nothing else, and of pooled connections.

mod common;
#[path = "common/example.rs"]
#[cfg(feature = "ssh2")]
mod example;

use std::time::Duration;

use common::{for_each_library, on_embedded};
use hussh::sync::{ConnectionPool, Library, Shell};
use hussh::{Builder, Kind, Match, Pattern, Pty, ReadUntil, ShellOptions};
use test_servers::embedded::{CONFIG_LINES, Device, EmbeddedServer};
use test_servers::sshd::{PasswordUser, Sshd};

for_each_library! {
    a_device_without_commands_is_talked_to
    a_connection_with_an_open_shell_is_lent_to_nobody_else
    a_shell_left_open_is_closed_with_its_lease
    borrowers_of_one_session_each_have_a_shell
    a_pool_replaces_a_connection_that_died_under_a_shell
}

const PATIENCE: Duration = Duration::from_secs(20);

fn pattern(expression: &str) -> Pattern {
    Pattern::regex(expression).expect("a pattern")
}

/// A pool of one connection to sshd, as somebody whose commands it signals: not as root.
fn on_sshd<L: Library>(server: &Sshd, user: &PasswordUser) -> Builder<ConnectionPool<L>> {
    ConnectionPool::builder(server.host(), user.name())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .max_connections(1)
}

fn user() -> PasswordUser {
    PasswordUser::create().expect("a user; run the tests as root")
}

/// What a device stops at.
fn pause() -> Pattern {
    pattern(r"(--More--) |router[#>] ")
}

fn plain() -> ShellOptions {
    ShellOptions::new().pty(None)
}

#[track_caller]
fn find<L: Library>(shell: &mut Shell<'_, L>, pattern: &Pattern) -> Match {
    match shell.read_until(pattern, PATIENCE).expect("read") {
        ReadUntil::Match(found) => found,
        other => panic!("{other:?}: {:?}", String::from_utf8_lossy(shell.buffered())),
    }
}

/// The number of the process that a shell is, which goes on until it is killed.
#[track_caller]
fn endless<L: Library>(shell: &mut Shell<'_, L>) -> String {
    shell.send("echo $$; while :; do sleep 0.02; done\n").expect("sent");
    find(shell, &pattern(r"\n")).before_text().into_owned()
}

fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not so");
}

fn a_device_without_commands_is_talked_to<L: Library>() {
    for pace in [Duration::ZERO, Duration::from_micros(50)] {
        let device = Device::new("s3cret").pace(pace);
        let server = EmbeddedServer::builder().device(device).start().expect("a device");
        let pool = on_embedded::<L>(&server).max_connections(1).build().expect("a pool");
        let connection = pool.get().expect("a connection");
        let refused = connection.execute("show version").expect_err("no commands");
        assert_eq!(refused.kind(), Some(Kind::RequestRefused));
        let pty = Pty { rows: 41, ..Pty::default() };
        let mut shell = connection.shell(&ShellOptions::new().pty(pty)).expect("a shell");
        assert!(find(&mut shell, &pause()).before_text().contains("Authorised use only."));
        shell.send("show version\r").expect("sent");
        let shown = find(&mut shell, &pause());
        assert_eq!(shown.before_text(), "show version\r\nTest OS, version 1.0\r\n");
        shell.send("enable\r").expect("sent");
        find(&mut shell, &pattern("Password: "));
        shell.send("s3cret\r").expect("sent");
        assert_eq!(find(&mut shell, &pause()).before(), b"\r\n", "it is not echoed");

        // 40 lines are on the first page; then the terminal grows.
        shell.send("show running-config\r").expect("sent");
        let mut pages = Vec::new();
        loop {
            let page = find(&mut shell, &pause());
            pages.push(page.before_text().matches("interface ").count());
            if page.group(1).is_none() {
                break;
            }
            shell.resize(80, 31).expect("sent");
            shell.send(" ").expect("sent");
        }
        assert_eq!(pages, [40, 30, 30]);
        assert_eq!(pages.iter().sum::<usize>(), CONFIG_LINES);
        shell.send("exit\r").expect("sent");
        assert!(shell.wait(PATIENCE).expect("a status").success());
        assert!(connection.is_alive());
    }
}

#[cfg(feature = "ssh2")]
#[test]
fn the_example_talks_to_its_device() {
    let output = std::process::Command::new(example::example("device")).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("refused to run the command"), "{said}");
    assert!(said.contains("Test OS, version 1.0\n"), "{said}");
    assert!(said.contains(&format!("{CONFIG_LINES} lines of configuration")), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

fn a_connection_with_an_open_shell_is_lent_to_nobody_else<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let user = user();
    let pool = on_sshd::<L>(&server, &user).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let mut shell = connection.shell(&plain()).expect("a shell");
    assert!(pool.try_get().is_none(), "its connection is taken");
    shell.send("echo still mine; exit 4\n").expect("sent");
    find(&mut shell, &pattern("still mine"));
    assert_eq!(shell.wait(PATIENCE).expect("a status").code(), 4);
    assert!(pool.try_get().is_none(), "for as long as it is lent");
    drop(connection);
    assert!(pool.execute("true").expect("a command").success());
    assert_eq!(server.authentications(), 1);
}

fn a_shell_left_open_is_closed_with_its_lease<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let user = user();
    let pool = on_sshd::<L>(&server, &user).build().expect("a pool");
    for _ in 0..3 {
        let connection = pool.get().expect("a connection");
        let mut shell = connection.shell(&plain()).expect("a shell");
        let pid = endless(&mut shell);
        assert!(runs(&pid), "{pid}");
        drop(shell);
        drop(connection);
        assert!(pool.execute("true").expect("the next borrower's command").success());
        wait_until("the shell has ended", || !runs(&pid));
    }
}

fn borrowers_of_one_session_each_have_a_shell<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let user = user();
    let pool = on_sshd::<L>(&server, &user).channels_per_connection(2).build().expect("a pool");
    let (one, other) = (pool.get().expect("a lease"), pool.get().expect("a lease"));
    assert_eq!(pool.connections(), 1);
    let mut stays = one.shell(&plain()).expect("a shell");
    let mut goes = other.shell(&plain()).expect("a shell");
    stays.send("name=mine; echo set\n").expect("sent");
    find(&mut stays, &pattern("set\n"));
    let pid = endless(&mut goes);
    drop(goes);
    drop(other);
    wait_until("the shell that was left open has ended", || !runs(&pid));
    // A third borrower shares the session, and knows nothing of the shells.
    let third = pool.get().expect("a lease");
    let mut shell = third.shell(&plain()).expect("a shell");
    shell.send("echo \"name is <$name>\"\n").expect("sent");
    find(&mut shell, &pattern("name is <>\n"));
    stays.send("echo \"name is <$name>\"; exit\n").expect("sent");
    find(&mut stays, &pattern("name is <mine>\n"));
    assert!(stays.wait(PATIENCE).expect("a status").success());
}

fn a_pool_replaces_a_connection_that_died_under_a_shell<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let mut shell = connection.shell(&plain()).expect("a shell");
    server.kill_connections();
    let lost = shell.read_until(&pattern("never"), PATIENCE).expect_err("lost");
    assert_eq!(lost.kind(), Some(Kind::ConnectionLost));
    drop(shell);
    drop(connection);
    assert!(pool.execute("true").expect("a command").success());
    assert_eq!(server.handshakes(), 2);
}

#[cfg(feature = "russh")]
mod tasks {
    use super::{
        Device, EmbeddedServer, PATIENCE, PasswordUser, Pattern, Sshd, pattern, pause, plain, runs,
        user,
    };
    use hussh::{AsyncConnectionPool, AsyncShell, Builder, Kind, Match, ReadUntil, ShellOptions};
    use std::time::Duration;

    async fn find(shell: &mut AsyncShell<'_>, pattern: &Pattern) -> Match {
        match shell.read_until(pattern, PATIENCE).await.expect("read") {
            ReadUntil::Match(found) => found,
            other => panic!("{other:?}: {:?}", String::from_utf8_lossy(shell.buffered())),
        }
    }

    fn on_sshd(server: &Sshd, user: &PasswordUser) -> Builder<AsyncConnectionPool> {
        AsyncConnectionPool::builder(server.host(), user.name())
            .port(server.port())
            .private_key(server.identity(), None)
            .known_hosts([server.dir().join("known_hosts_of_test")])
            .max_connections(1)
    }

    #[tokio::test]
    async fn a_device_without_commands_is_talked_to() {
        let device = Device::new("s3cret").pace(Duration::from_micros(50));
        let server = EmbeddedServer::builder().device(device).start().expect("a device");
        let connection = hussh::AsyncConnection::builder(server.host(), server.user())
            .port(server.port())
            .password(server.password())
            .known_hosts([server.dir().join("known_hosts_of_test")])
            .connect()
            .await
            .expect("a connection");
        let mut shell = connection.shell(&ShellOptions::new()).await.expect("a shell");
        find(&mut shell, &pause()).await;
        shell.send("enable\r").await.expect("sent");
        find(&mut shell, &pattern("Password: ")).await;
        shell.send("s3cret\r").await.expect("sent");
        find(&mut shell, &pattern("router# ")).await;
        shell.resize(80, 81).await.expect("sent");
        shell.send("show running-config\r").await.expect("sent");
        let first = find(&mut shell, &pause()).await;
        assert_eq!(first.before_text().matches("interface ").count(), 80);
        shell.send(" exit\r").await.expect("sent");
        assert_eq!(
            shell.read_until(&pattern("never"), PATIENCE).await.expect("read"),
            ReadUntil::Ended
        );
        assert!(shell.wait(PATIENCE).await.expect("a status").success());
    }

    #[tokio::test]
    async fn shells_end_time_out_and_are_killed_as_those_of_threads() {
        let server = Sshd::start().expect("sshd");
        let user = user();
        let pool = on_sshd(&server, &user).build().expect("a pool");
        let connection = pool.get().await.expect("a connection");
        let mut shell = connection.shell(&plain()).await.expect("a shell");
        assert_eq!(shell.read(Duration::ZERO).await.expect("read").as_deref(), Some(&b""[..]));
        shell.send("echo one; sleep 1; echo two; exit 5\n").await.expect("sent");
        let two = pattern("two");
        let limit = Duration::from_millis(300);
        assert_eq!(shell.read_until(&two, limit).await.expect("read"), ReadUntil::TimedOut);
        assert_eq!(shell.buffered(), b"one\n");
        // A call that is dropped loses nothing.
        let dropped = tokio::time::timeout(limit, shell.read_until(&two, PATIENCE)).await;
        assert!(dropped.is_err());
        assert_eq!(find(&mut shell, &two).await.before(), b"one\n");
        assert_eq!(shell.read(PATIENCE).await.expect("read").as_deref(), Some(&b"\n"[..]));
        assert_eq!(shell.read(PATIENCE).await.expect("read"), None);
        assert_eq!(shell.wait(PATIENCE).await.expect("a status").code(), 5);

        let mut shell = connection.shell(&plain()).await.expect("a shell");
        shell.send("echo $$; exec sleep 600\n").await.expect("sent");
        let pid = find(&mut shell, &pattern("\n")).await.before_text().into_owned();
        assert!(runs(&pid), "{pid}");
        let error = shell.wait(limit).await.expect_err("it goes on");
        assert_eq!(error.kind(), Some(Kind::Timeout));
        for _ in 0..1_000 {
            if !runs(&pid) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!runs(&pid), "it is killed");
        let mut shell = connection.shell(&plain()).await.expect("a shell");
        connection.close();
        let closed = shell.read_until(&two, PATIENCE).await.expect_err("closed");
        assert_eq!(closed.kind(), Some(Kind::Closed));
    }

    #[tokio::test]
    async fn a_connection_with_an_open_shell_is_lent_to_nobody_else() {
        let server = Sshd::start().expect("sshd");
        let user = user();
        let pool = on_sshd(&server, &user).build().expect("a pool");
        let connection = pool.get().await.expect("a connection");
        let shell = connection.shell(&plain()).await.expect("a shell");
        assert!(pool.try_get().is_none(), "its connection is taken");
        drop(shell);
        drop(connection);
        assert!(pool.execute("true").await.expect("a command").success());
    }
}
