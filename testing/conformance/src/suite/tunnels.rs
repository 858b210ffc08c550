//! Connections that the server opens: `direct-tcpip`, and `direct-streamlocal@openssh.com`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use ssh_session::tunnel::{Close as _, Destination, Tunnel, TunnelStream};
use ssh_session::{Command, Kind, Session as _, SshError, TunnelProblem};

use super::case::{SOON, at_once, numbers, pattern, refused, same, soon, wait_until};
use super::peer::{BlackHole, Peer, closed_port};
use super::{Case, Setup, Subject};

super::table![
    a_tunnel_carries_bytes_both_ways_at_once,
    each_direction_of_a_tunnel_ends_by_itself,
    a_tunnel_leads_to_unix_sockets_where_the_server_has_them,
    a_refused_tunnel_says_where_to_and_why,
    a_destination_that_does_not_answer_costs_its_deadline_and_no_session,
    a_read_that_waits_too_long_leaves_the_tunnel_as_it_was,
    a_closed_tunnel_wakes_whoever_waits_on_it,
    a_dropped_tunnel_is_closed_on_both_sides,
    a_tunnel_whose_other_side_is_closed_takes_nothing_more,
    a_tunnel_ends_with_its_connection,
    an_unread_tunnel_holds_nobody_up_and_keeps_every_byte,
    a_tunnel_that_nobody_reads_makes_its_sender_wait,
    many_tunnels_and_commands_share_a_connection,
];

const OPEN: Duration = Duration::from_secs(10);

#[track_caller]
fn open<S: Subject>(session: &S::Session, to: &Destination) -> TunnelOf<S> {
    session.open_tunnel(to, OPEN).unwrap_or_else(|error| panic!("no tunnel: {error}"))
}

type TunnelOf<S> = <<S as Subject>::Session as ssh_session::Session>::Tunnel;

/// To the end of what comes.
#[track_caller]
fn read_all(tunnel: &impl Tunnel) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(bytes) = tunnel.read(Some(SOON)).expect("its end") {
        assert!(!bytes.is_empty(), "an empty piece");
        read.extend_from_slice(&bytes);
    }
    read
}

#[track_caller]
fn problem(error: &SshError) -> TunnelProblem {
    match error {
        SshError::Tunnel(error) => error.problem,
        other => panic!("{other}"),
    }
}

fn a_tunnel_carries_bytes_both_ways_at_once<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let peer = Peer::echo();
    for length in [0, 1, 4_000_000] {
        let tunnel = open::<S>(&session, &peer.destination());
        let sent = pattern(length);
        let write = || {
            for part in sent.chunks(37_000) {
                tunnel.write(part, Some(SOON)).expect("written");
            }
            tunnel.close_write().expect("ended");
        };
        let ((), got) = at_once(write, || read_all(&tunnel));
        same("what came back", &got, &sent);
        assert_eq!(tunnel.read(None).expect("still its end"), None);
    }
    case.works(&session);
}

fn each_direction_of_a_tunnel_ends_by_itself<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut stream = TunnelStream::new(open::<S>(&session, &Peer::count().destination()).into());
    stream.write_all(&pattern(300_000)).expect("written");
    stream.shutdown_write().expect("ended");
    stream.shutdown_write().expect("ended again");
    let error = stream.write(b"more").expect_err("it was ended");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer behind our end");
    assert_eq!(answer, "300000");
    // And the other way round: a source that has ended is written to.
    let peer = Peer::source(b"said".to_vec(), 4);
    let tunnel = open::<S>(&session, &peer.destination());
    assert_eq!(read_all(&tunnel), b"said");
    tunnel.write(b"late", Some(SOON)).expect("written behind its end");
    assert_eq!(peer.ended(), 0);
    tunnel.close_write().expect("ended");
    wait_until("it has ended", || peer.ended() == 1);
    case.works(&session);
}

fn a_tunnel_leads_to_unix_sockets_where_the_server_has_them<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    // The commands' user, and so the tunnels', is another one.
    use std::os::unix::fs::PermissionsExt as _;
    for (path, mode) in [(folder.path(), 0o755), (&path, 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }
    let opened = session.open_tunnel(&Destination::unix(&path), OPEN);
    if !case.capabilities().unix_tunnels {
        let error = refused(opened, Kind::Tunnel);
        assert_eq!(problem(&error), TunnelProblem::UnknownType, "{error}");
        return case.works(&session);
    }
    let tunnel = opened.expect("a tunnel");
    let (mut accepted, _) = listener.accept().expect("a connection");
    accepted.write_all(b"hello").expect("written");
    drop(accepted);
    assert_eq!(read_all(&tunnel), b"hello");
    let nowhere = Destination::unix(folder.path().join("nobody"));
    let error = refused(session.open_tunnel(&nowhere, OPEN), Kind::Tunnel);
    assert!(error.to_string().contains("nobody"), "{error}");
    case.works(&session);
}

fn a_refused_tunnel_says_where_to_and_why<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let port = closed_port();
    for _ in 0..3 {
        let to = Destination::tcp("127.0.0.1", port);
        let error = refused(session.open_tunnel(&to, OPEN), Kind::Tunnel);
        assert_eq!(problem(&error), TunnelProblem::ConnectFailed, "{error}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(error.target().is_some() && !error.is_retryable());
    }
    for nonsense in [Destination::tcp("", 80), Destination::tcp("h", 0), Destination::unix("")] {
        refused(session.open_tunnel(&nonsense, OPEN), Kind::InvalidInput);
    }
    case.works(&session);
    let forbids = case.server(&Setup { forbids_tunnels: true, ..Setup::default() });
    let session = case.connect(&forbids.options());
    let to = Peer::echo().destination();
    let error = refused(session.open_tunnel(&to, OPEN), Kind::Tunnel);
    let why = [TunnelProblem::Prohibited, TunnelProblem::UnknownType];
    assert!(why.contains(&problem(&error)), "{error}");
    case.works(&session);
}

fn a_destination_that_does_not_answer_costs_its_deadline_and_no_session<S: Subject>(
    case: &Case<S>,
) {
    let session = case.session();
    let hole = BlackHole::new();
    let patience = Duration::from_secs(2);
    let start = Instant::now();
    let (opened, ()) = at_once(
        || session.open_tunnel(&hole.destination(), patience),
        || {
            thread::sleep(Duration::from_millis(200));
            // Where one channel is opened at a time, there is another way to ask.
            session.ping(SOON).expect("alive");
        },
    );
    refused(opened, Kind::Timeout);
    assert!(start.elapsed() >= patience && start.elapsed() < patience + SOON);
    session.ping(SOON).expect("still alive");
    assert!(session.has_abandoned_channels(), "it may be opened yet");
    drop(hole);
    // Its server hears that nobody listens there any more when it next asks.
    session.wait_until_closed(SOON).expect("closed");
    case.works(&session);
}

fn a_read_that_waits_too_long_leaves_the_tunnel_as_it_was<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let mut stream = TunnelStream::new(open::<S>(&session, &Peer::echo().destination()).into());
    stream.set_read_timeout(Duration::from_millis(100));
    for _ in 0..3 {
        let error = stream.read(&mut [0; 10]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
    stream.set_read_timeout(SOON);
    let (mut reader, mut writer) = stream.split();
    for number in 0..50_u8 {
        writer.write_all(&[number]).expect("written");
        let mut read = [0];
        reader.read_exact(&mut read).expect("read");
        assert_eq!(read, [number]);
    }
}

fn a_closed_tunnel_wakes_whoever_waits_on_it<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let peer = Peer::greets("hello");
    let tunnel = open::<S>(&session, &peer.destination());
    let (read, ()) = at_once(
        || {
            let mut first = tunnel.read(None).expect("a greeting").expect("some of it").to_vec();
            while first.len() < 5 {
                first.extend(tunnel.read(None).expect("a greeting").expect("the rest"));
            }
            soon("a read of a closed tunnel", || tunnel.read(None))
        },
        || {
            thread::sleep(Duration::from_millis(300));
            tunnel.close();
        },
    );
    refused(read, Kind::Closed);
    refused(tunnel.read(None), Kind::Closed);
    refused(tunnel.write(b"x", None), Kind::Closed);
    tunnel.close();
    wait_until("it hears of it", || peer.ended() == 1);
    wait_until("nothing is left", || !session.has_abandoned_channels());
    // One that writes to somebody who reads nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let tunnel = open::<S>(&session, &Destination::tcp("127.0.0.1", port));
    if case.capabilities().holds_input_back {
        let (written, ()) = at_once(
            || tunnel.write(&vec![0; 40_000_000], None),
            || {
                thread::sleep(Duration::from_millis(500));
                tunnel.close();
            },
        );
        refused(written, Kind::Closed);
        let tunnel = open::<S>(&session, &Destination::tcp("127.0.0.1", port));
        let late = Some(Duration::from_millis(500));
        refused(tunnel.write(&vec![0; 40_000_000], late), Kind::Timeout);
        assert!(tunnel.write(b"x", None).is_err(), "nobody knows how much was written");
    }
    case.works(&session);
}

fn a_dropped_tunnel_is_closed_on_both_sides<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let peer = Peer::source(pattern(100_000), usize::MAX);
    for number in 1..=3 {
        let tunnel = open::<S>(&session, &peer.destination());
        tunnel.read(Some(SOON)).expect("something");
        assert!(session.has_abandoned_channels(), "whoever has one must close it");
        soon("dropping it", || drop(tunnel));
        wait_until("its other side is closed", || peer.ended() == number);
        wait_until("nothing is left", || !session.has_abandoned_channels());
        session.wait_until_closed(SOON).expect("closed");
        case.works(&session);
    }
}

fn a_tunnel_whose_other_side_is_closed_takes_nothing_more<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let tunnel = open::<S>(&session, &Peer::closes().destination());
    assert_eq!(read_all(&tunnel), b"bye");
    let deadline = Instant::now() + SOON;
    let patience = Duration::from_secs(2);
    let error = loop {
        match tunnel.write(&[0; 1000], Some(patience)) {
            Ok(()) => assert!(Instant::now() < deadline, "it takes everything"),
            Err(error) => break error,
        }
        thread::sleep(Duration::from_millis(5));
    };
    if case.capabilities().closes_dead_tunnels {
        assert_eq!(problem(&error), TunnelProblem::Closed, "{error}");
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::BrokenPipe);
    } else {
        refused::<()>(Err(error), Kind::Timeout);
    }
    case.works(&session);
}

fn a_tunnel_ends_with_its_connection<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    let peer = Peer::greets("hello");
    let tunnel = open::<S>(&session, &peer.destination());
    assert!(tunnel.read(Some(SOON)).expect("read").is_some());
    let (read, ()) = at_once(
        || soon("a read", || tunnel.read(None)),
        || {
            thread::sleep(Duration::from_millis(200));
            proxy.cut();
        },
    );
    let error = refused(read, Kind::ConnectionLost);
    assert!(!error.may_have_started(), "{error}");
    refused(tunnel.write(b"x", None), Kind::ConnectionLost);
    refused(session.open_tunnel(&peer.destination(), OPEN), Kind::ConnectionLost);
    let session = case.session();
    let tunnel = open::<S>(&session, &peer.destination());
    session.close();
    while let Ok(read) = tunnel.read(Some(SOON)) {
        assert!(read.is_some(), "a closed session is no end of what comes");
    }
    refused(soon("a write", || tunnel.write(b"x", None)), Kind::Closed);
    drop(session);
    refused(tunnel.read(None), Kind::Closed);
}

fn an_unread_tunnel_holds_nobody_up_and_keeps_every_byte<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let bytes = numbers(1_600_000);
    let peer = Peer::source(bytes.clone(), bytes.len());
    let tunnel = open::<S>(&session, &peer.destination());
    // Time enough for every buffer to fill up.
    thread::sleep(Duration::from_millis(500));
    for _ in 0..5 {
        soon("a neighbour", || case.works(&session));
    }
    let output = case.exec(&session, &Command::new("head -c 3000000 /dev/zero"));
    assert_eq!(output.stdout.len(), 3_000_000);
    session.ping(SOON).expect("alive");
    same("what was unread", &read_all(&tunnel), &bytes);
}

fn a_tunnel_that_nobody_reads_makes_its_sender_wait<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let peer = Peer::source(pattern(1 << 20), usize::MAX);
    let tunnel = open::<S>(&session, &peer.destination());
    let mut before = usize::MAX;
    wait_until("it waits", || {
        let sent = peer.sent();
        let waits = sent == std::mem::replace(&mut before, sent) && sent > 0;
        thread::sleep(Duration::from_millis(300));
        waits
    });
    // What systems and servers keep on the way; the session itself keeps some 2 MiB.
    assert!(before < 40 << 20, "{before} bytes were taken");
    let mut read = 0;
    while read < before + (8 << 20) {
        read += tunnel.read(Some(SOON)).expect("more").expect("no end").len();
    }
}

fn many_tunnels_and_commands_share_a_connection<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let peer = Peer::echo();
    thread::scope(|scope| {
        for number in 0..30_usize {
            let (session, peer) = (&session, &peer);
            scope.spawn(move || {
                let tunnel = open::<S>(session, &peer.destination());
                let sent = pattern(50_000 + number);
                let ((), got) = at_once(
                    || {
                        tunnel.write(&sent, Some(SOON)).expect("written");
                        tunnel.close_write().expect("ended");
                    },
                    || read_all(&tunnel),
                );
                same("what came back", &got, &sent);
            });
        }
        for _ in 0..5 {
            case.works(&session);
        }
    });
    wait_until("nothing is left", || !session.has_abandoned_channels());
}
