"""What to run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from ._errors import InvalidArgumentError
from ._options import count

if TYPE_CHECKING:
    from ._native import _CommandSettings, _News

T = TypeVar("T")

__all__ = ["Pty"]

MAX_OUTPUT = 64 << 20
"""How much of each stream is collected at most, in bytes, unless somebody says otherwise."""

Command = str | bytes
"""A command line, as the remote user's shell reads it."""

OnOutput = Callable[[str, bytes], object]
"""Called with "stdout" or "stderr" and what came."""

AsyncOnOutput = Callable[[str, bytes], Awaitable[object] | object]
"""As `OnOutput`; may be a coroutine function, too."""


class Readable(Protocol):
    """A file, read to its end."""

    def read(self) -> str | bytes: ...


Stdin = str | bytes | bytearray | memoryview | Readable
"""What a command reads: text, bytes or an open file."""


class Pty(NamedTuple):
    """A terminal for a command."""

    term: str = "xterm"
    columns: int = 80
    rows: int = 24


def command_settings(
    command: Command,
    timeout: float | None,
    stdin: Stdin | None,
    env: Mapping[str, str] | None,
    pty: bool | Pty | None,
    keep_output: bool = False,
    max_output: int | None = MAX_OUTPUT,
) -> _CommandSettings:
    """As the native half wants them; `timeout` in seconds, `None` for none."""
    if max_output is not None:
        count("max_output", max_output, least=0, most=2**63 - 1)
    terminal = None
    if pty is True:
        terminal = Pty()
    elif isinstance(pty, tuple):
        terminal = Pty(*pty)
    elif pty:
        raise TypeError(f"`pty` must be a bool or a Pty, not {type(pty).__name__}")
    return {
        "command": _bytes("command", command),
        "stdin": None if stdin is None else _input(stdin),
        "env": [] if env is None else [(str(name), str(value)) for name, value in env.items()],
        "pty": terminal,
        "timeout": timeout,
        "keep_output": bool(keep_output),
        "max_output": max_output,
    }


def telling(on_output: Callable[[str, bytes], T] | None) -> Callable[[_News], T] | None:
    """Calls with a stream's name and what came of it, from what the native half tells."""
    if on_output is None:
        return None

    def tell(news: _News) -> T:
        is_stderr, data = cast("tuple[bool, bytes]", news)
        return on_output("stderr" if is_stderr else "stdout", data)

    return tell


def _input(stdin: Stdin) -> bytes:
    if isinstance(stdin, (str, bytes, bytearray, memoryview)):
        return _bytes("stdin", stdin)
    if not hasattr(stdin, "read"):
        raise TypeError(f"`stdin` must be text, bytes or a file, not {type(stdin).__name__}")
    return _bytes("stdin", stdin.read())


def _bytes(name: str, value: str | bytes | bytearray | memoryview) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"`{name}` is not text: {error}", parameter=name) from None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"`{name}` must be a str or bytes, not {type(value).__name__}")
