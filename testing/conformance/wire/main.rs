//! Prints what is offered and agreed on (`crypto`), and what hostile servers cost (`bounds`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::{Command as Program, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, Subcommand};
use conformance::suite::{ServerKind, Setup, Subject, hostile};
use conformance::{BlockingRussh, Russh, SESSIONS, Ssh2, Tap};
use ssh_session::{Auth, Command, Crypto, HostKeyPolicy, HostKeys, Options, Session as _};
use test_servers::keys::KeyKind;
use test_servers::sshd::{Sshd, SshdBuilder};

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
        /// How long floods go on, in seconds; deadlines are a second longer then.
        #[arg(long, default_value_t = 4)]
        flood: u64,
        /// How many are measured at once, each in a process of its own.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
    },
    /// One of these, met by one kind of session: what is measured is this process.
    #[command(hide = true)]
    One {
        /// The kind of session.
        session: String,
        /// The server's name.
        server: String,
        /// How long floods go on, in seconds.
        flood: u64,
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
        What::Bounds { only, flood, jobs } => bounds(&only, flood, jobs),
        What::One { session, server, flood } => one(&session, &server, flood),
    }
}

fn crypto() -> io::Result<()> {
    println!("| client, policy | server | key exchange | host key | cipher | MAC |");
    println!("|---|---|---|---|---|---|");
    let mut offers = Vec::new();
    for place in ServerKind::ALL {
        let server = place.start(&Setup::default(), None);
        for policy in POLICIES {
            offers.push(row(&Ssh2, place.name(), &server.options(), server.addr(), policy)?);
            offers.push(row(&Russh, place.name(), &server.options(), server.addr(), policy)?);
        }
        openssh("`ssh`", place.name(), server.addr(), &[])?;
    }
    old_server()?;
    println!();
    println!("Offered, whatever the server:");
    println!();
    for (who, offered) in offers.iter().take(2 * POLICIES.len()) {
        println!("* {who}: {offered}");
    }
    Ok(())
}

/// What was good in 2005, and nothing else.
const OLD: [&str; 4] = [
    "KexAlgorithms diffie-hellman-group14-sha1",
    "Ciphers aes128-cbc",
    "MACs hmac-sha1",
    "HostKeyAlgorithms ssh-rsa",
];

/// An sshd that has only what is old.
fn old_server() -> io::Result<()> {
    let builder = Sshd::builder().host_keys([KeyKind::Rsa2048]);
    let server = OLD.into_iter().fold(builder, SshdBuilder::option).start()?;
    let target = ssh_session::Target::new(server.host(), server.port(), server.user());
    let options = Options::new(target.map_err(io::Error::other)?)
        .auth(Auth::key_file(server.identity()))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    let address = server.addr();
    for policy in POLICIES {
        row(&Ssh2, "old sshd", &options, address, policy)?;
        row(&Russh, "old sshd", &options, address, policy)?;
    }
    openssh("`ssh`", "old sshd", address, &[])?;
    openssh("`ssh`, all four lists with `+`", "old sshd", address, &ADDED)
}

/// What `ssh` has to be told to talk to it.
const ADDED: [&str; 4] = [
    "KexAlgorithms=+diffie-hellman-group14-sha1",
    "Ciphers=+aes128-cbc",
    "MACs=+hmac-sha1",
    "HostKeyAlgorithms=+ssh-rsa",
];

/// What OpenSSH's `ssh` agrees on with a server. It need not get in.
fn openssh(who: &str, place: &str, server: SocketAddr, options: &[&str]) -> io::Result<()> {
    let tap = Tap::start(server)?;
    let mut ssh = Program::new("ssh");
    ssh.args(["-F", "none", "-p", &tap.addr().port().to_string()]);
    let usual = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    for option in usual.iter().chain(options) {
        ssh.args(["-o", option]);
    }
    let output = ssh.args(["nobody@127.0.0.1", "true"]).output()?;
    if tap.agreed().is_none() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| line.contains("no matching")).unwrap_or("nothing");
        println!("| {who} | {place} | {said} |||||");
        return Ok(());
    }
    print_row(who, place, &tap);
    Ok(())
}

fn row(
    subject: &impl Subject,
    place: &str,
    options: &Options,
    server: SocketAddr,
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
        Err(error) => println!("| {who} | {place} | {error} |||||"),
    }
    let offered = tap.offered().unwrap_or_default();
    let lists = [offered.kex, offered.host_keys, offered.ciphers[0].clone()];
    let mut texts = lists.map(|list| list.join(", ")).to_vec();
    texts.push(offered.macs[0].join(", "));
    Ok((who, texts.join("; ")))
}

fn print_row(who: &str, place: &str, tap: &Tap) {
    match tap.agreed() {
        Some(agreed) => println!(
            "| {who} | {place} | {} | {} | {} | {} |",
            agreed.kex,
            agreed.host_key,
            agreed.cipher,
            agreed.mac.as_deref().unwrap_or("–")
        ),
        None => println!("| {who} | {place} | nothing |||||"),
    }
}

fn bounds(only: &str, flood: u64, jobs: usize) -> ExitCode {
    println!("| server | ssh2 | russh | blocking russh |");
    println!("|---|---|---|---|");
    let cases = hostile::all();
    let cases: Vec<_> = cases.iter().filter(|case| case.name.contains(only)).collect();
    let (next, wrong) = (AtomicUsize::new(0), AtomicBool::new(false));
    // Rows that came before those above them.
    let rows: Mutex<BTreeMap<usize, String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    let cells =
                        SESSIONS.map(|session| match measured(session, &case.name, flood) {
                            Ok((said, is_right)) => {
                                wrong.fetch_or(!is_right, Ordering::SeqCst);
                                said
                            }
                            Err(error) => {
                                wrong.store(true, Ordering::SeqCst);
                                error.to_string()
                            }
                        });
                    let row = format!("| {} | {} |", case.name, cells.join(" | "));
                    rows.lock().unwrap_or_else(PoisonError::into_inner).insert(number, row);
                }
            });
        }
    });
    for row in rows.into_inner().unwrap_or_else(PoisonError::into_inner).values() {
        println!("{row}");
    }
    if wrong.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What one server costs one kind of session, and whether that is right.
fn measured(session: &str, server: &str, flood: u64) -> io::Result<(String, bool)> {
    let own = std::env::current_exe()?;
    let met = Program::new(own).args(["one", session, server, &flood.to_string()]).output()?;
    Ok((String::from_utf8_lossy(&met.stdout).trim().to_owned(), met.status.success()))
}

fn one(session: &str, server: &str, flood: u64) -> ExitCode {
    hostile::flood_for(Duration::from_secs(flood));
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
