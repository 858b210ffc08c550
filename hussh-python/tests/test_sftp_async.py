"""The files on the server: `sftp()`, for tasks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import hussh
from conftest import Server
from hussh import AsyncConnection, AsyncConnectionPool, AsyncSftp, Sftp
from test_async import run  # noqa: F401

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_it_has_what_the_one_for_threads_has() -> None:
    def of(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in methods
            if not name.startswith("_") and name != "open"
        }

    assert of(AsyncSftp) == of(Sftp)


def test_every_verb_is_awaited(server: Server, run: Run, tmp_path: Path) -> None:  # noqa: F811
    async def main() -> None:
        async with AsyncConnection(**server.key) as conn, conn.sftp() as sftp:
            root, file, link = tmp_path / "root", tmp_path / "root" / "f", tmp_path / "root" / "l"
            await sftp.mkdir(root / "a", parents=True)
            await sftp.mkdir(root / "a", exist_ok=True)
            assert await sftp.write_text(file, "grüß") == 4
            assert await sftp.read_text(file) == "grüß"
            assert await sftp.write_bytes(file, b"\xff", atomic=False) == 1
            assert await sftp.read_bytes(file) == b"\xff"
            with pytest.raises(hussh.FileTextError):
                await sftp.read_text(file)
            await sftp.symlink("f", link)
            assert await sftp.readlink(link) == "f"
            assert await sftp.realpath(link) == str(file.resolve())
            assert sorted(await sftp.listdir(root)) == ["a", "f", "l"]
            assert sorted(e.name for e in await sftp.scandir(root)) == ["a", "f", "l"]
            paths = [path async for path in sftp.iterdir(root)]
            assert sorted(paths) == [PurePosixPath(root / name) for name in "afl"]
            [(top, dirs, files), (_, [], [])] = [folder async for folder in sftp.walk(root)]
            assert (top, dirs, sorted(files)) == (str(root), ["a"], ["f", "l"])
            await sftp.chmod(file, 0o600)
            await sftp.chown(file, os.getuid())
            await sftp.utime(file, (5, 6))
            await sftp.truncate(file, 3)
            found = await sftp.stat(link)
            assert ((found.st_mode or 0) & 0o777, found.st_size) == (0o600, 3)
            assert (await sftp.lstat(link)).is_symlink()
            assert await sftp.is_symlink(link)
            assert await sftp.is_file(file)
            assert await sftp.is_dir(root)
            assert not await sftp.exists(root / "nobody")
            assert not await sftp.is_file(root / "nobody")
            await sftp.rename(file, root / "g")
            await sftp.remove(link)
            await sftp.rmdir(root / "a")
            assert await sftp.listdir(root) == ["g"]
            await sftp.rmtree(root)
            with pytest.raises(FileNotFoundError):
                await sftp.stat(root)
        with pytest.raises(hussh.ConnectionClosedError, match="SFTP client"):
            await sftp.listdir()

    run(main())


def test_what_openssh_has_beyond_the_protocol(sshd: Server, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncConnection(**sshd.key) as conn:
            (tmp_path / "a").write_text("a")
            await conn.sftp().link(tmp_path / "a", tmp_path / "b")
            assert (await conn.sftp().statvfs(tmp_path)).f_namemax == 255
            async with conn.sftp().open(tmp_path / "b", "ab") as file:
                await file.write(b"b")
                await file.fsync()
        assert (tmp_path / "a").read_text() == "ab"

    asyncio.run(main())


def test_open_files_are_read_and_written(server: Server, run: Run, tmp_path: Path) -> None:  # noqa: F811
    async def main() -> None:
        data = os.urandom(3_000_000) + b"\n"
        async with AsyncConnectionPool(**server.key, max_connections=1) as pool:
            sftp = pool.sftp()
            async with sftp.open(tmp_path / "file", "wb") as file:
                assert await file.write(data) == len(data)
                assert file.tell() == len(data)
                with pytest.raises(io.UnsupportedOperation):
                    await file.read()
                assert pool.stats().lent == 1
            assert file.closed
            with pytest.raises(ValueError, match="closed"):
                await file.write(b"")
            file = await sftp.open(tmp_path / "file")
            assert await file.read(10) == data[:10]
            assert await file.read() == data[10:]
            assert await file.read() == b""
            assert await file.seek(-2, 2) == len(data) - 2
            assert await file.read(9) == data[-2:]
            await file.seek(0)
            assert [line async for line in file] == io.BytesIO(data).readlines()
            await file.close()
            await file.close()
            async with sftp.open(tmp_path / "file", "r+b") as file:
                await file.read(1)
                assert await file.write(b"XY") == 2
                assert await file.read(1) == data[3:4]
                assert await file.truncate(8) == 8
                await file.seek(0)
                assert await file.read() == data[:1] + b"XY" + data[3:8]
            assert pool.stats().lent == 0
            async with sftp.open(tmp_path / "file", "ab") as file:
                await file.write(b"end")
            assert (tmp_path / "file").read_bytes()[8:] == b"end"
            with pytest.raises(FileExistsError):
                await sftp.open(tmp_path / "file", "xb")
            with pytest.raises(ValueError, match="binary"):
                sftp.open(tmp_path / "file", "r")

    run(main())


def test_files_and_directories_are_transferred(
    server: Server,
    run: Run,  # noqa: F811
    tmp_path: Path,
) -> None:
    async def main() -> None:
        tree = tmp_path / "tree"
        tree.mkdir()
        for number in range(50):
            (tree / str(number)).write_text("x" * number)
        (tree / "broken").symlink_to("nowhere")
        seen: list[int] = []
        async with AsyncConnectionPool(**server.key) as pool:
            sftp = pool.sftp()
            report = await sftp.put(
                tree, tmp_path / "there", progress=lambda done, _: seen.append(done)
            )
            assert (report.files, report.bytes) == (50, sum(range(50)))
            assert seen[-1] == report.bytes
            assert (await sftp.get(tmp_path / "there", tmp_path / "here")).files == 50
            assert (tmp_path / "here" / "9").read_text() == "x" * 9
            with pytest.raises(hussh.FileMissingError) as failed:
                await sftp.put(tree, tmp_path / "there", links="follow")
            assert failed.value.report is not None
            assert failed.value.report.files == 50
            into = io.BytesIO()
            assert (await sftp.get(tree / "9", into, progress=True)).bytes == 9
            assert into.getvalue() == b"x" * 9
            assert (await sftp.put(into, tmp_path / "empty")).bytes == 0

    run(main())


def test_a_task_that_is_cancelled_ends_its_call(own_sshd: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def main() -> None:
        async with AsyncConnectionPool(**own_sshd.key, max_connections=1) as pool:
            start = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.sftp_read(tmp_path / "pipe"), 0.3)
            assert time.monotonic() - start < 3
            assert (await pool.execute("echo on")).stdout == "on\n"

    asyncio.run(main())


def test_a_file_outlives_a_read_that_was_cancelled(sshd: Server, tmp_path: Path) -> None:
    data = os.urandom(30_000_000)
    (tmp_path / "file").write_bytes(data)

    async def main() -> None:
        pool = AsyncConnectionPool(**sshd.key, max_connections=1)
        async with pool, pool.sftp().open(tmp_path / "file") as file:
            for wait in (0, 0.001, 0.005, 0.02):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(file.read(), wait)
                await file.seek(1000)
                assert await file.read(10) == data[1000:1010]
            await file.seek(0)
            assert await file.read() == data

    asyncio.run(main())


def test_many_tasks_share_one_connection(sshd: Server, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncConnection(**sshd.key) as conn:
            sftp = conn.sftp()

            async def work(number: int) -> None:
                data = os.urandom(1_500_000)
                await sftp.write_bytes(tmp_path / str(number), data)
                assert await sftp.read_bytes(tmp_path / str(number)) == data

            await asyncio.gather(*map(work, range(16)))

    asyncio.run(main())
