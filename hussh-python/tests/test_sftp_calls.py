"""The calls on files that hussh has always had, as its users write them."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hussh
from conftest import Server
from hussh import AsyncConnection, AsyncConnectionPool, Connection, ConnectionPool
from hussh.aio import AsyncConnection as FromAio


class Calls:
    """Calls on whatever has files, for threads or for tasks."""

    def __init__(self, owner: Any, run: Callable[[Any], Any]) -> None:
        self.owner = owner
        self.run = run

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return self.run(getattr(self.owner, name)(*arguments, **options))

        return call


OWNERS = ["connection", "lease", "pool", "async connection", "async lease", "async pool"]


@pytest.fixture(params=OWNERS)
def calls(request: pytest.FixtureRequest, server: Server) -> Iterator[Calls]:
    """All that has files."""
    kind: str = request.param
    if not kind.startswith("async"):
        with ConnectionPool(**server.key, max_connections=1) as pool:
            if kind == "pool":
                yield Calls(pool, lambda value: value)
            elif kind == "lease":
                with pool.connection() as lease:
                    yield Calls(lease, lambda value: value)
            else:
                with Connection(**server.key) as connection:
                    yield Calls(connection, lambda value: value)
        return
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    apool = AsyncConnectionPool(**server.key, max_connections=1)
    if kind == "async pool":
        yield Calls(apool, run)
    elif kind == "async lease":
        lent = run(apool.connection().__aenter__())
        yield Calls(lent, run)
        run(lent.close())
    else:
        aconnection = AsyncConnection(**server.key)
        run(aconnection.connect())
        yield Calls(aconnection, run)
        run(aconnection.close())
    run(apool.close())
    loop.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with everything in it."""
    root = tmp_path / "tree"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "a").write_text("a")
    (root / "a").chmod(0o4750)
    (root / "sub" / "b").write_text("b")
    (root / "link").symlink_to("a")
    os.mkfifo(root / "pipe")
    return root


FLAGS = ["follow_symlinks", "preserve_permissions", "fail_fast"]
SIGNATURES = {
    "sftp_read": ["remote_path", "local_path"],
    "sftp_write": ["local_path", "remote_path"],
    "sftp_write_data": ["data", "remote_path"],
    "sftp_list": ["path"],
    "sftp_put_dir": ["local_path", "remote_path", *FLAGS],
    "sftp_get_dir": ["remote_path", "local_path", *FLAGS],
}


@pytest.mark.parametrize("kind", [Connection, AsyncConnection, ConnectionPool, AsyncConnectionPool])
def test_the_calls_take_what_they_always_took(kind: type) -> None:
    for name, expected in SIGNATURES.items():
        parameters = inspect.signature(getattr(kind, name)).parameters.values()
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
        assert [p.name for p in positional] == expected, name
        defaults = [p.default for p in positional if p.default is not p.empty]
        one = [None] if name in ("sftp_read", "sftp_write") else []
        assert defaults == ([True, True, False] if name.endswith("_dir") else one), name


def test_text_is_written_and_read(calls: Calls, tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    assert not calls.sftp_write_data("grüß\n", there)
    assert calls.sftp_read(there) == "grüß\n"
    assert calls.sftp_read(there, str(tmp_path / "here")) == "Ok"
    assert (tmp_path / "here").read_text() == "grüß\n"
    assert not calls.sftp_write(str(tmp_path / "here"), there + "2")
    assert calls.sftp_read(remote_path=there + "2", local_path=None) == "grüß\n"
    assert (tmp_path / "there2").stat().st_mode & 0o777 == 0o644
    assert sorted(calls.sftp_list(str(tmp_path))) == ["here", "there", "there2"]


def test_bytes_paths_and_open_files_are_taken(calls: Calls, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    there = tmp_path / "there"
    calls.sftp_write_data(data, there)
    assert there.read_bytes() == data
    calls.sftp_write_data(io.BytesIO(data[:10]), there)
    assert there.read_bytes() == data[:10]
    calls.sftp_write(io.BytesIO(data), there)
    assert there.read_bytes() == data
    into = io.BytesIO()
    assert calls.sftp_read(there, into) == "Ok"
    assert into.getvalue() == data
    assert calls.sftp_read(os.fsencode(there), tmp_path / "here") == "Ok"
    assert (tmp_path / "here").read_bytes() == data
    calls.sftp_write(tmp_path / "here")
    with pytest.raises(TypeError, match="remote_path"):
        calls.sftp_write(io.BytesIO(data))
    with pytest.raises(TypeError, match="`data`"):
        calls.sftp_write_data(3, there)
    with pytest.raises(ValueError, match="NUL"):
        calls.sftp_write_data("x", "a\0b")


def test_what_is_no_text_is_refused_and_stays_as_it_is(calls: Calls, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"a\xffb")
    with pytest.raises(UnicodeError, match=r"there.*utf-8.*read_bytes"):
        calls.sftp_read(there)
    assert there.read_bytes() == b"a\xffb"


def test_errors_are_those_that_programs_catch(calls: Calls, tmp_path: Path) -> None:
    """Threads caught `OSError`, tasks `RuntimeError`."""
    missing = tmp_path / "missing"
    for caught in (OSError, RuntimeError, FileNotFoundError, hussh.SSHError):
        with pytest.raises(caught):
            calls.sftp_read(missing)
    with pytest.raises(hussh.FileMissingError) as gone:
        calls.sftp_read(missing)
    assert gone.value.filename == str(missing)
    assert gone.value.side == "remote"
    assert gone.value.strerror == "No such file or directory"
    assert gone.value.host == "127.0.0.1"
    with pytest.raises(IsADirectoryError):
        calls.sftp_read(tmp_path)
    with pytest.raises(IsADirectoryError):
        calls.sftp_read(tmp_path, tmp_path / "x")
    with pytest.raises(FileNotFoundError) as local:
        calls.sftp_write(missing, tmp_path / "x")
    assert (local.value.side, local.value.filename) == ("local", str(missing))  # type: ignore[attr-defined]
    with pytest.raises(IsADirectoryError):
        calls.sftp_write(tmp_path, tmp_path / "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(IsADirectoryError):
        calls.sftp_write(tmp_path / "file", tmp_path)
    with pytest.raises(NotADirectoryError):
        calls.sftp_list(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        calls.sftp_list(missing)
    assert not missing.exists()


def test_directories_go_there_and_back(calls: Calls, tree: Path, tmp_path: Path) -> None:
    there, here = tmp_path / "no" / "there", tmp_path / "nor" / "here"
    transferred, failed = calls.sftp_put_dir(str(tree), str(there))
    assert sorted(transferred) == [str(tree / name) for name in ("a", "link", "sub/b")]
    assert failed == []
    assert (there / "sub" / "empty").is_dir()
    assert (there / "link").read_text() == "a"
    assert not (there / "link").is_symlink()
    # Set-id bits are nobody's to copy.
    assert (there / "a").stat().st_mode & 0o7777 == 0o750
    transferred, failed = calls.sftp_get_dir(str(there), str(here))
    assert sorted(transferred) == [str(there / name) for name in ("a", "link", "sub/b")]
    assert failed == []
    assert (here / "sub" / "empty").is_dir()
    assert (here / "a").stat().st_mode & 0o7777 == 0o750


def test_directories_without_links_and_permissions(
    calls: Calls, tree: Path, tmp_path: Path
) -> None:
    done = calls.sftp_put_dir(tree, tmp_path / "there", False, False)
    assert sorted(done[0]) == [str(tree / name) for name in ("a", "sub/b")]
    assert done.failed == []
    assert (tmp_path / "there" / "a").stat().st_mode & 0o7777 == 0o644
    assert {entry.path for entry in done.report.skipped} == {"link", "pipe"}
    done = calls.sftp_get_dir(tree, tmp_path / "here", follow_symlinks=False)
    assert sorted(done.transferred) == [str(tree / name) for name in ("a", "sub/b")]
    assert not (tmp_path / "here" / "link").exists()


def test_what_fails_of_a_directory_is_listed_with_its_reason(
    calls: Calls, tree: Path, tmp_path: Path
) -> None:
    (tree / "broken").symlink_to("nowhere")
    done = calls.sftp_put_dir(tree, tmp_path / "there")
    assert done[1] == [str(tree / "broken")]
    assert isinstance(done.report.failed[0].error, FileNotFoundError)
    assert len(done[0]) == 3
    again = pickle.loads(pickle.dumps(done))
    assert again == done
    assert again.report.files == 3
    for fail_fast in (OSError, RuntimeError):
        with pytest.raises(fail_fast):
            calls.sftp_put_dir(tree, tmp_path / "there", fail_fast=True)


def test_a_missing_directory_is_a_failure_and_no_error(
    calls: Calls, tree: Path, tmp_path: Path
) -> None:
    missing, file = str(tmp_path / "missing"), str(tree / "a")
    for source in (missing, file):
        assert calls.sftp_put_dir(source, str(tmp_path / "x")) == ([], [source])
        assert calls.sftp_get_dir(source, str(tmp_path / "x")) == ([], [source])
        for call in (calls.sftp_put_dir, calls.sftp_get_dir):
            with pytest.raises(OSError, match=r"No such|not a directory|not found"):
                call(source, str(tmp_path / "x"), True, True, True)
    assert not (tmp_path / "x").exists()


def test_progress_comes_up_to_all_of_it(calls: Calls, tmp_path: Path) -> None:
    size = 3_000_000
    (tmp_path / "big").write_bytes(os.urandom(size))
    for call, arguments in (
        (calls.sftp_write, (tmp_path / "big", tmp_path / "there")),
        (calls.sftp_read, (tmp_path / "there", tmp_path / "here")),
    ):
        seen: list[tuple[int, int | None]] = []
        call(*arguments, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen[-1] == (size, size)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "big").read_bytes()


def test_a_server_without_files_says_so() -> None:
    server = Server("sshd", "ForceCommand /bin/false")
    try:
        with Connection(**server.key, timeout=5000) as conn:
            for _ in range(2):
                with pytest.raises(hussh.SSHError, match=r"SFTP|sftp"):
                    conn.sftp_read("/etc/hostname")
    finally:
        server.close()


def test_an_unconnected_or_closed_connection_says_so(sshd: Server) -> None:
    async def ask() -> None:
        connection = FromAio(**sshd.key)
        with pytest.raises(RuntimeError, match="Not connected"):
            await connection.sftp_read("/etc/hostname")

    asyncio.run(ask())
    conn = Connection(**sshd.key)
    conn.close()
    with pytest.raises(hussh.ConnectionClosedError):
        conn.sftp_list(".")
