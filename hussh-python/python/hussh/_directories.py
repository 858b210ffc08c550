"""What `sftp_read` and its kin, as hussh has always had them, ask and give: the same for threads
and tasks.
"""

from __future__ import annotations

import os
import posixpath
from typing import Any, Literal, cast

from . import _calls
from ._calls import Call
from ._errors import FileError, FileNotDirectoryError
from ._files import FileStat, Transferred, TransferReport
from ._options import flag
from ._paths import LocalPath, RemotePath, is_path, local, remote, shown

__all__ = ["DirectoryTransfer"]


class _Failed(list[str]):
    """The paths of what failed, and why."""

    report = TransferReport(())


class DirectoryTransfer(tuple[list[str], list[str]]):
    """The files that were transferred, and what failed: two lists of paths, as `(transferred,
    failed)`. Why something failed, and what was left out, is in the `report`.
    """

    __slots__ = ()

    @property
    def report(self) -> TransferReport:
        """What became of each file."""
        return cast(_Failed, self[1]).report

    @property
    def transferred(self) -> list[str]:
        """The first of the two."""
        return self[0]

    @property
    def failed(self) -> list[str]:
        """The second."""
        return self[1]


def read_to(remote_path: RemotePath, local_path: LocalPath) -> Call[TransferReport]:
    """One file, from there to here."""
    return _calls.get(remote_path, local_path, one_file=True)


def write_from(local_path: LocalPath, remote_path: RemotePath | None) -> Call[TransferReport]:
    """One file, from here to there."""
    if remote_path is None:
        remote_path = same_path(local_path)
    return _calls.put(local_path, remote_path, one_file=True)


def same_path(local_path: object) -> Any:
    """The path on the server, where only the one on this machine was given."""
    if not is_path(local_path):
        raise TypeError("`remote_path` is missing: an open file does not say where to write it")
    return local_path


def put_all(
    local_path: LocalPath, remote_path: RemotePath, follow: bool, preserve: bool, fail_fast: bool
) -> Call[TransferReport]:
    """A directory, from here to there."""
    return _calls.put(
        local_path,
        remote_path,
        links=_links(follow),
        parents=True,
        preserve=flag("preserve_permissions", preserve),
        fail_fast=flag("fail_fast", fail_fast),
    )


def get_all(
    remote_path: RemotePath, local_path: LocalPath, follow: bool, preserve: bool, fail_fast: bool
) -> Call[TransferReport]:
    """A directory, from there to here."""
    return _calls.get(
        remote_path,
        local_path,
        links=_links(follow),
        preserve=flag("preserve_permissions", preserve),
        fail_fast=flag("fail_fast", fail_fast),
    )


def check_here(local_path: LocalPath) -> None:
    """Raises where this is no directory."""
    name = local("local_path", local_path)
    # What is not there is told of by whoever looks for it.
    if os.path.exists(name) and not os.path.isdir(name):
        _no_directory("local", name)


def check_there(remote_path: RemotePath, found: FileStat) -> None:
    """Raises where this is no directory."""
    if not found.is_dir():
        _no_directory("remote", shown(remote("remote_path", remote_path)))


def put_done(local_path: LocalPath, report: TransferReport) -> DirectoryTransfer:
    """What came of it, by paths of this machine."""
    root = os.fsdecode(local_path)
    return _done(report, lambda path: os.path.join(root, path) if path else root)


def get_done(remote_path: RemotePath, report: TransferReport) -> DirectoryTransfer:
    """What came of it, by paths on the server."""
    root = shown(remote("remote_path", remote_path))
    return _done(report, lambda path: posixpath.join(root, path) if path else root)


def nothing_done(error: FileError, fail_fast: bool) -> TransferReport:
    """The report where not even the directory was there, or could be made."""
    if fail_fast:
        raise error
    return TransferReport((Transferred("", "failed", 0, str(error), error),))


def _done(report: TransferReport, name: Any) -> DirectoryTransfer:
    transferred = [name(entry.path) for entry in report.entries if entry.kind == "file"]
    failed = _Failed(name(entry.path) for entry in report.failed)
    failed.report = report
    return DirectoryTransfer((transferred, failed))


def _links(follow: bool) -> Literal["keep", "follow", "skip"]:
    return "follow" if flag("follow_symlinks", follow) else "skip"


def _no_directory(side: str, path: str) -> None:
    raise FileNotDirectoryError(
        f'{side} file "{path}": not a directory', side=side, filename=path, reason="NotADirectory"
    )
