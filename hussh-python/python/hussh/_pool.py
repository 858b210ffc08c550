"""Connections on loan, for threads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, cast, overload

from . import _log, _native
from ._base import Lent, Own
from ._command import Command, command_settings
from ._config import Config
from ._connection import DEFAULTS_FAILED
from ._errors import SSHError
from ._options import PoolOptions, count, seconds
from ._process import PerProcess
from ._result import SSHResult, _Outcome, from_outcome
from ._run import Runs
from ._stats import Meter, PoolStats, Progress, known_length
from ._wait import fail, finish, settle

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ConnectionPool", "PooledConnection"]

MAX_CONNECTIONS = 10
"""How many connections a pool may have, unless somebody says otherwise."""


class PooledConnection(Lent, Runs):
    """A connection on loan from a `ConnectionPool`. Leaving its `with` block gives it back."""

    def close(self) -> None:
        """Gives the connection back. Never waits; calls after the first do nothing."""
        self._session.close()


class _Pooling(Own):
    """What both kinds of pools are made with."""

    _defaults_failed = DEFAULTS_FAILED

    def __init__(
        self,
        host: str,
        port: int | None = 22,
        username: str | None = "root",
        password: str | None = None,
        private_key: str | os.PathLike[str] | None = None,
        proxy_jump: object = None,
        proxy_command: str | None = None,
        **options: Unpack[PoolOptions],
    ) -> None:
        self._config = Config.of(
            PoolOptions,
            type(self).__name__,
            host=host,
            port=port,
            username=username,
            password=password,
            private_key=private_key,
            proxy_jump=proxy_jump,
            proxy_command=proxy_command,
            defaults_failed=self._defaults_failed,
            options=options,
        )
        self._native: PerProcess[_native.Pool] = PerProcess()
        self._pool()

    @property
    def max_connections(self) -> int:
        """The most connections open at once."""
        return cast(int, self._config.options.get("max_connections", MAX_CONNECTIONS))

    def stats(self) -> PoolStats:
        """One consistent snapshot of its counts."""
        facts = self._pool().stats()
        closed = bool(facts.pop("closed"))
        return PoolStats(max_connections=self.max_connections, closed=closed, **facts)

    def _more(self) -> str:
        return f"{super()._more()}, max_connections={self.max_connections}"

    def _pool(self) -> _native.Pool:
        return self._native.get(self._open)

    def _open(self) -> _native.Pool:
        _log.watch()
        kind, pool = _native.open_pool(self._config.settings())
        if kind != "ok":
            fail(kind, pool, self._config)
        return cast(_native.Pool, pool)

    def _concurrency(self, asked: int | None) -> int:
        if asked is not None:
            return count("concurrency", asked, least=1)
        channels = cast(int, self._config.options.get("channels_per_connection", 1))
        return self.max_connections * channels

    def _begin(self, settings: _native._CommandSettings, stream: bool) -> _native.Operation:
        return self._pool().execute(settings, stream)

    def _begin_files(self, told: _native._FileSettings) -> _native.Operation:
        return self._pool().files(told)


class ConnectionPool(_Pooling, Runs):
    """A pool of SSH connections to one host as one user, for many threads.

    Connections are opened when they are needed, lent to one borrower at a time (or to a few,
    `channels_per_connection`), checked when they were idle, and replaced when they died. Pickled,
    it is its configuration: whoever unpickles it opens connections of its own. So does a forked
    child. A password or passphrase is pickled with `pickle_secrets=True` only.

    All times are in seconds; `None` or 0 is none. `acquire_timeout` is how long a borrower waits,
    `idle_timeout` and `max_lifetime` are how long connections are kept. `host_keys` is
    "accept-new" (unknown hosts are recorded in `~/.ssh/known_hosts`, changed keys refused),
    "strict", "danger-accept-any", or pins. Without password and key, the agent's keys
    and then the default key files are tried. `passphrase`, `proxy_jump`, `proxy_command` and the
    rest are as for `Connection`.
    """

    def connection(self) -> PooledConnection:
        """Borrows a connection, waiting up to `acquire_timeout` for one.

        Use it in a `with` statement, or `close()` it: that gives it back.
        """
        _log.watch()
        session = finish(self._pool().acquire(), self._config)
        return PooledConnection(cast(_native.Session, session), self._config)

    @overload
    def map(
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
    def map(
        self,
        commands: Iterable[Command],
        *,
        concurrency: int | None = None,
        progress: Progress = None,
        timeout: float | None = None,
        check: bool = False,
        return_exceptions: bool,
    ) -> list[SSHResult | SSHError]: ...

    def map(
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

        `concurrency` is as many as the pool can carry, unless told otherwise. `progress` is
        called with how many are done and of how many, `True` shows a bar with tqdm, which is to be
        installed.
        The first error ends the others and is raised, unless `return_exceptions` puts errors in
        the place of their results.
        """
        most = self._concurrency(concurrency)
        limit = seconds("timeout", timeout)
        meter = Meter(progress, known_length(commands))
        mailbox = _native.Mailbox(False)
        waiting = enumerate(commands)
        under_way: dict[int, tuple[_native.Operation, Command]] = {}
        results: dict[int, SSHResult | SSHError] = {}
        _log.watch()
        try:
            while True:
                while len(under_way) < most and (entry := next(waiting, None)) is not None:
                    index, command = entry
                    settings = command_settings(command, limit, None, None, False)
                    operation = self._pool().execute(settings, False)
                    under_way[index] = operation, command
                    operation.notify(mailbox, index)
                if not under_way:
                    break
                for index in mailbox.wait():
                    operation, command = under_way.pop(index)
                    try:
                        outcome = cast(_Outcome, settle(operation, self._config))
                        result = from_outcome(outcome, self._config.target)
                        results[index] = result.raise_for_status(command) if check else result
                    except SSHError as error:
                        if not return_exceptions:
                            raise
                        results[index] = error
                    meter.step()
        finally:
            for operation, _ in under_way.values():
                operation.cancel()
            meter.close()
        return [results[index] for index in range(len(results))]

    def close(self) -> None:
        """Closes the pool, and waits up to 5 s until its connections are closed, those lent
        included. Whoever waits for one gets an error at once. May be called again.
        """
        finish(self._pool().close(), self._config)
