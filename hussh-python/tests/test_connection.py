"""One connection, for threads."""

from __future__ import annotations

import io
import pickle
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import hussh
from conftest import Server
from hussh import Connection, Pty, SSHResult


@pytest.fixture
def connection(sshd: Server) -> Connection:
    return Connection(**sshd.key)


def test_a_command_gives_its_output_and_status(connection: Connection) -> None:
    result = connection.execute("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 3)
    assert result.stdout_bytes == b"out\n"
    assert result.stderr_bytes == b"err\n"
    assert result.exit_signal is None
    assert 0 < result.duration < 10
    assert repr(result) == "SSHResult(stdout=out\n, stderr=err\n, status=3)"
    assert str(result) == "stdout:\nout\n\nstderr:\nerr\n\nstatus: 3"


def test_attributes_are_those_of_old(sshd: Server, connection: Connection) -> None:
    assert (connection.host, connection.port) == (sshd.host, sshd.port)
    assert connection.username == sshd.username
    assert connection.private_key == sshd.identity
    assert connection.password == ""
    assert connection.timeout == 0
    assert connection.proxy_command is None
    expected = f"host={sshd.host}, port={sshd.port}, username={sshd.username}, password=*****"
    assert repr(connection) == f"Connection({expected})"
    assert Connection.__module__ == "hussh"


def test_positional_arguments_are_in_their_old_order(sshd: Server) -> None:
    connection = Connection(
        sshd.host, sshd.port, sshd.username, None, sshd.identity, None, None, 2500.5
    )
    assert connection.timeout == 2500.5
    assert connection.execute("true").status == 0


def test_a_password_logs_in_on_both_servers(sshd: Server, embedded: Server) -> None:
    for server in (sshd, embedded):
        with Connection(**server.password) as connection:
            assert connection.execute("echo hi").stdout == "hi\n"


def test_an_encrypted_key_takes_the_password_as_its_passphrase(sshd: Server) -> None:
    key = {**sshd.key, "private_key": sshd.facts["encrypted_identity"]}
    with Connection(**key, password=sshd.facts["passphrase"]) as connection:
        assert connection.execute("true").status == 0
    with pytest.raises(hussh.PassphraseError):
        Connection(**key)


def test_a_refused_key_falls_back_to_the_password(sshd: Server, embedded: Server) -> None:
    arguments = {**sshd.password, "private_key": embedded.identity}
    with Connection(**arguments) as connection:
        assert connection.execute("true").status == 0


def test_the_default_key_files_are_tried(sshd: Server, home, monkeypatch) -> None:
    arguments = {**sshd.key, "private_key": None}
    with pytest.raises(
        hussh.AuthenticationError, match="Failed to authenticate with ssh-agent and default SSH"
    ):
        Connection(**arguments)
    key = home / ".ssh" / "id_ed25519"
    key.write_bytes(Path(sshd.identity).read_bytes())
    key.chmod(0o600)
    try:
        assert Connection(**arguments).execute("true").status == 0
    finally:
        key.unlink()


def test_timeouts_are_milliseconds_and_keep_the_output(connection: Connection) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError) as raised:
        connection.execute("echo so far; sleep 20", timeout=300)
    assert time.monotonic() - start < 3
    assert isinstance(raised.value, hussh.SSHTimeoutError)
    assert raised.value.stdout == "so far\n"
    assert raised.value.may_have_started
    assert connection.execute("echo on", timeout=5000.0).stdout == "on\n"


def test_the_constructors_timeout_is_that_of_each_command(sshd: Server) -> None:
    connection = Connection(**sshd.key, timeout=400)
    with pytest.raises(TimeoutError):
        connection.execute("sleep 20")
    assert connection.execute("sleep 0.6", timeout=0).status == 0


def test_input_environment_and_terminal(connection: Connection) -> None:
    assert connection.execute("cat", stdin="text é").stdout == "text é"
    assert connection.execute("cat", stdin=b"\x00\xff").stdout_bytes == b"\x00\xff"
    assert connection.execute("wc -c", stdin=io.BytesIO(b"x" * 300_000)).stdout.strip() == "300000"
    assert connection.execute("echo $GREETING", env={"GREETING": "hello"}).stdout == "hello\n"
    assert "not a tty" in connection.execute("tty").stdout
    assert "/dev/" in connection.execute("tty", pty=True).stdout
    wide = connection.execute("stty size", pty=Pty(columns=132, rows=40))
    assert wide.stdout.split() == ["40", "132"]


def test_output_comes_while_the_command_runs(connection: Connection) -> None:
    start = time.monotonic()
    seen: list[tuple[str, bytes, float]] = []
    result = connection.execute(
        "echo one; echo two >&2; sleep 1; echo three",
        on_output=lambda name, data: seen.append((name, data, time.monotonic() - start)),
        keep_output=True,
    )
    assert seen[0][:2] == ("stdout", b"one\n")
    assert seen[0][2] < 0.8
    assert b"".join(data for name, data, _ in seen if name == "stdout") == b"one\nthree\n"
    assert b"".join(data for name, data, _ in seen if name == "stderr") == b"two\n"
    assert result.stdout == "one\nthree\n"


def test_a_callback_that_raises_ends_the_command(connection: Connection) -> None:
    def refuse(name: str, data: bytes) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError):
        connection.execute("echo x; sleep 30", on_output=refuse)
    assert connection.execute("true").status == 0


def test_megabytes_arrive_whole_through_a_slow_callback(connection: Connection) -> None:
    size = 0

    def count(name: str, data: bytes) -> None:
        nonlocal size
        size += len(data)
        time.sleep(0.0005)

    result = connection.execute("head -c 8000000 /dev/zero", on_output=count, keep_output=True)
    assert size == len(result.stdout_bytes) == 8_000_000


def test_what_a_callback_gets_is_kept_by_nobody(connection: Connection) -> None:
    size = 0

    def count(name: str, data: bytes) -> None:
        nonlocal size
        size += len(data)

    def peak() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    before = peak()
    result = connection.execute("head -c 300000000 /dev/zero; exit 3", on_output=count)
    assert (size, result.stdout_bytes, result.status) == (300_000_000, b"", 3)
    assert peak() - before < 40_000, "kB more than before"


@pytest.mark.parametrize("streamed", [False, True])
def test_output_beyond_its_limit_is_an_error_with_what_came(
    connection: Connection, streamed: bool
) -> None:
    ways: dict[str, Any] = {"on_output": lambda *_: None, "keep_output": True} if streamed else {}
    with pytest.raises(hussh.OutputLimitError, match="max_output") as raised:
        connection.execute("exec cat /dev/zero", max_output=100_000, **ways)
    assert len(raised.value.stdout_bytes) == 100_000
    assert raised.value.may_have_started
    assert connection.execute("head -c 100000 /dev/zero", max_output=100_000, **ways).status == 0
    with pytest.raises(hussh.InvalidArgumentError, match="max_output"):
        connection.execute("true", max_output=-1)


def test_what_may_be_agreed_on_is_a_setting(sshd: Server) -> None:
    for crypto in ("modern", "compatible", {"policy": "modern", "ciphers": "aes256-ctr"}):
        assert Connection(**sshd.key, crypto=crypto).execute("true").status == 0
    with pytest.raises(hussh.HandshakeError, match="kex_algorithms"):
        Connection(**sshd.key, crypto={"kex_algorithms": "diffie-hellman-group1-sha1"})
    for wrong in ("strict", {"ciphers": "rot13"}, {"cipher": "aes256-ctr"}, {"ciphers": ""}):
        with pytest.raises(hussh.InvalidArgumentError):
            Connection(**sshd.key, crypto=wrong)


def test_a_signal_is_no_success(connection: Connection) -> None:
    result = connection.execute("kill -KILL $$")
    assert (result.status, result.exit_signal) == (137, "KILL")
    with pytest.raises(hussh.CommandFailedError, match="killed by signal KILL"):
        result.raise_for_status()


def test_bytes_that_are_not_text_never_fail_a_command(connection: Connection) -> None:
    result = connection.execute(rb"printf 'a\377b'")
    assert result.stdout == "a\ufffdb"
    assert result.stdout_bytes == b"a\xffb"


def test_closing_twice_is_fine_and_closed_is_an_error(sshd: Server) -> None:
    connection = Connection(**sshd.key)
    assert connection.is_alive()
    connection.close()
    connection.close()
    assert not connection.is_alive()
    with pytest.raises(hussh.ConnectionClosedError) as raised:
        connection.execute("true")
    assert isinstance(raised.value, (TimeoutError, RuntimeError))


def test_a_lost_connection_says_what_had_arrived(own_sshd: Server) -> None:
    connection = Connection(**own_sshd.key)

    def kill(name: str, data: bytes) -> None:
        own_sshd.ask("kill-sessions")

    with pytest.raises(hussh.ConnectionLostError) as raised:
        connection.execute("echo before; sleep 30", on_output=kill, keep_output=True)
    assert raised.value.stdout == "before\n"
    assert raised.value.may_have_started
    assert not connection.is_alive()


def test_keepalive_finds_a_server_that_stopped(own_sshd: Server) -> None:
    connection = Connection(**own_sshd.key, keepalive_interval=0.2, keepalive_count_max=1)
    assert connection.execute("sleep 1; echo through").stdout == "through\n"


def test_subclasses_and_weak_references_work(sshd: Server) -> None:
    class Mine(Connection):
        pass

    connection = Mine(**sshd.key)
    assert weakref.ref(connection)() is connection
    with connection as same:
        assert same is connection
    assert weakref.ref(SSHResult())


def test_results_and_connections_can_be_pickled(connection: Connection, sshd: Server) -> None:
    result = connection.execute("echo hi; exit 4")
    copy = pickle.loads(pickle.dumps(result))
    assert copy == result
    assert copy.duration == result.duration
    with pytest.raises(hussh.CommandFailedError, match=sshd.host):
        copy.raise_for_status()
    # Opens a session of its own when it is first used.
    twin = pickle.loads(pickle.dumps(connection))
    assert not twin.is_alive()
    assert twin.execute("echo twin").stdout == "twin\n"
    assert connection.is_alive()


def test_check_raises_what_subprocess_raises(connection: Connection) -> None:
    import subprocess

    with pytest.raises(subprocess.CalledProcessError) as raised:
        connection.execute("echo why >&2; exit 9", check=True)
    assert isinstance(raised.value, hussh.CommandFailedError)
    assert (raised.value.returncode, raised.value.stderr) == (9, "why\n")
    assert raised.value.result.status == 9
    assert connection.execute("true", check=True).raise_for_status().status == 0
