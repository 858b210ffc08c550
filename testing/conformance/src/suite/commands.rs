//! Commands that are run to their end.

use std::time::{Duration, Instant};

use ssh_session::{Chunk, Command, ExitStatus, Kind, Session as _};

use super::case::{pattern, refused, same, soon, text};
use super::{Case, Environment, Subject};

super::table![
    output_errors_and_exit_code_arrive,
    every_exit_code_arrives,
    a_command_killed_by_a_signal_has_its_name,
    bytes_that_are_no_text_arrive_as_they_are,
    given_input_arrives_and_ends,
    no_input_is_an_empty_one,
    input_that_nobody_reads_is_no_error,
    ten_megabytes_on_both_streams_at_once_arrive_whole,
    long_commands_run,
    what_no_server_could_run_is_the_callers_error,
    a_variable_arrives_where_the_server_takes_it,
    a_variable_that_is_refused_is_an_error,
    a_missing_exit_status_is_an_error_with_the_output,
    output_beyond_its_limit_stops_the_command_and_what_came_is_in_the_error,
    collected_output_has_a_limit_by_itself,
    streamed_output_is_handed_on_as_it_comes,
    a_ping_leaves_commands_alone,
];

fn output_errors_and_exit_code_arrive<S: Subject>(case: &Case<S>) {
    let session = case.session();
    assert_eq!(session.target(), &case.server.options().target);
    for _ in 0..5 {
        let output = session.exec(&Command::new("echo out; echo err >&2; exit 7")).expect("output");
        assert_eq!(output.stdout_text(), Ok("out\n"));
        assert_eq!(output.stderr_text(), Ok("err\n"));
        assert_eq!(output.status, ExitStatus::Code(7));
        assert!(!output.success());
    }
    assert!(session.is_alive());
}

fn every_exit_code_arrives<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for code in [0, 1, 2, 100, 126, 127, 128, 130, 137, 143, 254, 255] {
        let output = case.exec(&session, &Command::new(format!("exit {code}")));
        assert_eq!(output.status, ExitStatus::Code(code));
        assert_eq!(output.success(), code == 0);
    }
    let output = case.exec(&session, &Command::new("/no/such/program"));
    assert_eq!(output.status, ExitStatus::Code(127));
}

fn a_command_killed_by_a_signal_has_its_name<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11)] {
        let command = Command::new(format!("echo begun; kill -{signal} $$; sleep 5"));
        let output = case.exec(&session, &command);
        assert_eq!(output.stdout_text(), Ok("begun\n"));
        assert!(
            matches!(&output.status, ExitStatus::Signal { name, .. } if name == signal),
            "{signal}: {:?}",
            output.status
        );
        assert_eq!(output.status.code(), 128 + number);
        assert!(!output.success());
    }
}

fn bytes_that_are_no_text_arrive_as_they_are<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new(r"printf '\000\377\200a\r\n\000'; printf '\303(\000' >&2");
    let output = case.exec(&session, &command);
    assert_eq!(&output.stdout[..], b"\0\xff\x80a\r\n\0");
    assert_eq!(&output.stderr[..], b"\xc3(\0");
    assert!(output.stdout_text().is_err() && output.stderr_text().is_err());
}

fn given_input_arrives_and_ends<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for length in [1, 32_768, 3_000_000] {
        let input = pattern(length);
        let output = case.exec(&session, &Command::new("cat").stdin(input.clone()));
        same("what came back", &output.stdout, &input);
        assert!(output.success());
    }
}

fn no_input_is_an_empty_one<S: Subject>(case: &Case<S>) {
    assert_eq!(text(&case.session(), "wc -c").trim(), "0");
}

fn input_that_nobody_reads_is_no_error<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for command in ["echo done", "exec 0<&-; sleep 0.2; echo done"] {
        let command = Command::new(command).stdin(vec![b'x'; 5_000_000]);
        let output = soon("a command that reads nothing", || session.exec(&command));
        let output = output.expect("output");
        assert_eq!(output.stdout_text(), Ok("done\n"));
        assert!(output.success());
    }
    case.works(&session);
}

fn ten_megabytes_on_both_streams_at_once_arrive_whole<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = "head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait";
    let output = case.exec(&session, &Command::new(command));
    assert_eq!((output.stdout.len(), output.stderr.len()), (10_000_000, 10_000_000));
    let output = session.exec(&Command::new("head -c 10000000 /dev/zero >&2; echo end"));
    let output = output.expect("output");
    assert_eq!((output.stdout_text(), output.stderr.len()), (Ok("end\n"), 10_000_000));
}

fn long_commands_run<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for length in [8_000, 33_000, Command::LONGEST - 20] {
        let command = format!("echo {}", "x".repeat(length));
        let result = session.exec(&Command::new(&command));
        if length < case.capabilities().longest_command {
            let output = result.expect("output");
            assert_eq!((output.stdout.len(), output.success()), (length + 1, true));
        } else {
            // The server ends the connection, which is never a success.
            let error = refused(result, Kind::ConnectionLost);
            assert!(!error.is_retryable() || !error.may_have_started());
            return case.works(&case.session());
        }
    }
    case.works(&session);
}

fn what_no_server_could_run_is_the_callers_error<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let long = "x".repeat(Command::LONGEST + 1);
    for (command, field) in [
        (Command::new("echo a\0b"), "command"),
        (Command::new(&long), "command"),
        (Command::new("true").env("A=B", "x"), "env"),
        (Command::new("true").env("", "x"), "env"),
        (Command::new("true").env("A", "x\0"), "env"),
        (Command::new("true").env("A", &*long), "command"),
    ] {
        let error = refused(session.exec(&command), Kind::InvalidInput);
        assert!(error.to_string().contains(field), "{error}");
        assert!(!error.may_have_started() && !error.is_retryable());
        refused(session.spawn(&command), Kind::InvalidInput);
    }
    // It would wait for ever for input that nobody can write.
    let error = refused(session.exec(&Command::new("cat").stdin_piped()), Kind::InvalidInput);
    assert!(error.to_string().contains("stdin"), "{error}");
    case.works(&session);
}

fn a_variable_arrives_where_the_server_takes_it<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("printf %s \"$GREETING\"").env("GREETING", "héllo  'you'\n$HOME");
    for _ in 0..2 {
        let result = session.exec(&command);
        match case.capabilities().environment {
            Environment::Listed | Environment::Any => {
                assert_eq!(result.expect("output").stdout_text(), Ok("héllo  'you'\n$HOME"));
            }
            Environment::Nothing => {
                let error = refused(result, Kind::RequestRefused);
                assert!(error.to_string().contains("GREETING"), "{error}");
            }
        }
        assert_eq!(text(&session, "echo \"$GREETING\""), "\n", "the next command has none of it");
    }
}

fn a_variable_that_is_refused_is_an_error<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("echo run; touch /tmp/$OTHER").env("GREETING", "x").env("OTHER", "");
    for _ in 0..12 {
        let result = session.exec(&command);
        let named = match case.capabilities().environment {
            Environment::Any => {
                result.expect("output");
                continue;
            }
            Environment::Listed => "OTHER",
            Environment::Nothing => "GREETING",
        };
        let error = refused(result, Kind::RequestRefused);
        assert!(error.to_string().contains(named), "{error}");
        assert!(!error.may_have_started(), "it did not run without the variable");
    }
    // More often than the server has slots.
    case.works(&session);
}

fn a_missing_exit_status_is_an_error_with_the_output<S: Subject>(case: &Case<S>) {
    let server = case.server(&super::Setup::default());
    let session = case.connect(&server.options());
    server.omit_exit_status(true);
    let result = session.exec(&Command::new("echo hi"));
    if case.capabilities().omits_status {
        let error = refused(result, Kind::NoExitStatus);
        assert_eq!(&error.partial_output().expect("output").stdout[..], b"hi\n");
        assert!(error.may_have_started() && !error.is_retryable());
        let process = case.spawn(&session, &Command::new("echo hi"));
        refused(ssh_session::Process::wait(process), Kind::NoExitStatus);
    } else {
        assert!(result.expect("output").success());
    }
    server.omit_exit_status(false);
    case.works(&session);
}

fn output_beyond_its_limit_stops_the_command_and_what_came_is_in_the_error<S: Subject>(
    case: &Case<S>,
) {
    let line = case.line();
    let endless = "head -c 50000 /dev/zero >&2; exec cat /dev/zero";
    for limit in [100_000, 2_500_000, 0] {
        let command = Command::new(endless).max_output(limit);
        let result = soon("the limit", || line.again(|session| session.exec(&command)));
        let error = refused(result, Kind::OutputLimit);
        let partial = error.partial_output().expect("output");
        assert_eq!(partial.stdout.len().max(partial.stderr.len()), limit, "{error}");
        assert!(partial.stdout.len().min(partial.stderr.len()) <= 50_000);
        assert!(error.may_have_started() && !error.is_retryable());
        assert!(error.to_string().contains("max_output"), "{error}");
        // On the same session, but where the server dies of a channel closed in mid-output.
        let next = line.again(|session| session.exec(&Command::new("echo next")));
        assert_eq!(next.expect("output").stdout_text(), Ok("next\n"));
    }
    // What is just as long is no error.
    let mut options = case.server.options();
    options.max_output = Some(100_000);
    let session = case.connect(&options);
    let exact = Command::new("head -c 100000 /dev/zero");
    assert_eq!(case.exec(&session, &exact).stdout.len(), 100_000);
    let more = Command::new("head -c 100001 /dev/zero").max_output(None);
    assert_eq!(case.exec(&session, &more).stdout.len(), 100_001);
    let more = Command::new("head -c 100001 /dev/zero >&2");
    refused(case.again(|| session.exec(&more)), Kind::OutputLimit);
}

fn collected_output_has_a_limit_by_itself<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let command = Command::new("exec cat /dev/zero");
    let error = refused(case.again(|| session.exec(&command)), Kind::OutputLimit);
    assert_eq!(error.partial_output().expect("output").stdout.len(), 64 << 20);
}

fn streamed_output_is_handed_on_as_it_comes<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let (mut out, mut err, mut early) = (0, 0, false);
    let start = Instant::now();
    let command =
        Command::new("echo begun; sleep 0.5; head -c 100000000 /dev/zero; echo >&2; exit 5");
    let status = session.stream(&command, |chunk| {
        early |= start.elapsed() < Duration::from_millis(450);
        match chunk {
            Chunk::Stdout(bytes) => out += bytes.len(),
            Chunk::Stderr(bytes) => err += bytes.len(),
        }
    });
    assert_eq!(status.expect("a status").code(), 5);
    assert_eq!((out, err, early), (100_000_006, 1, true));
    let mut read = 0;
    let slow = Command::new("head -c 5000000 /dev/zero");
    let status = session.stream(&slow, |chunk| {
        if read < 1_000_000 {
            std::thread::sleep(Duration::from_millis(10));
        }
        read += chunk.bytes().len();
    });
    assert!(status.expect("a status").success() && read == 5_000_000, "{read}");
    refused(session.stream(&Command::new("cat").stdin_piped(), |_| {}), Kind::InvalidInput);
    case.works(&session);
}

fn a_ping_leaves_commands_alone<S: Subject>(case: &Case<S>) {
    let session = case.session();
    for _ in 0..3 {
        session.ping(super::case::SOON).expect("alive");
        session.ping(super::case::SOON).expect("alive");
        case.works(&session);
    }
    assert!(session.is_alive());
}
