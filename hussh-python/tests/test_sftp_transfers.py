"""Files from here to there and back, many threads, deadlines, and what is around us."""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
import threading
import time
from pathlib import Path

import pytest

import hussh
from conftest import Counter, Server, run_python
from hussh import Connection, Sftp


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
