//! Files on the server: one entry point for all verbs, as commands have one.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use hussh::{AsyncSftp, Bounds, Error, Links, OpenFile, OpenOptions, SshError, Transfer};
use pyo3::prelude::*;

use crate::operation::{Desk, Operation};
use crate::owned::Owned;
use crate::session::{Carrier, WeakCarrier};
use crate::settings::Seconds;
use crate::value::Value;

/// What is to be done with files. From a `dict` with the verb and as much as that needs.
#[derive(FromPyObject)]
pub(crate) struct FileSettings {
    #[pyo3(item)]
    verb: String,
    /// On the server; paths there are bytes.
    #[pyo3(item, default)]
    path: Vec<u8>,
    /// A second one on the server.
    #[pyo3(item, default)]
    other: Vec<u8>,
    #[pyo3(item, default)]
    local: PathBuf,
    #[pyo3(item, default)]
    content: Vec<u8>,
    #[pyo3(item, default)]
    offset: u64,
    #[pyo3(item, default)]
    length: u64,
    /// Permissions.
    #[pyo3(item, default)]
    mode: Option<u32>,
    /// User and group; -1 leaves it as it is.
    #[pyo3(item, default)]
    owner: (i64, i64),
    /// Read and changed, since 1970.
    #[pyo3(item, default)]
    times: Option<(Seconds, Seconds)>,
    /// What is true of the call, such as `"append"`, `"parents"` or `"preserve"`.
    #[pyo3(item, default)]
    flags: Vec<String>,
    #[pyo3(item, default)]
    at_once: Option<usize>,
    #[pyo3(item, default)]
    timeout: Option<Seconds>,
    #[pyo3(item, default)]
    idle_timeout: Option<Seconds>,
    #[pyo3(item, default)]
    max_bytes: Option<u64>,
}

impl FileSettings {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.deadline = self.timeout.as_ref().map(|Seconds(span)| *span);
        bounds.idle = self.idle_timeout.as_ref().map_or(bounds.idle, |Seconds(span)| *span);
        bounds.bytes = self.max_bytes.unwrap_or(bounds.bytes);
        bounds
    }

    fn open_options(&self) -> OpenOptions {
        OpenOptions::new()
            .read(self.has("read"))
            .write(self.has("write"))
            .append(self.has("append"))
            .truncate(self.has("truncate"))
            .create(self.has("create"))
            .create_new(self.has("create_new"))
    }

    fn transfer(&self, desk: &Arc<Desk>) -> Transfer {
        let links = match () {
            () if self.has("follow") => Links::Follow,
            () if self.has("skip") => Links::Skip,
            () => Links::Keep,
        };
        let transfer = Transfer::new()
            .links(links)
            .preserve(self.has("preserve"))
            .atomic(self.has("atomic"))
            .resume(self.has("resume"))
            .sync(self.has("sync"))
            .fail_fast(self.has("fail_fast"))
            .one_file(self.has("one_file"));
        let transfer = match self.at_once {
            Some(files) => transfer.at_once(files),
            None => transfer,
        };
        if !self.has("progress") {
            return transfer;
        }
        let desk = Arc::clone(desk);
        transfer.progress(move |progress| desk.tell(progress))
    }
}

/// Whose an open file is: its session's, or its own, where a pool lent one for it.
enum Holder {
    Session(WeakCarrier),
    Own(Carrier),
}

/// A file that stays open on the server, until this is dropped.
#[pyclass(frozen, module = "hussh._native")]
pub(crate) struct File {
    open: Owned<(Holder, Arc<OpenFile>)>,
}

impl File {
    pub(crate) fn new(carrier: Carrier, open: OpenFile, its_own: bool) -> Self {
        let holder = match its_own {
            true => Holder::Own(carrier),
            false => Holder::Session(carrier.downgrade()),
        };
        Self { open: Owned::new((holder, Arc::new(open))) }
    }
}

#[pymethods]
impl File {
    /// Starts something with the open file; `None` where its session was closed or given back, or is
    /// a parent process's.
    fn files(&self, py: Python<'_>, call: FileSettings) -> PyResult<Option<Operation>> {
        let Some((holder, open)) = self.open.here() else { return Ok(None) };
        let carrier = match holder {
            Holder::Own(carrier) => Some(carrier.clone()),
            Holder::Session(carrier) => carrier.upgrade(),
        };
        let Some(carrier) = carrier else { return Ok(None) };
        let open = Arc::clone(open);
        let operation =
            Operation::start(py, |_| async move { with_open(&carrier, &call, &open).await });
        operation.map(Some)
    }
}

/// Does it. A file that is opened keeps the session where that is `its_own`.
pub(crate) async fn run(
    carrier: Carrier,
    call: FileSettings,
    desk: Arc<Desk>,
    its_own: bool,
) -> Result<Value, Error> {
    let sftp = sftp(&carrier, &call).await?;
    if call.verb == "open" {
        let open = sftp.open(path(&call.path), &call.open_options()).await?;
        return Ok(Value::File(File::new(carrier.clone(), open, its_own)));
    }
    verb(&sftp, &call, &desk).await
}

async fn sftp<'c>(carrier: &'c Carrier, call: &FileSettings) -> Result<AsyncSftp<'c>, Error> {
    let (mut bounds, start) = (call.bounds(), Instant::now());
    let sftp = carrier.sftp_with(bounds).await?;
    bounds.deadline = bounds.deadline.map(|deadline| deadline.saturating_sub(start.elapsed()));
    Ok(sftp.bounds(bounds))
}

async fn verb(sftp: &AsyncSftp<'_>, call: &FileSettings, desk: &Arc<Desk>) -> Result<Value, Error> {
    let (path, other) = (path(&call.path), path(&call.other));
    Ok(match call.verb.as_str() {
        "stat" => sftp.stat(path).await?.into(),
        "lstat" => sftp.lstat(path).await?.into(),
        "list" => sftp.list(path).await?.into(),
        "walk" => sftp.walk(path).await?.into(),
        "read" => sftp.read(path).await?.into(),
        "read_at" => sftp.read_at(path, call.offset, call.length).await?.into(),
        "read_link" => sftp.read_link(path).await?.into(),
        "real_path" => sftp.real_path(path).await?.into(),
        "stat_fs" => sftp.stat_fs(path).await?.into(),
        "upload" => {
            if call.has("parents")
                && let Some(parent) = parent(&other)
            {
                sftp.mkdir_all(parent).await?;
            }
            sftp.upload(&call.local, other, &call.transfer(desk)).await?.into()
        }
        "download" => sftp.download(path, &call.local, &call.transfer(desk)).await?.into(),
        "write" => sftp.write(path, &call.content).await?.into(),
        "replace" => sftp.replace(path, &call.content).await?.into(),
        "mkdir" => mkdir(sftp, call, &path).await?.into(),
        "remove" => sftp.remove(path).await?.into(),
        "remove_dir" => sftp.remove_dir(path).await?.into(),
        "remove_all" => sftp.remove_all(path).await?.into(),
        "rename" => sftp.rename(path, other).await?.into(),
        "symlink" => sftp.symlink(other, path).await?.into(),
        "hard_link" => sftp.hard_link(other, path).await?.into(),
        "set_size" => sftp.set_size(path, call.length).await?.into(),
        "set_permissions" => sftp.set_permissions(path, call.mode.unwrap_or(0)).await?.into(),
        "set_owner" => set_owner(sftp, call, &path).await?.into(),
        "set_times" => {
            let now = UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
            let times = call.times.as_ref().map(|(read, changed)| (read.0, changed.0));
            let (read, changed) = times.unwrap_or((now, now));
            let time =
                |since| UNIX_EPOCH.checked_add(since).ok_or(SshError::invalid("times", "are none"));
            sftp.set_times(path, time(read)?, time(changed)?).await?.into()
        }
        _ => return Err(unknown()),
    })
}

async fn with_open(
    carrier: &Carrier,
    call: &FileSettings,
    open: &OpenFile,
) -> Result<Value, Error> {
    let sftp = sftp(carrier, call).await?;
    Ok(match call.verb.as_str() {
        "read" => sftp.read_file(open, call.offset, call.length).await?.into(),
        "stat" => sftp.stat_file(open).await?.into(),
        "write" => sftp.write_file(open, call.offset, &call.content).await?.into(),
        "set_size" => sftp.set_file_size(open, call.length).await?.into(),
        "sync" => sftp.sync_file(open).await?.into(),
        "close" => sftp.close_file(open).await?.into(),
        _ => return Err(unknown()),
    })
}

/// Makes a directory, as Python's `Path.mkdir`.
async fn mkdir(sftp: &AsyncSftp<'_>, call: &FileSettings, path: &Path) -> Result<(), Error> {
    if call.has("parents")
        && let Some(parent) = parent(path)
    {
        sftp.mkdir_all(parent).await?;
    }
    match sftp.mkdir(path).await {
        Err(Error::Ssh(SshError::File(error)))
            if error.kind == ErrorKind::AlreadyExists
                && call.has("exist_ok")
                && sftp.stat(path).await?.is_dir() =>
        {
            return Ok(());
        }
        other => other?,
    }
    match call.mode {
        Some(mode) => sftp.set_permissions(path, mode).await,
        None => Ok(()),
    }
}

/// Sets one or both, as Python's `os.chown`: the protocol has them only together.
async fn set_owner(sftp: &AsyncSftp<'_>, call: &FileSettings, path: &Path) -> Result<(), Error> {
    let (user, group) = call.owner;
    let known = match user.min(group) {
        ..0 => sftp.stat(path).await?.owner,
        _ => None,
    };
    let number = |asked: i64, known: Option<u32>| match asked {
        ..0 => known.ok_or(SshError::invalid("owner", "is not known: give both user and group")),
        asked => u32::try_from(asked).map_err(|_| SshError::invalid("owner", "is too large")),
    };
    let (user, group) =
        (number(user, known.map(|(user, _)| user))?, number(group, known.map(|(_, group)| group))?);
    sftp.set_owner(path, user, group).await
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn unknown() -> Error {
    SshError::invalid("verb", "is none of ours").into()
}
