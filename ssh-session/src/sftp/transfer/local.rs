//! Files and directories of this machine, each under the directory it was found or made in: no name
//! leads through a link, whoever puts one there meanwhile (`openat(2)`, `O_NOFOLLOW`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, mkdirat,
    openat, renameat, statat, symlinkat, unlinkat,
};

use super::super::attributes::Metadata;

/// The longest name that is still part of a temporary one, in bytes.
const LONGEST_IN_NAME: usize = 200;

/// A local directory that is being filled.
pub(crate) struct Folder {
    fd: OwnedFd,
    above: Option<Arc<Self>>,
    /// What it is given when it is full.
    metadata: Option<Metadata>,
}

/// A local file that is being written, under a name that is not yet its own.
pub(crate) struct NewFile {
    file: File,
    folder: Arc<Folder>,
    /// `None` where it is written in place: a device or a pipe.
    names: Option<(OsString, OsString)>,
    /// Whether it stays there in part, to be resumed.
    stays: bool,
    done: bool,
}

impl Folder {
    /// The directory at a path that the user gave, made if there is none. Links on the way are the
    /// user's own.
    pub(crate) fn root(path: &Path, metadata: Option<Metadata>) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(path)?;
        Self::open(path, metadata)
    }

    /// The directory that a path's last name is in.
    pub(crate) fn parent(path: &Path) -> io::Result<Arc<Self>> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::open(parent.unwrap_or(Path::new(".")), None)
    }

    /// A directory in this one, made if there is none. A link is no directory.
    pub(crate) fn inside(
        self: &Arc<Self>,
        name: &OsStr,
        metadata: Option<Metadata>,
    ) -> io::Result<Arc<Self>> {
        let mode = if metadata.is_some() { Mode::RWXU } else { Mode::from_raw_mode(0o777) };
        match mkdirat(&self.fd, name, mode) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Arc::new(Self { fd, above: Some(Arc::clone(self)), metadata }))
    }

    fn open(path: &Path, metadata: Option<Metadata>) -> io::Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())?;
        Ok(Arc::new(Self { fd, above: None, metadata }))
    }

    /// Makes a link in this directory. A link of that name is replaced, and nothing else.
    pub(crate) fn link(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        match symlinkat(target, &self.fd, name) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return Ok(other?),
        }
        let there = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) != FileType::Symlink {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        unlinkat(&self.fd, name, AtFlags::empty())?;
        Ok(symlinkat(target, &self.fd, name)?)
    }

    /// Starts a file in this directory; says how much of it is there already.
    pub(crate) fn start(
        self: &Arc<Self>,
        name: &OsStr,
        resume: bool,
        private: bool,
    ) -> io::Result<(NewFile, u64)> {
        let head = &name.as_bytes()[..name.len().min(LONGEST_IN_NAME)];
        let mut temporary = OsString::from(".");
        temporary.push(OsStr::from_bytes(head));
        if !resume {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            temporary.push(format!(".{:016x}", u64::from_ne_bytes(random)));
        }
        temporary.push(".part");
        let common = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let flags = common | OFlags::NONBLOCK | if resume { OFlags::empty() } else { OFlags::EXCL };
        let mode = if private { 0o600 } else { 0o666 };
        let fd = openat(&self.fd, &temporary, flags, Mode::from_raw_mode(mode))?;
        let there = fstat(&fd)?;
        if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile || there.st_nlink != 1 {
            let problem = "what is there to be resumed is no file of its own";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
        let size = u64::try_from(there.st_size).unwrap_or(0);
        let names = Some((temporary, name.to_owned()));
        let file = File::from(fd);
        Ok((NewFile { file, folder: Arc::clone(self), names, stays: resume, done: false }, size))
    }

    /// A device or a pipe of the user's own in this directory, to be written in place; `None` where
    /// that name is a file's or nobody's.
    pub(crate) fn special(self: &Arc<Self>, name: &OsStr) -> io::Result<Option<NewFile>> {
        let there = match statat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            other => FileType::from_raw_mode(other?.st_mode),
        };
        match there {
            FileType::RegularFile => return Ok(None),
            FileType::Directory => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            _ => {}
        }
        let fd = openat(&self.fd, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (file, folder) = (File::from(fd), Arc::clone(self));
        Ok(Some(NewFile { file, folder, names: None, stays: false, done: false }))
    }

    /// Gives a directory its permissions and times when nobody fills it any more, and then those
    /// above it.
    pub(crate) fn leave(self: Arc<Self>) -> io::Result<()> {
        let mut next = Arc::into_inner(self);
        while let Some(Self { fd, above, metadata }) = next {
            if let Some(metadata) = metadata {
                set(&fd, &metadata)?;
            }
            next = above.and_then(Arc::into_inner);
        }
        Ok(())
    }
}

impl NewFile {
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The file is whole: it gets its own name.
    pub(crate) fn finish(mut self, metadata: Option<&Metadata>) -> io::Result<()> {
        let Some((temporary, name)) = &self.names else { return Ok(()) };
        if let Some(metadata) = metadata {
            set(&self.file, metadata)?;
        }
        renameat(&self.folder.fd, temporary, &self.folder.fd, name)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.names
            && !self.done
            && !self.stays
        {
            // Nobody is left to tell.
            let _ = unlinkat(&self.folder.fd, temporary, AtFlags::empty());
        }
    }
}

/// Permissions without set-id and sticky bits, and times.
fn set(fd: impl std::os::fd::AsFd, metadata: &Metadata) -> io::Result<()> {
    if let Some(mode) = metadata.mode {
        fchmod(&fd, Mode::from_raw_mode(mode & 0o777))?;
    }
    if let Some((read, changed)) = metadata.times {
        let time = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
        futimens(&fd, &Timestamps { last_access: time(read), last_modification: time(changed) })?;
    }
    Ok(())
}
