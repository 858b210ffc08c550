"""What is around us: signals, forks, the interpreter's end, and logging."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import Server, run_python
from hussh import Connection, ConnectionPool

EXITS = int(os.environ.get("HUSSH_EXITS", "20"))

INTERRUPTED = """
import os, signal, sys, threading, time
from hussh import ConnectionPool, Connection

host, port, user, password = sys.argv[1:]
pool = ConnectionPool(host, int(port), user, password, max_connections=2)
conn = Connection(host, int(port), user, password)
pool.execute("true")
mark = f"7{os.getpid()}"
pid = os.getpid()
waits = [
    lambda: pool.execute(f"sleep {mark}"),
    lambda: conn.execute(f"sleep {mark}"),
    lambda: conn.execute(f"sleep {mark}", on_output=print),
    lambda: pool.map([f"sleep {mark}"] * 5),
]
borrowed = [pool.connection(), pool.connection()]
waits.insert(0, lambda: pool.connection())
for wait in waits:
    threading.Timer(0.4, os.kill, (pid, signal.SIGINT)).start()
    start = time.monotonic()
    try:
        wait()
    except KeyboardInterrupt:
        took = time.monotonic() - start
        assert took < 1.5, took
    else:
        sys.exit("not interrupted")
    for lent in borrowed:
        lent.close()
    borrowed = []
assert pool.execute("echo on").stdout == "on\\n"
for _ in range(100):
    if conn.execute(f"pgrep -fx 'sleep {mark}'").status != 0:
        break
    time.sleep(0.05)
else:
    sys.exit("a command was left running")
assert pool.stats().lent == 0
print("fine")
"""

EXIT = """
import asyncio, sys, threading, time
from hussh import AsyncConnection, AsyncConnectionPool, Connection, ConnectionPool

host, port, user, key, number = sys.argv[1:]
arguments = dict(host=host, port=int(port), username=user, private_key=key)
pool = ConnectionPool(**arguments)
conn = Connection(**arguments)
pool.execute("true")
borrowed = pool.connection()
for command in ("sleep 30", "while echo x; do :; done"):
    threading.Thread(target=pool.execute, args=(command,), daemon=True).start()
threading.Thread(
    target=lambda: conn.execute("while echo x; do :; done", on_output=lambda *_: None), daemon=True
).start()
def busy():
    while True:
        pool.execute("true")
threading.Thread(target=busy, daemon=True).start()

async def main():
    global asynchronous, apool, tasks
    apool = AsyncConnectionPool(**arguments)
    asynchronous = AsyncConnection(**arguments)
    await asynchronous.connect()
    await apool.execute("true")
    tasks = [asyncio.ensure_future(apool.execute("sleep 30")) for _ in range(3)]
    tasks.append(asyncio.ensure_future(asynchronous.execute("sleep 30")))
    await asyncio.sleep(0.01 * (int(number) % 7))

if int(number) % 2:
    asyncio.run(main())
else:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
"""

FORKED = """
import asyncio, os, sys
from hussh import AsyncConnectionPool, Connection, ConnectionPool

host, port, user, key = sys.argv[1:]
arguments = dict(host=host, port=int(port), username=user, private_key=key)
pool, apool = ConnectionPool(**arguments), AsyncConnectionPool(**arguments)
conn = Connection(**arguments)
borrowed = pool.connection()

async def ask():
    return (await apool.execute("echo a")).stdout

assert asyncio.run(ask()) == "a\\n"
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            assert pool.execute("echo child").stdout == "child\\n"
            assert conn.execute("echo child").stdout == "child\\n"
            assert asyncio.run(ask()) == "a\\n"
            try:
                borrowed.execute("true")
            except Exception as error:
                assert "closed" in str(error), error
            else:
                raise AssertionError("a parent's loan was used")
            borrowed.close()
            del borrowed, pool, conn, apool
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
assert borrowed.execute("echo parent").stdout == "parent\\n"
assert conn.execute("echo parent").stdout == "parent\\n"
assert pool.execute("echo parent").stdout == "parent\\n"
assert asyncio.run(ask()) == "a\\n"
print("fine")
"""

WORKERS = """
import multiprocessing, sys
from hussh import ConnectionPool

def work(job):
    pool, number = job
    return pool.execute(f"echo {number}")

if __name__ == "__main__":
    host, port, user, key = sys.argv[1:]
    pool = ConnectionPool(host, int(port), user, private_key=key)
    pool.execute("true")
    with multiprocessing.get_context(sys.flags.optimize and "spawn" or "fork").Pool(2) as workers:
        results = workers.map(work, [(pool, number) for number in range(6)])
    assert [result.stdout for result in results] == [f"{n}\\n" for n in range(6)], results
    print("fine")
"""


def arguments(server: Server) -> tuple[str, int, str, str]:
    return server.host, server.port, server.username, server.identity


FORKED_AND_ENDED = """
import os, sys, threading
from hussh import ConnectionPool

host, port, user, key = sys.argv[1:]
pool = ConnectionPool(host, int(port), user, private_key=key, max_connections=4)

def busy():
    while True:
        pool.execute("true")

for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        # Ends as any program does, with or without sessions of its own.
        if number % 2:
            assert pool.execute("echo child").stdout == "child\\n"
        sys.exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
assert pool.execute("echo parent").stdout == "parent\\n"
print("fine")
"""


def test_ctrl_c_interrupts_every_wait_and_ends_its_command(sshd: Server) -> None:
    # Not as root: for root's own sessions sshd refuses to send signals.
    done = run_python(INTERRUPTED, *sshd.password.values())
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_ctrl_c_interrupts_a_loop(sshd: Server) -> None:
    program = """
import asyncio, os, signal, sys, threading
from hussh import AsyncConnectionPool
host, port, user, key = sys.argv[1:]

async def main():
    async with AsyncConnectionPool(host, int(port), user, private_key=key) as pool:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        await pool.execute("sleep 30")

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("fine")
"""
    start = time.monotonic()
    done = run_python(program, *arguments(sshd))
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    assert time.monotonic() - start < 10


def test_the_interpreter_exits_cleanly_whatever_is_under_way(own_sshd: Server) -> None:
    failures = []
    for number in range(EXITS):
        done = run_python(EXIT, *arguments(own_sshd), number)
        # A loop that is left alone may say what was pending, which is no crash.
        if done.returncode != 0:
            failures.append((number, done.returncode, done.stderr[-2000:]))
    assert not failures, failures[:3]
    print(f"{EXITS} of {EXITS} exits with status 0")


def test_a_forked_child_starts_anew(own_sshd: Server) -> None:
    done = run_python(FORKED, *arguments(own_sshd))
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_children_of_a_busy_parent_end_cleanly(own_sshd: Server) -> None:
    done = run_python(FORKED_AND_ENDED, *arguments(own_sshd))
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_open_their_own_sessions(sshd: Server, method: str, tmp_path) -> None:
    program = tmp_path / "workers.py"
    program.write_text(WORKERS)
    options = ["-O"] if method == "spawn" else []
    command = [sys.executable, *options, str(program), *map(str, arguments(sshd))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_events_go_to_the_logger_without_secrets(
    sshd: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="hussh"):
        Connection(**sshd.password).close()
        pool = ConnectionPool(**{**sshd.password, "private_key": "/nonexistent/key"})
        pool.execute("echo secret-output secret-command")
        pool.close()
    text = caplog.text
    assert "connected to" in text
    assert "credential not sent" in text
    for secret in (sshd.facts["password"], "secret-output", "secret-command"):
        assert secret not in text


def test_nothing_is_logged_below_the_loggers_level(
    sshd: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="hussh"):
        Connection(**{**sshd.password, "private_key": "/nonexistent/key"}).close()
    assert caplog.records == []


def test_signals_still_arrive_while_tokio_runs(sshd: Server) -> None:
    hits = []
    before = signal.signal(signal.SIGUSR1, lambda *_: hits.append(time.monotonic()))
    try:
        with ConnectionPool(**sshd.key) as pool:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert pool.execute("sleep 0.2; echo on").stdout == "on\n"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(hits) == 1
