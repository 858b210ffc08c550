//! Calls that end in time, whatever the peer does.

use std::time::{Duration, Instant};

use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Process as _, Route, Session as _,
    SshError, Target,
};

use super::case::{SOON, read_until, refused, soon};
use super::{Case, Setup, Subject};
use test_servers::embedded::EmbeddedServer;
use test_servers::proxy::Direction;

super::table![
    a_deadline_ends_the_call_and_keeps_the_output,
    a_deadline_ends_a_call_whose_input_nobody_reads,
    a_deadline_ends_endless_output,
    a_deadline_holds_in_a_black_hole,
    a_deadline_covers_the_wait_for_a_channel,
    a_ping_into_a_black_hole_ends_the_session_in_time,
    a_dial_ends_in_time_wherever_the_server_falls_silent,
    each_jump_host_has_its_own_time,
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

fn a_deadline_covers_the_wait_for_a_channel<S: Subject>(case: &Case<S>) {
    let (proxy, options) = case.proxy();
    let [executing, spawning] = [(); 2].map(|()| case.connect(&options));
    proxy.black_hole();
    timed_out(|| executing.exec(&Command::new("true").timeout(LIMIT)));
    timed_out(|| spawning.spawn(&Command::new("true").timeout(LIMIT)));

    let server = case.server(&Setup::default());
    let Some(embedded) = server.embedded() else { return };
    let late = Duration::from_secs(2);
    embedded.delay_opens(late);
    let in_time = |command: Command, limit: Duration, bound: Duration| {
        let session = case.connect(&server.options());
        let start = Instant::now();
        let error = refused(session.exec(&command.timeout(limit)), Kind::Timeout);
        let elapsed = start.elapsed();
        assert!((limit..bound).contains(&elapsed), "after {elapsed:?}, not {limit:?}: {error}");
        error
    };
    // It passes before the channel comes, and a while after that: it began with the call.
    assert!(!in_time(Command::new("true"), LIMIT, late).may_have_started());
    let limit = late + LIMIT;
    assert!(in_time(Command::new("sleep 600"), limit, limit + late).may_have_started());
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

fn each_jump_host_has_its_own_time<S: Subject>(case: &Case<S>) {
    // Jump hosts that answer late are embedded ones; that is so wherever they lead to.
    if case.server.embedded().is_none() {
        return case.works(&case.session());
    }
    let [first, second] = [(); 2].map(|()| EmbeddedServer::start().expect("embedded server"));
    let mut hops = [&first, &second].map(|server| {
        let target = Target::new(server.host(), server.port(), server.user()).expect("a target");
        Options::new(target)
            .auth(Auth::key_file(server.identity()))
            .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
    });
    // What the second takes is more than the first has, and as much as it has itself.
    second.delay_auth(Duration::from_secs(2));
    hops[0].connect_timeout = Duration::from_millis(1_500);
    let mut options = case.server.options();
    options.connect_timeout = 2 * SOON;
    let options = options.route(Route::Jump(hops.to_vec()));
    case.works(&case.connect(&options));
    assert_eq!((first.handshakes(), second.handshakes()), (1, 1));
    // And one that takes longer than it has is not waited for.
    hops[1].connect_timeout = Duration::from_millis(500);
    let start = Instant::now();
    let error =
        refused(case.subject.connect(&options.route(Route::Jump(hops.to_vec()))), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}: {error}", start.elapsed());
}
