//! Files that are followed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ssh_session::sftp::{TailFile, TailFrom, TailOptions, TailRead, TailStep, Tailed};
use ssh_session::{Kind, Session as _, SshError};

use super::case::{SOON, refused, soon};
use super::files::shared_folder;
use super::{Case, Subject};

super::table![
    a_file_is_followed_while_it_grows,
    a_file_is_followed_over_rotation_and_truncation,
    a_followed_file_that_goes_away_is_waited_for,
    following_on_a_closed_or_dead_session_is_an_error,
];

/// A file under way, and who follows it.
struct Tail<'c, S: Subject> {
    case: &'c Case<S>,
    options: TailOptions,
    file: TailFile,
    reading: TailRead,
}

impl<'c, S: Subject> Tail<'c, S> {
    fn new(case: &'c Case<S>, path: &Path, from: TailFrom) -> Self {
        let options = TailOptions::new().from(from).interval(Duration::from_millis(20));
        let options = options.answer_timeout(Duration::from_secs(5));
        let (file, reading) = (TailFile::new(path, &options), TailRead::new(&options));
        Self { case, options, file, reading }
    }

    /// Finds out where to begin. A server that may lose a command may lose what serves files.
    fn begin(&mut self, session: &S::Session) {
        let Self { case, options, file, .. } = self;
        let begun = case.again(|| {
            let file = &mut *file;
            case.subject.files(session, &options.bounds(), async |client| client.begin(file).await)
        });
        begun.unwrap_or_else(|error| panic!("not followed: {error}"));
    }

    fn read(
        &mut self,
        session: &S::Session,
        timeout: Duration,
    ) -> Result<Option<Tailed>, SshError> {
        let Self { case, options, file, reading } = self;
        reading.begin(timeout, false, Instant::now());
        loop {
            match reading.step(file, Instant::now()) {
                TailStep::Ready => return Ok(file.pop()),
                TailStep::Late => return Ok(None),
                TailStep::Sleep(time) => std::thread::sleep(time),
                TailStep::Look => {
                    let file = &mut *file;
                    let bounds = options.bounds();
                    let came = case
                        .subject
                        .files(session, &bounds, async |client| client.follow(file).await)?;
                    reading.looked(came, Instant::now());
                }
            }
        }
    }

    #[track_caller]
    fn reads(&mut self, session: &S::Session, expected: &str) {
        let mut text = String::new();
        while text.len() < expected.len() {
            match self.read(session, SOON).expect("read") {
                Some(tailed @ Tailed::Data { .. }) => text += &tailed.to_text(),
                other => panic!("{other:?} after {} bytes", text.len()),
            }
        }
        assert!(text == expected, "other text: {} bytes of it", text.len());
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("open");
    file.write_all(text.as_bytes()).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("readable");
}

fn a_file_is_followed_while_it_grows<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let path = folder.path().join("log");
    append(&path, "one\ntwo\nthree\n");
    let mut tail = Tail::new(case, &path, TailFrom::Lines(2));
    tail.begin(&session);
    tail.reads(&session, "two\nthree\n");
    assert_eq!(tail.read(&session, Duration::from_millis(100)).expect("read"), None);
    for number in 0..20 {
        append(&path, &number.to_string());
        tail.reads(&session, &number.to_string());
    }
    let long = "0123456789".repeat(200_000);
    append(&path, &long);
    tail.reads(&session, &long);
    append(&path, "\u{e9}");
    let half = "a\u{1f980}".as_bytes().split_at(3);
    let mut file = OpenOptions::new().append(true).open(&path).expect("open");
    file.write_all(half.0).expect("written");
    tail.reads(&session, "éa");
    assert_eq!(tail.read(&session, Duration::ZERO).expect("read"), None);
    file.write_all(half.1).expect("written");
    tail.reads(&session, "\u{1f980}");
    case.works(&session);
}

fn a_file_is_followed_over_rotation_and_truncation<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let path = folder.path().join("log");
    append(&path, "before\n");
    let mut tail = Tail::new(case, &path, TailFrom::End);
    tail.begin(&session);
    for round in 0..5 {
        let text = format!("last of {round}\n");
        append(&path, &text);
        fs::rename(&path, path.with_extension(round.to_string())).expect("renamed");
        append(&path, "new\n");
        tail.reads(&session, &text);
        assert_eq!(tail.read(&session, SOON).expect("read"), Some(Tailed::Replaced));
        tail.reads(&session, "new\n");
        fs::write(&path, "cut").expect("truncated");
        assert_eq!(tail.read(&session, SOON).expect("read"), Some(Tailed::Truncated));
        tail.reads(&session, "cut");
    }
    case.works(&session);
}

fn a_followed_file_that_goes_away_is_waited_for<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let path = folder.path().join("log");
    let mut tail = Tail::new(case, &path, TailFrom::Start);
    let options = tail.options.bounds();
    let missing = case.again(|| {
        let file = &mut tail.file;
        case.subject.files(&session, &options, async |client| client.begin(file).await)
    });
    let SshError::File(error) = refused(missing, Kind::File) else { panic!("another error") };
    assert_eq!((error.kind, &error.path), (std::io::ErrorKind::NotFound, &path));
    append(&path, "here\n");
    tail.begin(&session);
    tail.reads(&session, "here\n");
    fs::remove_file(&path).expect("removed");
    assert_eq!(tail.read(&session, Duration::from_millis(100)).expect("read"), None);
    append(&path, "here again\n");
    assert_eq!(tail.read(&session, SOON).expect("read"), Some(Tailed::Replaced));
    tail.reads(&session, "here again\n");
    case.works(&session);
}

fn following_on_a_closed_or_dead_session_is_an_error<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let folder = shared_folder();
    let path = folder.path().join("log");
    append(&path, "here\n");
    let (proxy, options) = case.proxy();
    for (closes, kind) in [(true, Kind::Closed), (false, Kind::ConnectionLost)] {
        let session = case.connect(&options);
        let mut tail = Tail::new(case, &path, TailFrom::End);
        tail.begin(&session);
        assert_eq!(tail.read(&session, Duration::ZERO).expect("read"), None);
        if closes {
            session.close();
        } else {
            proxy.cut();
        }
        for _ in 0..2 {
            refused(soon("following", || tail.read(&session, Duration::ZERO)), kind);
        }
        // What was read is known on another session, which goes on there.
        proxy.resume();
        append(&path, "more\n");
        let session = case.session();
        tail.reads(&session, "more\n");
    }
}
