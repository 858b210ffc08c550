//! The books: every command has a nonce, which the server writes down when it runs the command.
//! So what was lost or run twice is a fact, and not what somebody says.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hussh::{Command, Error, Output};
use serde::{Deserialize, Serialize};

/// How a command ended, as its caller was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The output is right.
    Right,
    /// There is output, and it is not the command's.
    Wrong(String),
    /// An error that says that the command may have started.
    Lost(String),
    /// An error that says that the command was never sent.
    NotSent(String),
}

/// One command, in the books.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// `None` where it follows from the place in the books.
    nonce: Option<Box<str>>,
    /// `None` while it is under way.
    end: Option<End>,
    #[serde(skip)]
    ended: Option<Instant>,
}

/// A command to be run, and then settled.
#[derive(Debug)]
#[must_use = "what is not settled counts as hung"]
pub struct Errand {
    index: usize,
    command: Command,
}

impl Errand {
    /// What is to be run.
    pub fn command(&self) -> &Command {
        &self.command
    }
}

/// What the books say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Commands that somebody asked for.
    pub commands: usize,
    /// Commands that ran or may have run, and nobody has their output.
    pub lost: usize,
    /// Those of them whose caller was told.
    pub reported_lost: usize,
    /// Commands whose caller was told that they were not sent.
    pub not_sent: usize,
    /// Commands that ran more than once.
    pub doubled: usize,
    /// Outputs that are not the command's, and commands that ran though their caller was told that
    /// they did not.
    pub wrong: usize,
    /// Calls that did not return.
    pub hung: usize,
}

/// All commands of one scenario.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    name: String,
    limit: Duration,
    entries: Mutex<Vec<Entry>>,
    stopped: AtomicBool,
    left: AtomicUsize,
}

impl Ledger {
    /// Books whose nonces begin with `name`; the server appends to `file`. A command takes
    /// `limit` at most.
    pub fn open(file: &Path, name: &str, limit: Duration) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(file)?;
        // Whoever logs in writes to it.
        fs::set_permissions(file, fs::Permissions::from_mode(0o666))?;
        Ok(Self {
            file: file.into(),
            name: name.into(),
            limit,
            entries: Mutex::default(),
            stopped: AtomicBool::new(false),
            left: AtomicUsize::new(usize::MAX),
        })
    }

    /// A new command; after its nonce is written down and printed it goes on with `then`.
    pub fn errand(&self, then: &str) -> Errand {
        let mut entries = self.entries();
        let index = entries.len();
        let nonce = self.nonce(index);
        let line = format!("echo {nonce} >> '{}' && echo {nonce}; {then}", self.file.display());
        entries.push(Entry { nonce: None, end: None, ended: None });
        Errand { index, command: Command::new(line).timeout(self.limit) }
    }

    /// A short command, unless it is time to stop.
    pub fn next(&self) -> Option<Errand> {
        if self.stopped.load(Ordering::SeqCst) {
            return None;
        }
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        Some(self.errand(":"))
    }

    /// Lets [`next`](Self::next) give out so many more.
    pub fn allow(&self, commands: usize) {
        self.left.store(commands, Ordering::SeqCst);
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// From now on [`next`](Self::next) gives out nothing.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Writes down how a command ended.
    #[allow(clippy::needless_pass_by_value, reason = "an errand is settled once")]
    pub fn settle(&self, errand: Errand, result: &Result<Output, Error>) {
        let right = format!("{}\n", self.nonce(errand.index));
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(errand.index) else { return };
        entry.ended = Some(Instant::now());
        entry.end = Some(match result {
            Ok(output) if output.success() && output.stdout == right => End::Right,
            Ok(output) => End::Wrong(format!("{output:?}")),
            Err(error) if error.may_have_started() => End::Lost(error.to_string()),
            Err(error) => End::NotSent(error.to_string()),
        });
    }

    /// Writes down that a command ended well, as another process says.
    #[allow(clippy::needless_pass_by_value, reason = "an errand is settled once")]
    pub fn settle_right(&self, errand: Errand) {
        if let Some(entry) = self.entries().get_mut(errand.index) {
            (entry.end, entry.ended) = (Some(End::Right), Some(Instant::now()));
        }
    }

    /// Takes over the books of another process.
    pub fn adopt(&self, others: Vec<Entry>) {
        self.entries().extend(others);
    }

    /// All entries so far.
    pub fn copy(&self) -> Vec<Entry> {
        let mut entries = self.entries().clone();
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.nonce.get_or_insert_with(|| self.nonce(index).into());
        }
        entries
    }

    /// What the books themselves take up in memory, near enough.
    pub fn size(&self) -> usize {
        self.entries().len() * size_of::<Entry>()
    }

    /// Waits until the server has written down the last command that was asked for.
    pub fn wait_for_last(&self, patience: Duration) -> io::Result<()> {
        let nonce = self.nonce(self.entries().len().saturating_sub(1));
        let deadline = Instant::now() + patience;
        while !self.runs()?.contains_key(&nonce) {
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the command did not start"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// When the first command after that moment ended well, or did not.
    pub fn first_after(&self, moment: Instant, well: bool) -> Option<Duration> {
        let entries = self.entries();
        let ends = entries.iter().filter_map(|entry| {
            let ended = entry.ended.filter(|ended| *ended > moment)?;
            (matches!(entry.end, Some(End::Right)) == well).then(|| ended - moment)
        });
        ends.min()
    }

    /// The texts of all errors, each once, with how often it came.
    pub fn errors(&self) -> Vec<(String, usize)> {
        let mut texts: Vec<(String, usize)> = Vec::new();
        for entry in self.entries().iter() {
            let text = match &entry.end {
                Some(End::Right) => continue,
                Some(End::Wrong(text) | End::Lost(text) | End::NotSent(text)) => text.clone(),
                None => "no answer".to_owned(),
            };
            match texts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => texts.push((text, 1)),
            }
        }
        texts
    }

    /// Compares what callers were told with what the server wrote down.
    pub fn sums(&self) -> io::Result<Sums> {
        let runs = self.runs()?;
        let entries = self.entries();
        let mut sums = Sums { commands: entries.len(), ..Sums::default() };
        let mut known = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let nonce = entry.nonce.as_ref().map_or_else(|| self.nonce(index), ToString::to_string);
            let ran = runs.get(&nonce).copied().unwrap_or(0);
            known.insert(nonce);
            sums.doubled += usize::from(ran > 1);
            match entry.end {
                Some(End::Right) => sums.lost += usize::from(ran == 0),
                Some(End::Wrong(_)) => sums.wrong += 1,
                Some(End::Lost(_)) => {
                    sums.lost += 1;
                    sums.reported_lost += 1;
                }
                Some(End::NotSent(_)) => {
                    sums.not_sent += 1;
                    sums.wrong += usize::from(ran > 0);
                }
                None => {
                    sums.lost += 1;
                    sums.hung += 1;
                }
            }
        }
        sums.wrong += runs.keys().filter(|nonce| !known.contains(*nonce)).count();
        Ok(sums)
    }

    fn nonce(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    fn runs(&self) -> io::Result<HashMap<String, usize>> {
        let mut runs = HashMap::new();
        for nonce in fs::read_to_string(&self.file)?.lines() {
            *runs.entry(nonce.to_owned()).or_default() += 1;
        }
        Ok(runs)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
