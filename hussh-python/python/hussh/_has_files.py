"""Files of whatever has a session, for threads."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, BinaryIO, cast

from . import _calls, _directories
from ._base import Reached
from ._calls import Content, content
from ._directories import DirectoryTransfer
from ._errors import FileError
from ._paths import LocalPath, RemotePath, is_path
from ._sftp import Sftp
from ._stats import Progress

if TYPE_CHECKING:
    from ._native import Operation, _FileSettings


class HasFiles(Reached):
    """Whatever has files on a server: a connection, one on loan, and a pool, which borrows one for
    each call.
    """

    def sftp(
        self,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> Sftp:
        """The files on the server, for `with` or without. Asks nobody; the first call sets the
        channel up.

        Each of its calls takes `timeout` seconds at most, without end by default, and the server
        may be silent for `idle_timeout` seconds: 30 by default, or a `Connection`'s own timeout.
        `read_bytes` and `read_text` take up to `max_bytes`, 1 GiB by default.
        """
        return Sftp(self, timeout, self._idle_limit(idle_timeout), max_bytes)

    def sftp_read(
        self,
        remote_path: RemotePath,
        local_path: LocalPath | BinaryIO | None = None,
        *,
        progress: Progress = None,
    ) -> str:
        """What is in a file, which must be UTF-8. With `local_path`, a path or a binary file that
        is open, it goes there whatever it is, and the result is "Ok". `Sftp.read_bytes` gives
        bytes.
        """
        sftp = self.sftp()
        if local_path is None:
            return sftp.read_text(remote_path)
        if not is_path(local_path):
            sftp.get(remote_path, local_path, progress=progress)
            return "Ok"
        call = _directories.read_to(remote_path, cast("LocalPath", local_path))
        total = sftp.stat(remote_path).st_size if progress else None
        sftp._metered(call, progress, total)
        return "Ok"

    def sftp_write(
        self,
        local_path: LocalPath | BinaryIO,
        remote_path: RemotePath | None = None,
        *,
        progress: Progress = None,
    ) -> None:
        """Writes a file, or what is left in a binary file that is open, to the server; to the same
        path without `remote_path`.
        """
        sftp = self.sftp()
        if not is_path(local_path):
            there = _directories.same_path(local_path) if remote_path is None else remote_path
            sftp.put(local_path, there, progress=progress)
            return
        source = cast("LocalPath", local_path)
        call = _directories.write_from(source, remote_path)
        sftp._metered(call, progress, _calls.total_of(source))

    def sftp_write_data(self, data: Content | BinaryIO, remote_path: RemotePath) -> None:
        """Writes text, as UTF-8, bytes, or what is left in an open file, to a file."""
        self.sftp().write_bytes(remote_path, content("data", data), atomic=False)

    def sftp_list(self, path: RemotePath) -> list[str]:
        """The names in a directory, without `.` and `..`, in no particular order."""
        return self.sftp().listdir(path)

    def sftp_put_dir(
        self,
        local_path: LocalPath,
        remote_path: RemotePath,
        follow_symlinks: bool = True,
        preserve_permissions: bool = True,
        fail_fast: bool = False,
        *,
        progress: Progress = None,
    ) -> DirectoryTransfer:
        """Transfers a directory to the server: `(transferred, failed)`, two lists of local paths.

        The directory itself is made, with those above it. Symbolic links are left out where they
        are not followed, as is what is neither file nor directory; set-id bits are not copied. The
        `report` of the result says why something failed. With `fail_fast` the first failure ends it
        and is raised, a missing directory among them. `Sftp.put` can do more.
        """
        limits = follow_symlinks, preserve_permissions, fail_fast
        call = _directories.put_all(local_path, remote_path, *limits)
        try:
            _directories.check_here(local_path)
            report = self.sftp()._metered(call, progress, None)
        except FileError as error:
            report = _directories.nothing_done(error, fail_fast)
        return _directories.put_done(local_path, report)

    def sftp_get_dir(
        self,
        remote_path: RemotePath,
        local_path: LocalPath,
        follow_symlinks: bool = True,
        preserve_permissions: bool = True,
        fail_fast: bool = False,
        *,
        progress: Progress = None,
    ) -> DirectoryTransfer:
        """Transfers a directory from the server: `(transferred, failed)`, two lists of remote
        paths. As `sftp_put_dir`; nothing is written outside `local_path`, whatever the server says.
        """
        limits = follow_symlinks, preserve_permissions, fail_fast
        call = _directories.get_all(remote_path, local_path, *limits)
        sftp = self.sftp()
        try:
            _directories.check_there(remote_path, sftp.stat(remote_path))
            report = sftp._metered(call, progress, None)
        except FileError as error:
            report = _directories.nothing_done(error, fail_fast)
        return _directories.get_done(remote_path, report)

    def _idle_limit(self, asked: float | None) -> float | None:
        """How long the server may be silent, in seconds."""
        return asked

    @abstractmethod
    def _begin_files(self, told: _FileSettings) -> Operation:
        """Starts something with files."""
