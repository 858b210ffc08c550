"""Connections on loan, for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Literal, cast, overload

from . import _log, _native
from ._async_connection import DEFAULTS_FAILED
from ._async_run import AsyncRuns
from ._base import Lent
from ._command import Command
from ._errors import SSHError
from ._loop import finish
from ._pool import _Pooling
from ._result import SSHResult
from ._stats import Meter, Progress, known_length

__all__ = ["AsyncConnectionPool", "PooledAsyncConnection"]


class PooledAsyncConnection(Lent, AsyncRuns):
    """A connection on loan from an `AsyncConnectionPool`. Leaving its `async with` block gives it
    back.
    """

    async def close(self) -> None:
        """Gives the connection back. Never waits; calls after the first do nothing."""
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


class AsyncConnectionPool(_Pooling, AsyncRuns):
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
        meter = Meter(progress, known_length(commands))
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
