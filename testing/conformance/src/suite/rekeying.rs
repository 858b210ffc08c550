//! Servers that agree on new keys while a command runs.

use ssh_session::{Command, Process as _, Session as _};

use super::case::{at_once, numbers, pattern, read_all, same};
use super::{Case, Setup, Subject};

super::table![
    new_keys_in_the_middle_of_output_lose_nothing,
    new_keys_while_input_and_output_flow_lose_nothing,
];

fn new_keys_in_the_middle_of_output_lose_nothing<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { rekeys: true, ..Setup::default() });
    let session = case.connect(&server.options());
    let last = 2_600_000;
    let output = case.exec(&session, &Command::new(format!("seq 1 {last}")));
    assert!(output.stdout.len() > 19_000_000 && output.success());
    same("the output", &output.stdout, &numbers(last));
    case.works(&session);
    session.ping(super::case::SOON).expect("alive");
    case.works(&session);
}

fn new_keys_while_input_and_output_flow_lose_nothing<S: Subject>(case: &Case<S>) {
    let server = case.server(&Setup { rekeys: true, ..Setup::default() });
    let session = case.connect(&server.options());
    let sent = pattern(4_000_000);
    let process = case.spawn(&session, &Command::new("cat").stdin_piped());
    let write = || {
        for part in sent.chunks(100_000) {
            process.write(part).expect("written");
        }
        process.close_stdin().expect("closed");
    };
    let neighbour = || {
        let neighbours = || (0..10).for_each(|_| case.works(&session));
        at_once(neighbours, || read_all(&process)).1
    };
    let ((), (got, _)) = at_once(write, neighbour);
    same("what came back", &got, &sent);
    assert!(process.wait().expect("a status").success());
    case.works(&session);
}
