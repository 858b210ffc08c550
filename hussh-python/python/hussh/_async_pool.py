"""Connections on loan, for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar, cast, overload

from . import _log, _native
from ._async_connection import DEFAULTS_FAILED, run
from ._base import Lent
from ._command import MAX_OUTPUT, AsyncOnOutput, Command, Pty, Stdin, command_settings
from ._config import seconds
from ._errors import SSHError
from ._loop import finish
from ._pool import _Pooling
from ._result import SSHResult, _Outcome, from_outcome
from ._stats import Meter, Progress

__all__ = ["AsyncConnectionPool", "PooledAsyncConnection"]

Self = TypeVar("Self", bound="AsyncConnectionPool")


class PooledAsyncConnection(Lent):
    """A connection on loan from an `AsyncConnectionPool`. Leaving its `async with` block gives it
    back.
    """

    async def execute(
        self,
        command: Command,
        timeout: float | None = None,
        *,
        stdin: Stdin | None = None,
        env: Mapping[str, str] | None = None,
        pty: bool | Pty = False,
        on_output: AsyncOnOutput | None = None,
        keep_output: bool = False,
        max_output: int | None = MAX_OUTPUT,
        check: bool = False,
    ) -> SSHResult:
        """Runs a command to its end and gives what it left. As `AsyncConnection.execute`."""
        settings = command_settings(
            command, seconds("timeout", timeout), stdin, env, pty, keep_output, max_output
        )
        result = await run(self._session, self._config, settings, on_output)
        return result.raise_for_status(command) if check else result

    async def close(self) -> None:
        """Gives the connection back. Never waits; calls after the first do nothing."""
        self._session.close()

    async def __aenter__(self) -> PooledAsyncConnection:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._session.close()


class _Borrow:
    """A connection to be borrowed: `async with` it, or await it."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._connection: PooledAsyncConnection | None = None

    def __await__(self) -> Generator[Any, None, PooledAsyncConnection]:
        return self._pool._borrow().__await__()

    async def __aenter__(self) -> PooledAsyncConnection:
        self._connection = await self._pool._borrow()
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._connection is not None:
            await self._connection.close()


class AsyncConnectionPool(_Pooling):
    """A pool of SSH connections to one host as one user, for many tasks.

    As `ConnectionPool`, with the same arguments; what waits is awaited. A task that is cancelled
    leaves the queue, or ends its command and gives its connection back. Its connections belong to
    no event loop: it may be used from several, one after another.
    """

    _defaults_failed = DEFAULTS_FAILED

    def connection(self) -> _Borrow:
        """Borrows a connection, waiting up to `acquire_timeout` for one.

        `async with pool.connection() as conn` gives it back at the end of the block;
        `conn = await pool.connection()` is to be followed by `await conn.close()`.
        """
        return _Borrow(self)

    async def execute(
        self,
        command: Command,
        timeout: float | None = None,
        *,
        stdin: Stdin | None = None,
        env: Mapping[str, str] | None = None,
        pty: bool | Pty = False,
        on_output: AsyncOnOutput | None = None,
        keep_output: bool = False,
        max_output: int | None = MAX_OUTPUT,
        check: bool = False,
    ) -> SSHResult:
        """Borrows a connection, runs a command on it to its end, and gives it back.

        As `AsyncConnection.execute`. `timeout` does not count the time of borrowing. A command
        that may have started is never sent again.
        """
        settings = command_settings(
            command, seconds("timeout", timeout), stdin, env, pty, keep_output, max_output
        )
        _log.watch()
        operation = self._pool().execute(settings, on_output is not None)
        outcome = await finish(operation, self._config, on_output)
        result = from_outcome(cast(_Outcome, outcome), self._config.target)
        return result.raise_for_status(command) if check else result

    @overload
    async def map(
        self,
        commands: Iterable[Command],
        *,
        concurrency: int | None = None,
        progress: Progress = None,
        timeout: float | None = None,
        check: bool = False,
        return_exceptions: Literal[False] = False,
    ) -> list[SSHResult]: ...

    @overload
    async def map(
        self,
        commands: Iterable[Command],
        *,
        concurrency: int | None = None,
        progress: Progress = None,
        timeout: float | None = None,
        check: bool = False,
        return_exceptions: bool,
    ) -> list[SSHResult | SSHError]: ...

    async def map(
        self,
        commands: Iterable[Command],
        *,
        concurrency: int | None = None,
        progress: Progress = None,
        timeout: float | None = None,
        check: bool = False,
        return_exceptions: bool = False,
    ) -> list[SSHResult] | list[SSHResult | SSHError]:
        """Runs many commands, `concurrency` at once, and gives their results in order.

        As `ConnectionPool.map`.
        """
        most = self._concurrency(concurrency)
        meter = Meter(progress, commands)
        waiting = enumerate(commands)
        results: dict[int, SSHResult | SSHError] = {}

        async def work() -> None:
            for index, command in waiting:
                try:
                    results[index] = await self.execute(command, timeout, check=check)
                except SSHError as error:
                    if not return_exceptions:
                        raise
                    results[index] = error
                meter.step()

        workers = [asyncio.ensure_future(work()) for _ in range(_fewer(most, commands))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            meter.close()
        return [results[index] for index in range(len(results))]

    async def close(self) -> None:
        """Closes the pool, and waits up to 5 s until its connections are closed, those lent
        included. Whoever waits for one gets an error at once. May be called again.
        """
        await finish(self._pool().close(), self._config)

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def _borrow(self) -> PooledAsyncConnection:
        _log.watch()
        session = await finish(self._pool().acquire(), self._config)
        return PooledAsyncConnection(cast(_native.Session, session), self._config)


def _fewer(most: int, commands: Iterable[object]) -> int:
    """No more workers than commands, where their number is known."""
    try:
        return min(most, len(commands))  # type: ignore[arg-type]
    except TypeError:
        return most
