//! Servers for tests that are not written in Rust: `serve sshd [OPTION…]` or `serve embedded`.
//!
//! Prints one line of JSON with what a client has to know, then answers each line of its input with
//! one of JSON. All it started ends with its input. Options of sshd are lines of
//! `sshd_config(5)`; the word `password-user` makes a user with a password, for which it has to
//! run as root.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("sshd") => sshd(arguments.collect()),
        Some("embedded") => embedded(),
        _ => Err(io::Error::other("usage: serve sshd [OPTION…] | serve embedded")),
    }
}

fn sshd(options: Vec<String>) -> io::Result<()> {
    let with_user = options.iter().any(|option| option == "password-user");
    let user = with_user.then(PasswordUser::create).transpose()?;
    let mut builder = Sshd::builder();
    for option in options.into_iter().filter(|option| option != "password-user") {
        builder = builder.option(option);
    }
    let mut server = builder.start()?;
    say(&json!({
        "host": server.host(),
        "port": server.port(),
        "username": server.user(),
        "identity": server.identity(),
        "encrypted_identity": server.encrypted_identity(),
        "passphrase": server.passphrase(),
        "known_hosts_line": server.known_hosts_line(),
        "password_user": user.as_ref().map(PasswordUser::name),
        "password": user.as_ref().map(PasswordUser::password),
        "dir": server.dir(),
    }))?;
    each_line(|line| {
        match line {
            "truth" => {
                let truth = server.counters();
                return Ok(json!({
                    "connections": truth.connections,
                    "authentications": truth.authentications,
                    "failed_authentications": truth.failed_authentications,
                    "sessions": truth.sessions,
                }));
            }
            "kill-sessions" => server.kill_sessions()?,
            "change-host-key" => server.change_host_key()?,
            "stop" => server.stop()?,
            "restart" => server.restart()?,
            other => return Ok(json!({ "error": format!("no such command: {other}") })),
        }
        Ok(json!({}))
    })
}

fn embedded() -> io::Result<()> {
    let mut server = EmbeddedServer::start()?;
    say(&json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "username": server.user(),
        "password": server.password(),
        "identity": server.identity(),
        "known_hosts_line": server.known_hosts_line(),
    }))?;
    each_line(|line| {
        match line {
            "truth" => return Ok(json!({ "handshakes": server.handshakes() })),
            "stop" => server.stop()?,
            "restart" => server.restart()?,
            other => return Ok(json!({ "error": format!("no such command: {other}") })),
        }
        Ok(json!({}))
    })
}

fn each_line(mut answer: impl FnMut(&str) -> io::Result<Value>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        say(&answer(line?.trim())?)?;
    }
    Ok(())
}

fn say(value: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}
