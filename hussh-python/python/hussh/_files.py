"""What is known of files on the server, and what became of those that were transferred."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import Any

from ._errors import FileError, SSHError, from_facts
from ._paths import shown

__all__ = ["FileStat", "RemoteEntry", "StatVFS", "TransferReport", "Transferred"]


@dataclass(frozen=True)
class FileStat:
    """What is known of a file, under the names of `os.stat_result`. What the server does not say is
    `None`.
    """

    st_mode: int | None
    """Its kind and permissions."""
    st_size: int | None
    """In bytes, as the server claims."""
    st_uid: int | None
    """The owner's number."""
    st_gid: int | None
    """The group's number."""
    st_atime: int | None
    """When it was last read, in seconds since 1970."""
    st_mtime: int | None
    """When it was last changed, in seconds since 1970."""

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.st_mode or 0)

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.st_mode or 0)

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.st_mode or 0)


@dataclass(frozen=True)
class RemoteEntry:
    """Something in a directory, as `os.DirEntry`."""

    name: str
    """Its name in the directory."""
    path: str
    """The directory's path, and its name."""
    _stat: FileStat = field(repr=False)

    def stat(self) -> FileStat:
        """What the listing says of it; of a link itself. Asks nobody."""
        return self._stat

    def is_dir(self) -> bool:
        """Whether it is a directory; a link to one is not."""
        return self._stat.is_dir()

    def is_file(self) -> bool:
        """Whether it is a regular file; a link to one is not."""
        return self._stat.is_file()

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self._stat.is_symlink()

    def __fspath__(self) -> str:
        return self.path


@dataclass(frozen=True)
class StatVFS:
    """A file system of the server's, under the names of `os.statvfs_result`."""

    f_frsize: int
    """The size of a block, in bytes."""
    f_blocks: int
    """Blocks in all."""
    f_bfree: int
    """Blocks free."""
    f_bavail: int
    """Blocks free to users."""
    f_files: int
    """Files in all."""
    f_ffree: int
    """Files that could be made."""
    f_namemax: int
    """The longest name, in bytes."""
    read_only: bool
    """Whether nothing can be written."""


@dataclass(frozen=True)
class Transferred:
    """What became of one file of a transfer."""

    path: str
    """Its path below the directory that was transferred; "" for that itself, and for a single
    file."""
    kind: str
    """"file", "directory" or "link": it is there now. "skipped": it was left out. "failed": it is
    not there, or not whole."""
    bytes: int = 0
    """How many were transferred, fewer than the file has where it was resumed."""
    reason: str | None = None
    """Why it was left out, or what failed."""
    error: SSHError | None = None
    """What failed."""


@dataclass(frozen=True)
class TransferReport:
    """What became of each file of a transfer."""

    entries: tuple[Transferred, ...] = field(repr=False)
    """In the order in which they were done."""

    @property
    def files(self) -> int:
        """How many files were transferred."""
        return sum(entry.kind == "file" for entry in self.entries)

    @property
    def bytes(self) -> int:
        """How many bytes of files were transferred."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def skipped(self) -> list[Transferred]:
        """What was left out, and why."""
        return [entry for entry in self.entries if entry.kind == "skipped"]

    @property
    def failed(self) -> list[Transferred]:
        """What failed, and why."""
        return [entry for entry in self.entries if entry.kind == "failed"]

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out and nothing failed."""
        return all(entry.kind not in ("skipped", "failed") for entry in self.entries)

    def raise_for_failures(self) -> TransferReport:
        """Raises the error of the first file that failed, which has this as `report`; else gives
        itself.
        """
        for entry in self.failed:
            if entry.error is not None:
                if isinstance(entry.error, FileError):
                    entry.error.report = self
                raise entry.error
        return self

    def __repr__(self) -> str:
        return (
            f"TransferReport(files={self.files}, bytes={self.bytes}, "
            f"skipped={len(self.skipped)}, failed={len(self.failed)})"
        )


def file_stat(facts: Any) -> FileStat:
    """Of what the native half tells."""
    size, owner, mode, times = facts
    uid, gid = owner or (None, None)
    atime, mtime = times or (None, None)
    return FileStat(mode, size, uid, gid, atime, mtime)


def entries(folder: bytes, facts: Any) -> list[RemoteEntry]:
    """What is in a directory."""
    where = shown(folder)
    where = where if where.endswith("/") else f"{where}/"
    named = ((shown(name), file_stat(found)) for name, found in facts)
    return [RemoteEntry(name, where + name, found) for name, found in named]


def tree(top: bytes, facts: Any) -> list[tuple[str, list[str], list[str]]]:
    """Directories with what is in them, as `os.walk` gives them, from a list of all that is below
    one, each directory before what is in it.
    """
    root = shown(top)
    found: dict[str, tuple[str, list[str], list[str]]] = {"": (root, [], [])}
    for path, attributes in facts:
        below = shown(path)
        folder, _, name = below.rpartition("/")
        is_dir = file_stat(attributes).is_dir()
        _, folders, files = found[folder]
        (folders if is_dir else files).append(name)
        if is_dir:
            found[below] = (f"{root.rstrip('/')}/{below}", [], [])
    return list(found.values())


def stat_vfs(facts: Any) -> StatVFS:
    """Of what the native half tells."""
    (size, blocks, free, available), (files, files_free), read_only, longest = facts
    return StatVFS(size, blocks, free, available, files, files_free, longest, read_only)


def transfer_report(facts: Any) -> TransferReport:
    """Of what the native half tells."""
    found = []
    for path, kind, size, why, failure in facts:
        error = None if failure is None else from_facts(failure)
        reason = why if error is None else str(error)
        found.append(Transferred(shown(path), kind, size, reason, error))
    return TransferReport(tuple(found))
