"""Files on the server, for threads."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, overload

from . import _calls, _log
from ._base import closed
from ._calls import Call, Content, content, with_limits
from ._file import RemoteRawIO, check_wrapping, flags_of, started, wrapped
from ._files import FileStat, RemoteEntry, StatVFS
from ._paths import RemotePath, remote, shown
from ._transfers import Transfers
from ._wait import finish

if TYPE_CHECKING:
    from io import BufferedRandom, BufferedReader, BufferedWriter, TextIOWrapper
    from pathlib import PurePosixPath

    from ._config import Config
    from ._native import File, Operation, _FileSettings

__all__ = ["Sftp"]

T = TypeVar("T")
Self = TypeVar("Self", bound="Sftp")

IDLE_TIMEOUT = 30.0
"""Seconds that a server which owes an answer may be silent, unless somebody says otherwise."""


class _Owner(Protocol):
    """A connection or a pool."""

    _config: Config

    def _begin_files(self, told: _FileSettings) -> Operation: ...


class Sftp(Transfers):
    """Files on the server, over SFTP: `Connection.sftp()`, and that of pools and their connections.

    The names are those of `os`, `shutil` and `pathlib`. Paths on the server are a str, bytes or a
    `pathlib.PurePosixPath`; relative ones start in the user's home, as a rule. Requests are
    pipelined, and the files of a directory are in flight together. Any number of threads may use it
    at once. The channel is set up by the first call and kept with the connection; a pool's `Sftp`
    borrows a connection for each call, and for as long as a file is open.

    Errors that are about a file are `FileError`, and also the built-in exception, such as
    `FileNotFoundError`; they have the path as `filename`, and `side` says whose it is.
    """

    def __init__(
        self,
        owner: _Owner,
        timeout: float | None,
        idle_timeout: float | None,
        max_bytes: int | None,
    ) -> None:
        self._owner = owner
        self._limits = _calls.limits(timeout, idle_timeout, max_bytes)
        self._closed = False

    def close(self) -> None:
        """Ends the use of it. The connection keeps its channel, and files that are open stay so."""
        self._closed = True

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._owner!r})"

    def listdir(self, path: RemotePath = ".") -> list[str]:
        """The names in a directory, but for `.` and `..`, in no particular order."""
        return self._ask(_calls.listdir(path))

    def scandir(self, path: RemotePath = ".") -> list[RemoteEntry]:
        """What is in a directory, and what the listing says of it."""
        return self._ask(_calls.scandir(path))

    def iterdir(self, path: RemotePath = ".") -> Iterator[PurePosixPath]:
        """The paths of what is in a directory."""
        # Not with the package: importing it takes milliseconds.
        from pathlib import PurePosixPath

        return (PurePosixPath(entry.path) for entry in self.scandir(path))

    def walk(self, top: RemotePath = ".") -> Iterator[tuple[str, list[str], list[str]]]:
        """All that is below a directory, as `os.walk` gives it: each directory's path, the names of
        the directories in it, and those of everything else. Links are not followed. It is all
        listed at once, so that changing the lists changes nothing.
        """
        found = self._ask(_calls.walk(top))
        return iter(found)

    def stat(self, path: RemotePath) -> FileStat:
        """What is known of a file; of what a link leads to."""
        return self._ask(_calls.stat(path))

    def lstat(self, path: RemotePath) -> FileStat:
        """What is known of a file; of a link itself."""
        return self._ask(_calls.lstat(path))

    def exists(self, path: RemotePath) -> bool:
        """Whether there is something of that name; where a link leads nowhere, there is not."""
        return self._perhaps(_calls.stat(path)) is not None

    def is_dir(self, path: RemotePath) -> bool:
        """Whether it is a directory, or a link to one."""
        found = self._perhaps(_calls.stat(path))
        return found is not None and found.is_dir()

    def is_file(self, path: RemotePath) -> bool:
        """Whether it is a regular file, or a link to one."""
        found = self._perhaps(_calls.stat(path))
        return found is not None and found.is_file()

    def is_symlink(self, path: RemotePath) -> bool:
        """Whether it is a symbolic link."""
        found = self._perhaps(_calls.lstat(path))
        return found is not None and found.is_symlink()

    def mkdir(
        self,
        path: RemotePath,
        mode: int | None = None,
        parents: bool = False,
        exist_ok: bool = False,
    ) -> None:
        """Makes a directory; with `parents` those above it, too. With `exist_ok` a directory that
        is there already will do, and keeps its permissions. Without `mode` the server's umask
        decides.
        """
        self._ask(_calls.mkdir(path, mode, parents, exist_ok))

    def remove(self, path: RemotePath) -> None:
        """Removes a file or a link."""
        self._ask(_calls.remove(path))

    def rmdir(self, path: RemotePath) -> None:
        """Removes an empty directory."""
        self._ask(_calls.rmdir(path))

    def rmtree(self, path: RemotePath) -> None:
        """Removes a directory and all that is in it; of anything else, that alone. Links are
        removed, and not followed.
        """
        self._ask(_calls.rmtree(path))

    def rename(self, source: RemotePath, target: RemotePath) -> None:
        """Renames a file or directory. A file that has the new name is replaced, at once, where
        the server knows `posix-rename@openssh.com`; elsewhere that is a `FileExistsError`.
        """
        self._ask(_calls.rename(source, target))

    def symlink(self, target: RemotePath, link: RemotePath) -> None:
        """Makes a link at `link` that leads to `target`."""
        self._ask(_calls.symlink(target, link))

    def link(self, source: RemotePath, link: RemotePath) -> None:
        """Gives a file another name (`hardlink@openssh.com`)."""
        self._ask(_calls.link(source, link))

    def readlink(self, path: RemotePath) -> str:
        """Where a link leads, as it is written there."""
        return self._ask(_calls.readlink(path))

    def realpath(self, path: RemotePath = ".") -> str:
        """The path from the root, without links on the way."""
        return self._ask(_calls.realpath(path))

    def chmod(self, path: RemotePath, mode: int) -> None:
        """Sets permissions, such as `0o640`."""
        self._ask(_calls.chmod(path, mode))

    def chown(self, path: RemotePath, uid: int = -1, gid: int = -1) -> None:
        """Sets the owner, by number; -1 leaves user or group as it is."""
        self._ask(_calls.chown(path, uid, gid))

    def utime(self, path: RemotePath, times: tuple[float, float] | None = None) -> None:
        """Sets when the file was last read and last changed, in seconds since 1970; now, without
        `times`. The server keeps whole seconds.
        """
        self._ask(_calls.utime(path, times))

    def truncate(self, path: RemotePath, size: int) -> None:
        """Cuts a file to this length, or fills it up with zeros."""
        self._ask(_calls.truncate(path, size))

    def statvfs(self, path: RemotePath = ".") -> StatVFS:
        """What is known of the file system that a path is on (`statvfs@openssh.com`)."""
        return self._ask(_calls.statvfs(path))

    def read_bytes(self, path: RemotePath) -> bytes:
        """All that is in a file, up to `max_bytes`."""
        return self._ask(_calls.read(path))

    def read_text(self, path: RemotePath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All that is in a file, as text. What is none is a `FileTextError`."""
        return self._ask(_calls.read_text(path, encoding, errors))

    def write_bytes(self, path: RemotePath, data: Content, *, atomic: bool = True) -> int:
        """Makes these the content of a file, and gives their number.

        At once, unless `atomic` is false: whoever reads it sees what was there before or all of
        this. A file in the same directory is written and renamed; it keeps the old one's
        permissions. Without, the file itself is written over, as a device has to be.
        """
        sent = content("data", data)
        self._ask(_calls.write(path, sent, atomic))
        return len(sent)

    def write_text(
        self,
        path: RemotePath,
        text: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        atomic: bool = True,
    ) -> int:
        """As `write_bytes`, of text; gives the number of characters."""
        if not isinstance(text, str):
            raise TypeError(f"`text` must be a str, not {type(text).__name__}")
        self._ask(_calls.write(path, text.encode(encoding, errors), atomic))
        return len(text)

    @overload
    def open(
        self,
        path: RemotePath,
        mode: Literal["r", "rt", "tr", "w", "wt", "a", "at", "x", "xt", "r+", "w+", "a+"] = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> TextIOWrapper: ...

    @overload
    def open(
        self, path: RemotePath, mode: Literal["rb", "br"], buffering: Literal[-1, 1] = -1
    ) -> BufferedReader: ...

    @overload
    def open(
        self,
        path: RemotePath,
        mode: Literal["wb", "ab", "xb", "bw", "ba", "bx"],
        buffering: Literal[-1, 1] = -1,
    ) -> BufferedWriter: ...

    @overload
    def open(
        self,
        path: RemotePath,
        mode: Literal["rb+", "r+b", "wb+", "w+b", "ab+", "a+b", "xb+", "x+b"],
        buffering: Literal[-1, 1] = -1,
    ) -> BufferedRandom: ...

    @overload
    def open(
        self,
        path: RemotePath,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]: ...

    def open(
        self,
        path: RemotePath,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Opens a file as Python's `open()` does, with the same modes and the same kinds of files:
        whatever reads or writes files takes it. Text is UTF-8, unless `encoding` says otherwise.

        1 MiB is read ahead, or collected before it is written; `buffering` is another size, and 0
        none. Like any file, it is for one thread at a time.
        """
        flags = flags_of(mode)
        check_wrapping(mode, buffering, encoding, errors, newline)
        native = cast("File", self._ask(_calls.open_file(path, flags)))
        raw = RemoteRawIO(self._ask_open, native, shown(remote("path", path)), mode, flags)
        try:
            return wrapped(raw, mode, buffering, encoding, errors, newline)
        except BaseException:
            raw.close()
            raise

    def _ask(self, call: Call[T]) -> T:
        operation, config = self._begin(call)
        return call.answer(finish(operation, config))

    def _perhaps(self, call: Call[T]) -> T | None:
        try:
            return self._ask(call)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _begin(self, call: Call[Any]) -> tuple[Operation, Config]:
        config = self._owner._config
        if self._closed:
            raise closed(config, "the SFTP client is closed")
        _log.watch()
        return self._owner._begin_files(with_limits(call, *self._limits)), config

    def _ask_open(self, told: _FileSettings, native: File) -> object:
        """Does something with an open file, which outlives this."""
        config = self._owner._config
        call = with_limits(Call(told, lambda value: value), *self._limits)
        why = "the file's connection was closed or given back"
        operation = started(native.files(call), lambda: closed(config, why))
        return finish(operation, config)
