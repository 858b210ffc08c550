//! Files by SCP.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ssh_session::scp::{Direction, Job};
use ssh_session::sftp::{Outcome, Report, Transfer};
use ssh_session::{Kind, Session as _, Side, SshError};

use super::case::{SOON, pattern, refused, same, wait_until};
use super::files::shared_folder;
use super::trees::tree;
use super::{Case, Subject};
use test_servers::proxy;

super::table![
    a_tree_goes_up_and_down_by_scp_and_is_the_same,
    a_file_goes_by_scp_under_the_name_it_is_given,
    scp_says_what_is_not_there_and_where,
    a_download_by_scp_cut_in_the_middle_is_no_short_file,
];

impl<S: Subject> Case<S> {
    fn scp(
        &self,
        session: &S::Session,
        direction: Direction,
        remote: &Path,
        local: &Path,
        transfer: &Transfer,
    ) -> Result<Report, SshError> {
        let job = Job { target: session.target(), remote, local, transfer };
        self.again(|| self.subject.scp(session, direction, job, SOON))
    }
}

#[track_caller]
fn complete(report: Result<Report, SshError>) -> Report {
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    let left_out: Vec<_> = report
        .entries
        .iter()
        .filter(|entry| matches!(entry.outcome, Outcome::Failed(_) | Outcome::Skipped(_)))
        .collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    report
}

fn a_tree_goes_up_and_down_by_scp_and_is_the_same<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let folder = shared_folder();
    let (here, back) = (folder.path().join("it's here"), folder.path().join("back"));
    let there = folder.path().join("the $(re)mote; one");
    for directory in ["", "a", "a/b c", "empty"] {
        fs::create_dir(here.join(directory)).expect("made");
    }
    let odd = OsStr::from_bytes(b"not \xff text");
    for (name, length) in [("a/empty", 0), ("a/one", 1), ("a/b c/'quoted'", 300_000)] {
        fs::write(here.join(name), pattern(length)).expect("written");
    }
    fs::write(here.join(odd), pattern(5_000)).expect("written");
    fs::set_permissions(here.join("a/one"), fs::Permissions::from_mode(0o640)).expect("set");
    let transfer = Transfer::new();
    let report = complete(case.scp(&session, Direction::Upload, &there, &here, &transfer));
    assert_eq!((report.files(), report.bytes()), (4, 305_001));
    assert_eq!(tree(&there), tree(&here));
    let report = complete(case.scp(&session, Direction::Download, &there, &back, &transfer));
    assert_eq!((report.files(), report.bytes()), (4, 305_001));
    assert_eq!(tree(&back), tree(&here));
    // Once more, over what is there.
    let _ = complete(case.scp(&session, Direction::Upload, &there, &here, &transfer));
    assert_eq!(tree(&there), tree(&here));
    case.works(&session);
}

fn a_file_goes_by_scp_under_the_name_it_is_given<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let folder = shared_folder();
    let [here, there, back] = ["here", "there", "back"].map(|name| folder.path().join(name));
    let content = pattern(3_000_000);
    fs::write(&here, &content).expect("written");
    let transfer = Transfer::new().preserve(false);
    let _ = complete(case.scp(&session, Direction::Upload, &there, &here, &transfer));
    same("what is there", &fs::read(&there).expect("there"), &content);
    let _ = complete(case.scp(&session, Direction::Download, &there, &back, &transfer));
    same("what came back", &fs::read(&back).expect("there"), &content);
    let impossible = Transfer::new().resume(true);
    let resumed = case.scp(&session, Direction::Download, &there, &back, &impossible);
    refused(resumed, Kind::InvalidInput);
}

fn scp_says_what_is_not_there_and_where<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let folder = shared_folder();
    let (nothing, transfer) = (folder.path().join("nothing"), Transfer::new());
    let target = folder.path().join("target");
    let file = |result: Result<Report, SshError>| match refused(result, Kind::File) {
        SshError::File(error) => error,
        error => panic!("{error}"),
    };
    let error = file(case.scp(&session, Direction::Download, &nothing, &target, &transfer));
    assert_eq!((error.side, error.kind), (Side::Remote, ErrorKind::NotFound), "{error}");
    assert!(!target.exists());
    let error = file(case.scp(&session, Direction::Upload, &target, &nothing, &transfer));
    assert_eq!((error.side, error.kind), (Side::Local, ErrorKind::NotFound), "{error}");
    fs::write(&nothing, "something").expect("written");
    let missing = folder.path().join("no directory/target");
    let error = file(case.scp(&session, Direction::Upload, &missing, &nothing, &transfer));
    assert_eq!((error.side, error.kind), (Side::Remote, ErrorKind::NotFound), "{error}");
    case.works(&session);
}

fn a_download_by_scp_cut_in_the_middle_is_no_short_file<S: Subject>(case: &Case<S>) {
    let folder = shared_folder();
    let there = folder.path().join("there");
    fs::write(&there, pattern(5_000_000)).expect("written");
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    case.works(&session);
    let direction = proxy::Direction::ToClient;
    proxy.cut_after(Some(proxy.bytes(direction) + 1_500_000), direction);
    let here = folder.path().join("here");
    fs::create_dir(&here).expect("made");
    let done = case.scp(&session, Direction::Download, &there, &here.join("f"), &Transfer::new());
    refused(done, Kind::ConnectionLost);
    wait_until("nothing is left of it", || fs::read_dir(&here).expect("listed").next().is_none());
}
