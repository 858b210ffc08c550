//! Ports here whose connections the server carries on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ssh_session::tunnel::{Forwarding, LocalForward};
use ssh_session::{Command, Kind, Session as _, SshError, TunnelProblem};

use super::case::{SOON, pattern, refused, same, soon, wait_until};
use super::peer::{Peer, closed_port};
use super::{Case, Setup, Subject};

super::table![
    a_forwarded_port_carries_many_connections_at_once,
    commands_go_on_beside_a_busy_forwarding,
    a_destination_that_refuses_fails_its_connection_alone,
    a_server_that_forbids_it_fails_each_connection,
    a_dropped_forwarding_ends_at_once_and_takes_its_connections_along,
    a_forwarding_ends_with_its_session_and_no_client_takes_that_for_an_end,
    further_connections_wait_where_so_many_are_open,
    a_client_that_reads_nothing_makes_the_other_side_wait,
    a_socks_client_gets_where_it_asks_for,
];

fn forward<S: Subject>(
    case: &Case<S>,
    session: &Arc<S::Session>,
    forward: &LocalForward,
) -> Forwarding {
    case.subject.forward(session, forward).unwrap_or_else(|error| panic!("not forwarded: {error}"))
}

fn client(forwarding: &Forwarding) -> TcpStream {
    let client = TcpStream::connect(forwarding.local_addr()).expect("a connection");
    client.set_read_timeout(Some(SOON)).expect("set");
    client.set_write_timeout(Some(SOON)).expect("set");
    client
}

/// What comes back of what is sent, half-closed behind it.
#[track_caller]
fn exchange(mut client: &TcpStream, sent: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut client = client;
            client.write_all(sent).expect("sent");
            client.shutdown(Shutdown::Write).expect("ended");
        });
        let mut got = Vec::new();
        client.read_to_end(&mut got).expect("an end");
        got
    })
}

/// Whether a client is told that its connection broke, and not that it ended.
#[track_caller]
fn is_broken(mut client: &TcpStream) {
    let error = client.read_to_end(&mut Vec::new()).expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

fn a_forwarded_port_carries_many_connections_at_once<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let (echo, count) = (Peer::echo(), Peer::count());
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", echo.port()));
    let counting = forward(case, &session, &LocalForward::to_tcp("localhost", count.port()));
    assert!(forwarding.local_addr().ip().is_loopback());
    thread::scope(|scope| {
        for number in 0..20_usize {
            let (forwarding, counting) = (&forwarding, &counting);
            scope.spawn(move || {
                let sent = pattern(100_000 + number * 1000);
                same("what came back", &exchange(&client(forwarding), &sent), &sent);
                let counted = exchange(&client(counting), &sent);
                assert_eq!(counted, sent.len().to_string().as_bytes());
            });
        }
    });
    wait_until("none is open", || forwarding.stats().open == 0 && counting.stats().open == 0);
    assert_eq!((forwarding.stats().accepted, forwarding.stats().failed), (20, 0));
    drop((forwarding, counting));
    wait_until("nothing is left", || !session.has_abandoned_channels());
    case.works(&*session);
}

fn commands_go_on_beside_a_busy_forwarding<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let peer = Peer::source(pattern(1 << 20), usize::MAX);
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", peer.port()));
    let clients: Vec<_> = (0..3).map(|_| client(&forwarding)).collect();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                let mut client = client;
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(1..) = client.read(&mut buffer) {}
            });
        }
        let mut stdin = b"input".to_vec();
        stdin.resize(200_000, b'x');
        for _ in 0..10 {
            let command = Command::new("cat").stdin(stdin.clone());
            let output = soon("a command", || case.exec(&session, &command));
            same("its output", &output.stdout, &stdin);
        }
        session.ping(SOON).expect("alive");
        assert!(peer.sent() > 0);
        drop(forwarding);
    });
    case.works(&*session);
}

fn a_destination_that_refuses_fails_its_connection_alone<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let port = closed_port();
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", port));
    for number in 1..=2 {
        is_broken(&client(&forwarding));
        wait_until("it is counted", || forwarding.stats().failed == number);
    }
    let error = forwarding.last_error().expect("why");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(forwarding.is_active());
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
    let client = client(&forwarding);
    let (mut accepted, _) = listener.accept().expect("a connection");
    accepted.write_all(b"now").expect("written");
    drop(accepted);
    assert_eq!(exchange(&client, b""), b"now");
    case.works(&*session);
    let taken = LocalForward::to_tcp("h", 1).bind(forwarding.local_addr());
    let error = refused(case.subject.forward(&session, &taken), Kind::InvalidInput);
    assert!(error.to_string().contains("bind"), "{error}");
    let nothing = LocalForward::to_tcp("h", 1).max_connections(0);
    refused(case.subject.forward(&session, &nothing), Kind::InvalidInput);
}

fn a_server_that_forbids_it_fails_each_connection<S: Subject>(case: &Case<S>) {
    let forbids = case.server(&Setup { forbids_tunnels: true, ..Setup::default() });
    let session = Arc::new(case.connect(&forbids.options()));
    let peer = Peer::echo();
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", peer.port()));
    is_broken(&client(&forwarding));
    wait_until("it is counted", || forwarding.stats().failed == 1);
    let error = forwarding.last_error().expect("why");
    let SshError::Tunnel(error) = error else { panic!("{error}") };
    let why = [TunnelProblem::Prohibited, TunnelProblem::UnknownType];
    assert!(why.contains(&error.problem), "{error}");
    case.works(&*session);
}

fn a_dropped_forwarding_ends_at_once_and_takes_its_connections_along<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let (echo, source) = (Peer::echo(), Peer::source(pattern(1 << 20), usize::MAX));
    for peer in [&echo, &source] {
        let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", peer.port()));
        let address = forwarding.local_addr();
        let clients: Vec<_> = (0..5).map(|_| client(&forwarding)).collect();
        for mut client in &clients {
            client.write_all(b"x").expect("sent");
            client.read_exact(&mut [0]).expect("an answer");
        }
        assert!(session.has_abandoned_channels(), "they are open");
        soon("dropping it", || drop(forwarding));
        // None takes it for the end of what comes.
        clients.iter().for_each(is_broken);
        wait_until("its other sides are closed", || peer.ended() == 5);
        wait_until("the port is closed", || TcpStream::connect(address).is_err());
        session.wait_until_closed(SOON).expect("closed");
        case.works(&*session);
    }
}

fn a_forwarding_ends_with_its_session_and_no_client_takes_that_for_an_end<S: Subject>(
    case: &Case<S>,
) {
    let (proxy, options) = case.proxy();
    let session = Arc::new(case.connect(&options));
    let peer = Peer::greets("hello");
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", peer.port()));
    let mut client = client(&forwarding);
    client.read_exact(&mut [0; 5]).expect("a greeting");
    proxy.cut();
    is_broken(&client);
    wait_until("it has ended", || !forwarding.is_active());
    let lost = forwarding.last_error().expect("why");
    assert_eq!(lost.kind(), Kind::ConnectionLost, "{lost}");
    let address = forwarding.local_addr();
    wait_until("the port is closed", || TcpStream::connect(address).is_err());
}

fn further_connections_wait_where_so_many_are_open<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let peer = Peer::echo();
    let two = LocalForward::to_tcp("127.0.0.1", peer.port()).max_connections(2);
    let forwarding = forward(case, &session, &two);
    let mut clients: Vec<_> = (0..4).map(|_| client(&forwarding)).collect();
    for client in &mut clients {
        client.write_all(b"x").expect("sent, or kept by the system");
    }
    for client in &mut clients[..2] {
        client.read_exact(&mut [0]).expect("an answer");
    }
    thread::sleep(Duration::from_millis(200));
    assert_eq!((forwarding.stats().open, forwarding.stats().accepted), (2, 2));
    let waiting = clients.split_off(2);
    for (number, mut client) in (3..).zip(waiting) {
        drop(clients.remove(0));
        client.read_exact(&mut [0]).expect("an answer, now that there is room");
        assert_eq!(forwarding.stats().accepted, number);
        clients.push(client);
    }
}

fn a_client_that_reads_nothing_makes_the_other_side_wait<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let peer = Peer::source(pattern(1 << 20), usize::MAX);
    let forwarding = forward(case, &session, &LocalForward::to_tcp("127.0.0.1", peer.port()));
    let mut client = client(&forwarding);
    let mut before = usize::MAX;
    wait_until("it waits", || {
        let sent = peer.sent();
        let waits = sent == std::mem::replace(&mut before, sent) && sent > 0;
        thread::sleep(Duration::from_millis(300));
        waits
    });
    assert!(before < 60 << 20, "{before} bytes were taken");
    let mut read = 0;
    let mut buffer = vec![0; 64 * 1024];
    while read < before + (8 << 20) {
        read += client.read(&mut buffer).expect("more");
    }
    case.works(&*session);
}

fn a_socks_client_gets_where_it_asks_for<S: Subject>(case: &Case<S>) {
    let session = Arc::new(case.session());
    let peer = Peer::echo();
    let forwarding = forward(case, &session, &LocalForward::socks());
    let ask = |name: &str, port: u16| {
        let mut client = client(&forwarding);
        client.write_all(&[5, 1, 0]).expect("sent");
        let mut chosen = [0; 2];
        client.read_exact(&mut chosen).expect("a method");
        assert_eq!(chosen, [5, 0]);
        let length = u8::try_from(name.len()).expect("short");
        let request = [&[5, 1, 0, 3, length][..], name.as_bytes(), &port.to_be_bytes()].concat();
        client.write_all(&request).expect("sent");
        let mut reply = [0; 10];
        client.read_exact(&mut reply).expect("a reply");
        (client, reply[1])
    };
    let (through, code) = ask("localhost", peer.port());
    assert_eq!(code, 0);
    let sent = pattern(200_000);
    same("what came back", &exchange(&through, &sent), &sent);
    let (mut refused, code) = ask("127.0.0.1", closed_port());
    assert_eq!(code, 5, "connection refused");
    assert_eq!(refused.read(&mut [0]).expect("closed"), 0);
    // What is no SOCKS at all is hung up on, and harms nobody.
    let mut stranger = client(&forwarding);
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    assert!(matches!(stranger.read(&mut [0; 100]), Ok(0) | Err(_)));
    assert!(forwarding.is_active());
}
