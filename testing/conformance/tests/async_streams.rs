//! Commands as lines, and as what tokio reads from and writes to, on every kind of server.

use std::time::Duration;

use conformance::Russh;
use conformance::suite::{Server, ServerKind, Setup, Subject as _, runtime};
use ssh_session::{
    AsyncLines, AsyncProcess as _, AsyncProcessReader, AsyncProcessWriter, AsyncSession as _,
    Command,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn servers() -> impl Iterator<Item = Server> {
    ServerKind::ALL.into_iter().map(|kind| kind.start(&Setup::default(), None))
}

#[test]
fn much_is_copied_through_a_command_both_ways_at_once() {
    let sent: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
    for server in servers() {
        let session = Russh.connect(&server.options()).expect("connected").inner;
        let received = runtime().block_on(async {
            let command = Command::new("cat").stdin_piped().timeout(SOON);
            let process = session.spawn(&command).await.expect("started");
            let mut writer = AsyncProcessWriter::new(&process);
            let mut received = Vec::new();
            let mut reader = AsyncProcessReader::new(&process);
            let sending = async {
                writer.write_all(&sent).await?;
                writer.flush().await?;
                writer.shutdown().await
            };
            tokio::try_join!(sending, reader.read_to_end(&mut received))
                .expect("all of it goes and comes");
            received
        });
        assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    }
}

#[test]
fn lines_come_one_by_one_and_a_dropped_future_loses_none() {
    for server in servers() {
        let session = Russh.connect(&server.options()).expect("connected").inner;
        runtime().block_on(async {
            let command = Command::new("echo begun; read line; echo \"heard $line\"").stdin_piped();
            let process = session.spawn(&command.timeout(SOON)).await.expect("started");
            let mut lines = AsyncLines::new(&process);
            let line = lines.next().await.expect("no error").expect("a line");
            assert_eq!(line.to_text(), "begun");
            let given_up = timeout(Duration::from_millis(100), lines.next()).await;
            assert!(given_up.is_err(), "nothing was written");
            process.write(b"one\n").await.expect("taken");
            let line = lines.next().await.expect("no error").expect("a line");
            assert_eq!(line.to_text(), "heard one");
            assert_eq!(lines.next().await.expect("no error"), None);
        });
    }
}

#[test]
fn a_writer_waits_while_the_command_reads_nothing() {
    for server in servers() {
        let session = Russh.connect(&server.options()).expect("connected").inner;
        runtime().block_on(async {
            let command = Command::new("sleep 600").stdin_piped();
            let process = session.spawn(&command).await.expect("started");
            let mut writer = AsyncProcessWriter::new(&process);
            let piece = vec![b'x'; 64 * 1024];
            let mut taken = 0;
            while taken < 100 << 20 {
                match timeout(Duration::from_millis(500), writer.write(&piece)).await {
                    Ok(count) => taken += count.expect("alive"),
                    Err(_) => break,
                }
            }
            // The embedded server holds nothing back.
            assert!(taken < 100 << 20 || server.embedded().is_some(), "{taken} bytes were taken");
        });
    }
}
