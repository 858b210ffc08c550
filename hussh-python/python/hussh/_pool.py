"""Connections on loan, for threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal, TypeVar, cast, overload

from . import _log, _native
from ._base import Lent, Own
from ._command import MAX_OUTPUT, Command, OnOutput, Pty, Stdin, command_settings
from ._config import Crypto, HostKeys, checked, checked_pool, count, seconds
from ._connection import DEFAULTS_FAILED, run
from ._errors import SSHError
from ._process import PerProcess
from ._result import SSHResult, _Outcome, from_outcome
from ._stats import Meter, PoolStats, Progress
from ._wait import fail, finish, settle

__all__ = ["ConnectionPool", "PooledConnection"]

Self = TypeVar("Self", bound="ConnectionPool")


class PooledConnection(Lent):
    """A connection on loan from a `ConnectionPool`. Leaving its `with` block gives it back."""

    def execute(
        self,
        command: Command,
        timeout: float | None = None,
        *,
        stdin: Stdin | None = None,
        env: Mapping[str, str] | None = None,
        pty: bool | Pty = False,
        on_output: OnOutput | None = None,
        keep_output: bool = False,
        max_output: int | None = MAX_OUTPUT,
        check: bool = False,
    ) -> SSHResult:
        """Runs a command to its end and gives what it left. `timeout` is in seconds.

        `stdin` is text, bytes or an open file; `on_output` is called with "stdout" or "stderr"
        and the bytes while the command runs. Nothing is kept then, but with `keep_output`. Of each
        stream `max_output` bytes are kept at most, `None` is no limit: a command that writes more
        is stopped, and `OutputLimitError` has what came. With `check`, a command that fails raises
        `CommandFailedError`.
        """
        settings = command_settings(
            command, seconds("timeout", timeout), stdin, env, pty, keep_output, max_output
        )
        result = run(self._session, self._config, settings, on_output)
        return result.raise_for_status(command) if check else result

    def close(self) -> None:
        """Gives the connection back. Never waits; calls after the first do nothing."""
        self._session.close()

    def __enter__(self) -> PooledConnection:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()


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
        *,
        max_connections: int = 10,
        min_idle: int = 0,
        acquire_timeout: float | None = 30.0,
        idle_timeout: float | None = 600.0,
        max_lifetime: float | None = 1800.0,
        connect_timeout: float = 10.0,
        crypto: Crypto = "default",
        keepalive_interval: float | None = 30.0,
        keepalive_count_max: int = 3,
        channels_per_connection: int = 1,
        host_keys: HostKeys = "accept-new",
        passphrase: str | None = None,
        strict_key_modes: bool = True,
        required_rsa_size: int = 1024,
        must_record_host_keys: bool = False,
        pickle_secrets: bool = False,
    ) -> None:
        self._config = checked(
            host,
            port,
            username,
            password,
            private_key,
            keepalive_interval,
            keepalive_count_max,
            host_keys,
            connect_timeout,
            self._defaults_failed,
            proxy_jump,
            proxy_command,
            passphrase=passphrase,
            strict_key_modes=strict_key_modes,
            required_rsa_size=required_rsa_size,
            must_record_host_keys=must_record_host_keys,
            pickle_secrets=pickle_secrets,
            crypto=crypto,
        )
        self._limits = checked_pool(
            max_connections,
            min_idle,
            acquire_timeout,
            idle_timeout,
            max_lifetime,
            channels_per_connection,
        )
        self._native: PerProcess[_native.Pool] = PerProcess()
        self._pool()

    @property
    def max_connections(self) -> int:
        """The most connections open at once."""
        return self._limits.max_connections

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
        kind, pool = _native.open_pool(self._config.settings(), self._limits.settings())
        if kind != "ok":
            fail(kind, pool, self._config)
        return cast(_native.Pool, pool)

    def _concurrency(self, asked: int | None) -> int:
        if asked is not None:
            return count("concurrency", asked, least=1)
        return self._limits.max_connections * self._limits.channels_per_connection


class ConnectionPool(_Pooling):
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

    def execute(
        self,
        command: Command,
        timeout: float | None = None,
        *,
        stdin: Stdin | None = None,
        env: Mapping[str, str] | None = None,
        pty: bool | Pty = False,
        on_output: OnOutput | None = None,
        keep_output: bool = False,
        max_output: int | None = MAX_OUTPUT,
        check: bool = False,
    ) -> SSHResult:
        """Borrows a connection, runs a command on it to its end, and gives it back.

        As `PooledConnection.execute`. `timeout` does not count the time of borrowing. A command
        that may have started is never sent again.
        """
        settings = command_settings(
            command, seconds("timeout", timeout), stdin, env, pty, keep_output, max_output
        )
        _log.watch()
        operation = self._pool().execute(settings, on_output is not None)
        outcome = finish(operation, self._config, on_output)
        result = from_outcome(cast(_Outcome, outcome), self._config.target)
        return result.raise_for_status(command) if check else result

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
        called with how many are done and of how many, `True` shows a bar where tqdm is installed.
        The first error ends the others and is raised, unless `return_exceptions` puts errors in
        the place of their results.
        """
        most = self._concurrency(concurrency)
        limit = seconds("timeout", timeout)
        meter = Meter(progress, commands)
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

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()
