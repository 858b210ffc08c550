//! The embedded server, asked by the OpenSSH client.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, alive, text, wait_until};
use test_servers::embedded::{Device, EmbeddedServer};
use test_servers::keys::KeyPair;

const PATIENCE: Duration = Duration::from_secs(10);

fn client(server: &EmbeddedServer) -> Client {
    Client::new(&server.identity(), server.user(), server.port(), &server.known_hosts_line())
}

#[test]
fn a_command_runs_and_is_counted() {
    let server = EmbeddedServer::start().unwrap();
    let output = client(&server).run("echo out; echo err >&2; exit 7");
    assert_eq!(text(&output.stdout), "out\n");
    assert_eq!(text(&output.stderr), "err\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((server.connections(), server.handshakes(), server.commands()), (1, 1, 1));
    assert_eq!(server.failed_authentications(), 0);
    server.wait_for(PATIENCE, |server| server.open_sessions() == 0).unwrap();
}

#[test]
fn one_connection_carries_many_commands_and_is_one_handshake() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server).with_master();
    for number in 0..20 {
        assert_eq!(text(&client.run(&format!("echo {number}")).stdout), format!("{number}\n"));
    }
    assert_eq!((server.handshakes(), server.commands()), (1, 21));
}

#[test]
fn stdin_reaches_the_command_whole_and_its_end_is_seen() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server);
    let mut child =
        client.command().arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let copy = sent.clone();
    let writer = thread::spawn(move || stdin.write_all(&copy).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn ten_megabytes_on_both_streams_at_once_arrive_whole() {
    let server = EmbeddedServer::start().unwrap();
    let output =
        client(&server).run("head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait");
    assert_eq!((output.stdout.len(), output.stderr.len()), (10_000_000, 10_000_000));
}

#[test]
fn a_channel_that_is_not_read_does_not_hold_up_its_siblings() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server).with_master();
    let mut unread = client.command().arg("cat /dev/zero").stdout(Stdio::piped()).spawn().unwrap();
    server.wait_for(PATIENCE, |server| server.commands() == 2).unwrap();
    // Long enough to fill every buffer between the command and us.
    thread::sleep(Duration::from_millis(500));
    for _ in 0..5 {
        assert_eq!(text(&client.run("echo here").stdout), "here\n");
    }
    assert_eq!(server.handshakes(), 1);
    unread.kill().unwrap();
    unread.wait().unwrap();
}

#[test]
fn a_signal_is_told_by_name_and_without_a_status() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server).verbose("DEBUG1");
    let output = client.run("kill -TERM $$");
    let log = text(&output.stderr);
    assert!(log.contains("exit-signal"), "{log}");
    assert!(!log.contains("exit-status"), "{log}");
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn no_status_is_told_when_the_test_says_so() {
    let server = EmbeddedServer::start().unwrap();
    server.omit_exit_status(true);
    let output = client(&server).verbose("DEBUG1").run("exit 3");
    assert!(!text(&output.stderr).contains("exit-status"));
    assert_ne!(output.status.code(), Some(3));
}

#[test]
fn variables_reach_the_command_and_ours_do_not() {
    let server = EmbeddedServer::start().unwrap();
    let output = client(&server).with("-oSetEnv=GREETING=hello").run("echo $GREETING; env");
    let output = text(&output.stdout);
    assert!(output.starts_with("hello\n"));
    assert!(!output.contains("CARGO_MANIFEST_DIR"), "{output}");
}

#[test]
fn a_terminal_is_refused_and_the_command_runs_without() {
    let server = EmbeddedServer::start().unwrap();
    let output = client(&server).with("-tt").verbose("INFO").run("tty");
    assert!(text(&output.stderr).contains("PTY allocation request failed"));
}

#[test]
fn a_refused_key_is_counted_and_the_right_one_after_it_is_not() {
    let server = EmbeddedServer::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger");
    KeyPair::ed25519().unwrap().write(&stranger).unwrap();
    let line = server.known_hosts_line();
    let client = Client::new(&stranger, server.user(), server.port(), &line);
    assert_eq!(client.run("true").status.code(), Some(255));
    assert_eq!((server.failed_authentications(), server.handshakes()), (1, 0));

    let both = client.with(format!("-oIdentityFile={}", server.identity().display()));
    assert!(both.run("true").status.success());
    assert_eq!((server.failed_authentications(), server.handshakes()), (2, 1));
}

#[test]
fn passwords_are_checked_with_and_without_keyboard_interactive() {
    let server = EmbeddedServer::builder().user("alice").password("sesame").start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let askpass = folder.path().join("askpass");
    let try_password = |password: &str, method: &str| {
        fs::write(&askpass, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
        let mut client = Client::new(&askpass, "alice", server.port(), &server.known_hosts_line());
        client.arguments.retain(|argument| argument != "-oBatchMode=yes");
        let client = client
            .with(format!("-oPreferredAuthentications={method}"))
            .with("-oNumberOfPasswordPrompts=1");
        let mut command = client.command();
        command.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").arg("true");
        command.output().unwrap().status.success()
    };
    assert!(try_password("sesame", "password"));
    assert!(try_password("sesame", "keyboard-interactive"));
    assert_eq!(server.failed_authentications(), 0);
    assert!(!try_password("wrong", "password"));
    assert!(!try_password("wrong", "keyboard-interactive"));
    assert_eq!((server.failed_authentications(), server.handshakes()), (2, 2));
}

#[test]
fn who_ends_a_connection_ends_the_whole_process_group() {
    let server = EmbeddedServer::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let line = format!("sleep 765432 & echo $! > {}; wait", pid_file.display());
    let client = client(&server);
    let mut running = client.command().arg(line).spawn().unwrap();
    wait_until(|| fs::read_to_string(&pid_file).is_ok_and(|pid| pid.ends_with('\n')));
    let pid: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(alive(pid));
    running.kill().unwrap();
    running.wait().unwrap();
    wait_until(|| !alive(pid));
    server.wait_for(PATIENCE, |server| server.open_sessions() == 0).unwrap();
}

#[test]
fn max_sessions_is_kept_and_a_free_slot_is_used_again() {
    let server = EmbeddedServer::builder().max_sessions(1).start().unwrap();
    let client = client(&server).with_master();
    let mut first = client.command().arg("sleep 20").spawn().unwrap();
    server.wait_for(PATIENCE, |server| server.commands() == 2).unwrap();
    // A master that is refused a session lets the client dial by itself.
    assert!(client.run("true").status.success());
    assert_eq!(server.connections(), 2);
    first.kill().unwrap();
    first.wait().unwrap();
    server.wait_for(PATIENCE, |server| server.open_sessions() == 0).unwrap();
    assert!(client.run("true").status.success());
    assert_eq!(server.connections(), 2);
}

#[test]
fn the_open_that_is_to_be_refused_is_refused_and_no_other() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server);
    server.refuse_open(2);
    assert!(client.run("true").status.success());
    assert!(!client.run("true").status.success());
    assert!(client.run("true").status.success());
}

#[test]
fn opens_and_logins_take_as_long_as_wanted() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server);
    server.delay_opens(Duration::from_millis(300));
    server.delay_auth(Duration::from_millis(300));
    let started = Instant::now();
    assert!(client.run("true").status.success());
    assert!(started.elapsed() >= Duration::from_millis(600));
}

#[test]
fn killed_connections_end_at_once_and_the_listener_stays() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server);
    let mut running = client.command().arg("sleep 100").spawn().unwrap();
    server.wait_for(PATIENCE, |server| server.commands() == 1).unwrap();
    let started = Instant::now();
    server.kill_connections();
    assert_eq!(running.wait().unwrap().code(), Some(255));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(client.run("true").status.success());
}

#[test]
fn a_restart_keeps_port_and_key_and_a_change_of_key_is_seen() {
    let mut server = EmbeddedServer::start().unwrap();
    let before = client(&server);
    let address = server.addr();
    assert!(before.run("true").status.success());
    server.restart().unwrap();
    assert!(before.run("true").status.success());
    server.change_host_key().unwrap();
    assert_eq!(server.addr(), address);
    let refused = before.run("true");
    assert!(text(&refused.stderr).contains("Host key verification failed"));
    assert!(client(&server).run("true").status.success());
    assert_eq!(server.handshakes(), 3);
    server.stop().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_drop_ends_running_commands_quickly() {
    let server = EmbeddedServer::start().unwrap();
    let silent = TcpStream::connect(server.addr()).unwrap();
    let client = client(&server);
    let mut running: Vec<_> =
        (0..4).map(|_| client.command().arg("sleep 100").spawn().unwrap()).collect();
    server.wait_for(PATIENCE, |server| server.commands() == 4).unwrap();
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    for child in &mut running {
        assert_eq!(child.wait().unwrap().code(), Some(255));
    }
    drop(silent);
}

#[test]
fn a_jump_goes_through() {
    let server = EmbeddedServer::start().unwrap();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let echo = thread::spawn(move || {
        let (mut stream, _) = target.accept().unwrap();
        let mut data = Vec::new();
        stream.read_to_end(&mut data).unwrap();
        data.reverse();
        stream.write_all(&data).unwrap();
    });
    let client = client(&server).with("-W").with(format!("127.0.0.1:{port}"));
    let mut child = client.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"olleh").unwrap();
    let output = child.wait_with_output().unwrap();
    echo.join().unwrap();
    assert_eq!(text(&output.stdout), "hello");
}

#[test]
fn keepalives_are_answered() {
    let server = EmbeddedServer::start().unwrap();
    let client = client(&server).with("-oServerAliveInterval=1").with("-oServerAliveCountMax=1");
    assert!(client.run("sleep 4").status.success());
}

#[test]
fn the_encrypted_key_opens_the_server() {
    let server = EmbeddedServer::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let opened = folder.path().join("key");
    fs::copy(server.encrypted_identity(), &opened).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "", "-P", server.passphrase(), "-f"])
        .arg(&opened)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let client = Client::new(&opened, server.user(), server.port(), &server.known_hosts_line());
    assert!(client.run("true").status.success());
}

#[test]
fn a_device_has_a_prompt_an_echo_and_a_pager_and_runs_no_commands() {
    let server = EmbeddedServer::builder().device(Device::new("s3cret")).start().unwrap();
    let client = client(&server);
    let refused = client.run("show version");
    assert_ne!(refused.status.code(), Some(0));
    assert!(text(&refused.stderr).contains("exec request failed"), "{}", text(&refused.stderr));
    let mut child = client
        .command()
        .arg("-tt")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let keys = b"show version\renable\rwrong\renable\ns3cret\rshow running-config\r \rq\x03exit\r";
    child.stdin.take().unwrap().write_all(keys).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(shown.contains("router> show version\r\nTest OS, version 1.0\r\n"), "{shown}");
    assert!(shown.contains("% Bad secrets\r\nrouter> "), "{shown}");
    assert!(!shown.contains("s3cret") && shown.contains("router# show running-config"), "{shown}");
    let shown = shown.replace("\x08", "");
    assert_eq!(shown.matches(" --More-- ").count(), 3, "{shown}");
    assert!(shown.contains("interface 47\r\n") && !shown.contains("interface 48"), "{shown}");
}
