//! What a case is given, and what all cases use.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ssh_session::{Chunk, Command, Kind, Options, Output, Process, Session, SshError};

use super::{Capabilities, Server, ServerKind, Setup, Subject};
use test_servers::proxy::FaultProxy;
use test_servers::sshd::PasswordUser;

/// How long anything may take that takes no time. Tests share their machine with others.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// A case's surroundings: one kind of session, and a server that runs.
#[derive(Clone, Debug)]
pub struct Case<S> {
    pub(super) subject: S,
    pub(super) place: ServerKind,
    pub(super) server: Arc<Server>,
    pub(super) user: Option<Arc<PasswordUser>>,
    /// Servers started for this case alone.
    pub(super) own: Arc<Mutex<Vec<Arc<Server>>>>,
}

/// A session that many use at once, and what becomes of it on a server that such use kills.
pub(super) struct Line<'c, S: Subject> {
    case: &'c Case<S>,
    session: Mutex<Arc<S::Session>>,
}

impl<S: Subject> Case<S> {
    /// What the server does where servers differ.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.place.capabilities()
    }

    /// A session on the server that all cases share.
    pub(super) fn session(&self) -> S::Session {
        self.connect(&self.server.options())
    }

    pub(super) fn connect(&self, options: &Options) -> S::Session {
        self.subject.connect(options).unwrap_or_else(|error| panic!("no session: {error}"))
    }

    /// Whether a command can be run on the session, and what it says arrives.
    #[track_caller]
    pub(super) fn works(&self, session: &impl Session) {
        let output = self.again(|| session.exec(&Command::new("echo works")));
        let output = output.unwrap_or_else(|error| panic!("it does not work: {error}"));
        assert_eq!((output.stdout_text(), output.success()), (Ok("works\n"), true));
    }

    /// Starts a command that must start.
    #[track_caller]
    pub(super) fn spawn<'s>(
        &self,
        session: &'s S::Session,
        command: &Command,
    ) -> <S::Session as Session>::Process<'s> {
        let process = self.again(|| session.spawn(command));
        process.unwrap_or_else(|error| panic!("not started: {error}"))
    }

    /// Runs a command that must come to an end.
    #[track_caller]
    pub(super) fn exec(&self, session: &S::Session, command: &Command) -> Output {
        let output = self.again(|| session.exec(command));
        output.unwrap_or_else(|error| panic!("no output: {error}"))
    }

    /// Does something once; but again and again on a server that may lose what became of a
    /// command, which must never be taken for an answer.
    pub(super) fn again<T>(
        &self,
        mut work: impl FnMut() -> Result<T, SshError>,
    ) -> Result<T, SshError> {
        let start = Instant::now();
        loop {
            match work() {
                Err(error)
                    if error.kind() == Kind::NoExitStatus
                        && !self.capabilities().keeps_commands_apart
                        && start.elapsed() < SOON => {}
                result => return result,
            }
        }
    }

    /// A server for this case alone.
    pub(super) fn server(&self, setup: &Setup) -> Arc<Server> {
        let server = Arc::new(self.place.start(setup, self.user.as_ref()));
        self.own.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&server));
        server
    }

    /// How often the case's servers have died of their own faults.
    pub(super) fn crashes(&self) -> usize {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().chain([&self.server]).map(|server| server.crashes()).sum()
    }

    /// One session for all, on the server that all cases share.
    pub(super) fn line(&self) -> Line<'_, S> {
        Line { case: self, session: Mutex::new(Arc::new(self.session())) }
    }

    /// A proxy to the server that all cases share, and what leads through it.
    pub(super) fn proxy(&self) -> (FaultProxy, Options) {
        let proxy = FaultProxy::start(self.server.addr()).expect("a proxy");
        let options = self.server.options_through(&proxy);
        (proxy, options)
    }
}

impl<S: Subject> Line<'_, S> {
    /// Does something on the session. Where the server loses commands that run side by side, or
    /// dies of them, this is done again, on a new session if need be; everywhere else it is done
    /// once, and the session stays the same.
    pub(super) fn again<T>(
        &self,
        mut work: impl FnMut(&S::Session) -> Result<T, SshError>,
    ) -> Result<T, SshError> {
        let start = Instant::now();
        loop {
            let session = Arc::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner));
            let error = match work(&session) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let its_fault = matches!(error.kind(), Kind::NoExitStatus | Kind::ConnectionLost);
            if self.case.capabilities().keeps_commands_apart || !its_fault || start.elapsed() > SOON
            {
                return Err(error);
            }
            if error.kind() == Kind::ConnectionLost {
                let mut current = self.session.lock().unwrap_or_else(PoisonError::into_inner);
                if Arc::ptr_eq(&current, &session) {
                    *current = Arc::new(self.case.session());
                }
            }
        }
    }
}

/// Runs a command that must succeed, and says what it wrote.
#[track_caller]
pub(super) fn text(session: &impl Session, command: &str) -> String {
    let output = session.exec(&Command::new(command));
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.success(), "{command}: {output:?}");
    output.stdout_text().expect("text").to_owned()
}

/// The error that something must have led to.
#[track_caller]
pub(super) fn refused<T>(result: Result<T, SshError>, kind: Kind) -> SshError {
    match result {
        Ok(_) => panic!("a success instead of {kind:?}"),
        Err(error) if error.kind() == kind => error,
        Err(error) => panic!("{:?} instead of {kind:?}: {error}", error.kind()),
    }
}

/// Reads until what the command wrote to standard output ends with `end`.
#[track_caller]
pub(super) fn read_until(process: &impl Process, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        match process.read() {
            Ok(Some(Chunk::Stdout(bytes))) => read.extend_from_slice(&bytes),
            Ok(Some(Chunk::Stderr(_))) => {}
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Both streams to their end.
#[track_caller]
pub(super) fn read_all(process: &impl Process) -> (Vec<u8>, Vec<u8>) {
    try_read_all(process).unwrap_or_else(|error| panic!("no end of its output: {error}"))
}

/// Both streams to their end, if they come to one.
pub(super) fn try_read_all(process: &impl Process) -> Result<(Vec<u8>, Vec<u8>), SshError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = process.read()? {
        assert!(!chunk.bytes().is_empty(), "an empty piece");
        let stream = match &chunk {
            Chunk::Stdout(_) => &mut stdout,
            Chunk::Stderr(_) => &mut stderr,
        };
        stream.extend_from_slice(chunk.bytes());
    }
    Ok((stdout, stderr))
}

/// Waits until something is so.
#[track_caller]
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not so after {SOON:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs something that must not take long, and says what it gave.
#[track_caller]
pub(super) fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    result
}

/// Does two things at once; a panic of either is the case's own.
pub(super) fn at_once<A: Send, B>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        match one.join() {
            Ok(one) => (one, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Whether a process of this machine runs.
pub(super) fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

/// Bytes without a short period, so that any that are lost, doubled or swapped show.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// What `seq 1 last` writes.
pub(super) fn numbers(last: u32) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 1..=last {
        let _ = writeln!(text, "{number}");
    }
    text.into_bytes()
}

/// Whether bytes are the same, said without printing them all.
#[track_caller]
pub(super) fn same(what: &str, got: &[u8], wanted: &[u8]) {
    if got != wanted {
        let at = got.iter().zip(wanted).position(|(a, b)| a != b);
        let at = at.unwrap_or(got.len().min(wanted.len()));
        panic!("{what}: {} bytes instead of {}, other from {at} on", got.len(), wanted.len());
    }
}
