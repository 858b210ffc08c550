//! How long many connections at once take to log in, for each size of the gate that they pass.
//!
//! An sshd with `MaxStartups 10:30:100`, as by default, and so many threads that each open a
//! connection of their own at the same moment.

use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use conformance::suite::Subject;
use conformance::{BlockingRussh, Russh, SESSIONS, Ssh2};
use serde::Serialize;
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Options, Target};
use test_servers::sshd::Sshd;

/// Opens many connections at once through gates of several sizes.
#[derive(Parser)]
struct Arguments {
    /// Print `[{"session", "gate", "logged_in", "of", "seconds", "turned_away"}]`.
    #[arg(long)]
    json: bool,
    /// Only this kind of session.
    #[arg(long, value_parser = SESSIONS)]
    session: Option<String>,
    /// How many connections at once.
    #[arg(long, default_value_t = 60)]
    connections: usize,
    /// How many rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many may be under way at once, in each column.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16")]
    gates: Vec<usize>,
}

/// What came of one size of the gate.
#[derive(Serialize)]
struct Row {
    session: &'static str,
    gate: usize,
    /// In the worst of the rounds.
    logged_in: usize,
    of: usize,
    seconds: f64,
    /// By the server, in all rounds together.
    turned_away: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    rows.extend(measure(&Ssh2, &arguments)?);
    rows.extend(measure(&Russh, &arguments)?);
    rows.extend(measure(&BlockingRussh, &arguments)?);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    let all = !rows.is_empty() && rows.iter().all(|row| row.logged_in == row.of);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure<S: Subject>(subject: &S, arguments: &Arguments) -> Result<Vec<Row>> {
    if arguments.session.as_deref().is_some_and(|name| name != subject.name()) {
        return Ok(Vec::new());
    }
    let (of, rounds) = (arguments.connections, arguments.rounds.max(1));
    let mut played: Vec<_> = arguments.gates.iter().map(|gate| (*gate, Vec::new())).collect();
    // In turn, so that all sizes see the same of what else the machine does.
    for _ in 0..rounds {
        for (gate, results) in &mut played {
            results.push(round(subject, *gate, of)?);
        }
    }
    let row = |(gate, mut results): (usize, Vec<Round>)| {
        results.sort_by_key(|result| result.time);
        Row {
            session: subject.name(),
            gate,
            logged_in: results.iter().map(|result| result.logged_in).min().unwrap_or(0),
            of,
            seconds: results[results.len() / 2].time.as_secs_f64(),
            turned_away: results.iter().map(|result| result.turned_away).sum(),
        }
    };
    Ok(played.into_iter().map(row).collect())
}

struct Round {
    logged_in: usize,
    time: Duration,
    turned_away: usize,
}

fn round<S: Subject>(subject: &S, gate: usize, connections: usize) -> Result<Round> {
    let server = Sshd::builder().max_startups("10:30:100").start().context("no sshd")?;
    let target = Target::new(server.host(), server.port(), server.user())?;
    let mut options = Options::new(target)
        .auth(Auth::key_file(server.identity()))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    (options.max_startups, options.connect_timeout) = (gate, Duration::from_secs(60));
    let together = Barrier::new(connections + 1);
    let (sessions, time) = thread::scope(|scope| {
        let dial = || {
            together.wait();
            subject.connect(&options).inspect_err(|error| eprintln!("{error}")).ok()
        };
        let dials: Vec<_> = (0..connections).map(|_| scope.spawn(dial)).collect();
        together.wait();
        let start = Instant::now();
        // They stay open until all are.
        let sessions: Vec<_> =
            dials.into_iter().filter_map(|dial| dial.join().ok().flatten()).collect();
        (sessions, start.elapsed())
    });
    Ok(Round { logged_in: sessions.len(), time, turned_away: server.refused_startups() })
}

fn print(rows: &[Row]) {
    println!("| session | gate | logged in | seconds | of the best | turned away |");
    println!("|---|--:|--:|--:|--:|--:|");
    for row in rows {
        let same = rows.iter().filter(|other| other.session == row.session);
        let best = same.map(|other| other.seconds).fold(f64::INFINITY, f64::min);
        let Row { session, gate, logged_in, of, seconds, turned_away } = row;
        let ratio = seconds / best;
        println!(
            "| {session} | {gate} | {logged_in} of {of} | {seconds:.2} | {ratio:.2} | {turned_away} |"
        );
    }
}
