//! Tunnels and forwarded ports of pooled connections: they end with the loan.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::{for_each_library, on_embedded, on_sshd};
use hussh::sync::Library;
use hussh::{Kind, LocalForward};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

const SOON: Duration = Duration::from_secs(10);

for_each_library! {
    a_tunnel_of_a_loan_ends_when_that_is_given_back
    a_forwarded_port_of_a_loan_ends_when_that_is_given_back
    tunnels_and_commands_of_several_loans_share_a_connection
}

/// A port that sends back what it is sent.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut back = stream.try_clone().expect("a handle");
            thread::spawn(move || {
                let _ = std::io::copy(&mut (&stream), &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

fn a_tunnel_of_a_loan_ends_when_that_is_given_back<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let mut tunnel = connection.open_tcp("127.0.0.1", echo()).expect("a tunnel");
    tunnel.write_all(b"there and back").expect("written");
    let mut read = [0; 14];
    tunnel.read_exact(&mut read).expect("read");
    assert_eq!(&read, b"there and back");
    let reading = thread::spawn(move || tunnel.read(&mut [0; 10]).map_err(|error| error.kind()));
    drop(connection);
    let read = reading.join().expect("no panic");
    assert_eq!(read, Err(std::io::ErrorKind::NotConnected), "woken, and told that it is closed");
    // Nothing of it holds the next borrower up, who gets the same connection.
    let connection = pool.get().expect("a connection");
    assert!(connection.execute("true").expect("it works").success());
    let error = connection.open_tcp("127.0.0.1", 1).map(drop).expect_err("nobody listens there");
    assert_eq!(error.kind(), Some(Kind::Tunnel));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert_eq!(server.authentications(), 1);
}

fn a_forwarded_port_of_a_loan_ends_when_that_is_given_back<L: Library>() {
    let server = EmbeddedServer::builder().start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let forward = LocalForward::to_tcp("127.0.0.1", echo());
    let forwarding = connection.forward_local(&forward).expect("forwarded");
    let mut client = TcpStream::connect(forwarding.local_addr()).expect("a connection");
    client.set_read_timeout(Some(SOON)).expect("set");
    client.write_all(b"x").expect("written");
    client.read_exact(&mut [0]).expect("read");
    drop(connection);
    assert!(!forwarding.is_active());
    assert!(client.read(&mut [0]).is_err(), "broken, and not ended");
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(forwarding.local_addr()).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(pool.get().expect("a connection").execute("true").expect("it works").success());
    assert_eq!(server.handshakes(), 1);
}

fn tunnels_and_commands_of_several_loans_share_a_connection<L: Library>() {
    let server = Sshd::builder().max_sessions(4).start().expect("sshd");
    let pool = on_sshd::<L>(&server).max_connections(1).channels_per_connection(3);
    let pool = pool.build().expect("a pool");
    let port = echo();
    thread::scope(|scope| {
        for number in 0..6_u8 {
            let pool = &pool;
            scope.spawn(move || {
                let connection = pool.get().expect("a connection");
                let mut tunnel = connection.open_tcp("127.0.0.1", port).expect("a tunnel");
                for _ in 0..20 {
                    tunnel.write_all(&[number; 1000]).expect("written");
                    let mut read = [0; 1000];
                    tunnel.read_exact(&mut read).expect("read");
                    assert_eq!(read, [number; 1000]);
                }
                let output = connection.execute("echo works").expect("a command");
                assert_eq!(output.stdout_text(), Ok("works\n"));
            });
        }
    });
}

#[cfg(feature = "russh")]
mod over_tasks {
    use hussh::{AsyncConnection, AsyncConnectionPool, LocalForward};
    use test_servers::embedded::EmbeddedServer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::{SOON, echo};

    #[tokio::test]
    async fn a_tunnel_is_what_tokio_reads_and_writes() {
        let server = EmbeddedServer::builder().start().expect("a server");
        let connection = AsyncConnection::builder(server.host(), server.user())
            .port(server.port())
            .password(server.password())
            .known_hosts([server.dir().join("known_hosts_of_test")])
            .connect()
            .await
            .expect("a connection");
        let tunnel = connection.open_tcp("127.0.0.1", echo()).await.expect("a tunnel");
        let (mut reader, mut writer) = tokio::io::split(tunnel);
        let sent: Vec<u8> = (0..2_000_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&sent).await.expect("written");
            writer.shutdown().await.expect("ended");
            writer
        });
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.expect("read");
        assert!(read == expected);
        drop((writing.await.expect("no panic"), reader));
        assert!(connection.execute("true").await.expect("it works").success());
    }

    #[tokio::test]
    async fn tunnels_and_forwarded_ports_of_a_loan_end_when_that_is_given_back() {
        let server = EmbeddedServer::builder().start().expect("a server");
        let pool = AsyncConnectionPool::builder(server.host(), server.user())
            .port(server.port())
            .password(server.password())
            .known_hosts([server.dir().join("known_hosts_of_test")])
            .max_connections(1)
            .build()
            .expect("a pool");
        let connection = pool.get().await.expect("a connection");
        let port = echo();
        let mut tunnel = connection.open_tcp("127.0.0.1", port).await.expect("a tunnel");
        let forward = LocalForward::to_tcp("127.0.0.1", port);
        let forwarding = connection.forward_local(&forward).expect("forwarded");
        let mut client = TcpStream::connect(forwarding.local_addr()).await.expect("a connection");
        client.write_all(b"x").await.expect("written");
        client.read_exact(&mut [0]).await.expect("read");
        let reading = tokio::spawn(async move { tunnel.read(&mut [0; 10]).await.err() });
        tokio::task::yield_now().await;
        drop(connection);
        let error = reading.await.expect("no panic").expect("an error");
        assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
        let read = tokio::time::timeout(SOON, client.read(&mut [0])).await.expect("in time");
        assert!(read.is_err(), "broken, and not ended");
        let connection = pool.get().await.expect("a connection");
        assert!(connection.execute("true").await.expect("it works").success());
        assert_eq!(server.handshakes(), 1);
    }
}
