"""What may be asked about files: for each verb what the native half is told, and what is made of
its answer. Threads and tasks ask the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from ._command import _bytes
from ._errors import FileTextError, InvalidArgumentError
from ._files import (
    FileStat,
    RemoteEntry,
    StatVFS,
    TransferReport,
    entries,
    file_stat,
    stat_vfs,
    transfer_report,
    tree,
)
from ._options import count, seconds
from ._paths import LocalPath, RemotePath, local, remote, shown

if TYPE_CHECKING:
    from ._native import _FileSettings

T = TypeVar("T")

Content = str | bytes | bytearray | memoryview
"""Bytes, or text that is written as UTF-8."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A question to the server, and how its answer is read."""

    told: _FileSettings
    answer: Callable[[Any], T]


def _nothing(_: object) -> None:
    return None


def _itself(value: Any) -> Any:
    return value


def _plain(verb: str, path: RemotePath, **more: Any) -> Call[None]:
    return _call(verb, _nothing, path=remote("path", path), **more)


def _call(verb: str, answer: Callable[[Any], T], **more: Any) -> Call[T]:
    return Call(cast("_FileSettings", {"verb": verb, **more}), answer)


def stat(path: RemotePath) -> Call[FileStat]:
    return _call("stat", file_stat, path=remote("path", path))


def lstat(path: RemotePath) -> Call[FileStat]:
    return _call("lstat", file_stat, path=remote("path", path))


def listdir(path: RemotePath) -> Call[list[str]]:
    def names(facts: Any) -> list[str]:
        return [shown(name) for name, _ in facts]

    return _call("list", names, path=remote("path", path))


def scandir(path: RemotePath) -> Call[list[RemoteEntry]]:
    sent = remote("path", path)
    return _call("list", lambda facts: entries(sent, facts), path=sent)


def walk(top: RemotePath) -> Call[list[tuple[str, list[str], list[str]]]]:
    sent = remote("top", top)
    return _call("walk", lambda facts: tree(sent, facts), path=sent)


def read(path: RemotePath) -> Call[bytes]:
    return _call("read", cast("Callable[[Any], bytes]", _itself), path=remote("path", path))


def read_text(path: RemotePath, encoding: str, errors: str) -> Call[str]:
    sent = remote("path", path)

    def text(content: bytes) -> str:
        try:
            return content.decode(encoding, errors)
        except UnicodeError as error:
            raise FileTextError(
                f'remote file "{shown(sent)}" is not text in {encoding}: {error}; '
                "read_bytes() gives its bytes",
                side="remote",
                filename=sent,
                reason="InvalidData",
            ) from error

    return _call("read", text, path=sent)


def write(path: RemotePath, content: bytes, atomic: bool) -> Call[None]:
    return _plain("replace" if atomic else "write", path, content=content)


def mkdir(path: RemotePath, mode: int | None, parents: bool, exist_ok: bool) -> Call[None]:
    flags = _flags(parents=parents, exist_ok=exist_ok)
    return _plain("mkdir", path, mode=None if mode is None else _mode(mode), flags=flags)


def remove(path: RemotePath) -> Call[None]:
    return _plain("remove", path)


def rmdir(path: RemotePath) -> Call[None]:
    return _plain("remove_dir", path)


def rmtree(path: RemotePath) -> Call[None]:
    return _plain("remove_all", path)


def rename(source: RemotePath, target: RemotePath) -> Call[None]:
    return _plain("rename", source, other=remote("target", target))


def symlink(target: RemotePath, link: RemotePath) -> Call[None]:
    return _plain("symlink", link, other=remote("target", target))


def link(source: RemotePath, link: RemotePath) -> Call[None]:
    return _plain("hard_link", link, other=remote("source", source))


def readlink(path: RemotePath) -> Call[str]:
    return _call("read_link", shown, path=remote("path", path))


def realpath(path: RemotePath) -> Call[str]:
    return _call("real_path", shown, path=remote("path", path))


def chmod(path: RemotePath, mode: int) -> Call[None]:
    return _plain("set_permissions", path, mode=_mode(mode))


def chown(path: RemotePath, uid: int, gid: int) -> Call[None]:
    owner = count("uid", uid, least=-1), count("gid", gid, least=-1)
    return _plain("set_owner", path, owner=owner)


def utime(path: RemotePath, times: tuple[float, float] | None) -> Call[None]:
    if times is not None:
        for time in times:
            if not 0 <= time < 2**32:
                raise InvalidArgumentError(
                    f"`times` must be from 1970 to 2106, not {time!r}", parameter="times"
                )
    return _plain("set_times", path, times=times)


def truncate(path: RemotePath, size: int) -> Call[None]:
    return _plain("set_size", path, length=count("size", size, least=0, most=2**63 - 1))


def statvfs(path: RemotePath) -> Call[StatVFS]:
    return _call("stat_fs", stat_vfs, path=remote("path", path))


def open_file(path: RemotePath, flags: list[str]) -> Call[Any]:
    return _call("open", _itself, path=remote("path", path), flags=flags)


def put(
    source: LocalPath,
    target: RemotePath,
    *,
    links: Literal["keep", "follow", "skip"] = "keep",
    concurrency: int | None = None,
    **flags: bool,
) -> Call[TransferReport]:
    return _call(
        "upload",
        transfer_report,
        local=local("local_path", source),
        other=remote("remote_path", target),
        **_transfer(links, concurrency, flags),
    )


def get(
    source: RemotePath,
    target: LocalPath,
    *,
    links: Literal["keep", "follow", "skip"] = "keep",
    concurrency: int | None = None,
    **flags: bool,
) -> Call[TransferReport]:
    return _call(
        "download",
        transfer_report,
        path=remote("remote_path", source),
        local=local("local_path", target),
        **_transfer(links, concurrency, flags),
    )


def telling(call: Call[T], progress: object) -> Call[T]:
    """As the call, and says how far it is where somebody wants to hear."""
    told = call.told.copy()
    if progress:
        told["flags"] = [*told.get("flags", []), "progress"]
    return Call(told, call.answer)


def with_limits(
    call: Call[T], timeout: float | None, idle_timeout: float | None, max_bytes: int | None
) -> _FileSettings:
    """What the native half is told, with what it may cost."""
    told = call.told.copy()
    told["timeout"] = timeout
    told["idle_timeout"] = idle_timeout
    told["max_bytes"] = max_bytes
    return told


def limits(
    timeout: float | None, idle_timeout: float | None, max_bytes: int | None
) -> tuple[float | None, float | None, int | None]:
    """What each call may cost, checked."""
    most = None if max_bytes is None else count("max_bytes", max_bytes, least=1, most=2**40)
    return seconds("timeout", timeout), seconds("idle_timeout", idle_timeout), most


def content(name: str, value: object) -> bytes:
    """What is to be written: bytes, text as UTF-8, or what is left in an open file."""
    if not isinstance(value, (str, bytes, bytearray, memoryview)) and hasattr(value, "read"):
        value = value.read()
    return _bytes(name, cast("Content", value))


def _transfer(
    links: Literal["keep", "follow", "skip"], concurrency: int | None, flags: dict[str, bool]
) -> dict[str, Any]:
    if links not in ("keep", "follow", "skip"):
        raise InvalidArgumentError(
            f'`links` must be "keep", "follow" or "skip", not {links!r}', parameter="links"
        )
    at_once = None if concurrency is None else count("concurrency", concurrency, least=1)
    return {"flags": [links, *_flags(**flags)], "at_once": at_once}


def _flags(**flags: bool) -> list[str]:
    return [name for name, is_set in flags.items() if is_set]


def _mode(mode: int) -> int:
    return count("mode", mode, least=0, most=0o7777)


def total_of(path: LocalPath) -> int | None:
    """How many bytes a local file has; `None` for a directory, and where that is not known."""
    try:
        return None if os.path.isdir(path) else os.path.getsize(path)
    except OSError:
        return None
