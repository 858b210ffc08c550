//! The fault proxy, before a plain echo server.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::wait_until;
use test_servers::proxy::{Direction, FaultProxy};

/// Says a banner, then sends everything back. Ends with the process.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                let _ = back.write_all(b"hello\n");
                let _ = std::io::copy(&mut stream, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Connects and reads the banner.
fn greet(proxy: &FaultProxy) -> TcpStream {
    let mut stream = connect(proxy);
    expect(&mut stream, b"hello\n");
    stream
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, wanted);
}

fn round_trip(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    stream.write_all(b"x").unwrap();
    expect(stream, b"x");
    started.elapsed()
}

fn hears_nothing(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let read = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn without_faults_everything_passes_and_the_end_too() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == sent);
    assert_eq!(proxy.bytes(Direction::ToServer), 20_000_000);
    assert_eq!(proxy.bytes(Direction::ToClient), 20_000_006);
    wait_until(|| proxy.open_connections() == 0);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn latency_is_added_each_way_and_costs_no_throughput() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.delay(Duration::from_millis(100));
    let trip = round_trip(&mut stream);
    assert!((200..300).contains(&trip.as_millis()), "{trip:?}");

    let started = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&[7; 5_000_000]).unwrap());
    let mut got = vec![0; 5_000_000];
    stream.read_exact(&mut got).unwrap();
    writing.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(got.iter().all(|byte| *byte == 7));
}

#[test]
fn jitter_keeps_the_order() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.jitter(Duration::from_millis(20));
    let mut stream = greet(&proxy);
    let sent: Vec<u8> = (0..100).collect();
    for byte in &sent {
        stream.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    expect(&mut stream, &sent);
}

#[test]
fn a_black_hole_is_silent_and_loses_nothing_once_it_ends() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.black_hole();
    stream.write_all(b"late").unwrap();
    assert!(hears_nothing(&mut stream));
    let mut newcomer = connect(&proxy);
    assert!(hears_nothing(&mut newcomer));
    proxy.resume();
    expect(&mut stream, b"late");
    expect(&mut newcomer, b"hello\n");
}

#[test]
fn a_cut_is_an_orderly_end() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.cut();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    round_trip(&mut greet(&proxy));
}

#[test]
fn a_reset_is_an_error() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.reset();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_half_open_connection_hears_nothing_of_its_end() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.half_open();
    stream.write_all(b"anybody there?").unwrap();
    assert!(hears_nothing(&mut stream));
    proxy.reset();
    assert!(stream.read(&mut [0; 1]).is_err());
}

#[test]
fn refused_connections_are_refused_until_it_heals() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut open = greet(&proxy);
    proxy.refuse(true).unwrap();
    let error = TcpStream::connect(proxy.addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    round_trip(&mut open);
    proxy.heal().unwrap();
    round_trip(&mut greet(&proxy));
}

#[test]
fn who_is_to_be_met_with_silence_gets_silence() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.accept_and_say_nothing(true);
    let mut silent = connect(&proxy);
    assert!(hears_nothing(&mut silent));
    proxy.accept_and_say_nothing(false);
    round_trip(&mut greet(&proxy));
    assert!(hears_nothing(&mut silent));
    proxy.cut();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_connection_is_cut_after_exactly_so_many_bytes() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    for bytes in [0, 1, 3, 6] {
        proxy.cut_after(Some(bytes), Direction::ToClient);
        let mut got = Vec::new();
        connect(&proxy).read_to_end(&mut got).unwrap();
        assert_eq!(got, b"hello\n"[..bytes as usize]);
    }
    proxy.cut_after(None, Direction::ToClient);
    round_trip(&mut greet(&proxy));
}

#[test]
fn one_bit_of_the_wanted_byte_is_flipped() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.corrupt_at(Some(1), Direction::ToClient);
    expect(&mut connect(&proxy), b"hdllo\n");
}

#[test]
fn throughput_is_limited() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    proxy.throttle(Some(100_000));
    let started = Instant::now();
    stream.write_all(&[1; 50_000]).unwrap();
    expect(&mut stream, &[1; 50_000]);
    let took = started.elapsed();
    assert!((450..1200).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_slow_banner_comes_byte_by_byte() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.slow_banner(Some(Duration::from_millis(50)));
    let started = Instant::now();
    let mut stream = greet(&proxy);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(round_trip(&mut stream) < Duration::from_millis(50));
}

#[test]
fn an_idle_connection_is_forgotten_and_a_busy_one_is_not() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.forget_idle_after(Some(Duration::from_millis(400)));
    let (mut busy, mut idle) = (greet(&proxy), greet(&proxy));
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(100));
        round_trip(&mut busy);
    }
    idle.write_all(b"still there?").unwrap();
    assert!(hears_nothing(&mut idle));
    proxy.reset();
    assert!(idle.read(&mut [0; 1]).is_err());
}

#[test]
fn a_dropped_proxy_ends_its_connections_quickly() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut stream = greet(&proxy);
    let address = proxy.addr();
    let started = Instant::now();
    drop(proxy);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_upstream_that_refuses_is_seen_as_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = FaultProxy::start(gone).unwrap();
    let mut stream = connect(&proxy);
    assert!(stream.read(&mut [0; 1]).is_err());
}

#[test]
fn a_black_hole_after_some_bytes_swallows_the_rest_and_no_more() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    proxy.black_hole_after(Some(10), Direction::ToServer);
    let mut stream = greet(&proxy);
    stream.write_all(b"twelve bytes").unwrap();
    expect(&mut stream, b"twelve byt");
    assert!(hears_nothing(&mut stream));
    proxy.black_hole_after(None, Direction::ToServer);
    expect(&mut stream, b"es");
}
