//! The libraries below, each with one session held open by hand and `TCP_NODELAY` set: as fast as
//! they are without us.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use russh::ChannelMsg;
use russh::client::{Config, Handle, Handler, connect_stream};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use tokio::runtime::Runtime;

use super::COMMAND;
use super::place::Place;
use super::ways::Way;

const NAME: &str = "held by hand";

pub(super) fn ssh2(place: &Place) -> Way {
    let stream = TcpStream::connect(place.addr()).expect("a socket");
    stream.set_nodelay(true).expect("nodelay");
    let mut session = ssh2::Session::new().expect("a session");
    session.set_tcp_stream(stream);
    session.handshake().expect("a handshake");
    session.userauth_pubkey_file(place.user(), None, &place.identity(), None).expect("a login");
    Way::new(NAME, "raw ssh2", move |commands| {
        let start = Instant::now();
        let mut output = Vec::new();
        for _ in 0..commands {
            let mut channel = session.channel_session().expect("a channel");
            channel.exec(COMMAND).expect("it runs");
            channel.read_to_end(&mut output).expect("output");
            channel.wait_close().expect("closed");
            assert_eq!(channel.exit_status().expect("a status"), 0);
        }
        start.elapsed()
    })
}

struct Anybody;

impl Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

pub(super) fn russh(place: &Place, runtime: &Arc<Runtime>) -> Way {
    let handle = runtime.block_on(log_in(place));
    let on = Arc::clone(runtime);
    Way::new(NAME, "raw russh", move |commands| {
        on.block_on(async {
            let start = Instant::now();
            for _ in 0..commands {
                let mut channel = handle.channel_open_session().await.expect("a channel");
                channel.exec(true, COMMAND).await.expect("sent");
                let mut status = None;
                while let Some(message) = channel.wait().await {
                    if let ChannelMsg::ExitStatus { exit_status } = message {
                        status = Some(exit_status);
                    }
                }
                assert_eq!(status, Some(0));
            }
            start.elapsed()
        })
    })
}

async fn log_in(place: &Place) -> Handle<Anybody> {
    let stream = tokio::net::TcpStream::connect(place.addr()).await.expect("a socket");
    stream.set_nodelay(true).expect("nodelay");
    let config = Arc::new(Config::default());
    let mut handle = connect_stream(config, stream, Anybody).await.expect("a handshake");
    let key = Arc::new(load_secret_key(place.identity(), None).expect("a key"));
    let key = PrivateKeyWithHashAlg::new(key, None);
    let login = handle.authenticate_publickey(place.user(), key).await.expect("an answer");
    assert!(login.success());
    handle
}
