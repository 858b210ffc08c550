//! The embedded server under load, asked by russh's client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{Config, Handle, Handler, connect};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{ChannelMsg, Disconnect};
use test_servers::embedded::EmbeddedServer;
use tokio::time::timeout;

struct TrustAll;

impl Handler for TrustAll {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn dial(server: &EmbeddedServer) -> Handle<TrustAll> {
    let config = Arc::new(Config { nodelay: true, ..Config::default() });
    let mut session = connect(config, server.addr(), TrustAll).await.unwrap();
    let key = Arc::new(load_secret_key(server.identity(), None).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(session.authenticate_publickey(server.user(), key).await.unwrap().success());
    session
}

async fn execute(session: &Handle<TrustAll>, line: &str) -> (Vec<u8>, Option<u32>) {
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, line).await.unwrap();
    let (mut output, mut status) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => output.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    (output, status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_twenty_connections_are_served_at_once() {
    let server = EmbeddedServer::start().unwrap();
    let mut sessions = Vec::new();
    for _ in 0..120 {
        sessions.push(dial(&server).await);
    }
    assert_eq!(server.handshakes(), 120);
    let commands = sessions.into_iter().enumerate().map(|(number, session)| {
        tokio::spawn(async move {
            let result = execute(&session, &format!("echo {number}")).await;
            assert_eq!(result, (format!("{number}\n").into_bytes(), Some(0)));
        })
    });
    for command in commands.collect::<Vec<_>>() {
        command.await.unwrap();
    }
    assert_eq!(server.commands(), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_windows_lose_nothing_and_hold_up_nobody() {
    let server = EmbeddedServer::start().unwrap();
    // Three channels wait for small windows again and again.
    let config = Arc::new(Config { nodelay: true, window_size: 4096, ..Config::default() });
    let mut session = connect(config, server.addr(), TrustAll).await.unwrap();
    let key = Arc::new(load_secret_key(server.identity(), None).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(session.authenticate_publickey(server.user(), key).await.unwrap().success());
    let started = Instant::now();
    let all = tokio::join!(
        execute(&session, "head -c 3000000 /dev/zero; exit 1"),
        execute(&session, "head -c 3000000 /dev/zero; exit 2"),
        execute(&session, "echo quick"),
    );
    assert_eq!((all.0.0.len(), all.0.1), (3_000_000, Some(1)));
    assert_eq!((all.1.0.len(), all.1.1), (3_000_000, Some(2)));
    assert_eq!(all.2, (b"quick\n".to_vec(), Some(0)));
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_nobody_reads_does_not_hold_up_other_channels() {
    let server = EmbeddedServer::start().unwrap();
    let session = dial(&server).await;
    let deaf = session.channel_open_session().await.unwrap();
    deaf.exec(true, "sleep 100").await.unwrap();
    deaf.data_bytes(vec![0; 20_000_000]).await.unwrap();
    let result = timeout(Duration::from_secs(10), execute(&session, "echo here")).await.unwrap();
    assert_eq!(result.0, b"here\n");
    deaf.close().await.unwrap();
    server.wait_for(Duration::from_secs(10), |server| server.open_sessions() == 0).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_commands_one_after_the_other_leave_no_slot_taken() {
    let server = EmbeddedServer::builder().max_sessions(1).start().unwrap();
    let session = dial(&server).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(execute(&session, "true").await.1, Some(0));
    }
    println!("a command on an open connection took {:?}", started.elapsed() / 100);
    session.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
}
