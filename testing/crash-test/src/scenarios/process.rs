//! What happens to our own process. Each plays in a process of its own, started from the program
//! `crash-test`, which tells its books on its standard output.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child as Process, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Serialize};

use super::Outcome;
use super::running::errors;
use crate::api::{Api, Place, Pool};
use crate::ledger::{Entry, Ledger};
use crate::stage::{Stage, ms};

/// What a process is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Child {
    role: Role,
    api: Api,
    place: Place,
    max_connections: usize,
    nonces: std::path::PathBuf,
    name: String,
}

impl Child {
    fn pool(&self) -> Result<Arc<dyn Pool>> {
        self.api.pool(self.place.plan().max_connections(self.max_connections))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Role {
    Descriptors,
    Stopped,
    Forks,
    Exits,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    entries: Vec<Entry>,
    note: String,
}

pub(super) fn descriptors(stage: &mut Stage) -> Result<Outcome> {
    let mut child = Other::start(stage, Role::Descriptors, 12)?;
    let note = child.finish(stage)?;
    Ok(Outcome { detect: None, recover: None, saw: format!("{note}; {}", errors(stage)) })
}

pub(super) fn stopped(stage: &mut Stage) -> Result<Outcome> {
    let mut child = Other::start(stage, Role::Stopped, 4)?;
    child.read_line()?;
    for pause in [ms(3000), ms(1000)] {
        thread::sleep(ms(700));
        child.send(Signal::STOP)?;
        thread::sleep(pause);
        child.send(Signal::CONT)?;
    }
    thread::sleep(ms(700));
    let note = child.finish(stage)?;
    let sums = stage.ledger.sums()?;
    ensure!(sums.lost + sums.not_sent == 0, "it was noticed");
    let connections = stage.proxy.connections();
    ensure!(connections <= 4, "{connections} connections for four sessions");
    Ok(Outcome { detect: None, recover: None, saw: format!("nothing; {note}") })
}

pub(super) fn forks(stage: &mut Stage) -> Result<Outcome> {
    let mut child = Other::start(stage, Role::Forks, 4)?;
    let note = child.finish(stage)?;
    let sums = stage.ledger.sums()?;
    ensure!(sums.lost + sums.not_sent == 0, "it was noticed");
    let logins = stage.server.authentications();
    ensure!(logins == 3, "{logins} logins: two of the parent and one of the child are wanted");
    Ok(Outcome { detect: None, recover: None, saw: format!("nothing; {note}") })
}

/// The other process, from here; killed when dropped.
pub(super) struct Other {
    process: Process,
    lines: BufReader<std::process::ChildStdout>,
}

impl Other {
    pub(super) fn start(stage: &Stage, role: Role, max_connections: usize) -> Result<Self> {
        let told = Child {
            role,
            api: stage.api,
            place: stage.place(),
            max_connections,
            nonces: stage.nonces(),
            name: format!("{}-child", stage.api),
        };
        let mut process = Command::new(&stage.setup.program)
            .arg("child")
            .arg(serde_json::to_string(&told)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the program `crash-test`")?;
        let lines = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Self { process, lines })
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.process.id().cast_signed()).context("its id")?;
        Ok(kill_process(pid, signal)?)
    }

    pub(super) fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Lets it end, and takes over its books.
    pub(super) fn finish(&mut self, stage: &Stage) -> Result<String> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.lines.read_to_string(&mut text)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the process ended with {status}: {text}");
        let answer: Answer = serde_json::from_str(text.trim()).context(text.clone())?;
        stage.ledger.adopt(answer.entries);
        Ok(answer.note)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other process, from within.
pub fn child(told: &str) -> Result<()> {
    let told: Child = serde_json::from_str(told)?;
    let name = format!("{}-{}", told.name, std::process::id());
    let ledger = Arc::new(Ledger::open(&told.nonces, &name, ms(20_000))?);
    let note = match told.role {
        Role::Descriptors => without_descriptors(&told, &ledger)?,
        Role::Stopped => until_told(&told, &ledger)?,
        Role::Forks => forking(&told, &ledger)?,
        Role::Exits => return exiting(&told, &ledger),
    };
    println!("{}", serde_json::to_string(&Answer { entries: ledger.copy(), note })?);
    Ok(())
}

fn without_descriptors(told: &Child, ledger: &Arc<Ledger>) -> Result<String> {
    let pool = told.pool()?;
    ledger.errand(":").run(&*pool, ledger)?;
    let open = std::fs::read_dir("/proc/self/fd")?.count() as u64;
    let all = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(open + 4), ..all };
    setrlimit(Resource::Nofile, few)?;
    let start = Instant::now();
    work(&*pool, ledger, 12, 36)?;
    let took = start.elapsed();
    let with_few = pool.stats().open();
    setrlimit(Resource::Nofile, all)?;
    let start = Instant::now();
    for _ in 0..24 {
        ledger.errand(":").run(&*pool, ledger).context("with descriptors again")?;
    }
    let (few, many) = (took.as_secs_f64(), start.elapsed().as_secs_f64());
    Ok(format!("{with_few} sessions for 12 borrowers, {few:.1} s; then 24 more in {many:.1} s"))
}

fn until_told(told: &Child, ledger: &Arc<Ledger>) -> Result<String> {
    let pool = told.pool()?;
    let leases = (0..4).map(|_| pool.lease()).collect::<Result<Vec<_>, _>>()?;
    drop(leases);
    let lent = pool.lease()?;
    let (sender, done) = std::sync::mpsc::channel();
    for _ in 0..2 {
        let sender = sender.clone();
        pool.work(Arc::clone(ledger), Box::new(move || sender.send(()).unwrap_or_default()))?;
    }
    println!("ready");
    // Until the other side closes it.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    ledger.stop();
    for _ in 0..2 {
        done.recv_timeout(Duration::from_secs(20)).context("a worker hangs")?;
    }
    ledger.errand(":").run_on(&*lent, ledger).context("the lent session")?;
    Ok(format!("{} sessions", pool.stats().open()))
}

/// Ends as a program does whose `main` returns.
fn exiting(told: &Child, ledger: &Arc<Ledger>) -> Result<()> {
    let pool = told.pool()?;
    let leases = (0..3).map(|_| pool.lease()).collect::<Result<Vec<_>, _>>()?;
    for lease in &leases {
        ledger.errand(":").run_on(&**lease, ledger)?;
    }
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{}", serde_json::to_string(&Answer { entries: ledger.copy(), note: String::new() })?);
    Ok(())
}

fn forking(told: &Child, ledger: &Arc<Ledger>) -> Result<String> {
    let pool = told.pool()?;
    let (lent, idle) = (pool.lease()?, pool.lease()?);
    ledger.errand(":").run_on(&*lent, ledger)?;
    drop(idle);
    std::io::stdout().flush()?;
    let errand = ledger.errand(":");
    match fork::fork().map_err(|error| anyhow::anyhow!("fork: {error}"))? {
        fork::Fork::Child => {
            let ran = in_the_fork(told, errand.command(), &pool, lent);
            if let Err(error) = &ran {
                eprintln!("in the forked process: {error:#}");
            }
            std::process::exit(i32::from(ran.is_err()));
        }
        fork::Fork::Parent(pid) => {
            let pid = Pid::from_raw(pid).context("its id")?;
            let status = wait_for(pid, Duration::from_secs(20))?;
            ensure!(status == Some(0), "the forked process ended with {status:?}");
            ledger.settle_right(errand);
        }
    }
    ledger.errand(":").run_on(&*lent, ledger).context("the lent session, after the fork")?;
    drop(lent);
    for _ in 0..2 {
        ledger.errand(":").run(&*pool, ledger).context("the pool, after the fork")?;
    }
    Ok("the child used the same pool".into())
}

/// Uses the pool that was inherited, and drops all of it.
fn in_the_fork(
    told: &Child,
    command: &hussh::Command,
    pool: &Arc<dyn Pool>,
    lent: Box<dyn crate::api::Lease>,
) -> Result<()> {
    ensure!(!lent.is_alive(), "a session of another process counts as alive");
    let refused = lent.execute(&hussh::Command::new("true")).err();
    let refused = refused.context("a session of another process is used")?;
    ensure!(!refused.may_have_started(), "{refused}");
    drop(lent);
    let output = told.api.execute_in_fork(pool, command)?;
    ensure!(output.success(), "{output:?}");
    Ok(())
}

fn wait_for(pid: Pid, patience: Duration) -> Result<Option<i32>> {
    use rustix::process::{WaitOptions, waitpid};
    let deadline = Instant::now() + patience;
    loop {
        if let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG)? {
            return Ok(status.exit_status());
        }
        if Instant::now() > deadline {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            bail!("the forked process hangs");
        }
        thread::sleep(ms(10));
    }
}

/// So many borrowers run so many commands.
fn work(pool: &dyn Pool, ledger: &Arc<Ledger>, workers: usize, commands: usize) -> Result<()> {
    ledger.allow(commands);
    let (sender, done) = std::sync::mpsc::channel();
    let each = || -> Result<()> {
        let sender = sender.clone();
        pool.work(Arc::clone(ledger), Box::new(move || sender.send(()).unwrap_or_default()))?;
        Ok(())
    };
    // The threads, too, before there is nothing left.
    (0..workers).try_for_each(|_| each())?;
    for _ in 0..workers {
        done.recv_timeout(Duration::from_secs(60)).context("a worker hangs")?;
    }
    Ok(())
}
