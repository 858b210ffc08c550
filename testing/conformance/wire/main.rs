//! Prints what is offered and agreed on (`crypto`), and what hostile servers cost (`bounds`).

use std::io;
use std::process::{Command as Program, ExitCode};

use clap::{Parser, Subcommand};
use conformance::suite::{Place, Setup, Subject, hostile};
use conformance::{BlockingRussh, Russh, SESSIONS, Ssh2, Tap};
use ssh_session::{Command, Crypto, Options, Session as _};

/// What is agreed on with servers, and what bad ones cost.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What each backend offers, and what it agrees on with each server, under each policy.
    Crypto,
    /// What each hostile server costs: peak of memory over what there was, and time until the error.
    Bounds {
        /// Only servers with this in their name.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// One of these, met by one kind of session: what is measured is this process.
    #[command(hide = true)]
    One {
        /// The kind of session.
        session: String,
        /// The server's name.
        server: String,
    },
}

const POLICIES: [&str; 3] = ["default", "modern", "compatible"];

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Crypto => match crypto() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        What::Bounds { only } => bounds(&only),
        What::One { session, server } => one(&session, &server),
    }
}

fn crypto() -> io::Result<()> {
    println!("| client, policy | server | key exchange | host key | cipher | MAC |");
    println!("|---|---|---|---|---|---|");
    let mut offers = Vec::new();
    for place in Place::ALL {
        let server = place.start(&Setup::default(), None);
        for policy in POLICIES {
            offers.push(row(&Ssh2, place, &server.options(), server.addr(), policy)?);
            offers.push(row(&Russh, place, &server.options(), server.addr(), policy)?);
        }
        let tap = Tap::start(server.addr())?;
        let port = tap.addr().port().to_string();
        let options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-F", "none"];
        let mut ssh = Program::new("ssh");
        ssh.args(options).args(["-o", "UserKnownHostsFile=/dev/null", "-p", &port]);
        // It need not get in.
        ssh.args(["nobody@127.0.0.1", "true"]).output()?;
        print_row("`ssh`", place, &tap);
    }
    println!();
    println!("Offered, whatever the server:");
    println!();
    for (who, offered) in offers.iter().take(2 * POLICIES.len()) {
        println!("* {who}: {offered}");
    }
    Ok(())
}

fn row(
    subject: &impl Subject,
    place: Place,
    options: &Options,
    server: std::net::SocketAddr,
    policy: &str,
) -> io::Result<(String, String)> {
    let tap = Tap::start(server)?;
    let mut options = options.clone();
    let user = options.target.user().to_owned();
    options.target =
        ssh_session::Target::new("127.0.0.1", tap.addr().port(), user).map_err(io::Error::other)?;
    options.crypto = Crypto::named(policy).map_err(io::Error::other)?;
    let who = format!("{}, {policy}", subject.name());
    let ran = subject.connect(&options).and_then(|session| session.exec(&Command::new("true")));
    match ran {
        Ok(_) => print_row(&who, place, &tap),
        Err(error) => println!("| {who} | {} | {error} |||||", place.name()),
    }
    let offered = tap.offered().unwrap_or_default();
    let lists = [offered.kex, offered.host_keys, offered.ciphers[0].clone()];
    let mut texts = lists.map(|list| list.join(", ")).to_vec();
    texts.push(offered.macs[0].join(", "));
    Ok((who, texts.join("; ")))
}

fn print_row(who: &str, place: Place, tap: &Tap) {
    match tap.agreed() {
        Some(agreed) => println!(
            "| {who} | {} | {} | {} | {} | {} |",
            place.name(),
            agreed.kex,
            agreed.host_key,
            agreed.cipher,
            agreed.mac.as_deref().unwrap_or("–")
        ),
        None => println!("| {who} | {} | nothing |||||", place.name()),
    }
}

fn bounds(only: &str) -> ExitCode {
    println!("| server | ssh2 | russh | blocking russh |");
    println!("|---|---|---|---|");
    let mut wrong = false;
    for case in hostile::all().iter().filter(|case| case.name.contains(only)) {
        let cells = SESSIONS.map(|session| {
            let own = std::env::current_exe();
            let met =
                own.and_then(|own| Program::new(own).args(["one", session, &case.name]).output());
            match met {
                Ok(met) => {
                    wrong |= !met.status.success();
                    String::from_utf8_lossy(&met.stdout).trim().to_owned()
                }
                Err(error) => {
                    wrong = true;
                    error.to_string()
                }
            }
        });
        println!("| {} | {} |", case.name, cells.join(" | "));
    }
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one(session: &str, server: &str) -> ExitCode {
    let cases = hostile::all();
    let Some(case) = cases.iter().find(|case| case.name == server) else {
        eprintln!("no such server");
        return ExitCode::FAILURE;
    };
    let finding = match session {
        "ssh2" => case.put(&Ssh2),
        "russh" => case.put(&Russh),
        _ => case.put(&BlockingRussh),
    };
    let peak = finding.peak as f64 / f64::from(1 << 20);
    let verdict = finding.wrong.as_ref().map(|wrong| format!(" **{wrong}**"));
    let verdict = verdict.unwrap_or_default();
    println!("{:.1} s, {peak:.0} MiB{verdict}", finding.elapsed.as_secs_f64());
    if finding.wrong.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
