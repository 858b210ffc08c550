//! Much data through a jump host: the right bytes, and little memory.

mod common;

use std::fs;
use std::time::Duration;

use backend_russh::RusshSession;
use common::{connect, sshd_options, within};
use ssh_session::{AsyncProcess as _, AsyncSession as _, Chunk, Command, Route};
use test_servers::sshd::Sshd;

const SIZE: usize = 50_000_000;
const PIECE: usize = 100_000;

/// How much this process may grow beyond what it had: what a relay keeps at the most, and as much
/// for the rest.
const GROWTH: usize = 64 << 20;

async fn session() -> (Sshd, Sshd, RusshSession) {
    let hop = Sshd::builder().max_sessions(0).start().expect("sshd");
    let target = Sshd::start().expect("sshd");
    let options = sshd_options(&target).route(Route::Jump(vec![sshd_options(&hop)]));
    let session = connect(&options).await;
    (hop, target, session)
}

/// The most memory that this process ever had, in bytes.
fn most_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let size = line.split_whitespace().nth(1).expect("a size");
    1024 * size.parse::<usize>().expect("a number")
}

/// Bytes whose order shows.
fn piece(number: usize) -> Vec<u8> {
    (0..PIECE).map(|index| ((number * PIECE + index) / 3 % 251) as u8).collect()
}

struct Reader {
    seen: usize,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            assert_eq!(*byte, (self.seen / 3 % 251) as u8, "byte {}", self.seen);
            self.seen += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_input_and_output_at_once_are_right_and_take_little_memory() {
    let (_hop, _target, session) = session().await;
    let before = most_memory();
    let process = session.spawn(&Command::new("cat").stdin_piped()).await.expect("started");
    let writing = async {
        for number in 0..SIZE / PIECE {
            process.write(&piece(number)).await.expect("written");
        }
        process.close_stdin().await.expect("closed");
    };
    let reading = async {
        let mut reader = Reader { seen: 0 };
        while let Some(chunk) = process.read().await.expect("output") {
            if let Chunk::Stdout(bytes) = chunk {
                reader.take(&bytes);
            }
        }
        reader.seen
    };
    let ((), seen) =
        within(Duration::from_secs(120), "cat", async { tokio::join!(writing, reading) }).await;
    assert_eq!(seen, SIZE);
    let growth = most_memory() - before;
    println!("50 MB to and fro through a jump host: {} MB of memory", growth >> 20);
    assert!(growth < GROWTH, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_output_is_right_and_takes_little_memory() {
    let (_hop, _target, session) = session().await;
    let before = most_memory();
    let command = format!("head -c {SIZE} /dev/zero");
    let process = session.spawn(&Command::new(command)).await.expect("started");
    let seen = within(Duration::from_secs(60), "head", async {
        let mut seen = 0;
        while let Some(chunk) = process.read().await.expect("output") {
            seen += chunk.bytes().len();
        }
        seen
    })
    .await;
    assert_eq!(seen, SIZE);
    let growth = most_memory() - before;
    println!("50 MB of output through a jump host: {} MB of memory", growth >> 20);
    assert!(growth < GROWTH, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_the_target_does_not_take_waits_in_little_memory() {
    let (_hop, _target, session) = session().await;
    let before = most_memory();
    let command = Command::new("read go; sleep 1; wc -c").stdin_piped();
    let process = session.spawn(&command).await.expect("started");
    let writing = async {
        process.write(b"go\n").await.expect("written");
        for _ in 0..SIZE / PIECE {
            process.write(&[7; PIECE]).await.expect("written");
        }
        process.close_stdin().await.expect("closed");
    };
    within(Duration::from_secs(60), "wc", writing).await;
    let mut counted = Vec::new();
    while let Some(chunk) = process.read().await.expect("output") {
        counted.extend_from_slice(chunk.bytes());
    }
    assert_eq!(String::from_utf8_lossy(&counted).trim(), SIZE.to_string());
    let growth = most_memory() - before;
    println!("50 MB of input through a jump host: {} MB of memory", growth >> 20);
    assert!(growth < GROWTH, "{growth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_commands_that_echo_at_once_do_not_hold_each_other_up() {
    let (_hop, _target, session) = session().await;
    let input = bytes::Bytes::from(vec![7; 8_000_000]);
    let command = Command::new("cat").stdin(input.clone());
    let echo = || session.exec(&command);
    let echoing = async { tokio::join!(echo(), echo(), echo(), echo(), echo()) };
    let (a, b, c, d, e) = within(Duration::from_secs(120), "five times cat", echoing).await;
    for output in [a, b, c, d, e] {
        assert_eq!(output.expect("output").stdout, input);
    }
}
