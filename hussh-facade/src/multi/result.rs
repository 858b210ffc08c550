//! What became of each host.

use std::fmt;

use ssh_session::sftp::Report;
use ssh_session::{Output, Target};

use crate::Error;

/// What became of one host.
#[derive(Debug, Clone)]
pub struct HostResult<T> {
    /// Which. Its text is `user@host`, with `:port` where that is not 22.
    pub host: Target,
    /// Its place among the hosts of the call, from 0.
    pub index: usize,
    /// What was done there, or why it was not.
    pub result: Result<T, Error>,
}

impl<T: Succeeds> HostResult<T> {
    /// Whether all was done, and well.
    pub fn success(&self) -> bool {
        self.result.as_ref().is_ok_and(Succeeds::succeeds)
    }
}

/// What may be there and not be a success: a command with another exit code than 0, a transfer of
/// which a file failed.
pub trait Succeeds {
    /// Whether it is one.
    fn succeeds(&self) -> bool;

    /// What was wrong, in a few words.
    fn problem(&self) -> String {
        String::new()
    }
}

impl Succeeds for Output {
    fn succeeds(&self) -> bool {
        self.success()
    }

    fn problem(&self) -> String {
        self.status.to_string()
    }
}

impl Succeeds for Report {
    fn succeeds(&self) -> bool {
        self.failed().next().is_none()
    }

    fn problem(&self) -> String {
        format!("{} of its files failed", self.failed().count())
    }
}

impl Succeeds for Vec<u8> {
    fn succeeds(&self) -> bool {
        true
    }
}

impl Succeeds for () {
    fn succeeds(&self) -> bool {
        true
    }
}

/// What became of each host, in the order in which the hosts were given.
#[derive(Debug, Clone)]
#[must_use = "a host that failed is in here, and not an error of the call"]
pub struct MultiResult<T> {
    hosts: Vec<HostResult<T>>,
}

impl<T: Succeeds> MultiResult<T> {
    pub(crate) fn new(mut hosts: Vec<HostResult<T>>) -> Self {
        hosts.sort_by_key(|host| host.index);
        Self { hosts }
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none: no host had anything to do.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Each host.
    pub fn iter(&self) -> std::slice::Iter<'_, HostResult<T>> {
        self.hosts.iter()
    }

    /// One host's result, by its text: `user@host`, or `user@host:port` where the port is not 22.
    pub fn get(&self, host: &str) -> Option<&Result<T, Error>> {
        self.hosts.iter().find(|one| one.host.to_string() == host).map(|one| &one.result)
    }

    /// Those on which all was done, and well.
    pub fn ok(&self) -> impl Iterator<Item = (&Target, &T)> {
        let well = self.hosts.iter().filter(|one| one.success());
        well.filter_map(|one| Some((&one.host, one.result.as_ref().ok()?)))
    }

    /// The others: hosts with an error, and those where a command ended with another code than 0 or a
    /// file was not transferred.
    pub fn failed(&self) -> impl Iterator<Item = &HostResult<T>> {
        self.hosts.iter().filter(|one| !one.success())
    }

    /// The errors alone: hosts of which nobody knows more.
    pub fn errors(&self) -> impl Iterator<Item = (&Target, &Error)> {
        self.hosts.iter().filter_map(|one| Some((&one.host, one.result.as_ref().err()?)))
    }

    /// Whether there are no others than those in [`ok`](Self::ok).
    pub fn success(&self) -> bool {
        self.failed().next().is_none()
    }

    /// For those who want all or nothing.
    ///
    /// # Errors
    ///
    /// [`PartialFailure`] where a host failed, with all results.
    pub fn all_or_error(self) -> Result<Self, PartialFailure<T>> {
        if self.success() { Ok(self) } else { Err(PartialFailure { results: self }) }
    }
}

impl<T> IntoIterator for MultiResult<T> {
    type Item = HostResult<T>;
    type IntoIter = std::vec::IntoIter<HostResult<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.hosts.into_iter()
    }
}

impl<'r, T> IntoIterator for &'r MultiResult<T> {
    type Item = &'r HostResult<T>;
    type IntoIter = std::slice::Iter<'r, HostResult<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.hosts.iter()
    }
}

/// Some hosts failed; the results of all are within.
#[derive(Debug, Clone)]
pub struct PartialFailure<T> {
    /// Of all hosts.
    pub results: MultiResult<T>,
}

/// As many hosts are named in its text.
const NAMED: usize = 3;

impl<T: Succeeds> fmt::Display for PartialFailure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.results.failed().count();
        write!(f, "failed on {failed} of {} hosts: ", self.results.len())?;
        for (number, one) in self.results.failed().take(NAMED).enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            match &one.result {
                Ok(done) => write!(f, "{}: {}", one.host, done.problem())?,
                Err(error) => error.fmt(f)?,
            }
        }
        if failed > NAMED { write!(f, "; and {} more", failed - NAMED) } else { Ok(()) }
    }
}

impl<T: Succeeds + fmt::Debug> std::error::Error for PartialFailure<T> {}
