//! Sessions in the hands of a pool: found dead without asking, and clean again when given back.

use std::thread;
use std::time::{Duration, Instant};

use conformance::{Pooled, for_all};
use pool_core::Backend as _;
use ssh_session::{Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Session as _, Target};
use test_servers::sshd::{PasswordUser, Sshd};

for_all![
    dead_sessions_are_noticed_without_asking_and_dropped_at_once,
    commands_given_up_are_killed_and_the_session_is_clean_again,
    a_command_that_cannot_be_killed_is_not_waited_for_and_hurts_nobody,
];

fn options(server: &Sshd, user: &str, auth: Auth) -> Options {
    let target = Target::new(server.host(), server.port(), user).expect("a target");
    let anybody = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
    Options::new(target).auth(auth).host_keys(anybody)
}

fn own(server: &Sshd) -> Options {
    options(server, server.user(), Auth::key_file(server.identity()))
}

fn dead_sessions_are_noticed_without_asking_and_dropped_at_once<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let backend = subject.backend(own(&server));
    let mut sessions: Vec<_> = (0..4).map(|_| backend.connect().expect("connected")).collect();
    for session in &mut sessions {
        assert!(S::session(session).exec(&Command::new("true")).expect("output").success());
        assert!(!backend.is_broken(session));
    }
    // One with a command under way, one with a parked channel.
    S::session(&sessions[1]).ping(Duration::from_secs(5)).expect("alive");
    let error = thread::scope(|scope| {
        let running = scope.spawn(|| S::session(&sessions[2]).exec(&Command::new("sleep 60")));
        thread::sleep(Duration::from_millis(300));
        server.kill_sessions().expect("killed");
        running.join().expect("no panic").expect_err("gone")
    });
    assert_eq!(error.kind(), Kind::ConnectionLost);
    thread::sleep(Duration::from_millis(200));
    for session in &mut sessions {
        assert!(backend.is_broken(session));
    }
    let start = Instant::now();
    drop(sessions);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
}

fn commands_given_up_are_killed_and_the_session_is_clean_again<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    // sshd 9.2 signals commands of all users but root.
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let backend = subject.backend(options(&server, user.name(), Auth::password(user.password())));
    let mut session = backend.connect().expect("connected");
    for _ in 0..15 {
        let command = Command::new("sleep 600").timeout(Duration::from_millis(100));
        let error = S::session(&session).exec(&command).expect_err("timeout");
        assert_eq!(error.kind(), Kind::Timeout);
        if backend.needs_reset(&mut session) {
            backend.reset(&mut session).expect("clean");
        }
        assert!(!backend.needs_reset(&mut session));
        backend.check(&mut session).expect("alive");
    }
}

fn a_command_that_cannot_be_killed_is_not_waited_for_and_hurts_nobody<S: Pooled>(subject: &S) {
    // sshd signals no forced command, whoever runs it, and frees its channel once it has ended.
    let forced = "ForceCommand eval \"$SSH_ORIGINAL_COMMAND\"";
    let server = Sshd::builder().option(forced).start().expect("sshd");
    let backend = subject.backend(own(&server));
    let mut session = backend.connect().expect("connected");
    let runs = |session: &_| {
        let output = S::session(session).exec(&Command::new("true"));
        assert!(output.expect("which hurts nobody").success());
    };
    // The second is out of its group as well, and holds on to the command's streams when that has
    // ended: whether its channel is closed by the time it is asked for is the server's to say.
    for (line, holds) in [("exec sleep 20", true), ("exec setsid sleep 20", false)] {
        let command = Command::new(line).timeout(Duration::from_millis(500));
        let error = S::session(&session).exec(&command).expect_err("timeout");
        assert_eq!(error.kind(), Kind::Timeout);
        assert!(!holds || backend.needs_reset(&mut session), "it holds its channel still");
        runs(&session);
        assert!(!holds || backend.needs_reset(&mut session), "and goes on to");
        let start = Instant::now();
        let settled = backend.reset(&mut session);
        assert!(start.elapsed() < Duration::from_millis(1300), "{:?}", start.elapsed());
        assert_eq!(settled.is_err(), backend.needs_reset(&mut session));
        assert!(!backend.is_broken(&mut session), "others may be at work on it");
        runs(&session);
    }
}
