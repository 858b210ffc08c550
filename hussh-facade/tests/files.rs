//! Files through connections and pools: the channel that stays with its connection.

mod common;

use std::fs;
use std::time::Duration;

use common::{for_each_library, on_embedded, on_sshd};
use hussh::sync::Library;
use hussh::{Kind, SshError, Transfer};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

for_each_library! {
    files_go_up_and_down_over_a_pool
    the_channel_of_files_stays_with_its_connection
    errors_are_about_files
}

fn files_go_up_and_down_over_a_pool<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).build().expect("a pool");
    let folder = tempfile::tempdir().expect("a directory");
    let (here, there, back) =
        (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    fs::create_dir(&here).expect("made");
    for number in 0..50 {
        fs::write(here.join(number.to_string()), vec![number; 3_000]).expect("written");
    }
    let connection = pool.get().expect("a connection");
    let sftp = connection.sftp().expect("SFTP").timeout(Duration::from_secs(60));
    assert!(sftp.upload(&here, &there, &Transfer::new()).expect("up").is_complete());
    let report = sftp.download(&there, &back, &Transfer::new()).expect("down");
    assert_eq!((report.files(), report.bytes()), (50, 150_000));
    assert_eq!(fs::read(back.join("49")).expect("there"), vec![49; 3_000]);
}

fn the_channel_of_files_stays_with_its_connection<L: Library>() {
    let server = EmbeddedServer::builder().start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("a pool");
    pool.get().expect("a connection").sftp().expect("SFTP").stat("/").expect("there");
    assert_eq!(server.commands(), 1);
    for _ in 0..5 {
        let connection = pool.get().expect("a connection");
        connection.sftp().expect("SFTP").stat("/").expect("there");
    }
    assert_eq!((server.commands(), server.handshakes()), (1, 1));
}

fn errors_are_about_files<L: Library>() {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let error = connection.sftp().expect("SFTP").read("/none/such").expect_err("not there");
    assert_eq!(error.kind(), Some(Kind::File));
    let Some(SshError::File(file)) = error.ssh() else { panic!("{error}") };
    assert_eq!(file.kind, std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("remote file \"/none/such\""), "{error}");
    assert!(connection.execute("true").expect("it goes on").success());
}

#[cfg(feature = "russh")]
#[tokio::test]
async fn a_dropped_call_leaves_the_channel_to_others() {
    let server = Sshd::start().expect("sshd");
    let pool = hussh::AsyncConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("a pool");
    let connection = pool.get().await.expect("a connection");
    let sftp = connection.sftp().await.expect("SFTP");
    for _ in 0..20 {
        let endless = tokio::time::timeout(Duration::from_millis(5), sftp.read("/dev/zero"));
        assert!(endless.await.is_err());
        assert_eq!(sftp.read_at("/dev/zero", 0, 3).await.expect("read"), [0; 3]);
    }
    let asked = (0..300).map(|_| sftp.stat("/"));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.expect("there").is_dir());
    }
}

#[cfg(feature = "russh")]
#[tokio::test]
async fn tasks_of_their_own_transfer_by_scp() {
    let server = Sshd::start().expect("sshd");
    let connection = hussh::AsyncConnection::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .connect()
        .await
        .expect("a connection");
    let folder = tempfile::tempdir().expect("a directory");
    let (here, there, back) =
        (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    fs::write(&here, vec![7; 300_000]).expect("written");
    let path = back.clone();
    let transferring = tokio::spawn(async move {
        let scp = connection.scp().timeout(Duration::from_secs(60));
        let up = scp.upload(&here, &there, &Transfer::new()).await.expect("up");
        let down = scp.download(&there, &path, &Transfer::new()).await.expect("down");
        (up.bytes(), down.bytes())
    });
    assert_eq!(transferring.await.expect("no panic"), (300_000, 300_000));
    assert_eq!(fs::read(back).expect("there"), vec![7; 300_000]);
}
