//! The Dropbear launcher, asked by the OpenSSH client.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Client, text};
use test_servers::dropbear::Dropbear;

fn client(server: &Dropbear) -> Client {
    Client::new(&server.identity(), server.user(), server.port(), &server.known_hosts_line())
}

/// What the log says may lag behind what a client sees.
fn wait_for(wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !wanted() {
        assert!(Instant::now() < deadline, "not so after 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_runs_and_the_server_counts_one_connection_and_one_login() {
    let server = Dropbear::start().unwrap();
    let output = client(&server).run("echo hello; exit 3");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("hello\n", Some(3)));
    wait_for(|| (server.connections(), server.authentications()) == (1, 1));
}

#[test]
fn a_restart_keeps_port_and_key_and_goes_on_counting() {
    let mut server = Dropbear::start().unwrap();
    let address = server.addr();
    let client = client(&server);
    assert!(client.run("true").status.success());
    server.restart().unwrap();
    assert_eq!(server.addr(), address);
    assert!(client.run("true").status.success());
    wait_for(|| server.authentications() == 2);
}

#[test]
fn killed_sessions_end_with_their_commands_and_the_listener_stays() {
    let server = Dropbear::start().unwrap();
    let client = client(&server);
    let mut running = client
        .command()
        .arg("echo begun; sleep 600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| server.authentications() == 1);
    server.kill_sessions().unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(255));
    assert!(server.is_running());
    assert!(client.run("true").status.success());
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let server = Dropbear::start().unwrap();
    let (folder, address) = (server.dir().to_owned(), server.addr());
    drop(server);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}
