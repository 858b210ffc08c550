"""`true` over SSH, beside the peers, in turn against one sshd on loopback. Prints medians.

    python compare.py --old PYTHON_WITH_HUSSH_0_3_3

Needs asyncssh and paramiko beside hussh. hussh 0.3.3 is called in an interpreter of its own, since
it has the same name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Times = list[float]
Target = tuple[str, int, str, str]

OURS = "hussh"
OLD = "hussh 0.3.3"
CONCURRENT = 10
PEERS = ("ours", "ours_async", "old", "old_async", "asyncssh", "paramiko", "openssh")


def timed(call: Callable[[], object], count: int) -> Times:
    """How long each of some calls takes, in milliseconds."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    return times


def together(prepare: Callable[[], Callable[[], object]], count: int) -> float:
    """How long calls on ten threads take for each, in milliseconds. What a thread prepares for
    itself, such as a connection, is not counted.
    """
    left = iter(range(count))
    lock = threading.Lock()
    ready = threading.Barrier(CONCURRENT + 1)

    def work() -> None:
        call = prepare()
        ready.wait()
        while True:
            with lock:
                if next(left, None) is None:
                    return
            call()

    threads = [threading.Thread(target=work) for _ in range(CONCURRENT)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) * 1000 / count


async def timed_async(call: Callable[[], Awaitable[object]], count: int) -> Times:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await call()
        times.append((time.perf_counter() - start) * 1000)
    return times


async def together_async(call: Callable[[], Awaitable[object]], count: int) -> float:
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENT)))
    return (time.perf_counter() - start) * 1000 / count


def hussh_sync(target: Target, fresh: int, held: int) -> dict[str, Any]:
    from hussh import Connection

    host, port, user, key = target

    def connect() -> Any:
        return Connection(host, port=port, username=user, private_key=key)

    def once() -> None:
        connection = connect()
        assert connection.execute("true").status == 0
        connection.close()

    rows: dict[str, Any] = {"fresh": timed(once, fresh)}
    connection = connect()
    connection.execute("true")
    rows["held"] = timed(lambda: connection.execute("true"), held)
    try:
        from hussh import ConnectionPool
    except ImportError:
        # Ten connections, each with a thread: its sessions must not be shared.
        def mine() -> Callable[[], object]:
            own = connect()
            return lambda: own.execute("true")

        rows["together"] = together(mine, held)
        return rows
    with ConnectionPool(host, port=port, username=user, private_key=key) as pool:
        pool.execute("true")
        rows["pool"] = timed(lambda: pool.execute("true"), held)
        for one in [pool.connection() for _ in range(CONCURRENT)]:
            one.close()
        rows["together"] = together(lambda: lambda: pool.execute("true"), held)
    return rows


def hussh_async(target: Target, fresh: int, held: int) -> dict[str, Any]:
    from hussh.aio import AsyncConnection

    host, port, user, key = target

    def connection() -> Any:
        return AsyncConnection(host, port=port, username=user, key_path=key)

    async def once() -> None:
        async with connection() as fresh_one:
            assert (await fresh_one.execute("true")).status == 0

    async def main() -> dict[str, Any]:
        rows: dict[str, Any] = {"fresh": await timed_async(once, fresh)}
        async with connection() as kept:
            await kept.execute("true")
            rows["held"] = await timed_async(lambda: kept.execute("true"), held)
            try:
                from hussh import AsyncConnectionPool
            except ImportError:
                many = [await connection().__aenter__() for _ in range(CONCURRENT)]
                rows["together"] = await with_each(many, lambda one: one.execute("true"), held)
                return rows
        async with AsyncConnectionPool(host, port=port, username=user, private_key=key) as pool:
            await pool.execute("true")
            rows["pool"] = await timed_async(lambda: pool.execute("true"), held)
            for one in [await pool.connection() for _ in range(CONCURRENT)]:
                await one.close()
            rows["together"] = await together_async(lambda: pool.execute("true"), held)
        return rows

    return asyncio.run(main())


async def with_each(
    connections: list[Any], call: Callable[[Any], Awaitable[object]], count: int
) -> float:
    """As `together_async`, with a connection for each worker."""
    left = iter(range(count))

    async def work(connection: Any) -> None:
        for _ in left:
            await call(connection)

    start = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    return (time.perf_counter() - start) * 1000 / count


def asyncssh_(target: Target, fresh: int, held: int) -> dict[str, Any]:
    import asyncssh

    host, port, user, key = target

    def connect() -> Any:
        return asyncssh.connect(
            host, port=port, username=user, client_keys=[key], known_hosts=None, config=None
        )

    async def once() -> None:
        async with connect() as connection:
            await connection.run("true")

    async def main() -> dict[str, Any]:
        rows: dict[str, Any] = {"fresh": await timed_async(once, fresh)}
        async with connect() as connection:
            await connection.run("true")
            rows["held"] = await timed_async(lambda: connection.run("true"), held)
        many = [await connect() for _ in range(CONCURRENT)]
        rows["together"] = await with_each(many, lambda one: one.run("true"), held)
        for connection in many:
            connection.close()
        return rows

    return asyncio.run(main())


def paramiko_(target: Target, fresh: int, held: int) -> dict[str, Any]:
    import paramiko

    host, port, user, key = target

    def connect() -> Any:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(host, port, user, key_filename=key, allow_agent=False, look_for_keys=False)
        return client

    def run(client: Any) -> None:
        _, stdout, _ = client.exec_command("true")
        assert stdout.channel.recv_exit_status() == 0

    def once() -> None:
        client = connect()
        run(client)
        client.close()

    def mine() -> Callable[[], object]:
        own = connect()
        return lambda: run(own)

    rows: dict[str, Any] = {"fresh": timed(once, fresh)}
    client = connect()
    rows["held"] = timed(lambda: run(client), held)
    rows["together"] = together(mine, held)
    return rows


def openssh(target: Target, fresh: int, held: int) -> dict[str, Any]:
    host, port, user, key = target
    plain = ["ssh", "-F", "none", "-i", key, "-p", str(port), "-o", "BatchMode=yes"]
    plain += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    plain += ["-o", "LogLevel=ERROR", f"{user}@{host}"]
    with tempfile.TemporaryDirectory() as folder:
        shared = [*plain[:-1], "-o", f"ControlPath={folder}/%C", plain[-1]]

        def run(command: list[str]) -> Callable[[], object]:
            words = [*command, "true"]
            return lambda: subprocess.run(words, check=True, stdin=subprocess.DEVNULL)

        rows: dict[str, Any] = {"fresh": timed(run(plain), fresh)}
        subprocess.run(
            [
                *shared[:-1],
                "-o",
                "ControlMaster=yes",
                "-o",
                "ControlPersist=60",
                shared[-1],
                "true",
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        rows["held"] = timed(run(shared), held)
        # What is beyond MaxSessions falls back to a connection of its own.
        rows["together"] = together(lambda: run(shared), held)
        subprocess.run([*shared[:-1], "-O", "exit", shared[-1]], check=False, capture_output=True)
        return rows


WAYS: dict[str, tuple[str, Callable[[Target, int, int], dict[str, Any]]]] = {
    "ours": (f"{OURS}, threads", hussh_sync),
    "ours_async": (f"{OURS}, asyncio", hussh_async),
    "old": (f"{OLD}, threads", hussh_sync),
    "old_async": (f"{OLD}, asyncio", hussh_async),
    "asyncssh": ("asyncssh", asyncssh_),
    "paramiko": ("paramiko", paramiko_),
    "openssh": ("OpenSSH ControlMaster", openssh),
}


def measure(peer: str, target: Target, fresh: int, held: int, old: str | None) -> dict[str, Any]:
    """One peer's row, in a process of its own."""
    python = old if peer.startswith("old") and old else sys.executable
    words = [python, __file__, "--one", peer, "--fresh", str(fresh), "--held", str(held)]
    words += ["--target", json.dumps(target)]
    environment = dict(os.environ)
    if peer.startswith("old"):
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode != 0 and not done.stdout:
        sys.exit(f"{peer} failed with status {done.returncode}")
    if done.returncode != 0:
        print(f"{WAYS[peer][0]}: measured, but ended with status {done.returncode}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", help="an interpreter with hussh 0.3.3")
    parser.add_argument("--fresh", type=int, default=100, help="fresh connections, in all")
    parser.add_argument("--held", type=int, default=1000, help="commands of the other rows, in all")
    parser.add_argument("--rounds", type=int, default=5, help="in which the peers take turns")
    parser.add_argument("--one", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        target = tuple(json.loads(options.target))
        print(json.dumps(WAYS[options.one][1](target, options.fresh, options.held)), flush=True)
        return

    root = Path(__file__).resolve().parents[2]
    built = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    serve = subprocess.Popen(
        [built / "debug/examples/serve", "sshd", "MaxStartups 200"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serve.stdin is not None
    assert serve.stdout is not None
    facts = json.loads(serve.stdout.readline())
    target = (facts["host"], facts["port"], facts["username"], facts["identity"])
    peers = [peer for peer in PEERS if options.old or not peer.startswith("old")]
    times: dict[str, dict[str, Times]] = {peer: {} for peer in peers}
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        Path(home, ".ssh").mkdir(mode=0o700)
        for turn in range(options.rounds):
            for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
                fresh, held = options.fresh // options.rounds, options.held // options.rounds
                row = measure(peer, target, fresh, held, options.old)
                for name, value in row.items():
                    values = value if isinstance(value, list) else [value]
                    times[peer].setdefault(name, []).extend(values)
    serve.stdin.close()
    serve.wait()

    print(
        f"`true` on loopback, {os.cpu_count()} cores: medians in ms of "
        f"{options.fresh} fresh connections, {options.held} commands on one held connection, "
        f"{options.held} through a pool, and per command of {options.held} with {CONCURRENT} at "
        f"once; {options.rounds} rounds in turn"
    )
    print(f"{'':<24}{'fresh':>9}{'held':>9}{'pool':>9}{'10 at once':>12}")
    for peer in peers:
        cells = [times[peer].get(name) for name in ("fresh", "held", "pool", "together")]
        shown = ["-" if cell is None else f"{statistics.median(cell):.2f}" for cell in cells]
        print(f"{WAYS[peer][0]:<24}{shown[0]:>9}{shown[1]:>9}{shown[2]:>9}{shown[3]:>12}")


if __name__ == "__main__":
    main()
