"""Names of files, here and there."""

from __future__ import annotations

import os
from typing import Any

from ._errors import InvalidArgumentError

RemotePath = str | bytes | os.PathLike[str]
"""A path on the server: a str, bytes, or a `pathlib.PurePosixPath`. Bytes to the server; text is
UTF-8, and what is not UTF-8 has its place in text as `surrogateescape` says. Relative paths start
where the server does, in the user's home as a rule."""

LocalPath = str | bytes | os.PathLike[str]
"""A path on this machine."""


def remote(name: str, path: RemotePath) -> bytes:
    """A path as the server is sent it."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(
            f"`{name}` must be a str, bytes or a path on the server, not {type(path).__name__}"
        )
    try:
        plain = os.fspath(path)
        sent = plain if isinstance(plain, bytes) else plain.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"`{name}` is not text: {error}", parameter=name) from None
    if not sent or b"\0" in sent:
        why = "has a NUL in it" if sent else "is empty"
        raise InvalidArgumentError(f"`{name}` {why}", parameter=name)
    return sent


def shown(path: bytes) -> str:
    """A path that a server sent."""
    return path.decode(errors="surrogateescape")


def local(name: str, path: LocalPath) -> str:
    """A path on this machine, `~` expanded."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(
            f"`{name}` must be a str, bytes, a path or an open file, not {type(path).__name__}"
        )
    plain = os.fsdecode(path)
    if not plain or "\0" in plain:
        why = "has a NUL in it" if plain else "is empty"
        raise InvalidArgumentError(f"`{name}` {why}", parameter=name)
    return os.path.expanduser(plain)


def is_path(value: Any) -> bool:
    """Whether it names a file, and is none itself."""
    return isinstance(value, (str, bytes, os.PathLike))
