//! Single files: every verb, what goes wrong with it, deadlines, cancelling, and dead connections.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use ssh_session::sftp::{Bounds, Client, FileKind, OpenOptions};
use ssh_session::{Kind, Session as _, Side, SshError};
use tempfile::TempDir;

use super::case::{pattern, refused, same, soon};
use super::{Case, Subject};
use test_servers::proxy::Direction;

super::table![
    a_server_without_files_says_so,
    every_verb_on_files_does_what_it_says,
    content_arrives_whole_at_any_size,
    a_file_is_read_to_its_end_whatever_its_size_claims,
    errors_of_files_name_path_side_and_kind,
    many_calls_share_one_channel_of_files,
    large_files_share_one_channel,
    a_file_that_stays_open_is_read_and_written_anywhere,
    a_file_is_replaced_at_once,
    a_channel_of_files_is_no_leftover,
    a_call_on_files_ends_at_its_deadline,
    a_silent_server_of_files_is_given_up,
    files_on_a_closed_or_dead_session_are_errors,
];

/// A directory that the server's user may write to, whoever that is.
pub(super) fn shared_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("opened");
    folder
}

impl<S: Subject> Case<S> {
    /// Does something with files that must go well.
    #[track_caller]
    pub(super) fn files<T>(
        &self,
        session: &S::Session,
        operation: impl AsyncFn(&Client) -> Result<T, SshError>,
    ) -> T {
        let done = self.try_files(session, &Bounds::default(), operation);
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Does something with files. A server that may lose a command may lose what serves files.
    #[allow(clippy::needless_pass_by_value, reason = "closures are written where this is called")]
    pub(super) fn try_files<T>(
        &self,
        session: &S::Session,
        bounds: &Bounds,
        operation: impl AsyncFn(&Client) -> Result<T, SshError>,
    ) -> Result<T, SshError> {
        self.again(|| self.subject.files(session, bounds, &operation))
    }

    /// Whether the server has files; one that has none was seen to say so.
    pub(super) fn serves_files(&self) -> bool {
        if !self.capabilities().files {
            let operation = async |client: &Client| client.stat("/").await;
            let session = self.session();
            let result = self.try_files(&session, &Bounds::default(), operation);
            let error = refused(result, Kind::RequestRefused);
            assert!(error.to_string().contains("subsystem sftp"), "{error}");
        }
        self.capabilities().files
    }
}

fn a_server_without_files_says_so<S: Subject>(case: &Case<S>) {
    case.serves_files();
    let session = case.session();
    let command = ssh_session::Command::subsystem("no-such-thing");
    let error = refused(session.spawn(&command), Kind::RequestRefused);
    assert!(error.to_string().contains("subsystem no-such-thing"), "{error}");
    case.works(&session);
}

fn every_verb_on_files_does_what_it_says<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let root = folder.path().to_owned();
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff\n name");
    case.files(&session, async |client| {
        let file = root.join("file");
        assert!(!client.exists(&file).await?);
        client.write(&file, "hello").await?;
        assert!(client.exists(&file).await?);
        assert_eq!(client.read(&file).await?, b"hello");
        assert_eq!(client.read_text(&file).await?, "hello");
        client.write(&file, "bye").await?;
        client.append(&file, ", bye").await?;
        client.write_at(&file, 1, "Y").await?;
        assert_eq!(client.read_text(&file).await?, "bYe, bye");
        assert_eq!(client.read_at(&file, 5, 2).await?, b"by");
        assert_eq!(client.read_at(&file, 7, 20).await?, b"e");
        assert_eq!(client.read_at(&file, 90, 20).await?, b"");
        client.set_size(&file, 3).await?;
        client.set_permissions(&file, 0o640).await?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        client.set_times(&file, time, time).await?;
        let found = client.stat(&file).await?;
        assert_eq!((found.size, found.permissions()), (Some(3), Some(0o640)));
        assert_eq!((found.kind(), found.modified()), (FileKind::File, Some(time)));
        let owner = fs::metadata(&file).map(|found| (found.uid(), found.gid())).expect("there");
        assert_eq!(found.owner, Some(owner));
        client.set_owner(&file, owner.0, owner.1).await?;

        client.mkdir_all(root.join("a/b/c")).await?;
        client.mkdir_all(root.join("a/b/c")).await?;
        client.mkdir(root.join("a/d")).await?;
        client.symlink("../file", root.join("a/link")).await?;
        assert_eq!(client.read_link(root.join("a/link")).await?, Path::new("../file"));
        assert!(client.lstat(root.join("a/link")).await?.is_symlink());
        assert!(client.stat(root.join("a/link")).await?.is_file());
        assert_eq!(client.real_path(root.join("a/link")).await?, file.canonicalize().expect("it"));
        client.hard_link(&file, root.join("a").join(odd)).await?;
        let mut names: Vec<_> = client.list(root.join("a")).await?;
        names.sort_by(|a, b| a.path.cmp(&b.path));
        let names: Vec<_> = names.iter().map(|entry| entry.path.as_os_str()).collect();
        assert_eq!(names, [std::ffi::OsStr::new("b"), "d".as_ref(), "link".as_ref(), odd]);
        let walked = client.walk(&root).await?;
        assert_eq!(walked.len(), 7, "{walked:?}");
        client.rename(&file, root.join("a/d/file")).await?;
        client.write(&file, "other").await?;
        client.rename(root.join("a/d/file"), &file).await?;
        assert_eq!(client.read_text(&file).await?, "bYe");
        client.remove(&file).await?;
        client.remove_dir(root.join("a/d")).await?;
        client.remove_all(root.join("a")).await?;
        assert_eq!(client.list(&root).await?, []);
        let there = client.stat_fs(&root).await?;
        assert!(there.block_size > 0 && there.blocks > there.blocks_available, "{there:?}");
        assert!(client.real_path(".").await?.is_absolute());
        Ok(())
    });
    case.works(&session);
}

fn content_arrives_whole_at_any_size<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    for size in [0, 1, 32_767, 32_768, 32_769, 261_120, 261_121, 7_000_000] {
        let (content, file) = (pattern(size), folder.path().join(size.to_string()));
        case.files(&session, async |client| client.write(&file, &content).await);
        same("written", &fs::read(&file).expect("there"), &content);
        let read = case.files(&session, async |client| client.read(&file).await);
        same("read", &read, &content);
    }
    case.works(&session);
}

fn a_file_is_read_to_its_end_whatever_its_size_claims<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let session = case.session();
    // Of no size, as the kernel has it.
    for file in ["/proc/filesystems", "/proc/devices"] {
        assert_eq!(fs::metadata(file).expect("there").len(), 0);
        let read = case.files(&session, async |client| client.read(file).await);
        same(file, &read, &fs::read(file).expect("there"));
    }
    let bounds = Bounds { bytes: 10_000, ..Bounds::default() };
    let endless = case.try_files(&session, &bounds, async |c| c.read("/dev/zero").await);
    let SshError::File(error) = refused(endless, Kind::File) else { panic!("another error") };
    assert_eq!(error.kind, ErrorKind::FileTooLarge, "{error}");
    case.works(&session);
}

fn errors_of_files_name_path_side_and_kind<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let root = folder.path().to_owned();
    fs::create_dir_all(root.join("full/of")).expect("made");
    fs::write(root.join("file"), b"\xff").expect("written");
    macro_rules! fails {
        ($kind:ident, $path:expr, $client:ident => $operation:expr) => {{
            let result = case.try_files(&session, &Bounds::default(), async |$client: &Client| {
                $operation.await.map(drop)
            });
            let SshError::File(error) = refused(result, Kind::File) else { panic!("another") };
            assert_eq!((error.kind, error.side), (ErrorKind::$kind, Side::Remote), "{error}");
            assert_eq!(error.path, $path, "{error}");
            assert!(error.to_string().contains("remote file"), "{error}");
        }};
    }
    let (none, full, file) = (root.join("none"), root.join("full"), root.join("file"));
    fails!(NotFound, none, client => client.read(&none));
    fails!(NotFound, none, client => client.stat(&none));
    fails!(NotFound, none, client => client.list(&none));
    fails!(NotFound, none, client => client.remove(&none));
    fails!(NotADirectory, file, client => client.list(&file));
    fails!(IsADirectory, full, client => client.read(&full));
    fails!(IsADirectory, full, client => client.write(&full, "x"));
    fails!(AlreadyExists, full, client => client.mkdir(&full));
    fails!(AlreadyExists, file, client => client.mkdir_all(&file));
    fails!(AlreadyExists, file, client => client.write_new(&file, "x"));
    fails!(DirectoryNotEmpty, full, client => client.remove_dir(&full));
    fails!(InvalidData, file, client => client.read_text(&file));
    for path in ["", "nul\0byte"] {
        let operation = async |client: &Client| client.read(path).await;
        let error = case.try_files(&session, &Bounds::default(), operation);
        refused(error, Kind::InvalidInput);
    }
    case.works(&session);
}

fn many_calls_share_one_channel_of_files<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let paths: Vec<_> = (0..100).map(|n| folder.path().join(n.to_string())).collect();
    case.files(&session, async |client| {
        let written = join_all(paths.iter().map(|path| client.write(path, pattern(9_000)))).await;
        written.into_iter().collect::<Result<Vec<_>, _>>()
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for path in &paths {
                    let read = case.files(&session, async |client| client.read(path).await);
                    same("read beside others", &read, &pattern(9_000));
                }
            });
        }
    });
    case.works(&session);
}

fn large_files_share_one_channel<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    // Together more than may be asked for at once, so that each has to wait for room.
    let contents: Vec<_> = (0..4).map(|n| pattern(6_000_000 + 100_003 * n)).collect();
    let paths: Vec<_> = (0..4).map(|n| folder.path().join(n.to_string())).collect();
    let read = case.files(&session, async |client| {
        let both = paths.iter().zip(&contents);
        let written = join_all(both.map(|(path, content)| client.write(path, content))).await;
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        join_all(paths.iter().map(|path| client.read(path))).await.into_iter().collect()
    });
    let read: Vec<Vec<u8>> = read;
    for (read, content) in read.iter().zip(&contents) {
        same("read beside others", read, content);
    }
    case.works(&session);
}

fn a_file_that_stays_open_is_read_and_written_anywhere<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let file = folder.path().join("file");
    case.files(&session, async |client| {
        let new = OpenOptions::new().read(true).write(true).create_new(true);
        let open = client.open(&file, &new).await?;
        let content = pattern(6_000_000);
        client.write_file(&open, 10, &content).await?;
        client.write_file(&open, 0, b"0123456789").await?;
        assert_eq!(client.stat_file(&open).await?.size, Some(6_000_010));
        same("what was written", &client.read_file(&open, 10, 7_000_000).await?, &content);
        assert_eq!(client.read_file(&open, 8, 2).await?, b"89");
        assert_eq!(client.read_file(&open, 7_000_000, 5).await?, b"");
        client.set_file_size(&open, 4).await?;
        // What was asked for ahead is not there any more, and the channel still is.
        assert_eq!(client.read_file(&open, 0, 7_000_000).await?, b"0123");
        client.close_file(&open).await?;
        let closed = refused(client.read_file(&open, 0, 1).await, Kind::File);
        assert!(closed.to_string().contains("it was closed"), "{closed}");
        let taken = refused(client.open(&file, &new).await, Kind::File);
        assert!(matches!(taken, SshError::File(e) if e.kind == ErrorKind::AlreadyExists));
        let open = client.open(&file, &OpenOptions::new().append(true)).await?;
        client.write_file(&open, 4, "45").await?;
        drop(open);
        assert_eq!(client.read(&file).await?, b"012345");
        let open = client.open(&file, &OpenOptions::new().write(true).truncate(true)).await?;
        client.close_file(&open).await?;
        assert_eq!(client.read(&file).await?, b"");
        Ok(())
    });
    case.works(&session);
}

fn a_file_is_replaced_at_once<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    case.files(&session, async |client| {
        client.replace(&file, "new").await?;
        client.set_permissions(&file, 0o640).await?;
        client.symlink("file", &link).await?;
        let open = client.open(&file, &OpenOptions::new().read(true)).await?;
        client.replace(&link, "newer").await?;
        assert_eq!(client.read_file(&open, 0, 9).await?, b"new");
        assert_eq!(client.read(&file).await?, b"newer");
        assert_eq!(client.stat(&file).await?.permissions(), Some(0o640));
        assert!(client.lstat(&link).await?.is_symlink());
        assert_eq!(client.list(folder.path()).await?.len(), 2);
        let folder = refused(client.replace(folder.path(), "").await, Kind::File);
        assert!(matches!(folder, SshError::File(e) if e.kind == ErrorKind::IsADirectory));
        Ok(())
    });
    case.works(&session);
}

fn a_channel_of_files_is_no_leftover<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let session = case.session();
    for _ in 0..3 {
        case.files(&session, async |client| client.stat("/").await);
        assert!(!session.has_abandoned_channels());
        session.wait_until_closed(Duration::from_secs(5)).expect("nothing to wait for");
    }
}

fn a_call_on_files_ends_at_its_deadline<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let session = case.session();
    let deadline = Some(Duration::from_millis(200));
    let bounds = Bounds { deadline, bytes: u64::MAX >> 1, ..Bounds::default() };
    for _ in 0..2 {
        let late = soon("an endless file", || {
            case.try_files(&session, &bounds, async |client| client.read("/dev/zero").await)
        });
        refused(late, Kind::Timeout);
        // What was on its way is in nobody's way.
        let read = case.files(&session, async |client| client.read_at("/dev/zero", 0, 10).await);
        assert_eq!(read, [0; 10]);
    }
    case.works(&session);
}

fn a_silent_server_of_files_is_given_up<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    case.files(&session, async |client| client.stat("/").await);
    proxy.black_hole_towards(Direction::ToClient);
    let bounds = Bounds { idle: Duration::from_millis(300), ..Bounds::default() };
    let stat = || case.try_files(&session, &bounds, async |client| client.stat("/").await);
    refused(soon("a silent server", stat), Kind::Timeout);
    proxy.resume();
    // On a new channel, where the session lived on.
    if session.is_alive() {
        case.files(&session, async |client| client.stat("/").await);
    }
}

fn files_on_a_closed_or_dead_session_are_errors<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let stat = |session| {
        let operation = async |client: &Client| client.stat("/").await;
        soon("an ended session", || case.try_files(session, &Bounds::default(), operation))
    };
    let used = case.session();
    case.files(&used, async |client| client.stat("/").await);
    used.close();
    refused(stat(&used), Kind::Closed);
    let unused = case.session();
    unused.close();
    refused(stat(&unused), Kind::Closed);
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    case.files(&session, async |client| client.stat("/").await);
    proxy.cut();
    refused(stat(&session), Kind::ConnectionLost);
    refused(stat(&session), Kind::ConnectionLost);
}
