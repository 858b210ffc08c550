//! Calls that end in time, whatever the peer does.

use std::time::{Duration, Instant};

use ssh_session::{Command, Kind, Process as _, Session as _, SshError};

use super::case::{SOON, read_until, refused, soon};
use super::{Case, Subject};
use test_servers::proxy::Direction;

super::table![
    a_deadline_ends_the_call_and_keeps_the_output,
    a_deadline_ends_a_call_whose_input_nobody_reads,
    a_deadline_ends_endless_output,
    a_deadline_holds_in_a_black_hole,
    a_ping_into_a_black_hole_ends_the_session_in_time,
    a_dial_ends_in_time_wherever_the_server_falls_silent,
];

const LIMIT: Duration = Duration::from_millis(400);

/// The error of a call whose deadline passed, which was neither early nor far too late.
fn timed_out<T>(work: impl FnOnce() -> Result<T, SshError>) -> SshError {
    let start = Instant::now();
    let error = refused(work(), Kind::Timeout);
    let elapsed = start.elapsed();
    assert!(elapsed >= LIMIT - Duration::from_millis(20), "after {elapsed:?}");
    assert!(elapsed < LIMIT + Duration::from_secs(4), "after {elapsed:?}");
    error
}

fn a_deadline_ends_the_call_and_keeps_the_output<S: Subject>(case: &Case<S>) {
    let session = case.session();
    {
        let command = Command::new("echo begun; echo err >&2; sleep 600").timeout(LIMIT);
        let error = timed_out(|| session.exec(&command));
        let partial = error.partial_output().expect("output");
        assert_eq!((&partial.stdout[..], &partial.stderr[..]), (&b"begun\n"[..], &b"err\n"[..]));
        assert!(error.may_have_started() && !error.is_retryable());
        case.works(&session);
    }
    // One that is not reached changes nothing.
    let output = case.exec(&session, &Command::new("echo done").timeout(SOON));
    assert_eq!(output.stdout_text(), Ok("done\n"));
}

fn a_deadline_ends_a_call_whose_input_nobody_reads<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("sleep 600").stdin(vec![b'x'; 20_000_000]).timeout(LIMIT);
    let error = timed_out(|| session.exec(&command));
    assert!(error.may_have_started());
    case.works(&session);
}

fn a_deadline_ends_endless_output<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let error =
        timed_out(|| session.exec(&Command::new("cat /dev/zero").timeout(LIMIT).max_output(None)));
    let partial = error.partial_output().expect("output");
    assert!(partial.stdout.len() > 100_000, "{}", partial.stdout.len());
    soon("the next", || case.works(&session));
}

fn a_deadline_holds_in_a_black_hole<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let [session, executing, spawning, unused] = [(); 4].map(|()| case.connect(&options));
    case.works(&executing);
    spawning.ping(SOON).expect("alive");
    let command = Command::new("echo begun; sleep 600").timeout(2 * LIMIT);
    let process = case.spawn(&session, &command);
    read_until(&process, "begun\n");
    proxy.black_hole();
    refused(soon("a read", || process.read()), Kind::Timeout);
    drop(process);
    timed_out(|| executing.exec(&Command::new("true").timeout(LIMIT)));
    timed_out(|| spawning.spawn(&Command::new("true").timeout(LIMIT)));
    let start = Instant::now();
    spawning.close();
    drop((session, executing, spawning, unused));
    assert!(start.elapsed() < Duration::from_secs(2), "dropped in {:?}", start.elapsed());
}

fn a_ping_into_a_black_hole_ends_the_session_in_time<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    session.ping(SOON).expect("alive");
    proxy.black_hole();
    timed_out(|| session.ping(LIMIT));
    assert!(!session.is_alive());
    refused(session.exec(&Command::new("true")), Kind::ConnectionLost);
}

fn a_dial_ends_in_time_wherever_the_server_falls_silent<S: Subject>(case: &Case<S>) {
    let (proxy, mut options) = case.proxy();
    options.connect_timeout = LIMIT;
    let dial = || case.subject.connect(&options);
    proxy.accept_and_say_nothing(true);
    timed_out(dial);
    proxy.accept_and_say_nothing(false);
    for (direction, bytes) in [
        (Direction::ToClient, 10),
        (Direction::ToClient, 500),
        (Direction::ToServer, 300),
        // In the login.
        (Direction::ToClient, 1_500),
        (Direction::ToServer, 1_500),
    ] {
        proxy.black_hole_after(Some(bytes), direction);
        let start = Instant::now();
        match dial() {
            // It needed less than that.
            Ok(session) => drop(session),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Timeout, "{direction:?} {bytes}: {error}");
                assert!(start.elapsed() < LIMIT + Duration::from_secs(4), "{:?}", start.elapsed());
            }
        }
        proxy.black_hole_after(None, direction);
    }
    // A trickle keeps no one waiting longer.
    proxy.throttle(Some(100));
    timed_out(dial);
    proxy.heal().expect("healed");
    options.connect_timeout = SOON;
    case.works(&case.connect(&options));
}
