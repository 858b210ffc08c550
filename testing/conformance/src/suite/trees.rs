//! Files and directories up and down: trees with all that trees have, transfers that are cut,
//! resumed, given up.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ssh_session::sftp::{Bounds, Client, Links, Outcome, Report, Transfer};
use ssh_session::{Kind, Side, SshError};

use super::case::{pattern, refused, same, soon};
use super::files::shared_folder;
use super::{Case, Subject};
use test_servers::proxy::Direction;

super::table![
    a_tree_up_and_down_is_the_same_tree,
    links_are_kept_followed_or_left_out,
    many_small_files_share_round_trips,
    a_transfer_tells_how_far_it_is,
    a_transfer_cut_in_the_middle_is_no_short_file,
    a_transfer_is_resumed_where_it_was_cut,
    an_upload_is_there_whole_or_not_at_all,
    what_cannot_be_transferred_is_reported,
];

/// What matters of a file: its permissions, its time of change, and what it has in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Directory(u32, i64),
    File(u32, i64, Vec<u8>),
    Link(PathBuf),
}

/// What is below a directory.
pub(super) fn tree(root: &Path) -> BTreeMap<PathBuf, Found> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        for entry in fs::read_dir(root.join(&below)).expect("listed") {
            let entry = entry.expect("an entry");
            let (path, metadata) = (below.join(entry.file_name()), entry.metadata().expect("it"));
            let (mode, time) = (metadata.mode() & 0o7777, metadata.mtime());
            let what = if metadata.is_dir() {
                waiting.push(path.clone());
                Found::Directory(mode, time)
            } else if metadata.is_symlink() {
                Found::Link(fs::read_link(entry.path()).expect("a link"))
            } else {
                Found::File(mode, time, fs::read(entry.path()).expect("its content"))
            };
            found.insert(path, what);
        }
    }
    found
}

fn odd(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// A tree with all that trees have, and what of it is left out.
fn plant(root: &Path) {
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    fs::create_dir_all(root.join("deep/er/still")).expect("made");
    fs::create_dir_all(root.join("empty")).expect("made");
    fs::write(root.join("none"), "").expect("written");
    fs::write(root.join("deep/er/still/one"), "1").expect("written");
    fs::write(root.join("large"), pattern(1_000_000)).expect("written");
    fs::write(root.join(odd(b"not utf-8 \xff\xfe")), "odd").expect("written");
    fs::write(root.join("two\nlines \u{202e} *?'\""), "odd").expect("written");
    fs::File::create(root.join("sparse")).and_then(|f| f.set_len(300_000)).expect("written");
    fs::write(root.join("set-id"), "#!").expect("written");
    set(&root.join("set-id"), 0o6755);
    fs::write(root.join("private"), "secret").expect("written");
    set(&root.join("private"), 0o400);
    symlink("deep/er", root.join("inside")).expect("linked");
    symlink("nowhere", root.join("dangling")).expect("linked");
    symlink("../inside", root.join("deep/above")).expect("linked");
    symlink(".", root.join("deep/loop")).expect("linked");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    for path in ["deep/er/still/one", "large", "deep/er/still", "deep/er", "empty"] {
        fs::File::open(root.join(path)).and_then(|f| f.set_modified(time)).expect("a time");
    }
    set(&root.join("empty"), 0o750);
}

/// Transfers that must go well, as far as the report says.
#[track_caller]
fn up<S: Subject>(
    case: &Case<S>,
    session: &S::Session,
    from: &Path,
    to: &Path,
    how: &Transfer,
) -> Report {
    case.files(session, async |client| client.upload(from, to, how).await)
}

#[track_caller]
fn down<S: Subject>(
    case: &Case<S>,
    session: &S::Session,
    from: &Path,
    to: &Path,
    how: &Transfer,
) -> Report {
    case.files(session, async |client| client.download(from, to, how).await)
}

fn a_tree_up_and_down_is_the_same_tree<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder, how) = (case.session(), shared_folder(), Transfer::new());
    let (here, there, back) =
        (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    plant(&here);
    let report = up(case, &session, &here, &there, &how);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.files(), 8);
    // Twice: what is there is written over.
    let report = up(case, &session, &here, &there, &how);
    // But for what nobody may write any more.
    let failed: Vec<_> = report.failed().map(|entry| entry.path.clone()).collect();
    assert!(failed.is_empty() || failed == [Path::new("private")], "{failed:?}");
    for _ in 0..2 {
        let report = down(case, &session, &there, &back, &how);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.entries.len(), tree(&here).len() + 1);
    }
    let (mut sent, got) = (tree(&here), tree(&back));
    if let Some(Found::File(mode, ..)) = sent.get_mut(Path::new("set-id")) {
        assert_eq!(std::mem::replace(mode, 0o755), 0o6755);
    }
    assert!(sent == tree(&there), "up: {:?}", different(&sent, &tree(&there)));
    assert!(sent == got, "down: {:?}", different(&sent, &got));
    case.files(&session, async |client| client.remove_all(&there).await);
    assert!(!there.exists());
    case.works(&session);
}

/// The first path at which two trees differ.
fn different<'t>(
    one: &'t BTreeMap<PathBuf, Found>,
    other: &BTreeMap<PathBuf, Found>,
) -> Option<&'t PathBuf> {
    one.iter().find(|(path, found)| other.get(*path) != Some(found)).map(|(path, _)| path)
}

fn links_are_kept_followed_or_left_out<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let here = folder.path().join("a");
    fs::create_dir_all(here.join("d")).expect("made");
    fs::write(here.join("d/file"), "x").expect("written");
    symlink("d/file", here.join("file")).expect("linked");
    symlink("..", here.join("d/round")).expect("linked");
    symlink("/etc", here.join("out")).expect("linked");
    for (links, files, skipped, failed) in
        [(Links::Keep, 1, 0, 0), (Links::Skip, 1, 3, 0), (Links::Follow, 2, 1, 0)]
    {
        // Not all of /etc.
        if links == Links::Follow {
            fs::remove_file(here.join("out")).expect("removed");
        }
        let how = Transfer::new().links(links);
        for (direction, report) in [
            ("up", up(case, &session, &here, &folder.path().join(format!("up {links:?}")), &how)),
            ("down", down(case, &session, &here, &folder.path().join(format!("{links:?}")), &how)),
        ] {
            // A link that leads out is not made on this side.
            let skipped = skipped + usize::from(links == Links::Keep && direction == "down");
            let counts = (report.files(), report.skipped().count(), report.failed().count());
            assert_eq!(counts, (files, skipped, failed), "{direction} {links:?}: {report:?}");
        }
    }
    let out = folder.path().join("Keep/out");
    assert!(fs::symlink_metadata(out).is_err(), "a link that leads out");
    assert!(fs::symlink_metadata(folder.path().join("Follow/file")).expect("it").is_file());
}

fn many_small_files_share_round_trips<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (proxy, options) = case.proxy();
    let (session, folder) = (case.connect(&options), shared_folder());
    let (here, there, back) =
        (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    fs::create_dir(&here).expect("made");
    for number in 0..100 {
        fs::write(here.join(number.to_string()), pattern(1_000 + number)).expect("written");
    }
    case.files(&session, async |client| client.stat("/").await);
    // A third of what one file after another takes is still far more than is needed.
    proxy.delay(Duration::from_millis(20));
    let start = std::time::Instant::now();
    let how = Transfer::new();
    assert!(up(case, &session, &here, &there, &how).is_complete());
    assert!(down(case, &session, &there, &back, &how).is_complete());
    // One after another, this would be 100 × 2 × 3 round trips of 40 ms: 24 s.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(tree(&here) == tree(&back), "{:?}", different(&tree(&here), &tree(&back)));
}

fn a_transfer_tells_how_far_it_is<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let (here, there) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&here, pattern(500_000)).expect("written");
    let counts: Arc<(AtomicU64, AtomicU64, AtomicU64)> = Arc::default();
    let how = {
        let counts = Arc::clone(&counts);
        Transfer::new().progress(move |progress| {
            counts.0.fetch_add(1, Ordering::SeqCst);
            counts.1.fetch_max(progress.bytes, Ordering::SeqCst);
            counts.2.fetch_max(progress.files, Ordering::SeqCst);
        })
    };
    for _ in 0..2 {
        let report = up(case, &session, &here, &there, &how);
        assert_eq!((report.files(), report.bytes()), (1, 500_000));
    }
    assert!(counts.0.load(Ordering::SeqCst) > 4);
    assert_eq!(counts.1.load(Ordering::SeqCst), 500_000);
    assert_eq!(counts.2.load(Ordering::SeqCst), 1);
    let report = down(case, &session, &there, &folder.path().join("c"), &how);
    assert_eq!((report.files(), report.bytes()), (1, 500_000));
}

fn a_transfer_cut_in_the_middle_is_no_short_file<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let folder = shared_folder();
    let (here, there) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&here, pattern(5_000_000)).expect("written");
    for atomic in [false, true] {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (proxy, options) = case.proxy();
            let session = case.connect(&options);
            case.files(&session, async |client| client.stat("/").await);
            proxy.cut_after(Some(proxy.bytes(direction) + 1_500_000), direction);
            let how = Transfer::new().atomic(atomic);
            let result =
                soon("a cut transfer", || {
                    case.try_files(&session, &Bounds::default(), async |client: &Client| {
                        match direction {
                            Direction::ToServer => client.upload(&here, &there, &how).await,
                            Direction::ToClient => client.download(&here, &there, &how).await,
                        }
                    })
                });
            refused(result, Kind::ConnectionLost);
            if atomic || direction == Direction::ToClient {
                assert!(!there.exists(), "a short file, {direction:?}");
            }
            let _ = fs::remove_file(&there);
        }
    }
    let left: Vec<_> = fs::read_dir(folder.path()).expect("listed").flatten().collect();
    // What the server was told to write under another name is all that may be left.
    assert!(left.len() <= 2, "{left:?}");
}

fn a_transfer_is_resumed_where_it_was_cut<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let (here, there) = (folder.path().join("a"), folder.path().join("b"));
    let content = pattern(3_000_000);
    fs::write(&here, &content).expect("written");
    let how = Transfer::new().resume(true);
    case.files(&session, async |client| client.write(&there, &content[..1_000_001]).await);
    let report = up(case, &session, &here, &there, &how);
    assert_eq!(report.bytes(), 1_999_999);
    same("up", &fs::read(&there).expect("there"), &content);
    fs::write(folder.path().join(".c.part"), &content[..2_000_001]).expect("written");
    let back = folder.path().join("c");
    let report = down(case, &session, &there, &back, &how);
    assert_eq!(report.bytes(), 999_999);
    same("down", &fs::read(&back).expect("here"), &content);
    assert!(!folder.path().join(".c.part").exists());
}

fn an_upload_is_there_whole_or_not_at_all<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let (here, there) = (folder.path().join("a"), folder.path().join("d"));
    fs::create_dir(&here).expect("made");
    fs::write(here.join("file"), pattern(2_000_000)).expect("written");
    let how = Transfer::new().atomic(true).sync(true);
    for _ in 0..2 {
        assert!(up(case, &session, &here, &there, &how).is_complete());
        assert!(tree(&here) == tree(&there), "another tree");
    }
    // Its own name is a directory's, and the temporary one goes.
    fs::write(here.join("other"), "x").expect("written");
    case.files(&session, async |client| client.mkdir_all(there.join("other/x")).await);
    let report = up(case, &session, &here, &there, &how);
    assert_eq!(report.failed().count(), 1, "{report:?}");
    assert_eq!(fs::read_dir(&there).expect("listed").count(), 2);
}

fn what_cannot_be_transferred_is_reported<S: Subject>(case: &Case<S>) {
    if !case.serves_files() {
        return;
    }
    let (session, folder) = (case.session(), shared_folder());
    let (here, there) = (folder.path().join("a"), folder.path().join("b"));
    fs::create_dir(&here).expect("made");
    let pipe = std::process::Command::new("mkfifo").arg(here.join("pipe")).status();
    assert!(pipe.expect("mkfifo").success());
    fs::write(here.join("file"), "x").expect("written");
    for report in [
        up(case, &session, &here, &there, &Transfer::new()),
        down(case, &session, &here, &folder.path().join("c"), &Transfer::new()),
    ] {
        let skipped: Vec<_> = report.skipped().collect();
        assert_eq!(skipped.len(), 1, "{report:?}");
        assert_eq!(skipped[0].path, Path::new("pipe"));
        assert_eq!((report.files(), report.failed().count()), (1, 0), "{report:?}");
    }
    // A directory in the way of a file, and a file in that of a directory: on either side.
    fs::remove_file(there.join("file")).expect("removed");
    case.files(&session, async |client| client.mkdir(there.join("file")).await);
    let report = up(case, &session, &here, &there, &Transfer::new());
    let failed: Vec<_> = report.failed().collect();
    let [entry] = &failed[..] else { panic!("{report:?}") };
    let Outcome::Failed(SshError::File(error)) = &entry.outcome else { panic!("{entry:?}") };
    assert_eq!((error.side, error.kind), (Side::Remote, ErrorKind::IsADirectory), "{error}");
    let report = down(case, &session, &there, &folder.path().join("c"), &Transfer::new());
    let failed: Vec<_> = report.failed().collect();
    let [entry] = &failed[..] else { panic!("{report:?}") };
    let Outcome::Failed(SshError::File(error)) = &entry.outcome else { panic!("{entry:?}") };
    assert_eq!((error.side, error.kind), (Side::Local, ErrorKind::NotADirectory), "{error}");
    let nothing = folder.path().join("nothing");
    let none = case.try_files(&session, &Bounds::default(), async |client: &Client| {
        client.upload(&nothing, &there, &Transfer::new()).await
    });
    let SshError::File(error) = refused(none, Kind::File) else { panic!("another error") };
    assert_eq!((error.side, error.kind), (Side::Local, ErrorKind::NotFound), "{error}");
    assert_eq!(error.path, nothing);
}
