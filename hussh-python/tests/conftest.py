"""Servers to test against: a real sshd, and the server embedded in the test kit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hussh import Connection, Sftp

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SERVE = Path(os.environ.get("HUSSH_SERVE", TARGET / "debug/examples/serve"))

# Shells start what runs in the background with SIGINT ignored, and children inherit that: tests
# that interrupt theirs would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Server:
    """A server in a process of its own, which ends with its standard input."""

    def __init__(self, *arguments: str) -> None:
        if not SERVE.exists():
            pytest.fail(f"{SERVE} is missing: cargo build -p test-servers --example serve")
        self._process = subprocess.Popen(
            [SERVE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._answer()
        self.host: str = self.facts["host"]
        self.port: int = self.facts["port"]
        self.username: str = self.facts["username"]
        self.identity: str = self.facts["identity"]
        self._forget_who_was_there()

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def authentications(self) -> int:
        return int(self.ask("truth")["authentications"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    @property
    def key(self) -> dict[str, Any]:
        """What a connection or a pool needs to log in with the key."""
        return {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "private_key": self.identity,
        }

    @property
    def password(self) -> dict[str, Any]:
        """What a connection or a pool needs to log in with a password."""
        return {
            "host": self.host,
            "port": self.port,
            "username": self.facts.get("password_user") or self.username,
            "password": self.facts["password"],
        }

    def _forget_who_was_there(self) -> None:
        """Ports are used again, by servers with other keys."""
        known = Path(os.environ["HOME"], ".ssh", "known_hosts")
        if known.exists():
            lines = known.read_text().splitlines(keepends=True)
            kept = [line for line in lines if not line.startswith(f"[{self.host}]:{self.port} ")]
            known.write_text("".join(kept))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the server ended: status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of our own: known_hosts and keys of whoever runs the tests are left alone."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".ssh").mkdir(mode=0o700)
    kept = {name: os.environ.get(name) for name in ("HOME", "SSH_AUTH_SOCK")}
    os.environ["HOME"] = str(folder)
    os.environ.pop("SSH_AUTH_SOCK", None)
    yield folder
    for name, value in kept.items():
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def sshd() -> Iterator[Server]:
    server = Server("sshd", "MaxStartups 100", "AcceptEnv *", "password-user")
    yield server
    server.close()


@pytest.fixture
def own_sshd() -> Iterator[Server]:
    """A server whose figures are one test's."""
    server = Server("sshd", "MaxStartups 100")
    yield server
    server.close()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Server]:
    server = Server("embedded")
    yield server
    server.close()


@pytest.fixture
def own_embedded() -> Iterator[Server]:
    server = Server("embedded")
    yield server
    server.close()


@pytest.fixture(params=["sshd", "embedded"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of them, in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def sftp(server: Server) -> Iterator[Sftp]:
    """The files of each."""
    with Connection(**server.key) as connection, connection.sftp() as sftp:
        yield sftp


def run_python(
    source: str, *arguments: object, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def eventually(condition: Callable[[], bool], patience: float = 5.0) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "not so after a while"
        time.sleep(0.02)


class Counter:
    """A thread that counts, and notes how long it was held up."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def __enter__(self) -> Counter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _count(self) -> None:
        last = time.perf_counter()
        while not self._stop.is_set():
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now
            time.sleep(0)
