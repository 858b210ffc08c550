//! What idle sessions cost: memory, threads and processor time of a pool that nobody uses.
//!
//! The server is in another process, so that only ours is measured.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use test_servers::embedded::EmbeddedServer;

use crate::api::{Api, Login, Place};
use crate::figures::Figures;

/// How long the idle pool is watched.
const WATCH: Duration = Duration::from_secs(60);

/// Runs a server until the other side closes its end.
pub fn server() -> Result<()> {
    let server = EmbeddedServer::builder().max_sessions(100).start()?;
    println!("{} {} {}", server.port(), server.user(), server.password());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Measures one way to use the product, in this process, and prints a line of a table.
pub fn measure(api: Api, sessions: usize) -> Result<()> {
    let mut server = Command::new(std::env::current_exe()?)
        .arg("server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = with_server(&mut server, api, sessions);
    let _ = server.kill();
    let _ = server.wait();
    measured
}

fn with_server(server: &mut Child, api: Api, sessions: usize) -> Result<()> {
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("its output")?).read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut word = || words.next().map(str::to_owned).context("a word of the server's");
    let folder = tempfile::tempdir()?;
    let place = Place {
        host: "127.0.0.1".into(),
        port: word()?.parse()?,
        user: word()?,
        login: Login::Password(word()?),
        known_hosts: folder.path().join("known_hosts"),
    };
    let plan = place.plan().max_connections(sessions).keepalive_interval(Duration::from_secs(30));
    let plan = plan.connect_timeout(Duration::from_secs(30)).idle_timeout(None).max_lifetime(None);
    let pool = api.pool(plan.acquire_timeout(Duration::from_secs(600)))?;
    // One first, for what is needed once.
    drop(pool.lease()?);
    let before = Figures::now();
    let start = Instant::now();
    let leases: Vec<_> = (0..sessions).map(|_| pool.lease()).collect::<Result<_, _>>()?;
    let opened = start.elapsed();
    drop(leases);
    thread::sleep(Duration::from_secs(2));
    let idle = Figures::now();
    thread::sleep(WATCH);
    let after = Figures::now();
    let stats = pool.stats();
    ensure!(stats.open() == sessions, "{stats:?}");
    let per_minute = (after.cpu.checked_sub(idle.cpu).unwrap_or_default()).as_secs_f64()
        * (60.0 / WATCH.as_secs_f64());
    let start = Instant::now();
    pool.close()?;
    println!(
        "| {} | {} | {sessions} | {:.2} | {} | {:.0} | {} | {:.1} | {:.2} |",
        api.backend(),
        api.style(),
        per_minute,
        after.threads,
        after.memory.saturating_sub(before.memory) as f64 / (sessions - 1).max(1) as f64,
        after.descriptors,
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// Measures all of them, each in a process of its own.
pub fn measure_all(sessions: usize) -> Result<()> {
    println!(
        "| backend | api | sessions | CPU s per minute | threads | KiB per session | descriptors \
         | opened in s | closed in s |\n|---|---|--:|--:|--:|--:|--:|--:|--:|"
    );
    for api in Api::ALL {
        let (sender, done) = mpsc::channel();
        let mut one = Command::new(std::env::current_exe()?)
            .args(["idle-one", &serde_json::to_string(&api)?, &sessions.to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        thread::spawn(move || sender.send(one.wait()));
        let status = done.recv_timeout(Duration::from_secs(900)).context("it hangs")??;
        ensure!(status.success(), "{api}: {status}");
    }
    Ok(())
}
