//! Files, read whole and cut into lines, with those they include.

use std::fs::{self, File as Handle};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::condition::Condition;
use super::local::Local;
use super::setting::Setting;
use super::tokens::expand;
use super::words::Words;
use crate::SshError;

/// The largest file.
const MAX_SIZE: u64 = 1 << 20;
/// How deep files may include each other, as in `ssh`.
const DEEPEST: usize = 16;
/// How many files may be included in all: below the depth above, a file that includes itself twice
/// is read 65,536 times.
const MAX_FILES: usize = 512;

/// A file's lines that say something.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) lines: Vec<(usize, Line)>,
}

#[derive(Debug, Clone)]
pub(super) enum Line {
    Condition(Condition),
    Include(Vec<File>),
    Set(Setting),
}

/// Whose file it is, and so where its relative includes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    User,
    System,
}

/// Reads files and what they include.
pub(super) struct Reader<'a> {
    local: &'a Local,
    owner: Owner,
    left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(local: &'a Local, owner: Owner) -> Self {
        Self { local, owner, left: MAX_FILES }
    }

    /// `None` if there is no such file. With `guarded`, a file that others can write is refused.
    pub(super) fn read(&mut self, path: &Path, guarded: bool) -> Result<Option<File>, SshError> {
        self.read_at(path, guarded, 0)
    }

    /// As if this were the text of a file.
    pub(super) fn parse(&mut self, path: &Path, text: &[u8]) -> Result<File, SshError> {
        self.parse_at(path, text, 0)
    }

    fn read_at(
        &mut self,
        path: &Path,
        guarded: bool,
        depth: usize,
    ) -> Result<Option<File>, SshError> {
        match bytes(path, guarded) {
            Ok(text) => self.parse_at(path, &text, depth).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SshError::config(path, 0, format!("cannot be used: {error}"))),
        }
    }

    fn parse_at(&mut self, path: &Path, text: &[u8], depth: usize) -> Result<File, SshError> {
        let mut lines = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let wrong = |problem| SshError::config(path, number, problem);
            let words = match std::str::from_utf8(line) {
                Ok(line) => Words::parse(line).map_err(wrong)?,
                Err(_) if line.trim_ascii_start().starts_with(b"#") => None,
                Err(_) => return Err(wrong("is not UTF-8 text".into())),
            };
            let Some(words) = words else { continue };
            let line = if let Some(condition) = Condition::parse(&words).map_err(wrong)? {
                Line::Condition(condition)
            } else if words.keyword == "include" {
                let mut files = Vec::new();
                for argument in &words.arguments {
                    for found in self.find(argument).map_err(wrong)? {
                        self.left = self.left.checked_sub(1).ok_or_else(|| {
                            wrong(format!("includes more than {MAX_FILES} files in all"))
                        })?;
                        if depth >= DEEPEST {
                            return Err(wrong(format!("includes deeper than {DEEPEST} files")));
                        }
                        files.extend(self.read_at(&found, true, depth + 1)?);
                    }
                }
                Line::Include(files)
            } else {
                Line::Set(Setting::parse(words).map_err(wrong)?)
            };
            lines.push((number, line));
        }
        Ok(File { path: path.to_owned(), lines })
    }

    /// The files that an `Include` names, in the order of their names.
    fn find(&self, argument: &str) -> Result<Vec<PathBuf>, String> {
        if argument.is_empty() {
            return Err("`Include` has an empty argument".into());
        }
        let argument = expand(argument, true, |letter| match letter {
            'd' => self.local.home.to_str(),
            'u' => Some(&self.local.user),
            'i' => Some(&self.local.uid),
            _ => None,
        })
        .map_err(|problem| format!("`Include {}` {problem}", super::shown(argument)))?;
        let argument = match (argument.strip_prefix('~'), self.owner) {
            (None, _) => PathBuf::from(&argument),
            (Some(_), Owner::System) => {
                return Err("a file of the system includes one of a user".into());
            }
            (Some(rest), Owner::User) => super::paths::in_home(rest, self.local)?,
        };
        let path = match self.owner {
            // An absolute path stays what it is.
            Owner::User => self.local.home.join(".ssh").join(argument),
            Owner::System => Path::new("/etc/ssh").join(argument),
        };
        let pattern = path.to_str().ok_or("`Include` names a path that is not UTF-8 text")?;
        // To the C library two stars are one; to this one they are every folder below.
        let mut pattern = pattern.to_owned();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        let found = glob::glob_with(&pattern, GLOB).map_err(|error| {
            format!("`Include {}` is no pattern: {}", super::shown(&pattern), error.msg)
        })?;
        // A folder among them is skipped. More than may be read need not be listed.
        let files = found.filter_map(Result::ok).filter(|path| !path.is_dir());
        Ok(files.take(MAX_FILES + 1).collect())
    }
}

/// As the C library's: `*` leaves out hidden files and never crosses a `/`.
const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

fn bytes(path: &Path, guarded: bool) -> io::Result<Vec<u8>> {
    let refused = |text: String| io::Error::new(io::ErrorKind::PermissionDenied, text);
    // Asked before it is opened: opening a pipe waits for its other end.
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !metadata.is_file() && path != Path::new("/dev/null") {
        return Err(refused("it is not a file".into()));
    }
    let handle = Handle::open(path)?;
    let metadata = handle.metadata()?;
    let (owner, us) = (metadata.uid(), rustix::process::getuid().as_raw());
    if guarded && ((owner != 0 && owner != us) || metadata.mode() & 0o022 != 0) {
        return Err(refused("others can write to it (bad owner or permissions)".into()));
    }
    let mut text = Vec::new();
    handle.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        let text = format!("it is larger than {MAX_SIZE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}
