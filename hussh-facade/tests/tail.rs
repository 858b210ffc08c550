//! Files that are followed while somebody writes, truncates and rotates them.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{for_each_library, on_embedded, on_sshd};
use hussh::sync::{Connection, Library, PooledConnection, Tail};
use hussh::{Kind, SshError, TailFrom, TailOptions, Tailed};
use tempfile::TempDir;
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

for_each_library! {
    a_file_is_followed_from_where_it_is_told
    what_is_written_comes_within_an_interval
    a_file_is_followed_over_rotation_and_truncation
    nothing_is_lost_while_a_log_is_rotated_under_it
    characters_and_lines_are_held_back_until_they_are_whole
    the_embedded_server_s_files_are_followed_too
    a_channel_that_closes_under_it_is_opened_again
    what_can_not_be_read_is_an_error_and_what_goes_on_goes_on
    iteration_ends
    a_tail_costs_its_connection_little
}

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> TailOptions {
    TailOptions::new().interval(Duration::from_millis(20))
}

struct Log {
    _folder: TempDir,
    path: PathBuf,
}

impl Log {
    fn new(content: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("log");
        fs::write(&path, content).expect("written");
        Self { _folder: folder, path }
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        append(&self.path, text);
    }

    fn rotate(&self, number: usize) {
        fs::rename(&self.path, self.path.with_extension(number.to_string())).expect("renamed");
    }
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("open");
    file.write_all(text.as_ref()).expect("written");
}

/// A server and a connection to it.
fn sshd<L: Library>() -> (Sshd, PooledConnection<L>) {
    let server = Sshd::start().expect("sshd");
    let pool = on_sshd::<L>(&server).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    (server, connection)
}

fn tail<'c, L: Library>(
    connection: &'c Connection<L>,
    log: &Log,
    options: &TailOptions,
) -> Tail<'c, L> {
    connection.tail(&log.path, options).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads data until this much text is there.
#[track_caller]
fn reads<L: Library>(tail: &mut Tail<'_, L>, expected: &str) {
    let mut read = String::new();
    while read.len() < expected.len() {
        match tail.read(PATIENCE).expect("read") {
            Some(tailed @ Tailed::Data { .. }) => read += &tailed.to_text(),
            other => panic!("{other:?} after {read:?}"),
        }
    }
    assert_eq!(read, expected);
}

fn a_file_is_followed_from_where_it_is_told<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let content = "one\ntwo\nthree\n";
    for (from, rest) in [
        (TailFrom::End, ""),
        (TailFrom::Start, content),
        (TailFrom::Offset(4), "two\nthree\n"),
        (TailFrom::Offset(1_000), ""),
        (TailFrom::Lines(0), ""),
        (TailFrom::Lines(1), "three\n"),
        (TailFrom::Lines(2), "two\nthree\n"),
        (TailFrom::Lines(99), content),
    ] {
        let log = Log::new(content);
        let mut tail = tail(&connection, &log, &options().from(from));
        assert_eq!(tail.position(), (content.len() - rest.len()) as u64, "{from:?}");
        log.append("four\n");
        reads(&mut tail, &format!("{rest}four\n"));
        assert_eq!(tail.position(), content.len() as u64 + 5);
        assert_eq!(tail.read(Duration::ZERO).expect("read"), None);
    }
    // More than is read at once, and lines sought over many blocks.
    let numbers: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    let log = Log::new(&numbers);
    let last: String = (50_000..200_000).map(|number| format!("{number}\n")).collect();
    reads(&mut tail(&connection, &log, &options().from(TailFrom::Lines(150_000))), &last);
}

fn what_is_written_comes_within_an_interval<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let log = Log::new("before\n");
    let mut tail = tail(&connection, &log, &options());
    let start = Instant::now();
    let limit = Duration::from_millis(300);
    assert_eq!(tail.read(limit).expect("read"), None);
    assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..50 {
                log.append(format!("{number}\n"));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for number in 0..50 {
            let line = tail.read_line(PATIENCE).expect("read").expect("a line");
            assert_eq!((line.to_text(), line.is_end), (number.to_string().into(), true));
        }
    });
}

fn a_file_is_followed_over_rotation_and_truncation<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let log = Log::new("old\n");
    let mut tail = tail(&connection, &log, &options());
    log.append("a\n");
    reads(&mut tail, "a\n");
    // Truncated, with fewer bytes than were read.
    fs::write(&log.path, "b\n").expect("written");
    assert_eq!(tail.read(PATIENCE).expect("read"), Some(Tailed::Truncated));
    reads(&mut tail, "b\n");
    // Renamed and made anew: the rest of the old one comes first.
    log.append("last of the old\n");
    log.rotate(1);
    append(&log.path, "first of the new\n");
    reads(&mut tail, "last of the old\n");
    assert_eq!(tail.read(PATIENCE).expect("read"), Some(Tailed::Replaced));
    reads(&mut tail, "first of the new\n");
    // Renamed, and not there for a while; those who have it open write on.
    let mut writer = OpenOptions::new().append(true).open(&log.path).expect("open");
    log.rotate(2);
    assert_eq!(tail.read(Duration::from_millis(200)).expect("read"), None);
    writer.write_all(b"late\n").expect("written");
    reads(&mut tail, "late\n");
    // Of the same size and time as the old one.
    let old = fs::metadata(log.path.with_extension("2")).expect("there");
    let new = File::create(&log.path).expect("made");
    (&new).write_all(&vec![b'x'; old.len() as usize]).expect("written");
    new.set_modified(old.modified().expect("a time")).expect("set");
    let seen = tail.read(Duration::from_millis(200)).expect("read");
    if seen.is_none() {
        // It can't be told from the old one until it differs.
        (&new).write_all(b"!").expect("written");
        assert_eq!(tail.read(PATIENCE).expect("read"), Some(Tailed::Replaced));
        let text = "x".repeat(old.len() as usize) + "!";
        reads(&mut tail, &text);
    } else {
        // It had its own time for long enough to be seen.
        assert_eq!(seen, Some(Tailed::Replaced));
    }
}

fn nothing_is_lost_while_a_log_is_rotated_under_it<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let log = Log::new("");
    let mut tail = tail(&connection, &log, &options().from(TailFrom::Start));
    // Files of different sizes: those of one size and second are not told apart until one grows.
    let (lines, rotations) = (2_000, [300, 700, 1_200, 1_500]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..lines {
                if rotations.contains(&number) {
                    // Time for a look or two at each of the files.
                    std::thread::sleep(Duration::from_millis(400));
                    log.rotate(number);
                }
                log.append(format!("line {number}\n"));
            }
        });
        for number in 0..lines {
            let line = tail.read_line(PATIENCE).expect("read");
            let line = line.unwrap_or_else(|| panic!("line {number} is missing"));
            assert_eq!(line.to_text(), format!("line {number}"));
        }
    });
}

fn characters_and_lines_are_held_back_until_they_are_whole<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let soon = Duration::from_millis(100);
    for (parts, text) in [
        (["a\u{e9}".as_bytes(), b"\xf0\x9f", b"\xa6\x80b\n"], "é"),
        ([b"\xff\xe6\xbc", b"\xa2", b"\n"], "漢"),
    ] {
        let log = Log::new("");
        let mut in_text = tail(&connection, &log, &options());
        let mut in_bytes = tail(&connection, &log, &options().text(false));
        let mut in_lines = tail(&connection, &log, &options());
        let (mut read, mut raw) = (Vec::new(), Vec::new());
        for part in parts {
            assert_eq!(in_lines.read_line(soon).expect("read"), None);
            log.append(part);
            while let Some(Tailed::Data { offset, bytes }) = in_text.read(soon).expect("read") {
                assert_eq!(offset, read.len() as u64);
                let cut = std::str::from_utf8(&bytes)
                    .err()
                    .and_then(|error| error.error_len().is_none().then_some(error.valid_up_to()));
                assert_eq!(cut, None, "a character is cut");
                read.extend(bytes);
                assert_eq!(in_text.position(), read.len() as u64);
            }
            while let Some(Tailed::Data { bytes, .. }) = in_bytes.read(soon).expect("read") {
                raw.extend(bytes);
            }
            assert_eq!(raw.len() as u64, fs::metadata(&log.path).expect("there").len());
        }
        assert_eq!((&read, &raw), (&parts.concat(), &parts.concat()));
        let line = in_lines.read_line(PATIENCE).expect("read").expect("a line");
        assert!(line.to_text().contains(text), "{}", line.to_text());
    }
}

fn the_embedded_server_s_files_are_followed_too<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let log = Log::new("old\n");
    let mut tail = tail(&connection, &log, &options().from(TailFrom::Lines(1)));
    reads(&mut tail, "old\n");
    log.append("last\n");
    log.rotate(1);
    append(&log.path, "n\n");
    reads(&mut tail, "last\n");
    assert_eq!(tail.read(PATIENCE).expect("read"), Some(Tailed::Replaced));
    reads(&mut tail, "n\n");
    fs::write(&log.path, "").expect("truncated");
    assert_eq!(tail.read(PATIENCE).expect("read"), Some(Tailed::Truncated));
    server.kill_connections();
    let lost = tail.read(PATIENCE).expect_err("lost");
    assert!(matches!(lost.kind(), Some(Kind::ConnectionLost)), "{lost}");
    assert!(tail.read(PATIENCE).is_err());
}

fn a_channel_that_closes_under_it_is_opened_again<L: Library>() {
    let server = EmbeddedServer::start().expect("a server");
    server.close_channels_after(Some(Duration::from_millis(300)));
    let pool = on_embedded::<L>(&server).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let log = Log::new("one\n");
    let mut tail = tail(&connection, &log, &options().from(TailFrom::Start));
    reads(&mut tail, "one\n");
    // It is closed without a word, and nobody here reads it.
    std::thread::sleep(Duration::from_millis(600));
    server.close_channels_after(None);
    log.append("two\n");
    // The call that finds it closed says so, if there is one; those after it go on where it was.
    let found = tail.read(PATIENCE);
    let read = found.or_else(|_| tail.read(PATIENCE)).expect("opened again").expect("something");
    assert_eq!(read.to_text(), "two\n");
}

fn what_can_not_be_read_is_an_error_and_what_goes_on_goes_on<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let log = Log::new("one\n");
    for (path, kind) in [
        (log.path.with_extension("none"), std::io::ErrorKind::NotFound),
        (log.path.parent().expect("a folder").to_owned(), std::io::ErrorKind::IsADirectory),
    ] {
        // A directory can be opened, and not read.
        let error = match connection.tail(&path, &options().from(TailFrom::Start)) {
            Err(error) => error,
            Ok(mut tail) => tail.read(PATIENCE).expect_err("no file"),
        };
        let Some(SshError::File(file)) = error.ssh() else { panic!("{error}") };
        assert_eq!((file.kind, &file.path), (kind, &path), "{error}");
    }
    // A file of no size that has content is read once.
    let mut proc =
        connection.tail("/proc/filesystems", &options().from(TailFrom::Start)).expect("opened");
    reads(&mut proc, &fs::read_to_string("/proc/filesystems").expect("there"));
    assert_eq!(proc.read(Duration::from_millis(200)).expect("read"), None);
    // Commands beside it, and a closed connection.
    let mut tail = tail(&connection, &log, &options());
    assert!(connection.execute("true").expect("a command").success());
    assert_eq!(tail.read(Duration::ZERO).expect("read"), None);
    connection.close();
    let closed = tail.read(Duration::ZERO).expect_err("closed");
    assert_eq!(closed.kind(), Some(Kind::Closed), "{closed}");
}

fn iteration_ends<L: Library>() {
    let (_server, connection) = sshd::<L>();
    let log = Log::new("one\ntwo\nbegun \u{e9}");
    log.append(b"\xc3");
    let from = options().from(TailFrom::Start);
    // At what is there now, with what is not whole.
    let now = tail(&connection, &log, &from.clone().ends_when_idle(Duration::ZERO));
    let lines: Vec<_> = now.lines().map(|line| line.expect("a line")).collect();
    let texts: Vec<_> = lines.iter().map(|line| (line.to_text(), line.is_end)).collect();
    let expected = [("one", true), ("two", true), ("begun é\u{fffd}", false)];
    assert_eq!(texts, expected.map(|(text, is_end)| (text.into(), is_end)));
    // Where nothing has come for a while, and where the time is over although something comes.
    let idle = tail(&connection, &log, &from.clone().ends_when_idle(Duration::from_millis(100)));
    let read: usize = idle.map(|tailed| tailed.expect("read").to_text().len()).sum();
    assert_eq!(read, "one\ntwo\nbegun é\u{fffd}".len());
    let limit = Duration::from_millis(300);
    let (start, tail) = (Instant::now(), tail(&connection, &log, &from.ends_after(limit)));
    for tailed in tail {
        tailed.expect("read");
        log.append("more\n");
        assert!(start.elapsed() < PATIENCE, "it does not end");
    }
    assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
}

fn a_tail_costs_its_connection_little<L: Library>() {
    let server = EmbeddedServer::builder().max_sessions(2).start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("a pool");
    for _ in 0..3 {
        let connection = pool.get().expect("a connection");
        let log = Log::new("x");
        let tails: Vec<_> =
            (0..20).map(|_| tail(&connection, &log, &options().from(TailFrom::Start))).collect();
        for mut tail in tails {
            reads(&mut tail, "x");
        }
        assert!(connection.execute("true").expect("a command").success());
    }
    assert_eq!((server.handshakes(), server.commands()), (1, 4), "one channel of files for all");
}

#[cfg(feature = "russh")]
#[tokio::test]
async fn tasks_follow_files_as_threads_do() {
    let server = Sshd::start().expect("sshd");
    let pool = hussh::AsyncConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("a pool");
    let connection = pool.get().await.expect("a connection");
    let log = Log::new("one\ntwo\n");
    let from = options().from(TailFrom::Lines(1));
    let mut tail = connection.tail(&log.path, &from).await.expect("followed");
    let line = tail.read_line(PATIENCE).await.expect("read").expect("a line");
    assert_eq!(line.to_text(), "two");
    // Calls that are dropped lose nothing, wherever they are.
    for number in 0..200_u64 {
        let dropped = tokio::time::timeout(Duration::from_micros(number * 20), tail.read(PATIENCE));
        assert!(dropped.await.is_err());
    }
    log.append("three\n");
    log.rotate(1);
    append(&log.path, "four");
    let mut read = Vec::new();
    for number in 0_u64.. {
        let limit = Duration::from_micros(number * 100);
        let next = tokio::time::timeout(limit, tail.read(PATIENCE)).await;
        if let Ok(tailed) = next {
            read.push(tailed.expect("read").expect("something"));
        }
        if read.len() == 3 {
            break;
        }
    }
    let texts: Vec<_> = read.iter().map(Tailed::to_text).collect();
    assert_eq!(texts, ["three\n", "", "four"]);
    assert_eq!(read[1], Tailed::Replaced);
    let ends = options().from(TailFrom::Start).ends_when_idle(Duration::from_millis(100));
    let mut tail = connection.tail(&log.path, &ends).await.expect("followed");
    let last = tail.next_line().await.expect("read").expect("a line");
    assert_eq!((last.to_text(), last.is_end), ("four".into(), false));
    assert_eq!(tail.next_line().await.expect("read"), None);
    let missing = connection.tail("/none/such", &options()).await.expect_err("not there");
    assert_eq!(missing.kind(), Some(Kind::File));
    // A future of it can go to another thread.
    fn is_send<T: Send>(_: &T) {}
    is_send(&connection.tail("/none/such", &options()));
}
