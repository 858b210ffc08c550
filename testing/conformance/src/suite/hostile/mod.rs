//! Servers that mean harm, or are broken beyond what a server can be.
//!
//! Each case is a script for [`ScriptedServer`] and what a session is to make of it: an error, or
//! none where no harm is done, in bounded time and memory. Where a server sends without end, the
//! script goes on for some seconds unless the client ends it.

mod files;
mod floods;
mod handshakes;
mod lengths;
mod logins;
mod outputs;

use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, Session, SshError, Target,
};

use super::Subject;
use test_servers::scripted::{Packet, ScriptedServer, Wire};

/// How long a connection may take to be opened here. Slow servers are given up after that.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the command may take.
const RUN: Duration = Duration::from_secs(5);

/// How long anything may take in all: both of these, and what a busy machine adds.
const LONGEST: Duration = Duration::from_secs(12);

/// How much memory a case may need at its peak, the server's part included.
pub const MOST: u64 = 64 << 20;

/// How long a flood goes on, in milliseconds.
static FLOOD: AtomicU64 = AtomicU64::new(4_000);

/// Has floods go on for this long instead of 4 s, and sessions wait for them to end: the deadlines
/// of [`Hostile::put`] are a second longer than them.
pub fn flood_for(time: Duration) {
    FLOOD.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
}

fn flood_time() -> Duration {
    Duration::from_millis(FLOOD.load(Ordering::SeqCst))
}

/// A deadline, or a longer one where floods take longer.
fn deadline(usual: Duration) -> Duration {
    if flood_time() > RUN { flood_time() + Duration::from_secs(1) } else { usual }
}

/// One server, and what is to come of it.
#[derive(Clone)]
pub struct Hostile {
    /// What it does, as a sentence about it.
    pub name: String,
    script: Arc<test_servers::scripted::Script>,
    expected: Expected,
    /// A directory is fetched from it, and no command run.
    has_files: bool,
}

/// What is to come of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The command's output and status.
    Works,
    /// An error.
    Fails,
    /// An error of this kind.
    FailsBy(Kind),
    /// An error, or no error: what matters is that it takes no longer than anything may.
    Either,
    /// A report with so many files in it that were left out or failed.
    Names(usize),
}

/// What came of one server.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case's name.
    pub name: String,
    /// What the session made of it, in words.
    pub said: String,
    /// How long that took.
    pub elapsed: Duration,
    /// The peak of resident memory over what it was before, in bytes.
    pub peak: u64,
    /// What is wrong with that, if anything is.
    pub wrong: Option<String>,
}

impl Hostile {
    fn new(
        name: impl Into<String>,
        expected: Expected,
        script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), script: Arc::new(script), expected, has_files: false }
    }

    /// Connects to such a server and runs a command there.
    pub fn put<S: Subject>(&self, subject: &S) -> Finding {
        let script = Arc::clone(&self.script);
        let server = match ScriptedServer::start(move |wire| script(wire)) {
            Ok(server) => server,
            Err(error) => panic!("{}: no server: {error}", self.name),
        };
        let address = server.addr();
        let target = Target::new(address.ip().to_string(), address.port(), "u").expect("a target");
        let mut options = Options::new(target)
            .auth(Auth::password("p"))
            .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
        options.connect_timeout = deadline(CONNECT);
        let memory = Memory::start();
        let start = Instant::now();
        let mut strays = None;
        let result = subject.connect(&options).and_then(|session| match self.has_files {
            true => files::fetch(subject, &session, deadline(RUN), &mut strays),
            false => run(&session),
        });
        let elapsed = start.elapsed();
        let peak = memory.peak();
        drop(server);
        let said = match &result {
            Ok(made) => format!("{made:?}"),
            Err(error) => format!("{:?}: {error}", error.kind()),
        };
        let as_expected = match (self.expected, &result) {
            (Expected::Works, Ok(made)) => made.whole,
            (Expected::Names(count), Ok(made)) => made.left_out == count,
            (Expected::Fails, Ok(made)) => made.left_out > 0,
            (Expected::Fails, Err(_)) | (Expected::Either, _) => true,
            (Expected::FailsBy(kind), Err(error)) => error.kind() == kind,
            _ => false,
        };
        let wrong = if let Some(stray) = strays {
            Some(format!("{stray} was written"))
        } else if !as_expected {
            Some(format!("expected {:?}", self.expected))
        } else if elapsed > LONGEST.max(deadline(CONNECT) + deadline(RUN)) {
            Some("too slow".into())
        } else if peak > MOST {
            Some("too much memory".into())
        } else {
            None
        };
        Finding { name: self.name.clone(), said, elapsed, peak, wrong }
    }
}

/// What a session made of a server.
#[derive(Debug)]
struct Made {
    /// All that was asked for.
    whole: bool,
    /// How many files were left out or failed.
    left_out: usize,
}

fn run<S: Session>(session: &S) -> Result<Made, SshError> {
    let output = session.exec(&Command::new("echo works").timeout(deadline(RUN)))?;
    let whole = output.success() && &*output.stdout == b"works\n";
    Ok(Made { whole, left_out: 0 })
}

/// All servers, in the order of a session's life.
pub fn all() -> Vec<Hostile> {
    let life = [handshakes::table(), lengths::table(), logins::table(), outputs::table()];
    [life.concat(), files::table(), floods::table()].concat()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.wrong.as_deref().unwrap_or("right");
        let said: String = self.said.chars().take(160).collect();
        write!(
            f,
            "{verdict}: {}: {:.1} s, {} KiB: {said}",
            self.name,
            self.elapsed.as_secs_f64(),
            self.peak >> 10
        )
    }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hostile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Sends a packet over and over for a while.
fn flood(wire: &mut Wire, packet: &Packet) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < flood_time() {
        wire.flood(packet, 64)?;
    }
    Ok(())
}

/// What of this process is in memory.
struct Memory {
    before: u64,
}

/// Only one case at a time can be measured.
static MEASURED: AtomicBool = AtomicBool::new(false);

impl Memory {
    fn start() -> Self {
        assert!(!MEASURED.swap(true, Ordering::SeqCst), "one case at a time: they are measured");
        // Linux forgets the peak by this (proc(5)).
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { before: status("VmRSS:") }
    }

    fn peak(&self) -> u64 {
        status("VmHWM:").saturating_sub(self.before)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        MEASURED.store(false, Ordering::SeqCst);
    }
}

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}
