"""The pool, for threads."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import hussh
from conftest import Counter, Server, eventually
from hussh import ConnectionPool


def test_the_seed_program_runs_as_written(sshd: Server) -> None:
    host, port, user, password = sshd.password.values()
    program = f"""
        from hussh import ConnectionPool
        from functools import partial
        ConnectionPool = partial(ConnectionPool, port={port})
        pool = ConnectionPool(
            host={host!r}, username={user!r}, password={password!r}, max_connections=10
        )
        with pool.connection() as conn:
            result = conn.execute("uptime")
        print(result.stdout)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "load average" in done.stdout


def test_a_session_is_used_again(own_sshd: Server) -> None:
    with ConnectionPool(**own_sshd.key) as pool:
        for number in range(20):
            with pool.connection() as connection:
                assert connection.execute(f"echo {number}").stdout == f"{number}\n"
        stats = pool.stats()
        assert (stats.connections, stats.served, stats.lent) == (1, 20, 0)
    assert own_sshd.authentications() == 1


def test_8_threads_with_100_commands_on_4_connections(
    own_sshd: Server, record_property: Callable[[str, object], None]
) -> None:
    pool = ConnectionPool(**own_sshd.key, max_connections=4)

    def work(_: int) -> list[int]:
        return [pool.execute("true").status for _ in range(100)]

    with Counter() as counter, ThreadPoolExecutor(8) as threads:
        statuses = [status for each in threads.map(work, range(8)) for status in each]
    assert statuses == [0] * 800
    assert own_sshd.authentications() <= 4
    record_property("longest_pause_ms", f"{counter.longest * 1000:.1f}")
    print(f"longest pause of a counting thread: {counter.longest * 1000:.1f} ms")
    assert counter.longest < 0.5
    pool.close()


def test_the_gil_is_free_while_a_command_runs(sshd: Server) -> None:
    with ConnectionPool(**sshd.key) as pool, Counter() as counter:
        pool.execute("sleep 1")
    assert counter.longest < 0.3


def test_borrowing_has_a_deadline_that_says_who_has_them(sshd: Server) -> None:
    pool = ConnectionPool(**sshd.key, max_connections=1, acquire_timeout=0.3)
    with pool.connection(), pytest.raises(hussh.PoolTimeoutError, match="1 of 1 lent") as raised:
        pool.execute("true")
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.host == sshd.host
    assert pool.execute("true").status == 0
    pool.close()


def test_what_was_given_back_is_not_used(sshd: Server) -> None:
    with ConnectionPool(**sshd.key) as pool:
        connection = pool.connection()
        connection.close()
        connection.close()
        assert not connection.is_alive()
        with pytest.raises(hussh.ConnectionClosedError):
            connection.execute("true")
        assert pool.stats().lent == 0


def test_a_closed_pool_is_an_error_and_wakes_who_waits(sshd: Server) -> None:
    pool = ConnectionPool(**sshd.key, max_connections=1)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            pool.execute("true")
        except hussh.SSHError as error:
            errors.append(error)

    with pool.connection():
        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: pool.stats().waiting == 1)
        with pytest.raises(hussh.PoolTimeoutError):
            pool.close()
        waiter.join(timeout=10)
    assert [type(error) for error in errors] == [hussh.PoolClosedError]
    with pytest.raises(hussh.PoolClosedError):
        pool.execute("true")
    pool.close()
    assert pool.stats().closed


def test_a_session_that_died_is_replaced_unseen(own_sshd: Server) -> None:
    with ConnectionPool(**own_sshd.key) as pool:
        assert pool.execute("true").status == 0
        own_sshd.ask("kill-sessions")
        assert pool.execute("true").status == 0


def test_a_refused_login_is_told_at_once(sshd: Server) -> None:
    pool = ConnectionPool(**{**sshd.password, "password": "wrong"})
    start = time.monotonic()
    with pytest.raises(hussh.AuthenticationError):
        pool.execute("true")
    assert time.monotonic() - start < 10


def test_map_keeps_the_order_and_tells_of_progress(sshd: Server) -> None:
    seen: list[tuple[int, int | None]] = []
    with ConnectionPool(**sshd.key, max_connections=4) as pool:
        commands = [f"sleep 0.0{9 - number % 10}; echo {number}" for number in range(30)]
        results = pool.map(commands, progress=lambda done, total: seen.append((done, total)))
        assert [result.stdout for result in results] == [f"{number}\n" for number in range(30)]
        assert seen == [(number + 1, 30) for number in range(30)]
        assert pool.map([]) == []
        lazily = pool.map((f"echo {number}" for number in range(3)), concurrency=1, progress=True)
        assert [result.stdout for result in lazily] == ["0\n", "1\n", "2\n"]
        assert pool.stats().connections <= 4


def test_map_raises_the_first_error_or_gives_them_all(sshd: Server) -> None:
    commands = ["true", "exit 5", "true"]
    with ConnectionPool(**sshd.key) as pool:
        assert [result.status for result in pool.map(commands)] == [0, 5, 0]
        with pytest.raises(hussh.CommandFailedError):
            pool.map([*commands, "sleep 30"], check=True)
        mixed = pool.map(commands, check=True, return_exceptions=True)
        assert isinstance(mixed[1], hussh.CommandFailedError)
        assert isinstance(mixed[2], hussh.SSHResult)
        eventually(lambda: pool.stats().lent == 0)


def test_a_progress_callback_that_raises_ends_the_rest(sshd: Server) -> None:
    def refuse(done: int, total: int | None) -> None:
        raise KeyError(done)

    with ConnectionPool(**sshd.key) as pool:
        with pytest.raises(KeyError):
            pool.map(["true", "sleep 30", "sleep 30"], progress=refuse)
        eventually(lambda: pool.stats().lent == 0)


def test_several_commands_share_a_connection(own_sshd: Server) -> None:
    options = {"max_connections": 10, "channels_per_connection": 5}
    with ConnectionPool(**own_sshd.key, **options) as pool:
        results = pool.map(["sleep 0.2"] * 20, concurrency=10)
        assert [result.status for result in results] == [0] * 20
    assert own_sshd.authentications() <= 10


def test_output_and_input_through_the_pool(sshd: Server) -> None:
    seen: list[bytes] = []
    with ConnectionPool(**sshd.key) as pool:
        pool.execute("cat; exit 1", stdin="in", on_output=lambda _, data: seen.append(data))
        with pytest.raises(TimeoutError):
            pool.execute("sleep 20", timeout=0.3)
        eventually(lambda: pool.stats().lent == 0)
        assert pool.execute("true").status == 0
    assert b"".join(seen) == b"in"


def test_a_pool_is_pickled_as_its_configuration(own_sshd: Server) -> None:
    with ConnectionPool(**own_sshd.key, max_connections=3) as pool:
        pool.execute("true")
        twin = pickle.loads(pickle.dumps(pool))
        assert twin.max_connections == 3
        assert twin.execute("echo twin").stdout == "twin\n"
        with pool.connection() as connection, pytest.raises(TypeError, match="pickle its pool"):
            pickle.dumps(connection)
        twin.close()
    assert own_sshd.authentications() == 2


def test_no_secret_is_shown(sshd: Server) -> None:
    pool = ConnectionPool(**sshd.password)
    password = sshd.facts["password"]
    shown = [repr(pool), str(pool), repr(vars(pool)), repr(pool.stats())]
    with pool.connection() as connection:
        shown += [
            repr(connection),
            repr(vars(connection)),
            repr(pickle.dumps(connection.execute("id"))),
        ]
    assert all(password not in text for text in shown)
    assert not hasattr(pool, "password")
    pool.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_connections": 0}, ValueError),
        ({"max_connections": "3"}, TypeError),
        ({"min_idle": 11}, ValueError),
        ({"acquire_timeout": -1}, ValueError),
        ({"keepalive_count_max": 0}, ValueError),
        ({"channels_per_connection": 0}, ValueError),
        ({"host_keys": "whatever"}, ValueError),
        ({"port": 70000}, ValueError),
        ({"host": ""}, ValueError),
        ({"host": None}, TypeError),
        ({"username": "a\0b"}, ValueError),
    ],
)
def test_nonsense_is_refused_by_name(arguments: dict[str, object], error: type[Exception]) -> None:
    name = next(iter(arguments))
    options = {"host": "localhost", "password": "x", **arguments}
    with pytest.raises(error, match="fingerprint|host_keys" if name == "host_keys" else name):
        ConnectionPool(**options)
