//! Ways to a server: jump hosts, proxy commands, IPv6.

mod common;

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use backend_russh::{RusshBackend, RusshSession};
use common::{as_user, connect, options, refused_before_login, sshd_options, within};
use pool_core::{AsyncBackend as _, ErrorKind};
use ssh_session::{
    AsyncSession as _, Auth, Command, HostKeyPolicy, HostKeys, KeepaliveOptions, Kind, Options,
    ProxyCommand, Route, SshError,
};
use test_servers::dropbear::Dropbear;
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{PasswordUser, Sshd};

/// How long a server's log may take to show what happened.
const PATIENCE: Duration = Duration::from_secs(10);

/// A jump host that opens no session for anybody.
fn jump_host() -> Sshd {
    Sshd::builder().max_sessions(0).start().expect("sshd")
}

fn through(hops: impl IntoIterator<Item = Options>, options: Options) -> Options {
    options.route(Route::Jump(hops.into_iter().collect()))
}

async fn says(session: &RusshSession, text: &str) {
    let output = session.exec(&Command::new(format!("echo {text}"))).await.expect("output");
    assert_eq!(output.stdout_text(), Ok(format!("{text}\n").as_str()));
}

async fn error_of(options: &Options) -> SshError {
    let error = RusshSession::connect(options).await.expect_err("refused");
    println!("{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jumps_with_three_credentials_lead_to_the_target() {
    let (first, second) = (jump_host(), jump_host());
    let target = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let known = target.dir().join("known_hosts_of_test");
    let keys = || HostKeys::new(HostKeyPolicy::AcceptNew).files([&known]);
    let mut last = sshd_options(&target).host_keys(keys());
    last.auth = vec![Auth::encrypted_key_file(target.encrypted_identity(), target.passphrase())];
    let hops = [sshd_options(&first).host_keys(keys()), as_user(&second, &user).host_keys(keys())];
    let session = connect(&through(hops, last)).await;
    for number in 0..5 {
        says(&session, &number.to_string()).await;
    }
    for server in [&first, &second, &target] {
        assert_eq!((server.connections(), server.authentications()), (1, 1));
        assert_eq!(server.failed_authentications(), 0);
    }
    let recorded = fs::read_to_string(&known).expect("recorded");
    assert_eq!(recorded.lines().count(), 3, "each host's key is recorded: {recorded}");

    drop(session);
    for server in [&first, &second, &target] {
        gone(server, 1).await;
        assert!(server.log().contains("Received disconnect"), "each is told goodbye");
    }
}

/// Waits until the server says that so many connections have ended.
async fn gone(server: &Sshd, connections: usize) {
    within(PATIENCE, "the end of a session in sshd's log", async {
        let ends = |log: &str| {
            log.lines().filter(|line| line.starts_with("Disconnected from user")).count()
        };
        while ends(&server.log()) < connections {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_server_is_a_jump_host() {
    let target = Sshd::start().expect("sshd");
    let dropbear = Dropbear::start().expect("dropbear");
    let embedded = EmbeddedServer::start().expect("embedded server");
    let hops = [
        options(&dropbear.host(), dropbear.port(), dropbear.user(), dropbear.identity()),
        options(&embedded.host(), embedded.port(), embedded.user(), embedded.identity()),
    ];
    let session = connect(&through(hops, sshd_options(&target))).await;
    says(&session, "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_forwards_nothing_is_named_with_its_reason() {
    let target = Sshd::start().expect("sshd");
    let hop = Sshd::builder().option("AllowTcpForwarding no").start().expect("sshd");
    let error = error_of(&through([sshd_options(&hop)], sshd_options(&target))).await;
    assert_eq!(error.kind(), Kind::Connect);
    assert_eq!(error.target(), Some(&sshd_options(&target).target));
    let text = error.to_string();
    assert!(text.contains(&format!("jump host {}", sshd_options(&hop).target)), "{text}");
    assert!(text.contains("administratively prohibited"), "{text}");
    assert_eq!(target.connections(), 0);
    gone(&hop, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_the_jump_host_does_not_reach_is_named_with_the_reason() {
    let hop = jump_host();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let nowhere = options("127.0.0.1", free.port(), "u", hop.identity());
    let error = error_of(&through([sshd_options(&hop)], nowhere.clone())).await;
    assert_eq!(error.kind(), Kind::Connect);
    assert_eq!(error.target(), Some(&nowhere.target));
    assert!(error.to_string().contains("connect failed: Connection refused"), "{error}");
    let no_name = options("no-such-host.invalid", 22, "u", hop.identity());
    let error = error_of(&through([sshd_options(&hop)], no_name)).await;
    assert_eq!(error.kind(), Kind::Connect);
    assert!(error.to_string().contains("connect failed: "), "{error}");
    gone(&hop, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_whose_host_key_changed_is_refused_before_any_credential() {
    let (first, mut second) = (jump_host(), jump_host());
    let target = Sshd::start().expect("sshd");
    let known = target.dir().join("known_hosts_of_test");
    let keys = HostKeys::new(HostKeyPolicy::AcceptNew).files([&known]);
    let hops = [sshd_options(&first), sshd_options(&second).host_keys(keys)];
    let options = through(hops, sshd_options(&target));
    connect(&options).await;
    second.change_host_key().expect("changed");
    let before = target.connections();
    let text = refused_before_login(&options, &second).await;
    assert!(text.contains("HOST KEY CHANGED"), "{text}");
    assert!(text.starts_with(&sshd_options(&second).target.to_string()), "{text}");
    assert_eq!(target.connections(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_of_a_hop_that_no_file_keeps_binds_the_pool() {
    let mut hop = jump_host();
    let target = Sshd::start().expect("sshd");
    let keys = HostKeys::new(HostKeyPolicy::AcceptNew).files(["/dev/null"]);
    let options = through([sshd_options(&hop).host_keys(keys)], sshd_options(&target));
    let backend = RusshBackend::new(options).expect("valid");
    drop(backend.connect().await.expect("first"));
    hop.change_host_key().expect("changed");
    let error = backend.connect().await.expect_err("another key");
    assert!(error.to_string().contains("first session"), "{error}");
    assert_eq!(error.target(), Some(&sshd_options(&hop).target));
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_for_a_hop_is_tried_once_and_names_the_hop() {
    let (first, second) = (jump_host(), jump_host());
    let target = Sshd::start().expect("sshd");
    let mut wrong = sshd_options(&second);
    wrong.auth = vec![Auth::key_file(first.identity())];
    let error =
        error_of(&through([sshd_options(&first), wrong.clone()], sshd_options(&target))).await;
    assert_eq!(error.kind(), Kind::AuthenticationFailed);
    assert_eq!(error.target(), Some(&wrong.target));
    gone(&first, 1).await;
    assert_eq!(second.failed_authentications(), 1);
    assert_eq!(target.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_dies_takes_the_session_with_it_at_once() {
    let (first, second) = (jump_host(), jump_host());
    let target = Sshd::start().expect("sshd");
    for dying in [&first, &second] {
        let hops = [sshd_options(&first), sshd_options(&second)];
        let session = connect(&through(hops, sshd_options(&target))).await;
        let command = Command::new("echo begun; sleep 600");
        let killing = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            dying.kill_sessions().expect("killed");
        };
        let (ended, ()) = within(PATIENCE, "the end of the hop", async {
            tokio::join!(session.exec(&command), killing)
        })
        .await;
        let error = ended.expect_err("lost");
        assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
        assert_eq!(error.target(), Some(&sshd_options(&target).target));
        let named = format!("session on jump host {}", sshd_options(&second).target);
        assert!(error.to_string().contains(&named), "{error}");
        assert!(error.may_have_started() && !session.is_alive());
        assert_eq!(error.partial_output().expect("output").stdout, "begun\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_hop_is_noticed_by_its_own_heartbeats_and_by_those_of_the_target() {
    let hop = jump_host();
    let target = Sshd::start().expect("sshd");
    let heartbeats = KeepaliveOptions { interval: Some(Duration::from_millis(100)), count_max: 2 };
    for of_hop in [true, false] {
        let proxy = FaultProxy::start(hop.addr()).expect("proxy");
        let mut first = common::through(&proxy, sshd_options(&hop));
        let mut last = sshd_options(&target);
        (if of_hop { &mut first } else { &mut last }).keepalive = heartbeats;
        let session = connect(&through([first], last)).await;
        says(&session, "hello").await;
        assert_eq!(connections_to(proxy.port()), 1);
        proxy.black_hole();
        let command = Command::new("sleep 600");
        let ended = within(PATIENCE, "heartbeats", session.exec(&command)).await;
        let text = ended.expect_err("lost").to_string();
        assert!(text.contains("no answer to heartbeats"), "{text}");
        assert_eq!(text.contains("jump host"), of_hop, "{text}");
        // Whoever waits for nothing any more lets go of the hop, too.
        drop(session);
        within(PATIENCE, "the end of the hop", async {
            while connections_to(proxy.port()) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// How many TCP connections to a local port nobody has shut down.
fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let (peer, established) = (format!(":{port:04X}"), "01");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&peer) && fields[3] == established).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deadline_covers_all_hops_and_ends_them() {
    let hop = jump_host();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let mut target = options("127.0.0.1", port, "u", hop.identity());
    target.connect_timeout = Duration::from_millis(1500);
    let start = Instant::now();
    let error = error_of(&through([sshd_options(&hop)], target.clone())).await;
    assert_eq!((error.kind(), error.target()), (Kind::Timeout, Some(&target.target)));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    gone(&hop, 1).await;

    // A hop's own limit counts where it is sooner.
    let mut hasty = options("127.0.0.1", port, "hop", hop.identity());
    hasty.connect_timeout = Duration::from_millis(200);
    let error = error_of(&through([hasty.clone()], target)).await;
    assert_eq!((error.kind(), error.target()), (Kind::Timeout, Some(&hasty.target)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_delays_no_small_packets() {
    let hop = jump_host();
    let target = Sshd::start().expect("sshd");
    let session = connect(&through([sshd_options(&hop)], sshd_options(&target))).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        says(&session, "hello").await;
        times.push(start.elapsed());
    }
    times.sort();
    println!("warm commands through a jump host: fastest {:?}, median {:?}", times[0], times[10]);
    // A delayed acknowledgement would cost each of them 40 ms.
    assert!(times[0] < Duration::from_millis(35), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_reached_by_ipv6_straight_and_through_a_jump_host() {
    let hop = jump_host();
    let target = Sshd::builder().address(Ipv6Addr::LOCALHOST).start().expect("sshd");
    let by_ipv6 = sshd_options(&target);
    assert_eq!(by_ipv6.target.host(), "::1");
    says(&connect(&by_ipv6).await, "straight").await;
    says(&connect(&through([sshd_options(&hop)], by_ipv6)).await, "through").await;
}

/// Moves bytes between standard input and output and a port, without nc.
fn relay(before: &str) -> String {
    format!("bash -c '{before} exec 3<>/dev/tcp/$0/$1; cat <&3 & cat >&3' %h %p")
}

fn by_command(options: Options, template: &str) -> Options {
    options.route(Route::Command(ProxyCommand::parse(template).expect("a template")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_command_leads_to_the_target_or_to_the_first_hop() {
    let hop = jump_host();
    let target = Sshd::start().expect("sshd");
    let session = connect(&by_command(sshd_options(&target), &relay(""))).await;
    says(&session, "hello").await;
    drop(session);
    let first = by_command(sshd_options(&hop), &relay(""));
    says(&connect(&through([first], sshd_options(&target))).await, "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_command_that_fails_says_why() {
    let target = Sshd::start().expect("sshd");
    let failing = by_command(sshd_options(&target), "sh -c 'cat /nowhere/%p >&2; exit 7'");
    let error = error_of(&failing).await;
    assert_eq!((error.kind(), error.target()), (Kind::Connect, Some(&failing.target)));
    assert!(error.to_string().contains("No such file"), "{error}");
    let missing = by_command(sshd_options(&target), "no-such-program %h");
    assert!(error_of(&missing).await.to_string().contains("no-such-program"));
    let mut silent = by_command(sshd_options(&target), "sleep 600");
    silent.connect_timeout = Duration::from_millis(300);
    assert_eq!(error_of(&silent).await.kind(), Kind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_command_that_dies_takes_the_session_with_it_at_once() {
    let target = Sshd::start().expect("sshd");
    let pid = target.dir().join("pid");
    let noting = relay(&format!("echo $$ >{};", pid.display()));
    let session = connect(&by_command(sshd_options(&target), &noting)).await;
    let command = Command::new("sleep 600");
    let killing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let group = fs::read_to_string(&pid).expect("its number");
        let group = format!("-{}", group.trim());
        let killed = Process::new("kill").args(["-KILL", "--", &group]).status();
        assert!(killed.expect("kill").success());
    };
    let (ended, ()) = within(PATIENCE, "the end of the command", async {
        tokio::join!(session.exec(&command), killing)
    })
    .await;
    assert_eq!(ended.expect_err("lost").kind(), Kind::ConnectionLost);
    assert!(!session.is_alive());
}
