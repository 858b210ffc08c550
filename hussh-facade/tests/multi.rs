//! Many hosts in one call: results as they come and in order, hosts that fail, limits, files.

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use common::for_each_library;
use hussh::sync::{Library, MultiConnection};
use hussh::{Builder, Host, Kind, LocalPath, MultiStep, Transfer};
use tempfile::TempDir;
use test_servers::embedded::EmbeddedServer;

for_each_library! {
    a_dead_a_slow_and_a_refusing_host_cost_the_others_nothing
    results_are_in_the_order_given_and_failures_are_data
    no_more_hosts_at_once_than_said_and_a_panic_in_progress_ends_nothing
    a_run_that_is_dropped_ends_what_runs_and_keeps_the_connections
    a_command_that_may_have_started_is_not_run_again
    a_host_has_one_deadline_for_all
    a_host_that_is_named_twice_counts_once
    files_go_to_all_hosts_and_come_back_to_a_path_for_each
}

/// Servers on addresses of their own that take the same password.
struct Servers {
    servers: Vec<EmbeddedServer>,
    folder: TempDir,
}

impl Servers {
    fn start(count: u8) -> Self {
        let start = |last| {
            let builder = EmbeddedServer::builder().password("secret");
            builder.address(Ipv4Addr::new(127, 0, 9, last)).start().expect("a server")
        };
        let servers = (1..=count).map(start).collect();
        Self { servers, folder: tempfile::tempdir().expect("a folder") }
    }

    fn names(&self) -> Vec<String> {
        let name = |server: &EmbeddedServer| format!("{}:{}", server.host(), server.port());
        self.servers.iter().map(name).collect()
    }

    fn known_hosts(&self) -> std::path::PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn told<T: hussh::FleetKind>(&self, builder: Builder<T>) -> Builder<T> {
        builder.username("demo").password("secret").known_hosts([self.known_hosts()])
    }

    fn fleet<L: Library>(&self) -> Builder<MultiConnection<L>> {
        self.told(MultiConnection::builder()).hosts(self.names())
    }
}

/// A port where nobody listens.
fn refusing() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port()
}

/// A port where connections are taken and nobody ever answers.
fn dead() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let name = format!("127.0.0.1:{}", listener.local_addr().expect("an address").port());
    (listener, name)
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < until, "in a minute: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn a_dead_a_slow_and_a_refusing_host_cost_the_others_nothing<L: Library>() {
    let servers = Servers::start(30);
    servers.servers[0].delay_auth(Duration::from_millis(500));
    let (_listener, dead) = dead();
    let refusing = format!("127.0.0.1:{}", refusing());
    let fleet = servers
        .told(MultiConnection::<L>::builder())
        .hosts([&dead, &refusing])
        .hosts(servers.names())
        .hosts_at_once(8)
        .connects_at_once(4)
        .connect_timeout(Duration::from_secs(300))
        .host_timeout(Duration::from_secs(300))
        .build()
        .expect("valid");
    let mut run = fleet.execute("echo $$").expect("valid");
    assert_eq!(run.hosts().len(), 32);
    // All but the dead one, which has minutes to go.
    let results: Vec<_> = run.by_ref().take(31).collect();
    for result in &results {
        match result.index {
            0 => panic!("{result:?}"),
            1 => {
                let error = result.result.as_ref().expect_err("nobody listens");
                assert_eq!(error.kind(), Some(Kind::Connect), "{error}");
            }
            _ => assert!(result.success(), "{result:?}"),
        }
    }
    assert_eq!(servers.servers.iter().map(EmbeddedServer::handshakes).sum::<usize>(), 30);
}

fn results_are_in_the_order_given_and_failures_are_data<L: Library>() {
    let servers = Servers::start(3);
    let nobody = format!("demo@127.0.0.1:{}", refusing());
    let builder = servers.told(MultiConnection::<L>::builder()).hosts([&nobody]);
    let fleet = builder.hosts(servers.names()).build().expect("valid");
    let ports: Vec<_> = servers.servers.iter().map(|server| server.port()).collect();
    let failing = ports[1];
    let command = |target: &hussh::Target| match target.port() {
        port if port == failing => Some("exit 3".to_owned()),
        port => Some(format!("echo {port}")),
    };
    let results = fleet.execute_each(command).expect("valid").wait();
    let found: Vec<_> = results.iter().map(|one| one.host.to_string()).collect();
    assert_eq!(found, fleet.hosts().map(ToString::to_string).collect::<Vec<_>>());
    let texts: Vec<_> =
        results.ok().map(|(host, output)| (host.port(), output.stdout_lossy())).collect();
    let expected = [ports[0], ports[2]].map(|port| (port, format!("{port}\n").into()));
    assert_eq!(texts, expected);
    assert_eq!(results.failed().map(|one| one.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(results.errors().count(), 1);
    let own = results.get(&format!("demo@{}:{failing}", servers.servers[1].host()));
    assert_eq!(own.expect("there").as_ref().expect("output").status.code(), 3);
    let failure = results.all_or_error().expect_err("two failed").to_string();
    assert!(failure.starts_with("failed on 2 of 4 hosts: "), "{failure}");
    assert!(failure.contains("exit code 3") && failure.contains(&nobody), "{failure}");
    // A host without a command is left out.
    let only = |target: &hussh::Target| (target.port() == failing).then_some("true".to_owned());
    let results = fleet.execute_each(only).expect("valid").wait();
    assert!(results.success() && results.len() == 1, "{results:?}");
    assert!(fleet.execute("a\0b").is_err(), "that makes no sense on any host");
}

fn no_more_hosts_at_once_than_said_and_a_panic_in_progress_ends_nothing<L: Library>() {
    let servers = Servers::start(6);
    let (busy, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let fleet = servers
        .fleet::<L>()
        .hosts_at_once(2)
        .connects_at_once(1)
        .progress(move |progress| {
            assert_eq!(progress.total, 6);
            match progress.step {
                MultiStep::Started => {
                    seen.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                }
                _ => {
                    busy.fetch_sub(1, Ordering::SeqCst);
                    panic!("as a test");
                }
            }
        })
        .build()
        .expect("valid");
    let results = fleet.execute("sleep 0.1").expect("valid").wait();
    assert!(results.success() && results.len() == 6, "{results:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
    for (field, builder) in [
        ("hosts_at_once", servers.fleet::<L>().hosts_at_once(0)),
        ("connects_at_once", servers.fleet::<L>().connects_at_once(0)),
        ("host_timeout", servers.fleet::<L>().host_timeout(Duration::ZERO)),
        ("hosts", servers.told(MultiConnection::builder())),
        ("hosts", servers.fleet::<L>().hosts(["a b"])),
        ("hosts", MultiConnection::builder().hosts(["nobody.example"])),
        ("port", servers.fleet::<L>().host(Host::new("h", "u").port(0))),
    ] {
        let error = builder.build().expect_err(field).to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
}

/// The process that wrote its number there.
fn process(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn a_run_that_is_dropped_ends_what_runs_and_keeps_the_connections<L: Library>() {
    let servers = Servers::start(3);
    let fleet = servers.fleet::<L>().build().expect("valid");
    let files: Vec<_> =
        (0..3).map(|number| servers.folder.path().join(number.to_string())).collect();
    let mut paths = files.iter();
    let command = |_: &hussh::Target| {
        let file = paths.next()?.display();
        Some(format!("echo $$ > {file}; exec sleep 600"))
    };
    let run = fleet.execute_each(command).expect("valid");
    eventually("all run", || files.iter().all(|file| process(file).is_some()));
    drop(run);
    eventually("none runs", || {
        let runs =
            |file| process(file).is_some_and(|id| Path::new(&format!("/proc/{id}")).exists());
        !files.iter().any(|file| runs(file))
    });
    assert!(fleet.execute("true").expect("valid").wait().success());
    assert!(servers.servers.iter().all(|server| server.handshakes() == 1), "no new connection");
}

fn a_command_that_may_have_started_is_not_run_again<L: Library>() {
    let servers = Servers::start(1);
    let fleet = servers.fleet::<L>().build().expect("valid");
    let file = servers.folder.path().join("runs");
    let run = fleet.execute(format!("echo x >> {}; sleep 600", file.display())).expect("valid");
    eventually("it runs", || file.exists());
    servers.servers[0].kill_connections();
    let results = run.wait();
    let (_, error) = results.errors().next().expect("lost");
    assert!(error.may_have_started(), "{error}");
    assert!(fleet.execute("true").expect("valid").wait().success());
    assert_eq!(fs::read_to_string(&file).expect("there"), "x\n");
}

fn a_host_has_one_deadline_for_all<L: Library>() {
    let servers = Servers::start(2);
    let (_listener, dead) = dead();
    let fleet = servers
        .fleet::<L>()
        .hosts([&dead])
        .host_timeout(Duration::from_millis(1500))
        .build()
        .expect("valid");
    let results = fleet.execute("echo first; exec sleep 600").expect("valid").wait();
    assert_eq!(results.errors().count(), 3);
    for (host, error) in results.errors() {
        assert!(error.is_timeout(), "{error}");
        let is_dead = host.host() == "127.0.0.1";
        assert_eq!(error.may_have_started(), !is_dead, "{error}");
        let partial = error.partial_output().map(|partial| &partial.stdout[..]);
        assert_eq!(partial, (!is_dead).then_some(&b"first\n"[..]), "{error}");
    }
}

fn a_host_that_is_named_twice_counts_once<L: Library>() {
    let servers = Servers::start(2);
    let server = &servers.servers[0];
    let uri = format!("ssh://demo@{}:{}", server.host(), server.port());
    let fleet = servers.fleet::<L>().hosts([uri]).hosts(servers.names()).build().expect("valid");
    assert_eq!(fleet.hosts().len(), 2);
    assert_eq!(fleet.execute("true").expect("valid").wait().len(), 2);
    assert_eq!(server.commands(), 1);
    let other = Host::new(server.host(), "demo").port(server.port()).password("another");
    let error = servers.fleet::<L>().host(other).build().expect_err("two").to_string();
    assert!(error.contains("twice") && error.contains(&server.host()), "{error}");
    // One with settings of its own takes none of the others'.
    let own =
        Host::new(server.host(), "demo").port(server.port()).private_key(server.identity(), None);
    let own = own.known_hosts([servers.known_hosts()]);
    let fleet = MultiConnection::<L>::builder().host(own).build().expect("valid");
    assert!(fleet.execute("true").expect("valid").wait().success());
}

fn files_go_to_all_hosts_and_come_back_to_a_path_for_each<L: Library>() {
    let servers = Servers::start(3);
    let fleet = servers.fleet::<L>().build().expect("valid");
    let folder = servers.folder.path();
    let there = folder.join("there");
    assert!(fleet.write(&there, b"all the same").expect("valid").wait().success());
    for (_, content) in fleet.read(&there).expect("valid").wait().ok() {
        assert_eq!(content, b"all the same");
    }
    let missing = fleet.read(folder.join("missing")).expect("valid").wait();
    assert!(missing.errors().all(|(_, error)| error.kind() == Some(Kind::File)));
    assert_eq!(missing.errors().count(), 3);

    let pattern = folder.join("back/{host}/{port}").display().to_string();
    let transfer = Transfer::new();
    let results = fleet.download(&there, pattern.as_str(), &transfer).expect("valid").wait();
    assert!(results.success() && results.ok().count() == 3, "{results:?}");
    for server in &servers.servers {
        let file = folder.join(format!("back/{}/{}", server.host(), server.port()));
        assert_eq!(fs::read(file).expect("there"), b"all the same");
    }
    let error = fleet.download(&there, folder.join("one"), &transfer).expect_err("one path");
    assert!(error.to_string().contains("`local`"), "{error}");

    let base = folder.to_owned();
    let each = LocalPath::each(move |target| {
        base.join(format!("back/{}/{}", target.host(), target.port()))
    });
    let results = fleet.upload(each, folder.join("up"), &transfer).expect("valid").wait();
    assert!(results.success(), "{results:?}");
    assert_eq!(fs::read(folder.join("up")).expect("there"), b"all the same");
}

#[cfg(feature = "russh")]
mod tasks {
    use hussh::AsyncMultiConnection;

    use super::*;

    #[tokio::test]
    async fn a_dead_and_a_refusing_host_cost_the_others_nothing() {
        let servers = Servers::start(10);
        let (_listener, dead) = dead();
        let refusing = format!("127.0.0.1:{}", refusing());
        let fleet = servers
            .told(AsyncMultiConnection::builder())
            .hosts([&dead, &refusing])
            .hosts(servers.names())
            .hosts_at_once(4)
            .connects_at_once(2)
            .connect_timeout(Duration::from_secs(300))
            .host_timeout(Duration::from_secs(300))
            .progress(|_| panic!("as a test"))
            .build()
            .expect("valid");
        let mut run = fleet.execute("echo $$").expect("valid");
        for _ in 0..11 {
            let result = run.next().await.expect("there");
            assert_eq!(result.success(), result.index > 1, "{result:?}");
            assert_ne!(result.index, 0, "{result:?}");
        }
        drop(run);
        let mut results = fleet
            .execute_each(|target| (target.host() != "127.0.0.1").then_some("exit 3".to_owned()))
            .expect("valid")
            .wait()
            .await;
        assert_eq!((results.len(), results.failed().count()), (10, 10));
        assert_eq!(results.errors().count(), 0);
        results = fleet.execute_each(|_| None::<String>).expect("valid").wait().await;
        assert!(results.is_empty());
        assert!(servers.servers.iter().all(|server| server.handshakes() == 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_that_is_dropped_ends_what_runs() {
        let servers = Servers::start(1);
        let fleet = servers.told(AsyncMultiConnection::builder()).hosts(servers.names());
        let fleet = fleet.build().expect("valid");
        let file = servers.folder.path().join("id");
        let command = format!("echo $$ > {}; exec sleep 600", file.display());
        let run = fleet.execute(command).expect("valid");
        let running = file.clone();
        let wait = move || eventually("it runs", || process(&running).is_some());
        tokio::task::spawn_blocking(wait).await.expect("it ran");
        drop(run);
        let id = process(&file).expect("a number");
        let wait = move || eventually("it ended", || !Path::new(&format!("/proc/{id}")).exists());
        tokio::task::spawn_blocking(wait).await.expect("it ended");
        assert!(fleet.execute("true").expect("valid").wait().await.success());
        assert_eq!(servers.servers[0].handshakes(), 1);
    }

    #[tokio::test]
    async fn files_go_to_all_hosts_and_come_back() {
        let servers = Servers::start(2);
        let fleet = servers.told(AsyncMultiConnection::builder()).hosts(servers.names());
        let fleet = fleet.host_timeout(Duration::from_secs(60)).build().expect("valid");
        let folder = servers.folder.path();
        let there = folder.join("there");
        assert!(fleet.write(&there, b"same").expect("valid").wait().await.success());
        let read = fleet.read(&there).expect("valid").wait().await;
        assert!(read.ok().all(|(_, content)| content == b"same") && read.len() == 2);
        let pattern = folder.join("back/{port}-{host}").display().to_string();
        let down = fleet.download(&there, pattern.as_str(), &Transfer::new()).expect("valid");
        assert!(down.wait().await.success());
        let up = fleet.upload(pattern.as_str(), folder.join("up"), &Transfer::new());
        assert!(up.expect("valid").wait().await.success());
        assert_eq!(fs::read(folder.join("up")).expect("there"), b"same");
    }

    #[test]
    fn without_a_runtime_it_says_so() {
        let servers = Servers::start(1);
        let fleet = servers.told(AsyncMultiConnection::builder()).hosts(servers.names());
        let error = fleet.build().expect("valid").execute("true").expect_err("no runtime");
        assert!(error.to_string().contains("tokio runtime"), "{error}");
    }
}
