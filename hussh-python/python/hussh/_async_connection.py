"""One connection, for tasks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TypeVar, cast

from . import _log, _native
from ._base import Own
from ._command import MAX_OUTPUT, AsyncOnOutput, Command, Pty, Stdin, command_settings
from ._config import Config, Crypto, HostKeys, checked, seconds
from ._connection import closed
from ._loop import finish
from ._process import PerProcess
from ._result import SSHResult, _Outcome, from_outcome

__all__ = ["AsyncConnection"]

DEFAULTS_FAILED = "Failed to authenticate with default SSH keys"

Self = TypeVar("Self", bound="AsyncConnection")


class AsyncConnection(Own):
    """One SSH connection, for tasks. Nothing happens on the network until `connect()` or
    `async with`.

    Many tasks may run commands on it at once. A task that is cancelled ends its command and
    nothing else. It is not reopened when it dies; an `AsyncConnectionPool` of one does that.
    Pickled, it is its configuration, its secrets only with `pickle_secrets=True`.

    All times are in seconds; 0 is none. `timeout` is for connecting; without one, connecting takes
    `connect_timeout` at most. `passphrase`, `host_keys`, `proxy_jump`, `proxy_command` and the
    rest: as for `Connection`. `key_path` is the old name of
    `private_key`.
    """

    _unopened = "_wanted"

    def __init__(
        self,
        host: str,
        username: str | None = None,
        password: str | None = None,
        key_path: str | os.PathLike[str] | None = None,
        private_key: str | os.PathLike[str] | None = None,
        proxy_jump: object = None,
        proxy_command: str | None = None,
        port: int = 22,
        keepalive_interval: float | None = 0,
        timeout: float | None = 0,
        *,
        keepalive_count_max: int = 3,
        host_keys: HostKeys = "accept-new",
        connect_timeout: float = 10.0,
        passphrase: str | None = None,
        strict_key_modes: bool = True,
        required_rsa_size: int = 1024,
        must_record_host_keys: bool = False,
        pickle_secrets: bool = False,
        crypto: Crypto = "default",
    ) -> None:
        if key_path is not None and private_key is not None:
            raise TypeError("`key_path` and `private_key` are the same thing: give one of them")
        self._config = checked(
            host,
            port,
            username,
            password,
            key_path if private_key is None else private_key,
            keepalive_interval,
            keepalive_count_max,
            host_keys,
            seconds("timeout", timeout) or connect_timeout,
            DEFAULTS_FAILED,
            proxy_jump,
            proxy_command,
            passphrase=passphrase,
            strict_key_modes=strict_key_modes,
            required_rsa_size=required_rsa_size,
            must_record_host_keys=must_record_host_keys,
            pickle_secrets=pickle_secrets,
            crypto=crypto,
        )
        self._wanted = False
        self._native: PerProcess[_native.Session] = PerProcess()

    async def connect(self, timeout: float | None = None) -> None:
        """Connects and logs in; does nothing where it is connected already."""
        if not self.is_alive():
            await self._connect(seconds("timeout", timeout))

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
        """Runs a command to its end and gives what it left. `timeout` is in seconds.

        `stdin` is text, bytes or an open file; `on_output` is called, and awaited where it is a
        coroutine function, with "stdout" or "stderr" and the bytes while the command runs.
        Nothing is kept then, but with `keep_output`. Of each stream `max_output` bytes are kept at
        most, `None` is no limit: a command that writes more is stopped, and `OutputLimitError` has
        what came. With `check`, a command that fails raises `CommandFailedError`.
        """
        settings = command_settings(
            command, seconds("timeout", timeout), stdin, env, pty, keep_output, max_output
        )
        session = self._native.peek()
        if session is None:
            if not self._wanted:
                raise closed(self._config, "Not connected; await connect() first")
            # A forked child, which has none of its parent's connections.
            session = await self._connect(None)
        result = await run(session, self._config, settings, on_output)
        return result.raise_for_status(command) if check else result

    def is_alive(self) -> bool:
        """Whether nothing is known that makes the connection unusable. Never waits."""
        session = self._native.peek()
        return session is not None and session.is_alive()

    async def close(self) -> None:
        """Ends the connection; commands under way fail. `connect()` again afterwards works."""
        self._wanted = False
        session, self._native = self._native.peek(), PerProcess()
        if session is not None:
            session.close()

    async def __aenter__(self: Self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def _connect(self, limit: float | None) -> _native.Session:
        settings = self._config.settings()
        if limit is not None:
            settings["connect_timeout"] = limit
        _log.watch()
        session = cast(_native.Session, await finish(_native.connect(settings), self._config))
        self._native.put(session)
        self._wanted = True
        return session


async def run(
    session: _native.Session,
    config: Config,
    settings: _native._CommandSettings,
    on_output: AsyncOnOutput | None,
) -> SSHResult:
    """Runs a command on a session to its end."""
    _log.watch()
    operation = session.execute(settings, on_output is not None)
    if operation is None:
        raise closed(config, "the connection is closed")
    return from_outcome(cast(_Outcome, await finish(operation, config, on_output)), config.target)
