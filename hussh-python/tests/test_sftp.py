"""The files on the server: `sftp()`, for threads."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import shutil
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

import hussh
from conftest import Counter, Server, run_python
from hussh import Connection, ConnectionPool, Sftp


@pytest.fixture(params=["sshd", "embedded"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def sftp(server: Server) -> Iterator[Sftp]:
    with Connection(**server.key) as connection, connection.sftp() as sftp:
        yield sftp


def test_directories_are_made_listed_walked_and_removed(sftp: Sftp, tmp_path: Path) -> None:
    root = tmp_path / "root"
    sftp.mkdir(root)
    with pytest.raises(FileExistsError):
        sftp.mkdir(root)
    sftp.mkdir(root, exist_ok=True)
    with pytest.raises(FileNotFoundError):
        sftp.mkdir(root / "a" / "b")
    sftp.mkdir(root / "a" / "b", parents=True, mode=0o700)
    assert (root / "a" / "b").stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        sftp.mkdir(root / "a" / "b", parents=True)
    sftp.mkdir(root / "a" / "b", 0o755, True, True)
    assert (root / "a" / "b").stat().st_mode & 0o777 == 0o700
    (root / "f").write_text("f")
    with pytest.raises(FileExistsError):
        sftp.mkdir(root / "f", exist_ok=True)
    (root / "a" / "g").write_text("gg")
    (root / "l").symlink_to("a")
    assert sorted(sftp.listdir(root)) == ["a", "f", "l"]
    by_name = {entry.name: entry for entry in sftp.scandir(root)}
    kinds = {n: (e.is_dir(), e.is_file(), e.is_symlink()) for n, e in by_name.items()}
    assert kinds["a"] == (True, False, False)
    assert kinds["f"] == (False, True, False)
    assert kinds["l"] == (False, False, True)
    assert by_name["f"].stat().st_size == 1
    assert os.fspath(by_name["f"]) == str(root / "f")
    assert sorted(sftp.iterdir(str(root) + "/")) == [PurePosixPath(root / n) for n in "afl"]
    walked = [(top, sorted(dirs), sorted(files)) for top, dirs, files in sftp.walk(root)]
    expected = [(top, sorted(dirs), sorted(files)) for top, dirs, files in os.walk(root)]
    # `os.walk` has links to directories among the directories.
    expected[0] = (str(root), ["a"], ["f", "l"])
    assert walked == expected
    with pytest.raises(OSError, match="not empty"):
        sftp.rmdir(root)
    sftp.rmdir(root / "a" / "b")
    sftp.rmtree(root)
    assert not root.exists()
    (tmp_path / "f").write_text("f")
    with pytest.raises(NotADirectoryError):
        sftp.listdir(tmp_path / "f")


def test_what_is_known_of_files(sftp: Sftp, tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    sftp.symlink("file", link)
    assert os.readlink(link) == "file"
    assert sftp.readlink(link) == "file"
    assert sftp.stat(link).st_size == 5
    assert stat.S_ISLNK(sftp.lstat(link).st_mode or 0)
    assert sftp.realpath(link) == str(file.resolve())
    assert sftp.realpath().startswith("/")
    sftp.chmod(file, 0o640)
    assert file.stat().st_mode & 0o777 == 0o640
    sftp.utime(file, (1_000_000_000, 1_100_000_000.5))
    found = sftp.stat(file)
    assert (found.st_atime, found.st_mtime) == (1_000_000_000, 1_100_000_000)
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    before = int(time.time())
    sftp.utime(file)
    assert before <= (sftp.stat(file).st_mtime or 0) <= time.time() + 1
    sftp.chown(file, gid=os.getgid())
    sftp.truncate(file, 2)
    assert file.read_bytes() == b"12"
    assert [sftp.exists(path) for path in (file, tmp_path / "nobody")] == [True, False]
    assert [sftp.is_file(path) for path in (link, tmp_path, tmp_path / "no")] == [
        True,
        False,
        False,
    ]
    assert [sftp.is_dir(path) for path in (tmp_path, file, file / "x")] == [True, False, False]
    assert [sftp.is_symlink(path) for path in (link, file, file / "x")] == [True, False, False]
    sftp.rename(file, tmp_path / "other")
    sftp.remove(link)
    assert sftp.listdir(tmp_path) == ["other"]
    file = tmp_path / "other"
    for wrong in (-1, 0o10000):
        with pytest.raises(ValueError, match="`mode`"):
            sftp.chmod(file, wrong)
    with pytest.raises(ValueError, match="`times`"):
        sftp.utime(file, (-1, 0))


def test_what_openssh_has_beyond_the_protocol(sshd: Server, tmp_path: Path) -> None:
    with Connection(**sshd.key) as conn:
        sftp = conn.sftp()
        (tmp_path / "a").write_text("a")
        (tmp_path / "b").write_text("b")
        sftp.rename(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "a"
        sftp.link(tmp_path / "b", tmp_path / "c")
        assert (tmp_path / "c").stat().st_nlink == 2
        system, here = sftp.statvfs(tmp_path), os.statvfs(tmp_path)
        assert (system.f_frsize, system.f_blocks) == (here.f_frsize, here.f_blocks)
        assert system.f_namemax == 255
        assert not system.read_only


def test_names_that_are_no_text_come_and_go(sftp: Sftp, tmp_path: Path) -> None:
    name = b"\xff\xfe-\xc3\xbc"
    (tmp_path / os.fsdecode(name)).write_text("x")
    [listed] = sftp.listdir(tmp_path)
    assert os.fsencode(listed) == name
    assert sftp.read_text(f"{tmp_path}/{listed}") == "x"
    assert sftp.read_text(os.fsencode(tmp_path) + b"/" + name) == "x"


def test_content_is_replaced_at_once(sftp: Sftp, tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    assert sftp.write_bytes(file, b"\0\xff") == 2
    assert sftp.read_bytes(file) == b"\0\xff"
    file.chmod(0o600)
    link.symlink_to("file")
    number = file.stat().st_ino
    assert sftp.write_text(link, "grüß") == 4
    assert link.is_symlink()
    assert file.read_text() == "grüß"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_ino != number
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
    number = file.stat().st_ino
    sftp.write_bytes(file, b"in place", atomic=False)
    assert (file.stat().st_ino, file.read_bytes()) == (number, b"in place")
    assert sftp.read_text(file, encoding="ascii") == "in place"
    sftp.write_bytes(file, b"\xff")
    with pytest.raises(hussh.FileTextError) as no_text:
        sftp.read_text(file)
    assert isinstance(no_text.value.__cause__, UnicodeDecodeError)
    assert sftp.read_text(file, errors="replace") == "\ufffd"
    with pytest.raises(IsADirectoryError):
        sftp.write_bytes(tmp_path, b"")
    with pytest.raises(FileNotFoundError) as missing:
        sftp.write_bytes(tmp_path / "no" / "file", b"")
    assert missing.value.filename == str(tmp_path / "no" / "file")


def test_what_is_too_much_to_read_is_an_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    with Connection(**server.key) as conn:
        assert len(conn.sftp(max_bytes=1000).read_bytes(tmp_path / "file")) == 1000
        with pytest.raises(hussh.FileError, match="max_bytes"):
            conn.sftp(max_bytes=999).read_bytes(tmp_path / "file")


def test_errors_can_be_pickled(sftp: Sftp, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        sftp.stat(tmp_path / "missing")
    again = pickle.loads(pickle.dumps(missing.value))
    assert type(again) is type(missing.value)
    assert str(again) == str(missing.value)
    for name in ("errno", "strerror", "filename", "side", "reason", "host", "port"):
        assert getattr(again, name) == getattr(missing.value, name), name


def test_a_denied_file_is_a_permission_error(sshd: Server, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    with Connection(**sshd.password) as conn, pytest.raises(PermissionError) as denied:
        conn.sftp().read_bytes(tmp_path / "secret")
    assert isinstance(denied.value, hussh.FileDeniedError)


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
    pandas = pytest.importorskip("pandas")
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


def test_files_and_directories_are_transferred(sftp: Sftp, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("aaa")
    (tree / "a").chmod(0o640)
    os.utime(tree / "a", (1_000_000_000, 1_000_000_000))
    (tree / "sub" / "l").symlink_to("../a")
    os.mkfifo(tree / "pipe")
    report = sftp.put(tree, tmp_path / "new" / "there", parents=True, atomic=True)
    assert (report.files, report.bytes, report.is_complete) == (1, 3, False)
    assert [(entry.path, entry.kind) for entry in report.skipped] == [("pipe", "skipped")]
    there = tmp_path / "new" / "there"
    assert os.readlink(there / "sub" / "l") == "../a"
    assert (there / "a").stat().st_mode & 0o777 == 0o640
    assert (there / "a").stat().st_mtime == 1_000_000_000
    report = sftp.get(there, tmp_path / "here", links="skip", concurrency=1)
    assert [entry.path for entry in report.skipped] == ["sub/l"]
    assert (tmp_path / "here" / "a").read_text() == "aaa"
    assert repr(report) == "TransferReport(files=1, bytes=3, skipped=1, failed=0)"
    into = io.BytesIO()
    assert sftp.get(tree / "a", into).bytes == 3
    assert into.getvalue() == b"aaa"
    assert sftp.put(io.BytesIO(b"bb"), tmp_path / "b").files == 1
    assert (tmp_path / "b").read_text() == "bb"
    (tmp_path / "part").write_bytes(b"aa")
    assert sftp.put(tree / "a", tmp_path / "part", resume=True).bytes == 1
    assert (tmp_path / "part").read_text() == "aaa"
    with pytest.raises(ValueError, match="`links`"):
        sftp.put(tree, there, links="no")  # type: ignore[arg-type]


def test_what_fails_of_a_transfer_is_raised_with_the_report(sftp: Sftp, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("a")
    (tree / "broken").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError) as failed:
        sftp.put(tree, tmp_path / "there", links="follow")
    assert isinstance(failed.value, hussh.FileError)
    assert failed.value.report is not None
    assert (failed.value.report.files, len(failed.value.report.failed)) == (1, 1)
    report = sftp.put(tree, tmp_path / "there", links="follow", check=False)
    assert report.failed[0].path == "broken"
    assert pickle.loads(pickle.dumps(report)).files == 1


def test_a_progress_bar_needs_tqdm(
    sftp: Sftp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a").write_bytes(bytes(100_000))
    sftp.put(tmp_path / "a", tmp_path / "b", progress=True)
    sftp.get(tmp_path / "a", io.BytesIO(), progress=True)
    assert len(re.findall(r"100%.*100k/100k", capsys.readouterr().err)) >= 2
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"hussh\[progress\]"):
        sftp.put(tmp_path / "a", tmp_path / "c", progress=True)
    assert not (tmp_path / "c").exists()


def test_a_progress_callback_that_raises_ends_the_transfer(sftp: Sftp, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1_000_000))

    def refuse(done: int, total: int | None) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        sftp.put(tmp_path / "a", tmp_path / "b", progress=refuse)
    assert sftp.exists(tmp_path / "a")


def test_many_threads_share_it_and_the_gil_is_free(sshd: Server, tmp_path: Path) -> None:
    data = os.urandom(8_000_000)
    with Connection(**sshd.key) as conn:
        sftp = conn.sftp()
        problems: list[BaseException] = []

        def work(number: int) -> None:
            try:
                sftp.write_bytes(tmp_path / str(number), data)
                assert sftp.read_bytes(tmp_path / str(number)) == data
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        with Counter() as counter:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not problems
        assert counter.longest < 1.0


def test_a_call_ends_at_its_deadline(own_sshd: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with Connection(**own_sshd.key) as conn:
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            conn.sftp(timeout=0.3).read_bytes(tmp_path / "pipe")
        assert time.monotonic() - start < 3
    with Connection(**own_sshd.key, timeout=300) as conn:
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            conn.sftp_read(tmp_path / "pipe")
        assert time.monotonic() - start < 3


def test_a_closed_client_says_so(sshd: Server) -> None:
    with Connection(**sshd.key) as conn:
        with conn.sftp() as sftp:
            assert "Connection(host=" in repr(sftp)
        with pytest.raises(hussh.ConnectionClosedError, match="SFTP client"):
            sftp.listdir()
        assert conn.sftp().exists(".")


EXIT = """
import os, sys, threading, time
from hussh import Connection, ConnectionPool

host, port, user, key, folder = sys.argv[1:]
arguments = dict(host=host, port=int(port), username=user, private_key=key)
conn, pool = Connection(**arguments), ConnectionPool(**arguments)
text = conn.sftp().open(folder + "/text", "w")
text.write("not closed")
raw = pool.sftp().open(folder + "/raw", "wb", 0)
raw.write(b"x")
os.mkfifo(folder + "/pipe")
# sshd serves nothing else of a connection while it waits for a pipe's other end.
for owner in (Connection(**arguments), pool):
    threading.Thread(target=owner.sftp_read, args=(folder + "/pipe",), daemon=True).start()
time.sleep(0.3)
"""

FORKED = """
import os, sys
from hussh import Connection, ConnectionClosedError

host, port, user, key, folder = sys.argv[1:]
conn = Connection(host, int(port), user, private_key=key)
sftp = conn.sftp()
sftp.write_text(folder + "/f", "parent")
file = sftp.open(folder + "/f", "rb", 0)
child = os.fork()
if child == 0:
    try:
        assert sftp.read_text(folder + "/f") == "parent"
        try:
            file.read(1)
        except ConnectionClosedError:
            pass
        else:
            raise AssertionError("a parent's file was read")
        file.close()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert file.read() == b"parent"
file.close()
print("fine")
"""

INTERRUPTED = """
import os, signal, sys, threading, time
from hussh import Connection

host, port, user, key, folder = sys.argv[1:]
conn = Connection(host, int(port), user, private_key=key)
os.mkfifo(folder + "/pipe")
threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    conn.sftp_read(folder + "/pipe", folder + "/x")
except KeyboardInterrupt:
    assert time.monotonic() - start < 2
    print("fine")
"""


@pytest.mark.parametrize("program", [EXIT, FORKED, INTERRUPTED], ids=["exit", "fork", "ctrl-c"])
def test_processes_end_fork_and_are_interrupted(
    own_sshd: Server, tmp_path: Path, program: str
) -> None:
    arguments = (own_sshd.host, own_sshd.port, own_sshd.username, own_sshd.identity, tmp_path)
    start = time.monotonic()
    ended = run_python(program, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ("" if program == EXIT else "fine\n")
    assert time.monotonic() - start < 10
    if program == EXIT:
        assert (tmp_path / "text").read_text() == "not closed"
