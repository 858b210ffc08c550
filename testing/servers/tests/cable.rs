//! Packets that are really dropped, in a network namespace. Needs root.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use test_servers::cable::Cable;

/// Sends everything back. Ends with the process.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut back);
            });
        }
    });
    address
}

fn connect(cable: &Cable) -> TcpStream {
    let stream = TcpStream::connect_timeout(&cable.addr(), Duration::from_secs(10)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, wanted);
}

#[test]
fn a_pulled_cable_loses_packets_and_tells_nobody() {
    let cable = Cable::start(echo_server()).unwrap();
    let mut stream = connect(&cable);
    stream.write_all(b"hello").unwrap();
    expect(&mut stream, b"hello");

    cable.pull().unwrap();
    stream.write_all(b"lost").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "silence, and no error");
    let dialled = TcpStream::connect_timeout(&cable.addr(), Duration::from_millis(300));
    assert_eq!(dialled.unwrap_err().kind(), ErrorKind::TimedOut);

    cable.plug().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    expect(&mut stream, b"lost");
    stream.write_all(b"again").unwrap();
    expect(&mut stream, b"again");
}

#[test]
fn it_leaves_nothing_behind() {
    let count = || {
        let list = std::process::Command::new("ip").args(["link"]).output().unwrap();
        String::from_utf8_lossy(&list.stdout).matches(": tc").count()
    };
    let cable = Cable::start(echo_server()).unwrap();
    let address = cable.addr();
    drop(connect(&cable));
    assert!(count() > 0);
    drop(cable);
    assert!(TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err());
}
