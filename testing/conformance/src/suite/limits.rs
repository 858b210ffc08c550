//! Servers that open so many session channels on a connection and no more.

use ssh_session::{Command, Kind, Process as _, Session as _, SshError};

use super::case::{SOON, read_until, refused};
use super::{Case, Setup, Subject};

super::table![
    a_refused_channel_is_not_a_dead_session,
    one_slot_serves_command_after_command,
    one_slot_is_free_again_after_every_kind_of_end,
    ten_slots_serve_ten_commands_at_once,
];

/// Something that holds a slot until it is dropped.
const HOLD: &str = "echo held; exec sleep 600";

/// Whether a refusal says what it has to.
fn is_a_refusal<T>(result: Result<T, SshError>) {
    let error = refused(result, Kind::ChannelRefused);
    assert!(error.is_retryable() && !error.may_have_started(), "{error}");
}

fn a_refused_channel_is_not_a_dead_session<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(2), ..Setup::default() });
    let session = case.connect(&server.options());
    let held = [(); 2].map(|()| {
        let process = case.spawn(&session, &Command::new(HOLD));
        read_until(&process, "held\n");
        process
    });
    if !case.capabilities().limits_sessions {
        return case.works(&session);
    }
    let hasty = Command::new("echo run").wait_for_channel(false);
    for _ in 0..3 {
        is_a_refusal(session.exec(&hasty));
        is_a_refusal(session.spawn(&hasty));
        assert!(session.is_alive());
        session.ping(SOON).expect("a refusal is a sign of life");
    }
    for process in held {
        drop(process);
        drop(case.spawn(&session, &Command::new("true")));
    }
    let result = case.again(|| case.spawn(&session, &Command::new("true")).wait());
    assert!(result.expect("a status").success());
    assert!(session.is_alive());
}

fn one_slot_serves_command_after_command<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(1), ..Setup::default() });
    let session = case.connect(&server.options());
    for _ in 0..20 {
        case.works(&session);
    }
    for _ in 0..3 {
        session.ping(SOON).expect("alive");
        case.works(&session);
    }
    let held = case.spawn(&session, &Command::new(HOLD));
    read_until(&held, "held\n");
    session.ping(SOON).expect("a session without a free slot is alive");
    assert!(session.is_alive());
}

fn one_slot_is_free_again_after_every_kind_of_end<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(1), ..Setup::default() });
    let session = case.connect(&server.options());
    for command in ["exit 3", "kill -KILL $$", "exec 1>&- 2>&-; sleep 0.1"] {
        session.exec(&Command::new(command)).unwrap_or_else(|error| panic!("{command}: {error}"));
        case.works(&session);
        let process = case.spawn(&session, &Command::new(command));
        process.wait().unwrap_or_else(|error| panic!("{command}: {error}"));
        case.works(&session);
    }
}

fn ten_slots_serve_ten_commands_at_once<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    let session = case.connect(&server.options());
    // A channel opened ahead would take a slot that the tenth command wants.
    case.works(&session);
    let held: Vec<_> = (0..10)
        .map(|_| {
            let process = case.spawn(&session, &Command::new(HOLD));
            read_until(&process, "held\n");
            process
        })
        .collect();
    let eleventh = session.exec(&Command::new("echo works").wait_for_channel(false));
    if case.capabilities().limits_sessions {
        is_a_refusal(eleventh);
    } else {
        assert_eq!(eleventh.expect("output").stdout_text(), Ok("works\n"));
    }
    drop(held);
    case.works(&session);
    assert!(session.is_alive());
}
