"""The files on the server: `sftp()`, for threads."""

from __future__ import annotations

import os
import pickle
import stat
import time
from pathlib import Path, PurePosixPath

import pytest

import hussh
from conftest import Server
from hussh import Connection, Sftp


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
