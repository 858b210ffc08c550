//! Commands as another user: by real `sudo` on real sshd, and by one that a test wrote.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{for_each_library, on_embedded};
use hussh::sync::{ConnectionPool, Library, MultiConnection};
use hussh::{Become, BecomeProblem, Chunk, Command, Error, Kind, SshError};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};
use test_servers::sudo::Sudoers;

for_each_library! {
    sudo_asks_for_the_password_and_runs_the_command_as_another_user
    what_sudo_refuses_is_told_and_did_not_start
    input_and_output_are_the_commands_alone
    a_wrong_password_is_sent_once_and_stands_in_no_command_line
    commands_that_are_spawned_or_streamed_and_many_hosts_have_it_too
}

/// A user of the system who may log in, and a pool of its connections.
fn logged_in<L: Library>() -> (Sshd, PasswordUser, ConnectionPool<L>) {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user");
    let pool = ConnectionPool::builder(server.host(), user.name())
        .port(server.port())
        .password(user.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("valid");
    (server, user, pool)
}

fn refused(result: Result<hussh::Output, Error>) -> (BecomeProblem, String) {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), Some(Kind::Become), "{error}");
    assert!(!error.may_have_started() && !error.is_retryable());
    let Some(SshError::Become(refused)) = error.ssh() else { panic!("{error}") };
    (refused.problem, error.to_string())
}

fn sudo_asks_for_the_password_and_runs_the_command_as_another_user<L: Library>() {
    let (_server, user, pool) = logged_in::<L>();
    let _rules = Sudoers::add(&format!("{} ALL=(ALL) ALL", user.name())).expect("rules");
    let id = Command::new("id -un; echo $(cat) >&2").stdin("input");
    let run = |from: Become| pool.execute_with(&id.clone().become_user(from)).expect("output");
    let output = run(Become::sudo().password(user.password()));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"root\n"[..], &b"input\n"[..]));
    assert!(output.success());
    let (asked, password) = (Arc::new(AtomicUsize::new(0)), user.password().to_owned());
    let count = Arc::clone(&asked);
    let ask = move |_: &hussh::Target| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(password.clone().into())
    };
    let output = run(Become::sudo().user("nobody").ask_password(ask));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"nobody\n"[..], &b"input\n"[..]));
    assert!(asked.load(Ordering::SeqCst) <= 1, "sudo may remember the first");
}

fn what_sudo_refuses_is_told_and_did_not_start<L: Library>() {
    let (_server, user, pool) = logged_in::<L>();
    let started = user.home().join("started");
    let touch = Command::new(format!("touch {}", started.display()));
    let run = |from: Become| refused(pool.execute_with(&touch.clone().become_user(from)));
    let password = || Become::sudo().password(user.password());
    assert_eq!(run(password()).0, BecomeProblem::NotAllowed);
    let rules = Sudoers::add(&format!("{} ALL=(ALL) ALL", user.name())).expect("rules");
    let (problem, text) = run(Become::sudo().password("wrong-password"));
    assert_eq!(problem, BecomeProblem::WrongPassword);
    assert!(!text.contains("wrong-password") && text.contains("sudo"), "{text}");
    assert_eq!(run(Become::sudo()).0, BecomeProblem::PasswordNeeded);
    assert_eq!(run(Become::sudo().ask_password(|_| None)).0, BecomeProblem::NoPassword);
    assert_eq!(run(password().user("no-such-user")).0, BecomeProblem::NoSuchUser);
    drop(rules);
    let rules = format!("Defaults:{0} requiretty\n{0} ALL=(ALL) NOPASSWD: ALL", user.name());
    let _rules = Sudoers::add(&rules).expect("rules");
    let (problem, text) = run(Become::sudo());
    assert_eq!(problem, BecomeProblem::TerminalNeeded, "{text}");
    assert!(text.contains("requiretty"), "{text}");
    assert!(!started.exists());
    assert!(pool.execute("true").expect("it goes on").success());
    assert_eq!(pool.connections(), 1);
}

fn input_and_output_are_the_commands_alone<L: Library>() {
    let server = EmbeddedServer::builder().start().expect("a server");
    let pool = on_embedded::<L>(&server).build().expect("a pool");
    // More than any window, both ways at once.
    let input: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 7) as u8).collect();
    let cat = Command::new("cat").stdin(input.clone()).become_user(Become::sudo().user("nobody"));
    let output = pool.execute_with(&cat.clone().timeout(Duration::from_secs(120))).expect("output");
    assert!(output.stdout == input && output.stderr.is_empty() && output.success());
    let quotes = r#"printf %s 'it'"'"'s "$HOME" `id -un`'; exit 7"#;
    let quotes = Command::new(quotes).become_user(Become::sudo());
    let output = pool.execute_with(&quotes).expect("output");
    assert_eq!(output.stdout_lossy(), r#"it's "$HOME" `id -un`"#);
    assert_eq!(output.status.code(), 7);
    let error = pool.execute_with(&cat.max_output(1000)).expect_err("too much");
    assert_eq!(error.kind(), Some(Kind::OutputLimit), "{error}");
    let sleep = Command::new("echo on; exec sleep 600").become_user(Become::sudo());
    let error = pool.execute_with(&sleep.timeout(Duration::from_secs(2))).expect_err("late");
    assert!(error.is_timeout() && error.may_have_started(), "{error}");
    assert_eq!(error.partial_output().map(|partial| &partial.stdout[..]), Some(&b"on\n"[..]));
}

fn a_wrong_password_is_sent_once_and_stands_in_no_command_line<L: Library>() {
    let server = EmbeddedServer::builder().start().expect("a server");
    let pool = on_embedded::<L>(&server).build().expect("a pool");
    let folder = tempfile::tempdir().expect("a folder");
    let (sudo, said, lines) =
        (folder.path().join("sudo"), folder.path().join("said"), folder.path().join("lines"));
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).expect("a link");
    let path = folder.path().display().to_string();
    let missing = Command::new("true").env("PATH", path).become_user(Become::sudo());
    assert_eq!(refused(pool.execute_with(&missing)).0, BecomeProblem::Missing);
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}\nwhile printf %s \"$3\" >&2 && IFS= read -r line; do\n\
         echo \"$line\" >> {}; echo 'Sorry, try again.' >&2; done",
        lines.display(),
        said.display()
    );
    fs::write(&sudo, script).expect("written");
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).expect("a program");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let command = Command::new("true").env("PATH", path).stdin("the command's own");
    let command = command.become_user(Become::sudo().password("pass-word"));
    let (problem, text) = refused(pool.execute_with(&command));
    assert_eq!(problem, BecomeProblem::WrongPassword);
    assert!(text.contains("Sorry, try again.") && !text.contains("hussh-ask"), "{text}");
    assert_eq!(fs::read_to_string(&said).expect("there"), "pass-word\n");
    assert!(!fs::read_to_string(&lines).expect("there").contains("pass-word"));
}

fn commands_that_are_spawned_or_streamed_and_many_hosts_have_it_too<L: Library>() {
    let server = EmbeddedServer::builder().start().expect("a server");
    let pool = on_embedded::<L>(&server).build().expect("a pool");
    let connection = pool.get().expect("a connection");
    let command = Command::new("id -un; cat").become_user(Become::sudo().user("nobody"));
    let mut streamed = Vec::new();
    let status = connection.execute_streamed(&command.clone().stdin("streamed"), |chunk| {
        if let Chunk::Stdout(bytes) = chunk {
            streamed.extend_from_slice(&bytes);
        }
    });
    assert!(status.expect("a status").success());
    assert_eq!(streamed, b"nobody\nstreamed");
    let process = connection.spawn(&command.clone().stdin_piped()).expect("spawned");
    process.write("piped").expect("written");
    process.close_stdin().expect("closed");
    let mut piped = Vec::new();
    while let Some(Chunk::Stdout(bytes)) = process.read().expect("output") {
        piped.extend_from_slice(&bytes);
    }
    assert_eq!(piped, b"nobody\npiped");
    assert!(process.wait().expect("a status").success());
    let other = EmbeddedServer::builder().password(server.password()).start().expect("a server");
    let fleet = MultiConnection::<L>::builder()
        .username(server.user())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .hosts([&server, &other].map(|server| format!("{}:{}", server.host(), server.port())))
        .build()
        .expect("valid");
    let results = fleet.execute_with(&command.stdin("all")).expect("valid").wait();
    assert!(results.success(), "{results:?}");
    assert!(results.ok().all(|(_, output)| &output.stdout[..] == b"nobody\nall"));
}

#[cfg(feature = "russh")]
#[tokio::test]
async fn tasks_can_do_it_too() {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user");
    let _rules = Sudoers::add(&format!("{} ALL=(ALL) ALL", user.name())).expect("rules");
    let pool = hussh::AsyncConnectionPool::builder(server.host(), user.name())
        .port(server.port())
        .password(user.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
        .build()
        .expect("valid");
    let password = user.password().to_owned();
    let from = Become::sudo().ask_password(move |_| Some(password.clone().into()));
    let command = Command::new("id -un; cat").stdin("input").become_user(from);
    let output = pool.execute_with(&command).await.expect("output");
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"root\ninput"[..], &b""[..]));
    let wrong = command.become_user(Become::sudo().password("wrong"));
    // sudo may remember that the first was right.
    let wrong = pool.execute_with(&wrong).await;
    assert!(wrong.as_ref().map_or_else(|error| error.kind() == Some(Kind::Become), |_| true));
}
