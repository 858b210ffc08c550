//! Many commands at once on one session.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ssh_session::{Command, Process as _, Session as _};

use super::case::{at_once, text, try_read_all};
use super::{Case, Subject};

super::table![
    five_threads_run_forty_commands_each,
    a_slow_command_does_not_delay_its_neighbours,
    processes_and_commands_run_side_by_side,
    opening_at_the_same_moment_mixes_nothing_up,
];

/// Runs something in several threads; a panic of any is the case's own.
fn in_threads(count: usize, work: impl Fn(usize) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

fn five_threads_run_forty_commands_each<S: Subject>(case: &Case<S>) {
    let line = case.line();
    in_threads(5, |thread| {
        for number in 0..40 {
            let size = 1 + (thread * 7919 + number * 104_729) % 200_000;
            let command = Command::new(format!(
                "echo {thread}-{number} >&2; head -c {size} /dev/zero; exit {number}"
            ));
            let output = line
                .again(|session| session.exec(&command))
                .unwrap_or_else(|error| panic!("command {number} of thread {thread}: {error}"));
            assert_eq!(output.stderr_lossy(), format!("{thread}-{number}\n"));
            assert_eq!(output.stdout.len(), size);
            assert_eq!(output.status.code() as usize, number);
        }
    });
}

fn a_slow_command_does_not_delay_its_neighbours<S: Subject>(case: &Case<S>) {
    let session = case.session();
    let (slow, elapsed) = at_once(
        || {
            let start = Instant::now();
            assert_eq!(text(&session, "sleep 2; echo slow"), "slow\n");
            start.elapsed()
        },
        || {
            thread::sleep(Duration::from_millis(200));
            let start = Instant::now();
            for _ in 0..5 {
                case.works(&session);
            }
            start.elapsed()
        },
    );
    assert!(elapsed + Duration::from_millis(200) < slow, "{elapsed:?} beside {slow:?}");
}

fn processes_and_commands_run_side_by_side<S: Subject>(case: &Case<S>) {
    let session = case.line();
    in_threads(4, |thread| {
        for number in 0..10 {
            let line = format!("{thread}-{number}\n");
            let spawn = |session: &S::Session| {
                let process = session.spawn(&Command::new("cat; exit 2").stdin_piped())?;
                process.write(line.as_bytes())?;
                process.close_stdin()?;
                let output = try_read_all(&process)?.0;
                process.wait().map(|status| (output, status.code()))
            };
            let exec = |session: &S::Session| {
                let command = Command::new("cat; exit 2").stdin(line.clone());
                session.exec(&command).map(|output| (output.stdout.to_vec(), output.status.code()))
            };
            let result = if thread % 2 == 0 { session.again(spawn) } else { session.again(exec) };
            assert_eq!(result.expect("output"), (line.into_bytes(), 2));
        }
    });
}

fn opening_at_the_same_moment_mixes_nothing_up<S: Subject>(case: &Case<S>) {
    let session = case.line();
    for _ in 0..5 {
        let barrier = Barrier::new(5);
        in_threads(5, |thread| {
            barrier.wait();
            let line = format!("echo {thread}; cat");
            let input = vec![b'0' + thread as u8; 10_000];
            let command = Command::new(line).stdin(input.clone());
            let output = session.again(|session| session.exec(&command)).expect("output");
            let expected = [format!("{thread}\n").as_bytes(), &input].concat();
            assert!(output.stdout == expected, "thread {thread} got {output:?}");
        });
    }
}
