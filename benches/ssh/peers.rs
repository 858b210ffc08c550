//! Clients in Python, in an environment of their own.

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use super::place::Place;
use super::ways::Way;

/// What is installed there, and measured.
const CLIENTS: [(&str, &str); 2] =
    [("asyncssh", "asyncssh==2.24.1"), ("hussh 0.3.3", "hussh==0.3.3")];

/// A virtual environment with the clients in it.
#[derive(Debug)]
pub struct Peers {
    python: PathBuf,
}

impl Peers {
    /// Makes the environment below that folder, unless it is there.
    pub fn install(folder: &Path) -> io::Result<Self> {
        let python = folder.join("bin/python");
        let done = folder.join("installed");
        if !done.exists() {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            succeed(install.args(CLIENTS.map(|(_, package)| package)))?;
            std::fs::write(done, "")?;
        }
        Ok(Self { python })
    }

    /// Their ways to a place.
    pub fn ways(&self, place: &Place) -> io::Result<Vec<Way>> {
        let runner = Rc::new(RefCell::new(Runner::start(&self.python, place)?));
        let mut all = Vec::new();
        for (client, _) in CLIENTS {
            for way in ["fresh", "held"] {
                let runner = Rc::clone(&runner);
                all.push(Way::new(way, client, move |commands| {
                    runner.borrow_mut().run(client, way, commands).expect("an answer")
                }));
            }
        }
        Ok(all)
    }
}

struct Runner {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    fn start(python: &Path, place: &Place) -> io::Result<Self> {
        let mut command = Command::new(python);
        command.arg("-c").arg(include_str!("peers.py"));
        command.arg(place.addr().ip().to_string()).arg(place.addr().port().to_string());
        command.arg(place.user()).arg(place.identity());
        command.arg(place.round_trip().as_secs_f64().to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let none = || io::Error::other("no pipe");
        let questions = child.stdin.take().ok_or_else(none)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(none)?);
        Ok(Self { child, questions, answers })
    }

    fn run(&mut self, client: &str, way: &str, commands: u32) -> io::Result<Duration> {
        writeln!(self.questions, "{client} {way} {commands}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let seconds: f64 = line.trim().parse().map_err(io::Error::other)?;
        Duration::try_from_secs_f64(seconds).map_err(io::Error::other)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{status}: {command:?}"))),
    }
}
