//! Servers that are programs: started from a thread of their own, ended without exception.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

/// How long we go on killing what does not end, before we give up.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A running listener with everything it started.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    marker: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a server. Every process below it carries `marker` (`NAME=value`) in its environment
    /// as soon as it runs a user's command. `prepare` says what else the program needs.
    ///
    /// The child is tied to the thread that starts it: where `setpriv` is present, the kernel
    /// kills the listener when that thread ends, so also when our process is killed.
    pub(crate) fn start(
        program: &Path,
        arguments: &[OsString],
        marker: String,
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        prepare(&mut command);

        let (stop, stopped) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let thread = thread::Builder::new().name("test-server".into()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(child.id()));
            wait_until_stopped(&mut child, &stopped);
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let pid = start.recv().unwrap_or_else(|_| {
            Err(io::Error::other("the thread that starts the server is gone"))
        })?;
        Ok(Self { pid, marker, stop: Some(stop), thread: Some(thread) })
    }

    /// Whether the listener still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Kills everything below the listener, but not the listener; returns when all are gone.
    pub(crate) fn kill_sessions(&self) -> io::Result<()> {
        kill_all(|| Ok(descendants(self.pid, &process_table()?)))?;
        // The listener carries it, too, where commands have it from there.
        kill_all(|| Ok(marked(&self.marker)?.into_iter().filter(|pid| *pid != self.pid).collect()))
    }

    /// Kills the listener and everything it ever started; returns when all are gone.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(stop) = self.stop.take() else { return Ok(()) };
        // Below the listener first, since its children can't be found once it is gone; and frozen,
        // so that it starts no more of them.
        freeze(self.pid);
        let below = kill_all(|| Ok(descendants(self.pid, &process_table()?)));
        let _ = stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        below?;
        kill_all(|| marked(&self.marker))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Where a program is: on `PATH`, or in one of the folders that hold servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
}

/// Stops a process of ours; returns when it stands still or is gone.
fn freeze(pid: u32) {
    send(pid, Signal::STOP);
    let deadline = Instant::now() + KILL_PATIENCE;
    while Instant::now() < deadline {
        let state = process_table().ok().and_then(|table| {
            table.iter().find(|process| process.pid == pid).map(|process| process.state)
        });
        match state {
            None | Some(State::Stopped | State::Zombie) => return,
            Some(State::Other) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

fn wait_until_stopped(child: &mut Child, stopped: &mpsc::Receiver<()>) {
    loop {
        match stopped.recv_timeout(Duration::from_millis(50)) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
    }
}

/// One line of the process table.
#[derive(Clone, Copy, Debug)]
struct ProcessEntry {
    pid: u32,
    parent: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Zombie,
    Other,
}

fn process_table() -> io::Result<Vec<ProcessEntry>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ended meanwhile is no error.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat);
        // "pid (name) state parent …": the name may hold anything, so look from its end.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (Some(state), Some(Ok(parent))) = (fields.next(), fields.next().map(str::parse)) else {
            continue;
        };
        let state = match state {
            "T" | "t" => State::Stopped,
            "Z" | "X" => State::Zombie,
            _ => State::Other,
        };
        table.push(ProcessEntry { pid, parent, state });
    }
    Ok(table)
}

fn descendants(root: u32, table: &[ProcessEntry]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        let children = table
            .iter()
            .filter(|process| process.parent == parent && process.state != State::Zombie);
        found.extend(children.map(|process| process.pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Processes whose environment holds the marker: commands whose server went before them.
fn marked(marker: &str) -> io::Result<Vec<u32>> {
    let holds_marker = |process: &ProcessEntry| {
        process.state != State::Zombie
            && fs::read(format!("/proc/{}/environ", process.pid))
                .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|v| v == marker.as_bytes()))
    };
    Ok(process_table()?.iter().filter(|p| holds_marker(p)).map(|p| p.pid).collect())
}

/// Kills what `victims` names until it names nothing any more.
fn kill_all(mut victims: impl FnMut() -> io::Result<Vec<u32>>) -> io::Result<()> {
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        let pids = victims()?;
        if pids.is_empty() {
            return Ok(());
        }
        for pid in &pids {
            send(*pid, Signal::KILL);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("processes {pids:?} can't be killed")));
        }
        thread::sleep(Duration::from_millis(2));
    }
}
