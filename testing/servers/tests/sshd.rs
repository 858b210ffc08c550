//! The sshd launcher, asked by the OpenSSH client and by plain TCP.

mod common;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, alive, text, wait_until};
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::sshd::{PasswordUser, Sshd};

const PATIENCE: Duration = Duration::from_secs(10);

fn client(server: &Sshd) -> Client {
    Client::new(&server.identity(), server.user(), server.port(), &server.known_hosts_line())
}

#[test]
fn a_command_runs_and_the_server_counts_one_connection_and_one_login() {
    let server = Sshd::start().unwrap();
    let output = client(&server).run("echo hello; exit 3");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("hello\n", Some(3)));

    let truth = server.wait_for(PATIENCE, |truth| truth.sessions == 1).unwrap();
    assert_eq!((truth.connections, truth.authentications), (1, 1));
    assert_eq!(truth.failed_authentications, 0);
}

#[test]
fn a_refused_key_is_counted_once_and_is_no_login() {
    let server = Sshd::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger");
    KeyPair::ed25519().unwrap().write(&stranger).unwrap();
    let line = server.known_hosts_line();
    let client = Client::new(&stranger, server.user(), server.port(), &line);
    assert_eq!(client.run("true").status.code(), Some(255));

    let truth = server.wait_for(PATIENCE, |truth| truth.failed_authentications > 0).unwrap();
    assert_eq!((truth.failed_authentications, truth.authentications), (1, 0));
}

#[test]
fn the_encrypted_key_opens_with_its_passphrase_only() {
    let server = Sshd::start().unwrap();
    let opens = |passphrase: &str| {
        Command::new("ssh-keygen")
            .args(["-y", "-P", passphrase, "-f"])
            .arg(server.encrypted_identity())
            .stderr(Stdio::null())
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(opens(server.passphrase()));
    assert!(!opens("something else"));
}

#[test]
fn all_kinds_of_host_keys_can_be_served() {
    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa2048];
    let server = Sshd::builder().host_keys(kinds).start().unwrap();
    let scan = Command::new("ssh-keyscan")
        .args(["-p", &server.port().to_string(), "127.0.0.1"])
        .output()
        .unwrap();
    let scanned = text(&scan.stdout);
    for key in server.host_public_keys() {
        let key: Vec<&str> = key.split(' ').take(2).collect();
        assert!(scanned.contains(&key.join(" ")), "{key:?} not in {scanned}");
    }
}

#[test]
fn max_sessions_is_kept() {
    let server = Sshd::builder().max_sessions(1).start().unwrap();
    let client = client(&server).with_master();
    let mut first = client.command().arg("sleep 20").spawn().unwrap();
    server.wait_for(PATIENCE, |truth| truth.sessions == 2).unwrap();
    // A master that is refused a session lets the client dial by itself.
    let second = client.run("true");
    assert!(second.status.success());
    server.wait_for(PATIENCE, |truth| truth.connections == 2).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn max_startups_drops_are_counted() {
    let server = Sshd::builder().max_startups("2:100:2").start().unwrap();
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(server.addr()).unwrap()).collect();
    server.wait_for(PATIENCE, |truth| truth.connections == 2).unwrap();
    let _third = TcpStream::connect(server.addr()).unwrap();
    let truth = server.wait_for(PATIENCE, |truth| truth.refused_startups == 1).unwrap();
    assert_eq!(truth.connections, 2);
    drop(silent);
}

#[test]
fn a_restart_keeps_port_and_key_and_goes_on_counting() {
    let mut server = Sshd::start().unwrap();
    let address = server.addr();
    let client = client(&server);
    assert!(client.run("true").status.success());
    server.restart().unwrap();
    assert_eq!(server.addr(), address);
    assert!(client.run("true").status.success());
    server.wait_for(PATIENCE, |truth| truth.authentications == 2).unwrap();
}

#[test]
fn a_changed_host_key_is_refused_by_who_knew_the_old_one() {
    let mut server = Sshd::start().unwrap();
    let before = client(&server);
    server.change_host_key().unwrap();
    let refused = before.run("true");
    assert_eq!(refused.status.code(), Some(255));
    assert!(text(&refused.stderr).contains("Host key verification failed"));
    assert!(client(&server).run("true").status.success());
}

#[test]
fn killed_sessions_end_at_once_with_their_commands_and_the_listener_stays() {
    let server = Sshd::start().unwrap();
    let client = client(&server);
    let marker = server.dir().join("alive");
    let line = format!("touch {}; exec sleep 987654", marker.display());
    let mut running = client.command().arg(&line).spawn().unwrap();
    wait_until(|| marker.exists());
    let started = Instant::now();
    server.kill_sessions().unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(255));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(client.run("true").status.success());
}

#[test]
fn nothing_is_left_after_a_panic() {
    let seen = std::sync::Mutex::new(None);
    let result = std::panic::catch_unwind(|| {
        let server = Sshd::start().unwrap();
        let pid_file = server.dir().join("pid");
        // A command of its own session, whose sshd doesn't wait for it.
        let line = format!(
            "setsid sleep 876543 >/dev/null 2>&1 </dev/null & echo $! > {}",
            pid_file.display()
        );
        assert!(client(&server).run(&line).status.success());
        let pid: u32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        *seen.lock().unwrap() = Some((server.addr(), pid));
        panic!("as a failing test does");
    });
    assert!(result.is_err());
    let (address, pid) = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(!alive(pid), "process {pid} is left");
}

#[test]
fn a_stopped_server_refuses_connections() {
    let mut server = Sshd::start().unwrap();
    assert!(server.is_running());
    let mut open = TcpStream::connect(server.addr()).unwrap();
    server.stop().unwrap();
    server.stop().unwrap();
    assert!(!server.is_running());
    assert!(TcpStream::connect(server.addr()).is_err());
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
}

#[test]
fn a_nonsense_option_is_an_error_with_sshds_own_words() {
    let error = Sshd::builder().option("NoSuchOption yes").start().unwrap_err();
    assert!(error.to_string().contains("NoSuchOption"), "{error}");
}

#[test]
fn variables_reach_the_command() {
    let server = Sshd::builder().env("GREETING", "hello you").start().unwrap();
    assert_eq!(text(&client(&server).run("echo $GREETING").stdout), "hello you\n");
}

#[test]
fn a_password_user_logs_in_with_the_password_and_is_gone_afterwards() {
    if !rustix::process::geteuid().is_root() {
        let error = PasswordUser::create().unwrap_err();
        assert!(error.to_string().contains("needs root"));
        return;
    }
    let server = Sshd::start().unwrap();
    let user = PasswordUser::create().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let askpass = folder.path().join("askpass");
    let try_password = |password: &str| {
        fs::write(&askpass, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&askpass, executable).unwrap();
        let port = server.port();
        let mut client = Client::new(&askpass, user.name(), port, &server.known_hosts_line());
        client.arguments.retain(|argument| argument != "-oBatchMode=yes");
        let client = client.with("-oPubkeyAuthentication=no").with("-oNumberOfPasswordPrompts=1");
        client
            .command()
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .arg("whoami; pwd")
            .output()
            .unwrap()
    };
    let output = try_password(user.password());
    let expected = format!("{}\n{}\n", user.name(), user.home().display());
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    assert!(!try_password("wrong").status.success());
    let truth = server.wait_for(PATIENCE, |truth| truth.failed_authentications == 1).unwrap();
    assert_eq!(truth.authentications, 1);

    let name = user.name().to_owned();
    drop(user);
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    assert!(!passwd.contains(&name));
}
