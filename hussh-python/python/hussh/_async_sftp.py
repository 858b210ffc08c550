"""Files on the server, for tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from . import _calls, _log
from ._async_file import AsyncSftpFile, Opening
from ._async_transfers import AsyncTransfers
from ._base import closed
from ._calls import Call, Content, content, with_limits
from ._file import flags_of, started
from ._files import FileStat, RemoteEntry, StatVFS
from ._loop import finish
from ._paths import RemotePath, remote, shown

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from ._config import Config
    from ._native import File, Operation, _FileSettings

__all__ = ["AsyncSftp"]

T = TypeVar("T")
Self = TypeVar("Self", bound="AsyncSftp")


class _Owner(Protocol):
    """A connection or a pool."""

    _config: Config

    async def _start_files(self, told: _FileSettings) -> Operation: ...


class AsyncSftp(AsyncTransfers):
    """Files on the server, over SFTP: `AsyncConnection.sftp()`, and that of pools and their
    connections. As `Sftp`; what waits is awaited. A task that is cancelled ends its call, and
    nothing else.
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

    async def close(self) -> None:
        """Ends the use of it. The connection keeps its channel, and files that are open stay so."""
        self._closed = True

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._owner!r})"

    async def listdir(self, path: RemotePath = ".") -> list[str]:
        """The names in a directory, but for `.` and `..`, in no particular order."""
        return await self._ask(_calls.listdir(path))

    async def scandir(self, path: RemotePath = ".") -> list[RemoteEntry]:
        """What is in a directory, and what the listing says of it."""
        return await self._ask(_calls.scandir(path))

    async def iterdir(self, path: RemotePath = ".") -> AsyncIterator[PurePosixPath]:
        """The paths of what is in a directory."""
        # Not with the package: importing it takes milliseconds.
        from pathlib import PurePosixPath

        for entry in await self.scandir(path):
            yield PurePosixPath(entry.path)

    async def walk(self, top: RemotePath = ".") -> AsyncIterator[tuple[str, list[str], list[str]]]:
        """All that is below a directory, as `os.walk` gives it: each directory's path, the names of
        the directories in it, and those of everything else. Links are not followed. It is all
        listed at once, so that changing the lists changes nothing.
        """
        for folder in await self._ask(_calls.walk(top)):
            yield folder

    async def stat(self, path: RemotePath) -> FileStat:
        """What is known of a file; of what a link leads to."""
        return await self._ask(_calls.stat(path))

    async def lstat(self, path: RemotePath) -> FileStat:
        """What is known of a file; of a link itself."""
        return await self._ask(_calls.lstat(path))

    async def exists(self, path: RemotePath) -> bool:
        """Whether there is something of that name; where a link leads nowhere, there is not."""
        return await self._perhaps(_calls.stat(path)) is not None

    async def is_dir(self, path: RemotePath) -> bool:
        """Whether it is a directory, or a link to one."""
        found = await self._perhaps(_calls.stat(path))
        return found is not None and found.is_dir()

    async def is_file(self, path: RemotePath) -> bool:
        """Whether it is a regular file, or a link to one."""
        found = await self._perhaps(_calls.stat(path))
        return found is not None and found.is_file()

    async def is_symlink(self, path: RemotePath) -> bool:
        """Whether it is a symbolic link."""
        found = await self._perhaps(_calls.lstat(path))
        return found is not None and found.is_symlink()

    async def mkdir(
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
        await self._ask(_calls.mkdir(path, mode, parents, exist_ok))

    async def remove(self, path: RemotePath) -> None:
        """Removes a file or a link."""
        await self._ask(_calls.remove(path))

    async def rmdir(self, path: RemotePath) -> None:
        """Removes an empty directory."""
        await self._ask(_calls.rmdir(path))

    async def rmtree(self, path: RemotePath) -> None:
        """Removes a directory and all that is in it; of anything else, that alone. Links are
        removed, and not followed.
        """
        await self._ask(_calls.rmtree(path))

    async def rename(self, source: RemotePath, target: RemotePath) -> None:
        """Renames a file or directory. A file that has the new name is replaced, at once, where
        the server knows `posix-rename@openssh.com`; elsewhere that is a `FileExistsError`.
        """
        await self._ask(_calls.rename(source, target))

    async def symlink(self, target: RemotePath, link: RemotePath) -> None:
        """Makes a link at `link` that leads to `target`."""
        await self._ask(_calls.symlink(target, link))

    async def link(self, source: RemotePath, link: RemotePath) -> None:
        """Gives a file another name (`hardlink@openssh.com`)."""
        await self._ask(_calls.link(source, link))

    async def readlink(self, path: RemotePath) -> str:
        """Where a link leads, as it is written there."""
        return await self._ask(_calls.readlink(path))

    async def realpath(self, path: RemotePath = ".") -> str:
        """The path from the root, without links on the way."""
        return await self._ask(_calls.realpath(path))

    async def chmod(self, path: RemotePath, mode: int) -> None:
        """Sets permissions, such as `0o640`."""
        await self._ask(_calls.chmod(path, mode))

    async def chown(self, path: RemotePath, uid: int = -1, gid: int = -1) -> None:
        """Sets the owner, by number; -1 leaves user or group as it is."""
        await self._ask(_calls.chown(path, uid, gid))

    async def utime(self, path: RemotePath, times: tuple[float, float] | None = None) -> None:
        """Sets when the file was last read and last changed, in seconds since 1970; now, without
        `times`. The server keeps whole seconds.
        """
        await self._ask(_calls.utime(path, times))

    async def truncate(self, path: RemotePath, size: int) -> None:
        """Cuts a file to this length, or fills it up with zeros."""
        await self._ask(_calls.truncate(path, size))

    async def statvfs(self, path: RemotePath = ".") -> StatVFS:
        """What is known of the file system that a path is on (`statvfs@openssh.com`)."""
        return await self._ask(_calls.statvfs(path))

    async def read_bytes(self, path: RemotePath) -> bytes:
        """All that is in a file, up to `max_bytes`."""
        return await self._ask(_calls.read(path))

    async def read_text(
        self, path: RemotePath, encoding: str = "utf-8", errors: str = "strict"
    ) -> str:
        """All that is in a file, as text. What is none is a `FileTextError`."""
        return await self._ask(_calls.read_text(path, encoding, errors))

    async def write_bytes(self, path: RemotePath, data: Content, *, atomic: bool = True) -> int:
        """Makes these the content of a file, and gives their number.

        At once, unless `atomic` is false: whoever reads it sees what was there before or all of
        this. A file in the same directory is written and renamed; it keeps the old one's
        permissions. Without, the file itself is written over, as a device has to be.
        """
        sent = content("data", data)
        await self._ask(_calls.write(path, sent, atomic))
        return len(sent)

    async def write_text(
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
        await self._ask(_calls.write(path, text.encode(encoding, errors), atomic))
        return len(text)

    def open(self, path: RemotePath, mode: str = "rb") -> Opening:
        """Opens a binary file, with the modes of Python's `open()`: `async with sftp.open(path) as
        file`, or `file = await sftp.open(path)`, to be followed by `await file.close()`. For text
        there are `read_text` and `write_text`.
        """
        flags = flags_of(mode)
        if "b" not in mode:
            raise ValueError(f"files for tasks are binary: {mode!r} is to have a `b` in it")
        call = _calls.open_file(path, flags)
        name = shown(remote("path", path))

        async def start() -> AsyncSftpFile:
            native = cast("File", await self._ask(call))
            return AsyncSftpFile(self._ask_open, native, name, mode, flags)

        return Opening(start)

    async def _ask(self, call: Call[T]) -> T:
        operation, config = await self._begin(call)
        return call.answer(await finish(operation, config))

    async def _perhaps(self, call: Call[T]) -> T | None:
        try:
            return await self._ask(call)
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def _begin(self, call: Call[Any]) -> tuple[Operation, Config]:
        config = self._owner._config
        if self._closed:
            raise closed(config, "the SFTP client is closed")
        _log.watch()
        return await self._owner._start_files(with_limits(call, *self._limits)), config

    async def _ask_open(self, told: _FileSettings, native: File) -> object:
        """Does something with an open file, which outlives this."""
        config = self._owner._config
        call = with_limits(Call(told, lambda value: value), *self._limits)
        why = "the file's connection was closed or given back"
        operation = started(native.files(call), lambda: closed(config, why))
        return await finish(operation, config)
