"""Files that are open on the server, for tasks."""

from __future__ import annotations

import io
import os
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ._file import BUFFER, PIECE

if TYPE_CHECKING:
    from ._native import File, _FileSettings

__all__ = ["AsyncSftpFile"]

Self = TypeVar("Self", bound="AsyncSftpFile")


class AsyncSftpFile:
    """An open binary file of the server's: `AsyncSftp.open`. For one task at a time.

    1 MiB is read ahead; what is written is sent at once, and is there when `write` returns.
    """

    def __init__(
        self,
        ask: Callable[[_FileSettings, File], Awaitable[object]],
        native: File,
        name: str,
        mode: str,
        flags: list[str],
    ) -> None:
        self._ask_native = ask
        self._native: File | None = native
        self.name = name
        self.mode = mode
        self._readable = "read" in flags
        self._writable = "write" in flags or "append" in flags
        self._appends = "append" in flags
        self._position = 0
        self._ahead = b""
        """What was read from the position on."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._native is None

    async def read(self, size: int = -1) -> bytes:
        """Up to so many bytes, fewer only at the end; all that is left, without `size`."""
        self._check(self._readable, "read")
        pieces = []
        left = PIECE if size < 0 else size
        while left > 0:
            if not self._ahead:
                await self._fill(PIECE if size < 0 else max(BUFFER, min(left, PIECE)))
            piece, self._ahead = self._ahead[:left], self._ahead[left:]
            if not piece:
                break
            pieces.append(piece)
            self._position += len(piece)
            left = PIECE if size < 0 else left - len(piece)
        return b"".join(pieces)

    async def readline(self) -> bytes:
        """The next line, with its `\\n`; nothing at the end."""
        self._check(self._readable, "read")
        pieces = []
        while True:
            if not self._ahead:
                await self._fill(BUFFER)
            end = self._ahead.find(b"\n") + 1 or len(self._ahead)
            piece, self._ahead = self._ahead[:end], self._ahead[end:]
            pieces.append(piece)
            self._position += len(piece)
            if not piece or piece.endswith(b"\n"):
                return b"".join(pieces)

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Writes all of it, and gives its length."""
        self._check(self._writable, "write")
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        content = bytes(data)
        self._ahead = b""
        if self._appends:
            # Others may have written meanwhile.
            self._position = await self._size()
        if content:
            await self._ask({"verb": "write", "offset": self._position, "content": content})
        self._position += len(content)
        return len(content)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place: from the beginning, from here (1), or from the end (2)."""
        self._open()
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += await self._size()
        elif whence != os.SEEK_SET:
            raise ValueError(f"invalid whence: {whence!r}")
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._ahead, self._position = b"", offset
        return offset

    def tell(self) -> int:
        """Where it is."""
        self._open()
        return self._position

    async def truncate(self, size: int | None = None) -> int:
        """Cuts it to this length, or to where it is."""
        self._check(self._writable, "write")
        length = self._position if size is None else size
        if length < 0:
            raise ValueError(f"negative size {length}")
        self._ahead = b""
        await self._ask({"verb": "set_size", "length": length})
        return length

    async def fsync(self) -> None:
        """Waits until the server has it on its disk (`fsync@openssh.com`)."""
        await self._ask({"verb": "sync"})

    async def close(self) -> None:
        """Closes it, and raises where the server only says now that not all was written."""
        native, self._native = self._native, None
        if native is not None and self._writable:
            await self._ask_native({"verb": "close"}, native)

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def __aiter__(self: Self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r} mode={self.mode!r}>"

    async def _fill(self, length: int) -> None:
        told: _FileSettings = {"verb": "read", "offset": self._position, "length": length}
        self._ahead = cast(bytes, await self._ask(told))

    async def _size(self) -> int:
        size, *_ = cast("tuple[int | None, ...]", await self._ask({"verb": "stat"}))
        return size or 0

    async def _ask(self, told: _FileSettings) -> object:
        return await self._ask_native(told, self._open())

    def _open(self) -> File:
        if self._native is None:
            raise ValueError("I/O operation on closed file.")
        return self._native

    def _check(self, can: bool, what: str) -> None:
        self._open()
        if not can:
            raise io.UnsupportedOperation(f"the file is not open to {what}")


class Opening:
    """A file to be opened: `async with` it, or await it."""

    def __init__(self, start: Callable[[], Awaitable[AsyncSftpFile]]) -> None:
        self._start = start
        self._file: AsyncSftpFile | None = None

    def __await__(self) -> Generator[Any, None, AsyncSftpFile]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncSftpFile:
        self._file = await self._start()
        return self._file

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._file is not None:
            await self._file.close()
