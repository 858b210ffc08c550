"""Files that are open on the server, for threads."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pandas
import pytest

import hussh
from conftest import Server
from hussh import ConnectionPool, Sftp


def test_open_files_are_as_pythons_own(sftp: Sftp, tmp_path: Path) -> None:
    """Every mode does what `open()` does, in the same order of calls."""

    def use(file: object) -> list[object]:
        assert isinstance(file, io.IOBase)
        seen: list[object] = [file.readable(), file.writable(), file.seekable(), file.tell()]
        for step in (
            lambda: file.read(3),
            lambda: file.readline(),
            lambda: file.write(b"XY"),
            lambda: file.seek(1),
            lambda: file.write(b"Z"),
            lambda: file.flush(),
            lambda: file.seek(-2, 2),
            lambda: file.read(),
            lambda: file.truncate(4),
            lambda: file.seek(0, 1),
            lambda: file.seek(0),
            lambda: file.readlines(),
        ):
            try:
                seen.append(step())
            except io.UnsupportedOperation:
                seen.append("unsupported")
        return seen

    for mode in ("rb", "r+b", "wb", "w+b", "ab", "a+b", "xb", "x+b"):
        for buffering in (-1, 0, 16):
            ours, theirs = tmp_path / "ours", tmp_path / "theirs"
            for path in (ours, theirs):
                path.unlink(missing_ok=True)
                if not mode.startswith("x"):
                    path.write_bytes(b"one\ntwo\nthree\n")
            with open(theirs, mode, buffering) as file:
                here = use(file)
            with sftp.open(ours, mode, buffering) as file:
                assert use(file) == here, (mode, buffering)
            assert ours.read_bytes() == theirs.read_bytes(), (mode, buffering)


def test_files_are_not_opened_where_python_would_not(sftp: Sftp, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError):
        sftp.open(tmp_path / "file", "x")
    with pytest.raises(FileNotFoundError):
        sftp.open(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        sftp.open(tmp_path / "missing", "r+")
    for mode in ("", "rw", "rr", "bt", "z", "r++"):
        with pytest.raises(ValueError, match="mode"):
            sftp.open(tmp_path / "file", mode)
    with pytest.raises(ValueError, match="encoding"):
        sftp.open(tmp_path / "file", "rb", encoding="utf-8")
    with pytest.raises(ValueError, match="unbuffered"):
        sftp.open(tmp_path / "file", "r", 0)
    with sftp.open(tmp_path / "file") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_libraries_read_and_write_open_files(sftp: Sftp, tmp_path: Path) -> None:
    with sftp.open(tmp_path / "a.json", "w") as file:
        json.dump({"a": "ü"}, file, ensure_ascii=False)
    with sftp.open(tmp_path / "a.json") as file:
        assert json.load(file) == {"a": "ü"}
    with sftp.open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["x", "y"], [1, "two\nlines"]])
    with sftp.open(tmp_path / "a.csv", newline="") as file:
        assert list(csv.reader(file)) == [["x", "y"], ["1", "two\nlines"]]
    with sftp.open(tmp_path / "a.zip", "w+b") as opened, zipfile.ZipFile(opened, "w") as archive:
        archive.writestr("name", b"x" * 100_000)
    with sftp.open(tmp_path / "a.zip", "rb") as opened, zipfile.ZipFile(opened) as archive:
        assert archive.read("name") == b"x" * 100_000
    data = os.urandom(5_000_000)
    with sftp.open(tmp_path / "big", "wb") as target:
        shutil.copyfileobj(io.BytesIO(data), target)
    with sftp.open(tmp_path / "big", "rb") as source:
        assert source.read() == data
        source.seek(4_999_990)
        assert source.read(100) == data[-10:]
        assert source.read(100) == b""
    text = (tmp_path / "a.json").read_text()
    with sftp.open(tmp_path / "a.json") as file:
        assert list(file) == [text]


def test_pandas_reads_open_files(sftp: Sftp, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"x": range(1000), "y": ["ü"] * 1000})
    with sftp.open(tmp_path / "a.csv", "w") as file:
        frame.to_csv(file, index=False)
    with sftp.open(tmp_path / "a.csv", "rb") as file:
        assert pandas.read_csv(file).equals(frame)


def test_a_file_that_nobody_closed_is_closed_when_it_is_dropped(
    sshd: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with ConnectionPool(**sshd.key, max_connections=1, acquire_timeout=5) as pool:
        file = pool.sftp().open(tmp_path / "file", "rb", 0)
        assert pool.stats().lent == 1
        with pytest.warns(ResourceWarning, match="unclosed remote file"):
            del file
        assert pool.execute("echo on").stdout == "on\n"


def test_a_pools_open_file_keeps_its_connection(sshd: Server, tmp_path: Path) -> None:
    with ConnectionPool(**sshd.key, max_connections=2) as pool:
        sftp = pool.sftp()
        with sftp.open(tmp_path / "file", "w") as file:
            assert pool.stats().lent == 1
            file.write("one")
            assert sftp.exists(tmp_path / "file")
        assert pool.stats().lent == 0
        assert sftp.read_text(tmp_path / "file") == "one"


def test_a_file_does_not_outlive_its_loan(sshd: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with ConnectionPool(**sshd.key, max_connections=1) as pool:
        with pool.connection() as lent:
            file = lent.sftp().open(tmp_path / "file", "rb", 0)
        assert pool.stats().lent == 0
        with pytest.raises(hussh.ConnectionClosedError, match="given back"):
            file.read(1)
        file.close()


def test_a_file_on_a_dead_channel_is_an_error(own_sshd: Server, tmp_path: Path) -> None:
    with ConnectionPool(**own_sshd.key, max_connections=1) as pool:
        file = pool.sftp().open(tmp_path / "file", "wb", 0)
        own_sshd.ask("kill-sessions")
        with pytest.raises(ConnectionError):
            file.write(b"x")
        with pytest.raises(ConnectionError):
            file.close()
        assert file.closed
        assert pool.sftp().listdir(tmp_path) == ["file"]
