"""Connections and pools for tasks."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

import hussh
from conftest import Counter, Server, eventually
from hussh import AsyncConnection, AsyncConnectionPool
from hussh.aio import AsyncConnection as SameConnection

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def run_uvloop(main: Coroutine[Any, Any, Any]) -> Any:
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


@pytest.fixture(params=[asyncio.run, run_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


def test_names_are_where_they_are_looked_for() -> None:
    assert SameConnection is AsyncConnection
    assert AsyncConnection.__module__ == "hussh.aio"
    assert hussh.aio.AsyncConnectionPool is AsyncConnectionPool


def test_connect_execute_close(sshd: Server, run: Run) -> None:
    async def main() -> None:
        connection = AsyncConnection(**sshd.key)
        with pytest.raises(RuntimeError, match="Not connected"):
            await connection.execute("true")
        await connection.connect()
        result = await connection.execute("echo out; echo err >&2; exit 3")
        assert (result.stdout, result.stderr, result.status) == ("out\n", "err\n", 3)
        assert connection.is_alive()
        await connection.close()
        await connection.close()
        assert not connection.is_alive()
        with pytest.raises(RuntimeError, match="Not connected"):
            await connection.execute("true")
        await connection.connect()
        assert (await connection.execute("echo again", check=True)).stdout == "again\n"
        await connection.close()

    run(main())


def test_positional_arguments_are_in_their_old_order(sshd: Server) -> None:
    async def main() -> None:
        arguments = (
            sshd.host,
            sshd.username,
            None,
            sshd.identity,
            None,
            None,
            None,
            sshd.port,
            1,
            5,
        )
        async with AsyncConnection(*arguments) as connection:
            assert (await connection.execute("true")).status == 0
        with pytest.raises(TypeError):
            AsyncConnection("h", key_path="a", private_key="b")
        with pytest.raises(RuntimeError, match="Failed to authenticate with default SSH keys"):
            await AsyncConnection(sshd.host, sshd.username, port=sshd.port).connect()

    asyncio.run(main())


def test_timeouts_are_seconds(sshd: Server, run: Run) -> None:
    async def main() -> None:
        async with AsyncConnection(**sshd.key) as connection:
            start = time.monotonic()
            with pytest.raises(TimeoutError) as raised:
                await connection.execute("echo so far; sleep 20", timeout=0.4)
            assert time.monotonic() - start < 3
            assert isinstance(raised.value, hussh.SSHTimeoutError)
            assert raised.value.stdout == "so far\n"

    run(main())


def test_output_comes_to_callbacks_of_both_kinds(sshd: Server, run: Run) -> None:
    async def main() -> None:
        plain: list[bytes] = []
        awaited: list[bytes] = []

        async def collect(name: str, data: bytes) -> None:
            await asyncio.sleep(0)
            awaited.append(data)

        async with AsyncConnection(**sshd.key) as connection:
            await connection.execute("echo a; echo b", on_output=lambda _, data: plain.append(data))
            result = await connection.execute(
                "head -c 3000000 /dev/zero", on_output=collect, keep_output=True
            )
        assert b"".join(plain) == b"a\nb\n"
        assert sum(map(len, awaited)) == len(result.stdout_bytes) == 3_000_000

    run(main())


def test_many_tasks_share_a_connection(sshd: Server, run: Run) -> None:
    async def main() -> None:
        async with AsyncConnection(**sshd.key) as connection:
            commands = [connection.execute(f"echo {number}") for number in range(5)]
            results = await asyncio.gather(*commands)
            assert [result.stdout for result in results] == [f"{number}\n" for number in range(5)]

    run(main())


def test_100_tasks_half_of_them_cancelled(own_sshd: Server, run: Run) -> None:
    async def main() -> float:
        async with AsyncConnectionPool(**own_sshd.key, max_connections=4) as pool:

            async def work(number: int) -> str:
                command = "sleep 0.02" if number % 3 else "true"
                result = await pool.execute(f"{command}; echo {number}")
                return result.stdout

            with Counter() as counter:
                tasks = [asyncio.ensure_future(work(number)) for number in range(100)]
                for number in range(0, 100, 2):
                    await asyncio.sleep(0.003)
                    tasks[number].cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
            for number, result in enumerate(results):
                if number % 2 == 0:
                    assert result == f"{number}\n" or isinstance(result, asyncio.CancelledError)
                else:
                    assert result == f"{number}\n"
            # Every session can be lent.
            borrowed = [await pool.connection() for _ in range(4)]
            for connection in borrowed:
                assert (await connection.execute("true")).status == 0
                await connection.close()
            eventually(lambda: pool.stats().lent == 0)
            return counter.longest

    longest = run(main())
    print(f"longest pause of a counting thread: {longest * 1000:.1f} ms")
    assert longest < 0.5


def test_wait_for_gives_the_session_back(sshd: Server, run: Run) -> None:
    async def main() -> None:
        async with AsyncConnectionPool(**sshd.key, max_connections=1) as pool:
            for _ in range(3):
                with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                    await asyncio.wait_for(pool.execute("sleep 20"), 0.2)
            assert (await asyncio.wait_for(pool.execute("echo on"), 10)).stdout == "on\n"
            async with pool.connection():
                with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                    await asyncio.wait_for(pool.execute("true"), 0.1)
                eventually(lambda: pool.stats().waiting == 0)

    run(main())


def test_two_loops_one_after_another_share_a_pool(own_sshd: Server) -> None:
    pool = AsyncConnectionPool(**own_sshd.key)

    async def work() -> str:
        return (await pool.execute("echo hi")).stdout

    for run in (asyncio.run, run_uvloop, asyncio.run):
        assert run(work()) == "hi\n"
    asyncio.run(pool.close())
    assert own_sshd.authentications() == 1


def test_a_loop_that_ends_with_tasks_pending_leaves_no_trace(sshd: Server) -> None:
    pool = AsyncConnectionPool(**sshd.key, max_connections=1)

    async def leave() -> None:
        tasks = [asyncio.ensure_future(pool.execute("sleep 20")) for _ in range(3)]
        await asyncio.sleep(0.1)
        del tasks

    asyncio.run(leave())
    loop = asyncio.new_event_loop()
    pending = loop.create_task(pool.execute("sleep 20"))
    loop.run_until_complete(asyncio.sleep(0.2))
    loop.close()
    del loop, pending

    async def after() -> None:
        assert (await asyncio.wait_for(pool.execute("echo on"), 25)).stdout == "on\n"
        await pool.close()

    asyncio.run(after())


def test_map_keeps_the_order(sshd: Server, run: Run) -> None:
    async def main() -> None:
        seen: list[int] = []
        async with AsyncConnectionPool(**sshd.key, max_connections=4) as pool:
            commands = [f"echo {number}" for number in range(20)]
            results = await pool.map(commands, progress=lambda done, _: seen.append(done))
            assert [result.stdout for result in results] == [f"{n}\n" for n in range(20)]
            assert seen == list(range(1, 21))
            with pytest.raises(hussh.CommandFailedError):
                await pool.map(["exit 1", "sleep 20"], check=True)
            mixed = await pool.map(["exit 1", "true"], check=True, return_exceptions=True)
            assert isinstance(mixed[0], hussh.CommandFailedError)

    run(main())


def test_they_are_pickled_as_their_configuration(sshd: Server) -> None:
    async def main() -> None:
        pool = pickle.loads(pickle.dumps(AsyncConnectionPool(**sshd.key, max_connections=2)))
        assert (await pool.execute("echo hi")).stdout == "hi\n"
        await pool.close()
        async with (
            AsyncConnection(**sshd.key) as connection,
            pickle.loads(pickle.dumps(connection)) as twin,
        ):
            assert (await twin.execute("echo hi")).stdout == "hi\n"

    asyncio.run(main())
