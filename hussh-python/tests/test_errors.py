"""Errors: one hierarchy, the built-in ones by inheritance, picklable, without secrets."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
import threading
import time
import warnings
from pathlib import Path

import pytest

import hussh
from conftest import Server
from hussh import AsyncConnection, Connection, ConnectionPool

CLASSES = [
    value
    for value in vars(hussh).values()
    if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_an_ssh_error_that_can_be_pickled(kind: type[hussh.SSHError]) -> None:
    assert issubclass(kind, hussh.SSHError)
    assert kind.__module__ == "hussh"
    error = kind("what went wrong", host="h", port=2222, stdout_bytes=b"x", phase="connecting")
    error.__cause__ = hussh.SSHError("because")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "what went wrong"
    assert (copy.host, copy.port, copy.stdout, copy.phase) == ("h", 2222, "x", "connecting")
    assert str(copy.__cause__) == "because"


def refused() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def both(error: type[BaseException], **arguments: object) -> tuple[BaseException, BaseException]:
    """The errors of a thread and of a task."""

    async def connect() -> None:
        await AsyncConnection(**arguments).connect()

    with pytest.raises(error) as sync:
        Connection(**arguments)
    with pytest.raises(error) as tasks:
        asyncio.run(connect())
    assert type(sync.value) is type(tasks.value)
    return sync.value, tasks.value


def test_a_refused_connection_is_what_people_catch() -> None:
    port = refused()
    for error in both(hussh.ConnectRefusedError, host="127.0.0.1", port=port, password="hunter2"):
        assert isinstance(error, (ConnectionRefusedError, TimeoutError, RuntimeError, OSError))
        assert isinstance(error, hussh.SSHError)
        assert error.retryable
        assert (error.host, error.port, error.username) == ("127.0.0.1", port, "root")
        assert isinstance(error.errno, int)
        assert f":{port}" in str(error)
        copy = pickle.loads(pickle.dumps(error))
        assert copy.errno == error.errno
        assert b"hunter2" not in pickle.dumps(error)


def test_an_unknown_host_is_a_gaierror() -> None:
    for error in both(hussh.ResolveError, host="no-such-host.invalid", password="x"):
        assert isinstance(error, socket.gaierror)
        assert "no-such-host.invalid" in str(error)


def test_no_ssh_server_is_told_from_a_silent_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(TimeoutError) as raised:
            Connection("127.0.0.1", port, password="x", timeout=300)
        assert time.monotonic() - start < 2
        assert isinstance(raised.value, hussh.SSHTimeoutError)
        assert raised.value.phase
        assert raised.value.elapsed is not None


def test_a_wrong_password_is_a_permission_error(sshd: Server) -> None:
    arguments = {**sshd.password, "password": "hunter2"}
    for error in both(hussh.AuthenticationError, **arguments):
        assert isinstance(error, PermissionError)
        assert "hunter2" not in repr(error) + str(vars(error))


def test_key_files_are_told_apart(sshd: Server, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("not a key")
    missing = both(hussh.KeyFileMissingError, **{**sshd.key, "private_key": str(tmp_path / "no")})
    for error in missing:
        assert isinstance(error, (FileNotFoundError, hussh.AuthenticationError))
        assert error.filename == str(tmp_path / "no")
    both(hussh.KeyFormatError, **{**sshd.key, "private_key": nonsense})


def test_host_keys_are_checked_before_a_credential_is_sent(
    own_sshd: Server, home: Path, tmp_path: Path
) -> None:
    key = own_sshd.key
    with pytest.raises(hussh.HostKeyError) as unknown:
        Connection(**key, host_keys="strict")
    assert unknown.value.problem == "unknown"
    pin = unknown.value.fingerprint
    assert pin is not None
    assert Connection(**key, host_keys=pin).execute("true").status == 0
    assert Connection(**key).execute("true").status == 0
    assert Connection(**key, host_keys="strict").execute("true").status == 0
    logins = own_sshd.authentications()
    own_sshd.ask("change-host-key")
    with pytest.raises(hussh.HostKeyError, match="HOST KEY CHANGED") as changed:
        Connection(**key)
    assert changed.value.problem == "changed"
    with pytest.raises(hussh.HostKeyError) as not_pinned:
        Connection(**key, host_keys=pin)
    assert not_pinned.value.problem == "not pinned"
    assert own_sshd.authentications() == logins
    assert Connection(**key, host_keys="danger-accept-any").execute("true").status == 0


def test_a_pool_fails_at_once_where_nobody_listens() -> None:
    pool = ConnectionPool("127.0.0.1", refused(), password="x", acquire_timeout=60.0)
    with pytest.raises(hussh.ConnectRefusedError) as raised:
        pool.execute("true")
    assert isinstance(pickle.loads(pickle.dumps(raised.value)), ConnectionRefusedError)
    pool.close()


def test_a_pool_that_cannot_connect_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        pool = ConnectionPool("127.0.0.1", port, password="x", acquire_timeout=0.5)
        with pytest.raises(hussh.PoolTimeoutError) as raised:
            pool.execute("true")
        cause = raised.value.__cause__
        assert isinstance(cause, hussh.ServerBusyError), repr(cause)
        assert isinstance(pickle.loads(pickle.dumps(raised.value)).__cause__, ConnectionResetError)
        pool.close()


def hang_up(server: socket.socket) -> None:
    """As a server at MaxStartups does."""
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.execute("a\0b"), ValueError),
        (lambda c: c.execute(7), TypeError),
        (lambda c: c.execute("true", timeout="1"), TypeError),
        (lambda c: c.execute("true", timeout=-1), ValueError),
        (lambda c: c.execute("true", stdin=7), TypeError),
        (lambda c: c.execute("true", env={"A=B": "c"}), ValueError),
        (lambda c: c.execute("x" * 100_000), ValueError),
        (lambda c: c.execute("true", pty=Ellipsis), TypeError),
    ],
)
def test_nonsense_never_panics(sshd: Server, call, error) -> None:
    with Connection(**sshd.key) as connection:
        with pytest.raises(error):
            call(connection)
        assert connection.execute("true").status == 0


def test_a_host_key_that_cannot_be_recorded_is_told_once_a_host(
    own_sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write into any folder, but not below a file.
    (tmp_path / ".ssh").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(hussh.KnownHostsError, match="known_hosts"):
        Connection(**own_sshd.key, must_record_host_keys=True)
    with pytest.warns(hussh.HostKeyNotRecordedWarning, match="not recorded") as told:
        Connection(**own_sshd.key).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ConnectionPool(**own_sshd.key) as pool:
            assert pool.execute("true").status == 0
    assert len(told) == 1
    assert f"[{own_sshd.host}]:{own_sshd.port}" in str(told[0].message)


def test_pins_name_the_type_of_key_to_ask_for(own_sshd: Server) -> None:
    line = own_sshd.facts["known_hosts_line"].split(maxsplit=1)[1]
    for pins in (line, [line], ("ssh-rsa SHA256:" + "A" * 43, line)):
        with Connection(**own_sshd.key, host_keys=pins) as connection:
            assert connection.execute("true").status == 0
    with pytest.raises(hussh.HostKeyError) as refused:
        Connection(**own_sshd.key, host_keys=["SHA256:" + "A" * 43])
    assert refused.value.problem == "not pinned"
    for nonsense in ([], ["strict", line], ["x"]):
        with pytest.raises(hussh.InvalidArgumentError):
            Connection(**own_sshd.key, host_keys=nonsense)
    with pytest.raises(TypeError, match="host_keys"):
        Connection(**own_sshd.key, host_keys=3)  # type: ignore[arg-type]
