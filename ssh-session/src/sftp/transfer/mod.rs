//! Files and whole directories from here to there and back, many of them in flight together.
//!
//! A small file costs two round trips, one that opens it and one for all the rest, and so do a
//! hundred of them.

mod download;
pub(crate) mod local;
pub(crate) mod progress;
mod report;
mod upload;

use std::fmt;
use std::sync::Arc;

pub use progress::Progress;
pub use report::{Outcome, Report, Transferred};
pub(super) use upload::temporary;

/// Files in flight together, unless the server has room for fewer.
const AT_ONCE: usize = 128;

/// Deeper directories are left out.
const MAX_DEPTH: usize = 200;

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Links {
    /// They are made anew, as links. On the way here, one that leads out of the directory is left
    /// out and reported: an absolute one, and one with `..` that goes above it or behind a name.
    #[default]
    Keep,
    /// What they lead to is transferred in their place. One that leads to a directory that it is in
    /// is left out and reported.
    Follow,
    /// They are left out and reported.
    Skip,
}

/// How files are transferred.
///
/// By default links are [kept](Links::Keep), and permissions and times of change preserved, set-id
/// and sticky bits never.
#[derive(Clone)]
pub struct Transfer {
    pub(crate) links: Links,
    pub(crate) preserve: bool,
    pub(crate) atomic: bool,
    pub(crate) resume: bool,
    pub(crate) sync: bool,
    pub(crate) fail_fast: bool,
    pub(crate) one_file: bool,
    pub(crate) at_once: usize,
    pub(crate) progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl Default for Transfer {
    fn default() -> Self {
        Self {
            links: Links::Keep,
            preserve: true,
            atomic: false,
            resume: false,
            sync: false,
            fail_fast: false,
            one_file: false,
            at_once: AT_ONCE,
            progress: None,
        }
    }
}

impl Transfer {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of symbolic links in a directory. The path that is given itself is followed.
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Whether files and directories get the permissions (`0o777` of them) and times of the
    /// original. Default: yes.
    #[must_use]
    pub fn preserve(mut self, preserve: bool) -> Self {
        self.preserve = preserve;
        self
    }

    /// Whether an upload writes each file under a temporary name, and gives it its own when it is
    /// whole. One more round trip; a file of that name is replaced at once where the server knows
    /// `posix-rename@openssh.com`. Default: no, and a file whose upload failed stays there in part.
    /// Downloads always do.
    #[must_use]
    pub fn atomic(mut self, atomic: bool) -> Self {
        self.atomic = atomic;
        self
    }

    /// Whether a file that is there in part is continued and not begun anew. What is there is
    /// believed to be the beginning of the original. An upload continues the file itself, a download
    /// what an earlier one that was to be resumable left as `.NAME.part`. Default: no.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Whether the server is to have each file on its disk before it counts as uploaded
    /// (`fsync@openssh.com`; nothing where it has none). Default: no.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Whether the first file that fails ends the transfer of a directory, with its error. What was
    /// transferred by then stays. Default: no.
    #[must_use]
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Whether a directory is an error of kind `IsADirectory`, and not transferred with all that is
    /// in it. Default: no.
    #[must_use]
    pub fn one_file(mut self, one_file: bool) -> Self {
        self.one_file = one_file;
        self
    }

    /// Files in flight together, 1 at least. Default: 128, or what the server has room for.
    #[must_use]
    pub fn at_once(mut self, files: usize) -> Self {
        self.at_once = files.max(1);
        self
    }

    /// Called with what was transferred so far, after each piece and each file. It must not take
    /// long: nothing is transferred meanwhile.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("links", &self.links)
            .field("preserve", &self.preserve)
            .field("atomic", &self.atomic)
            .field("resume", &self.resume)
            .field("sync", &self.sync)
            .field("fail_fast", &self.fail_fast)
            .field("one_file", &self.one_file)
            .field("at_once", &self.at_once)
            .finish_non_exhaustive()
    }
}
