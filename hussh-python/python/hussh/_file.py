"""Files that are open on the server, as Python's own are, for threads."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._native import File, Operation, _FileSettings

BUFFER = 1 << 20
"""How much is read ahead or collected before it is written, in bytes, unless somebody says
otherwise. Requests of this much are under way together."""

PIECE = 8 << 20
"""What is asked for at once where a file is read to its end."""

_MODES = {"r": ["read"], "w": ["write", "create", "truncate"], "a": ["append", "create"]}
_MODES["x"] = ["write", "create_new"]


def flags_of(mode: str) -> list[str]:
    """What a mode of `open()` says, as the native half wants it."""
    if not isinstance(mode, str):
        raise TypeError(f"`mode` must be a str, not {type(mode).__name__}")
    kinds = [letter for letter in mode if letter in _MODES]
    rest = sorted(letter for letter in mode if letter not in _MODES)
    if len(kinds) != 1 or len(set(rest)) != len(rest) or not set(rest) <= set("+bt"):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in rest and "t" in rest:
        raise ValueError("can't have text and binary mode at once")
    flags = list(_MODES[kinds[0]])
    return [*flags, "read", "write"] if "+" in rest else flags


class RemoteRawIO(io.RawIOBase):
    """An open file without a buffer: each call is a request."""

    def __init__(
        self,
        ask: Callable[[_FileSettings, File], object],
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
        if self._appends:
            self._position = self._size()

    def readable(self) -> bool:
        self._check_open()
        return self._readable

    def writable(self) -> bool:
        self._check_open()
        return self._writable

    def seekable(self) -> bool:
        self._check_open()
        return True

    def readinto(self, buffer: Any) -> int:
        self._check(self._readable, "read")
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        self._check(self._readable, "read")
        pieces = []
        while True:
            pieces.append(self._read(PIECE))
            if len(pieces[-1]) < PIECE:
                return b"".join(pieces)

    def write(self, data: Any) -> int:
        self._check(self._writable, "write")
        content = bytes(data)
        if self._appends:
            # Others may have written meanwhile.
            self._position = self._size()
        if content:
            self._ask({"verb": "write", "offset": self._position, "content": content})
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check_open()
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._size()
        elif whence != os.SEEK_SET:
            raise ValueError(f"invalid whence: {whence!r}")
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._position = offset
        return offset

    def tell(self) -> int:
        self._check_open()
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._check(self._writable, "write")
        length = self._position if size is None else size
        if length < 0:
            raise ValueError(f"negative size {length}")
        self._ask({"verb": "set_size", "length": length})
        return length

    def close(self) -> None:
        """Closes it, and raises where the server only says now that not all was written."""
        if self.closed:
            return
        try:
            super().close()
            if self._writable:
                self._ask({"verb": "close"})
        finally:
            # Whatever happened: dropped, it is closed on the server, too.
            self._native = None

    def __del__(self) -> None:
        # Nothing is waited for here.
        native, self._native = getattr(self, "_native", None), None
        if native is not None:
            warnings.warn(f"unclosed remote file {self.name!r}", ResourceWarning, 2, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r} mode={self.mode!r}>"

    def _read(self, length: int) -> bytes:
        if length == 0:
            return b""
        told: _FileSettings = {"verb": "read", "offset": self._position, "length": length}
        data = cast(bytes, self._ask(told))
        self._position += len(data)
        return data

    def _size(self) -> int:
        size, *_ = cast("tuple[int | None, ...]", self._ask({"verb": "stat"}))
        return size or 0

    def _ask(self, told: _FileSettings) -> object:
        if self._native is None:
            raise ValueError("I/O operation on closed file.")
        return self._ask_native(told, self._native)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def _check(self, can: bool, what: str) -> None:
        self._check_open()
        if not can:
            raise io.UnsupportedOperation(f"the file is not open to {what}")


def started(operation: Operation | None, closed: Callable[[], Exception]) -> Operation:
    """What was started on an open file, if its session is there still."""
    if operation is None:
        raise closed()
    return operation


def wrapped(
    raw: RemoteRawIO,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    """The file that the mode asks for, as `open()` makes it."""
    binary = "b" in mode
    if buffering == 0:
        return cast("IO[Any]", raw)
    size = BUFFER if buffering in (-1, 1) else buffering
    buffered: io.BufferedReader | io.BufferedWriter | io.BufferedRandom
    if "+" in mode:
        buffered = io.BufferedRandom(raw, size)
    elif raw.readable():
        buffered = io.BufferedReader(raw, size)
    else:
        buffered = io.BufferedWriter(raw, size)
    if binary:
        return buffered
    lines = buffering == 1
    text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffering=lines)
    text.mode = mode  # type: ignore[misc]
    return text


def check_wrapping(
    mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> None:
    """What `open()` refuses, before anything is sent."""
    if "b" in mode:
        for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if value is not None:
                raise ValueError(f"binary mode doesn't take an {name} argument")
    elif buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    if buffering < -1:
        raise ValueError(f"invalid buffering size: {buffering}")
