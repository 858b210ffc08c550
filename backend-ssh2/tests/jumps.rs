//! Sessions through jump hosts.

mod common;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, options, sshd_options, target, user_options, within};
use pool_core::{Backend as _, ErrorKind};
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, KeepaliveOptions, Kind, Options, Process as _, Route,
    Session as _, SshError,
};
use test_servers::dropbear::Dropbear;
use test_servers::embedded::EmbeddedServer;
use test_servers::keys::KeyPair;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{PasswordUser, Sshd};

const PATIENCE: Duration = Duration::from_secs(20);

fn through(options: &Options, hops: impl IntoIterator<Item = Options>) -> Options {
    options.clone().route(Route::Jump(hops.into_iter().collect()))
}

fn refusal(options: &Options) -> SshError {
    let error = Ssh2Session::connect(options).expect_err("refused");
    println!("{error}");
    error
}

fn runs(session: &Ssh2Session) {
    assert!(session.exec(&Command::new("true")).expect("output").success());
}

#[test]
fn two_jumps_lead_through_three_servers_with_credentials_of_their_own() {
    let servers = [(); 3].map(|()| Sshd::start().expect("sshd"));
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let own_key = servers[2].dir().join("own");
    let pair = KeyPair::ed25519().expect("a key");
    pair.write(&own_key).expect("written");
    let authorized = servers[2].dir().join("authorized_keys");
    fs::write(authorized, pair.public_line().expect("a line")).expect("authorized");
    let known = servers[0].dir().join("known");
    let lines = servers.each_ref().map(|server| server.known_hosts_line()).join("\n");
    fs::write(&known, lines).expect("written");

    let strict = HostKeys::new(HostKeyPolicy::Strict).files([&known]);
    let bastions = [sshd_options(&servers[0]), user_options(&servers[1], &user)];
    let bastions = bastions.map(|hop| hop.host_keys(strict.clone()));
    let last = options(&servers[2].host(), servers[2].port(), servers[2].user(), own_key);
    let session = connect(&through(&last.host_keys(strict), bastions));
    let output = session.exec(&Command::new("echo $SSH_CONNECTION")).expect("output");
    assert!(output.stdout_lossy().trim().ends_with(&format!(" {}", servers[2].port())));
    for server in &servers {
        assert_eq!((server.connections(), server.authentications()), (1, 1));
        assert_eq!(server.failed_authentications(), 0);
    }
    assert_eq!(servers.each_ref().map(|server| server.counters().sessions), [0, 0, 1]);
}

#[test]
fn any_number_of_threads_share_one_way() {
    let (bastion, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let session = connect(&through(&sshd_options(&server), [sshd_options(&bastion)]));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || {
                for round in 0..20 {
                    let command = Command::new(format!("echo {thread}-{round}; cat"));
                    let output = session.exec(&command.stdin("in")).expect("output");
                    assert_eq!(output.stdout_lossy(), format!("{thread}-{round}\nin"));
                }
            });
        }
    });
    assert_eq!((bastion.connections(), server.connections()), (1, 1));
}

#[test]
fn a_jump_host_that_does_not_connect_us_is_named_with_its_reason() {
    let forbids = Sshd::builder().option("AllowTcpForwarding no").start().expect("sshd");
    let server = Sshd::start().expect("sshd");
    let error = refusal(&through(&sshd_options(&server), [sshd_options(&forbids)]));
    assert_eq!(error.kind(), Kind::Connect, "{error}");
    assert_eq!(error.target(), Some(&sshd_options(&server).target));
    let hop = sshd_options(&forbids).target.to_string();
    let text = error.to_string();
    assert!(text.contains(&hop) && text.contains("administratively prohibited"), "{text}");
    assert_eq!(server.connections(), 0);

    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut nowhere = sshd_options(&server);
    nowhere.target = target("127.0.0.1", nobody.port(), "u");
    let error = refusal(&through(&nowhere, [sshd_options(&server)]));
    assert_eq!(error.target(), Some(&nowhere.target));
    assert!(error.to_string().contains("connect failed"), "{error}");
}

#[test]
fn a_jump_host_whose_key_changed_gets_no_credential_and_the_target_no_connection() {
    let mut bastion = Sshd::start().expect("sshd");
    let server = Sshd::start().expect("sshd");
    let known = server.dir().join("known");
    let hop =
        sshd_options(&bastion).host_keys(HostKeys::new(HostKeyPolicy::AcceptNew).files([&known]));
    let options = through(&sshd_options(&server), [hop.clone()]);
    connect(&options);
    assert_eq!(
        fs::read_to_string(&known).expect("recorded").trim(),
        bastion.known_hosts_line().trim()
    );

    bastion.change_host_key().expect("changed");
    let error = refusal(&options);
    assert_eq!((error.kind(), error.target()), (Kind::HostKey, Some(&hop.target)));
    let truth = bastion.wait_for(PATIENCE, |truth| truth.connections == 2).expect("it came");
    assert_eq!((truth.authentications, truth.failed_authentications), (1, 0));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_first_key_of_a_jump_host_that_no_file_keeps_binds_the_pool() {
    let mut bastion = Sshd::start().expect("sshd");
    let server = Sshd::start().expect("sshd");
    let keys = HostKeys::new(HostKeyPolicy::AcceptNew).files(["/dev/null"]);
    let hop = sshd_options(&bastion).host_keys(keys);
    let options = through(&sshd_options(&server), [hop.clone()]);
    let backend = Ssh2Backend::new(options).expect("valid");
    drop(backend.connect().expect("first"));
    bastion.change_host_key().expect("changed");
    let error = backend.connect().expect_err("another key");
    assert_eq!(error.target(), Some(&hop.target));
    assert!(error.to_string().contains("first session"), "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}

#[test]
fn a_jump_host_that_refuses_our_password_is_asked_once_and_named() {
    let (bastion, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let mut hop = user_options(&bastion, &user);
    hop.auth = vec![Auth::password("wrong-secret")];
    let error = refusal(&through(&sshd_options(&server), [hop.clone()]));
    assert_eq!((error.kind(), error.target()), (Kind::AuthenticationFailed, Some(&hop.target)));
    let truth = bastion.wait_for(PATIENCE, |truth| truth.failed_authentications > 0);
    assert_eq!(truth.expect("it was asked").failed_authentications, 1);
    assert_eq!(server.connections(), 0);
}

#[test]
fn one_deadline_covers_the_whole_way() {
    let (bastion, silent) =
        (Sshd::start().expect("sshd"), FaultProxy::start(([127, 0, 0, 1], 1).into()));
    let silent = silent.expect("a proxy");
    silent.accept_and_say_nothing(true);
    let mut hung = sshd_options(&bastion);
    hung.target = target("127.0.0.1", silent.port(), "u");
    let limit = Duration::from_millis(600);
    let limited = |mut options: Options| {
        options.connect_timeout = limit;
        options
    };
    let good = sshd_options(&bastion);
    for (options, named) in [
        // The target hangs, a hop hangs within the target's limit, and beyond its own.
        (limited(through(&hung, [good.clone()])), &hung),
        (limited(through(&good, [hung.clone()])), &hung),
        (through(&good, [limited(hung.clone())]), &hung),
    ] {
        let start = Instant::now();
        let error = refusal(&options);
        let elapsed = start.elapsed();
        assert_eq!((error.kind(), error.target()), (Kind::Timeout, Some(&named.target)));
        assert!(elapsed >= limit && elapsed < limit * 4, "{elapsed:?}");
    }
}

#[test]
fn a_session_ends_at_once_when_a_jump_host_dies() {
    let bastions = [(); 2].map(|()| Sshd::start().expect("sshd"));
    let server = Sshd::start().expect("sshd");
    for dying in &bastions {
        let hops = bastions.each_ref().map(sshd_options);
        let session = connect(&through(&sshd_options(&server), hops));
        let (begun, has_begun) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let process = session.spawn(&Command::new("echo begun; sleep 600")).expect("started");
            let first = process.read().expect("output");
            begun.send(first.is_some()).expect("somebody waits");
            process.wait()
        });
        assert!(has_begun.recv_timeout(PATIENCE).expect("it begins"));
        dying.kill_sessions().expect("killed");
        let ended = within(PATIENCE, "the command", move || running.join().expect("no panic"));
        let error = ended.expect_err("no status came");
        assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
        let named = format!("jump host {}: ", sshd_options(dying).target);
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[test]
fn a_silent_jump_host_is_found_by_its_own_heartbeats() {
    let (bastion, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let proxy = FaultProxy::start(bastion.addr()).expect("a proxy");
    let mut hop = sshd_options(&bastion);
    hop.target = target("127.0.0.1", proxy.port(), bastion.user());
    let interval = Duration::from_millis(200);
    hop.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 2 };
    let session = connect(&through(&sshd_options(&server), [hop]));
    runs(&session);
    proxy.black_hole();
    let start = Instant::now();
    let ended = within(PATIENCE, "the end", move || session.exec(&Command::new("sleep 600")));
    let error = ended.expect_err("nothing came");
    println!("after {:?}: {error}", start.elapsed());
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
    assert!(error.to_string().contains("did not answer heartbeats"), "{error}");
    assert!(start.elapsed() >= interval);
}

#[test]
fn heartbeats_of_jump_hosts_are_answered_by_servers_of_every_kind() {
    let server = Sshd::start().expect("sshd");
    let (sshd, dropbear) = (Sshd::start().expect("sshd"), Dropbear::start().expect("dropbear"));
    let embedded = EmbeddedServer::start().expect("embedded server");
    let at = |host: String, port, user: &str, identity| options(&host, port, user, identity);
    for mut hop in [
        sshd_options(&sshd),
        at(dropbear.host(), dropbear.port(), dropbear.user(), dropbear.identity()),
        at(embedded.host(), embedded.port(), embedded.user(), embedded.identity()),
    ] {
        let interval = Duration::from_millis(100);
        hop.keepalive = KeepaliveOptions { interval: Some(interval), count_max: 5 };
        let session = connect(&through(&sshd_options(&server), [hop.clone()]));
        // Long enough for one that answers none to be given up.
        std::thread::sleep(interval * 12);
        assert!(session.is_alive(), "{}", hop.target);
        runs(&session);
    }
}

#[test]
fn a_pool_takes_a_dead_jump_host_for_a_passing_trouble() {
    let (mut bastion, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let options = through(&sshd_options(&server), [sshd_options(&bastion)]);
    let backend = Ssh2Backend::new(options).expect("valid");
    let mut session = backend.connect().expect("the first");
    backend.check(&mut session).expect("it answers");
    bastion.stop().expect("stopped");
    within(PATIENCE, "the end", move || {
        while session.is_alive() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let error = backend.connect().expect_err("nobody is there");
    // A pool that had sessions tries such a host again.
    assert_eq!(backend.classify(&error), ErrorKind::Unreachable, "{error}");
    bastion.restart().expect("started");
    runs(&backend.connect().expect("another"));
}

#[test]
fn ipv6_is_a_way_directly_and_through_a_jump_host() {
    let bastion = Sshd::start().expect("sshd");
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let builder = Sshd::builder();
    let server = if has_ipv6 { builder.option("ListenAddress ::1") } else { builder };
    let server = server.start().expect("sshd");
    let mut direct = sshd_options(&server);
    direct.target = target("::1", server.port(), server.user());
    for options in [through(&direct, [sshd_options(&bastion)]), direct] {
        match Ssh2Session::connect(&options) {
            Ok(session) => {
                let output = session.exec(&Command::new("echo $SSH_CONNECTION")).expect("output");
                assert!(output.stdout_lossy().contains("::1"), "{}", output.stdout_lossy());
            }
            Err(error) => assert!(!has_ipv6 && error.kind() == Kind::Connect, "{error}"),
        }
    }
}
