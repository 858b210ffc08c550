//! Channels that are refused, come late or are closed ahead of their time. Servers that can be told
//! to do so are; the others do what they do by themselves.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use ssh_session::{Command, Kind, Process as _, Session as _};

use super::case::{SOON, at_once, pattern, read_until, refused, same, wait_until};
use super::{Case, ServerKind, Setup, Subject};
use test_servers::proxy::Direction;

super::table![
    a_channel_that_the_server_closed_is_replaced_unseen,
    a_refusal_is_heard_by_one_alone,
    a_refusal_of_what_nobody_waits_for_is_nobodys_error,
    a_refused_channel_leaves_its_room,
    what_is_sent_in_part_is_sent_whole,
    what_makes_room_for_output_is_sent_whole_beside_input,
];

fn a_channel_that_the_server_closed_is_replaced_unseen<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(100), ..Setup::default() });
    let session = case.connect(&server.options());
    let Some(embedded) = server.embedded() else { return case.works(&session) };
    // Long enough for a command on a busy machine: it would be ended with its channel.
    embedded.close_channels_after(Some(Duration::from_millis(1_200)));
    for number in 0..3 {
        // The channel of the next command is opened beside this one, and closed before it is used.
        case.works(&session);
        thread::sleep(Duration::from_millis(1_800));
        match number {
            0 => case.works(&session),
            1 => session.ping(SOON).expect("alive"),
            _ => {
                let process = case.spawn(&session, &Command::new("echo begun; cat").stdin_piped());
                read_until(&process, "begun\n");
            }
        }
        assert!(session.is_alive());
    }
}

fn a_refusal_is_heard_by_one_alone<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    let Some(embedded) = server.embedded() else {
        return case.works(&case.connect(&server.options()));
    };
    // The first is asked for at login or by the first command.
    for refusals in 1..=2 {
        (1..=refusals).for_each(|number| embedded.refuse_open(number));
        embedded.delay_opens(Duration::from_millis(300));
        let session = case.connect(&server.options());
        let barrier = Barrier::new(4);
        let errors: usize = thread::scope(|scope| {
            let run = || {
                barrier.wait();
                match session.exec(&Command::new("echo run").wait_for_channel(false)) {
                    Ok(output) => {
                        assert_eq!(output.stdout_text(), Ok("run\n"));
                        0
                    }
                    result => {
                        refused(result, Kind::ChannelRefused);
                        1
                    }
                }
            };
            let running: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert!(errors <= refusals as usize, "{errors} heard of {refusals} refusals");
        embedded.delay_opens(Duration::ZERO);
        case.works(&session);
    }
}

fn a_refusal_of_what_nobody_waits_for_is_nobodys_error<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup::default());
    let Some(embedded) = server.embedded() else {
        return case.works(&case.connect(&server.options()));
    };
    for _ in 0..3 {
        embedded.refuse_open(1);
        embedded.delay_opens(Duration::from_millis(500));
        let session = case.connect(&server.options());
        let (hasty, next) = at_once(
            || session.exec(&Command::new("true").timeout(Duration::from_millis(200))),
            || {
                thread::sleep(Duration::from_millis(50));
                session.exec(&Command::new("echo next"))
            },
        );
        let error = refused(hasty, Kind::Timeout);
        assert!(!error.may_have_started(), "{error}");
        assert_eq!(next.expect("its own channel").stdout_text(), Ok("next\n"));
        embedded.delay_opens(Duration::ZERO);
    }
}

fn a_refused_channel_leaves_its_room<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { max_sessions: Some(4), ..Setup::default() });
    let session = case.connect(&server.options());
    let Some(embedded) = server.embedded() else { return case.works(&session) };
    case.works(&session);
    // Else one that is opened ahead is refused for its sake, and little is opened ahead from then on.
    wait_until("it has ended there as well", || embedded.open_sessions() <= 1);
    let hold = Command::new("echo held; cat").stdin_piped();
    let held = [(); 4].map(|()| {
        let process = case.spawn(&session, &hold);
        read_until(&process, "held\n");
        process
    });
    for _ in 0..6 {
        let hasty = Command::new("true").wait_for_channel(false);
        refused(session.exec(&hasty), Kind::ChannelRefused);
    }
    for process in held {
        assert!(process.wait().expect("its end").success());
    }
    wait_until("all have ended", || embedded.open_sessions() <= 1);
    wait_until("channels are opened ahead again", || {
        case.works(&session);
        thread::sleep(Duration::from_millis(50));
        embedded.open_sessions() == 1
    });
}

impl<S> Case<S> {
    /// How many bytes are many: a dozen windows full of them, or few where all goes slowly.
    fn much(&self) -> usize {
        if self.place == ServerKind::Dropbear { 2_000_000 } else { 12_000_000 }
    }
}

/// Runs something while the server takes nothing for a moment, again and again.
fn while_it_stalls<S: Subject, T>(case: &Case<S>, work: impl FnOnce(&S::Session) -> T + Send) -> T
where
    T: Send,
{
    let (proxy, options) = case.proxy();
    let session = case.connect(&options);
    case.works(&session);
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&session));
        while !working.is_finished() {
            proxy.black_hole_towards(Direction::ToServer);
            thread::sleep(Duration::from_millis(40));
            proxy.resume();
            thread::sleep(Duration::from_millis(20));
        }
        match working.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn what_is_sent_in_part_is_sent_whole<S: Subject>(case: &Case<S>) {
    let input = pattern(case.much());
    while_it_stalls(case, |session| {
        let output = case.exec(session, &Command::new("cat").stdin(input.clone()));
        same("what came back", &output.stdout, &input);
    });
}

fn what_makes_room_for_output_is_sent_whole_beside_input<S: Subject>(case: &Case<S>) {
    while_it_stalls(case, |session| {
        let size = case.much();
        let input = Command::new("cat >/dev/null").stdin(vec![b'x'; size]);
        let readers = if case.capabilities().keeps_commands_apart { 4 } else { 1 };
        let output = Command::new(format!("head -c {size} /dev/zero"));
        thread::scope(|scope| {
            let read = || case.again(|| session.exec(&output));
            let reading: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
            let taken = case.again(|| session.exec(&input));
            assert!(taken.expect("all of it is taken").success());
            for reading in reading {
                let output = reading.join().expect("no panic").expect("all of it comes");
                assert_eq!(output.stdout.len(), size);
            }
        });
    });
}
