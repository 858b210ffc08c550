//! Connections that the caller makes: a pipe in memory, a Unix socket, a WebSocket, and what goes
//! wrong with them.

mod common;
#[cfg(feature = "russh")]
#[path = "common/websocket.rs"]
mod websocket;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::for_each_library;
use hussh::sync::{Connection, ConnectionPool, Library};
use hussh::{Builder, JumpHost, Kind, Transport};
use test_servers::embedded::EmbeddedServer;

for_each_library! {
    a_pool_goes_over_a_unix_socket
    the_first_hop_may_be_reached_by_a_transport
    host_keys_are_looked_up_by_the_host_that_was_named
    what_takes_too_long_or_fails_is_told_as_for_tcp
}

/// Whom nobody can connect to but by a transport.
const NAME: &str = "inside.example.com";

fn builder<L: Library>(server: &EmbeddedServer) -> Builder<Connection<L>> {
    Connection::builder(NAME, server.user())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
}

/// Passes on what comes in at a Unix socket to an address.
fn relay_at(path: &Path, to: SocketAddr) {
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let (Ok(mut from), Ok(mut back)) = (client.try_clone(), server.try_clone()) else {
                continue;
            };
            let (mut client, mut server) = (client, server);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut back, &mut client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
}

fn socket_to(server: &EmbeddedServer) -> Transport {
    let path = server.dir().join("socket");
    if !path.exists() {
        relay_at(&path, server.addr());
    }
    Transport::sockets(move |target| {
        assert_eq!(target.host(), NAME);
        UnixStream::connect(&path)
    })
}

fn a_pool_goes_over_a_unix_socket<L: Library>() {
    let mut server = EmbeddedServer::start().expect("a server");
    let pool: Builder<ConnectionPool<L>> = builder::<L>(&server).to();
    let pool = pool.transport(socket_to(&server)).max_connections(2).build().expect("valid");
    thread::scope(|scope| {
        for number in 0..6 {
            let pool = &pool;
            scope.spawn(move || {
                let output = pool.execute(format!("echo {number}")).expect("output");
                assert_eq!(output.stdout_lossy(), format!("{number}\n"));
            });
        }
    });
    assert!(server.handshakes() <= 2, "{}", server.handshakes());
    server.restart().expect("the server again");
    assert!(pool.execute("true").expect("over a new connection").success());
    pool.close().expect("closed");
}

fn the_first_hop_may_be_reached_by_a_transport<L: Library>() {
    let [hop, target] = [(); 2].map(|()| EmbeddedServer::start().expect("a server"));
    let way = JumpHost::new(NAME, hop.user())
        .password(hop.password())
        .known_hosts([hop.dir().join("known_hosts_of_test")])
        .transport(socket_to(&hop));
    let connection = Connection::<L>::builder(target.host(), target.user())
        .port(target.port())
        .password(target.password())
        .known_hosts([target.dir().join("known_hosts_of_test")])
        .jump(way)
        .connect()
        .expect("connected");
    assert_eq!(connection.execute("echo there").expect("output").stdout_lossy(), "there\n");
    assert_eq!((hop.handshakes(), target.handshakes()), (1, 1));
}

fn host_keys_are_looked_up_by_the_host_that_was_named<L: Library>() {
    let mut server = EmbeddedServer::start().expect("a server");
    let connect = |server: &EmbeddedServer| {
        builder::<L>(server).port(2222).transport(socket_to(server)).connect()
    };
    drop(connect(&server).expect("connected"));
    let known = std::fs::read_to_string(server.dir().join("known_hosts_of_test"));
    let known = known.expect("recorded");
    assert!(known.starts_with(&format!("[{NAME}]:2222 ssh-ed25519 ")), "{known}");
    server.change_host_key().expect("another key");
    let error = connect(&server).expect_err("another key");
    assert_eq!(error.kind(), Some(Kind::HostKey), "{error}");
}

fn what_takes_too_long_or_fails_is_told_as_for_tcp<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let stuck = Transport::sockets(|_| {
        thread::sleep(Duration::from_secs(20));
        Ok(UnixStream::pair()?.0)
    });
    let start = Instant::now();
    let limited = builder::<L>(&server).connect_timeout(Duration::from_millis(300));
    let error = limited.transport(stuck.clone()).connect().expect_err("too late");
    assert_eq!(error.kind(), Some(Kind::Timeout), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "it waits for its function");

    let pool: Builder<ConnectionPool<L>> = builder::<L>(&server).to();
    let pool = pool.transport(stuck).build().expect("valid");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(drop));
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        pool.close().expect("nothing stays open");
        assert!(start.elapsed() < Duration::from_secs(4), "it waits for its function");
        waiting.join().expect("no panic").expect_err("closed");
    });

    let refusing =
        Transport::sockets::<UnixStream>(|_| Err(io::ErrorKind::ConnectionRefused.into()));
    let error = builder::<L>(&server).transport(refusing).connect().expect_err("nobody there");
    assert_eq!(error.kind(), Some(Kind::Connect), "{error}");

    let panicking = Transport::sockets::<UnixStream>(|_| panic!("a transport that panics"));
    let error = builder::<L>(&server).transport(panicking).connect().expect_err("a panic");
    assert_eq!(error.kind(), Some(Kind::Connect), "{error}");
}

#[cfg(all(feature = "ssh2", feature = "russh"))]
#[test]
fn libssh2_takes_no_streams_and_says_so_and_threads_have_them_over_russh() {
    use hussh::sync::{Libssh2, Russh};

    let server = EmbeddedServer::start().expect("a server");
    let address = server.addr();
    let streams = Transport::streams(move |_| tokio::net::TcpStream::connect(address));
    let refused = builder::<Libssh2>(&server).transport(streams.clone()).connect();
    let error = refused.expect_err("a stream");
    assert_eq!(error.kind(), Some(Kind::InvalidInput), "{error}");
    assert!(error.to_string().contains("transport"), "{error}");
    let connection = builder::<Russh>(&server).transport(streams).connect().expect("connected");
    assert!(connection.execute("true").expect("output").success());
}

#[cfg(feature = "russh")]
mod tasks {
    use hussh::{AsyncConnection, AsyncConnectionPool};
    use tokio::io::{copy_bidirectional, duplex};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::{Builder, Duration, EmbeddedServer, Instant, Kind, NAME, Transport, websocket};

    fn builder(server: &EmbeddedServer) -> Builder<AsyncConnectionPool> {
        AsyncConnectionPool::builder(NAME, server.user())
            .password(server.password())
            .known_hosts([server.dir().join("known_hosts_of_test")])
    }

    /// One end of a pipe in memory, whose other end leads to the server.
    fn pipe_to(server: &EmbeddedServer) -> Transport {
        let address = server.addr();
        Transport::streams(move |_| async move {
            let mut server = TcpStream::connect(address).await?;
            let (ours, mut theirs) = duplex(1024);
            tokio::spawn(async move { copy_bidirectional(&mut theirs, &mut server).await });
            Ok(ours)
        })
    }

    #[tokio::test]
    async fn a_pool_goes_over_pipes_in_memory() {
        let mut server = EmbeddedServer::start().expect("a server");
        // Nobody can see from outside that a stream has ended, as one can of a socket: it is asked.
        let pool = builder(&server).transport(pipe_to(&server)).check_after_idle(Duration::ZERO);
        let pool = pool.max_connections(2).build().expect("valid");
        let commands = (0..6).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let output = pool.execute(format!("head -c 200000 /dev/zero; echo {number}")).await;
                assert_eq!(output.expect("output").stdout.len(), 200_002);
            })
        });
        for command in commands.collect::<Vec<_>>() {
            command.await.expect("right");
        }
        assert!(server.handshakes() <= 2, "{}", server.handshakes());
        server.restart().expect("the server again");
        assert!(pool.execute("true").await.expect("over a new connection").success());
        pool.close().await.expect("closed");
    }

    #[tokio::test]
    async fn a_connection_goes_over_a_websocket() {
        let server = EmbeddedServer::start().expect("a server");
        let address = websocket::serve(server.addr()).await.expect("a port");
        let connection = builder(&server)
            .to::<AsyncConnection>()
            .transport(Transport::streams(move |_| websocket::connect(address)))
            .connect()
            .await
            .expect("connected");
        let command = hussh::Command::new("cat").stdin(vec![7; 300_000]);
        let output = connection.execute_with(&command).await.expect("output");
        assert_eq!(output.stdout, vec![7; 300_000]);
    }

    #[tokio::test]
    async fn a_stream_that_falls_silent_is_given_up_and_a_dial_of_one_is_bounded() {
        let server = EmbeddedServer::start().expect("a server");
        let never = Transport::streams(|_| std::future::pending::<std::io::Result<TcpStream>>());
        let limited = builder(&server).to::<AsyncConnection>().transport(never);
        let limited = limited.connect_timeout(Duration::from_millis(200));
        let error = limited.connect().await.expect_err("too late");
        assert_eq!(error.kind(), Some(Kind::Timeout), "{error}");

        let address = server.addr();
        let (silence, silent) = tokio::sync::watch::channel(false);
        let transport = Transport::streams(move |_| {
            let mut silent = silent.clone();
            async move {
                let mut server = TcpStream::connect(address).await?;
                let (ours, mut theirs) = duplex(1024);
                tokio::spawn(async move {
                    let silenced = async { drop(silent.wait_for(|silent| *silent).await) };
                    tokio::select! {
                        _ = copy_bidirectional(&mut theirs, &mut server) => return,
                        () = silenced => {}
                    }
                    // Open, and nobody says anything.
                    std::future::pending::<()>().await;
                    drop((theirs, server));
                });
                Ok(ours)
            }
        });
        let interval = Duration::from_millis(200);
        let connection = builder(&server)
            .to::<AsyncConnection>()
            .transport(transport)
            .keepalive_interval(interval)
            .keepalive_count_max(2)
            .connect()
            .await
            .expect("connected");
        let start = Instant::now();
        let running = connection.execute("sleep 600");
        silence.send(true).expect("it listens");
        let ended = timeout(Duration::from_secs(10), running).await.expect("in time");
        let error = ended.expect_err("its peer is gone");
        assert_eq!(error.kind(), Some(Kind::ConnectionLost), "{error}");
        assert!(start.elapsed() >= interval * 3 - Duration::from_millis(50), "not before");
    }
}
