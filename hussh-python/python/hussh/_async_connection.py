"""One connection, for tasks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar, cast

from . import _log, _native
from ._async_run import AsyncRuns
from ._base import Own, begin, begun, closed
from ._config import Config
from ._loop import finish
from ._options import ConnectionOptions, SessionOptions, seconds
from ._process import PerProcess

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncConnection"]

DEFAULTS_FAILED = "Failed to authenticate with default SSH keys"

Self = TypeVar("Self", bound="AsyncConnection")


class AsyncConnection(Own, AsyncRuns):
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
        **options: Unpack[SessionOptions],
    ) -> None:
        if key_path is not None and private_key is not None:
            raise TypeError("`key_path` and `private_key` are the same thing: give one of them")
        if limit := seconds("timeout", timeout):
            options["connect_timeout"] = limit
        self._config = Config.of(
            ConnectionOptions,
            type(self).__name__,
            host=host,
            port=port,
            username=username,
            password=password,
            private_key=key_path if private_key is None else private_key,
            proxy_jump=proxy_jump,
            proxy_command=proxy_command,
            defaults_failed=DEFAULTS_FAILED,
            options={"keepalive_interval": keepalive_interval, **options},
        )
        self._wanted = False
        self._native: PerProcess[_native.Session] = PerProcess()

    async def connect(self, timeout: float | None = None) -> None:
        """Connects and logs in; does nothing where it is connected already."""
        if not self.is_alive():
            await self._connect(seconds("timeout", timeout))

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

    async def _start(self, settings: _native._CommandSettings, stream: bool) -> _native.Operation:
        return begin(await self._session(), self._config, settings, stream)

    async def _start_files(self, told: _native._FileSettings) -> _native.Operation:
        return begun((await self._session()).files(told), self._config)

    async def _session(self) -> _native.Session:
        session = self._native.peek()
        if session is None:
            if not self._wanted:
                raise closed(self._config, "Not connected; await connect() first")
            # A forked child, which has none of its parent's connections.
            session = await self._connect(None)
        return session

    async def _connect(self, limit: float | None) -> _native.Session:
        settings = self._config.settings()
        if limit is not None:
            settings["connect_timeout"] = limit
        _log.watch()
        session = cast(_native.Session, await finish(_native.connect(settings), self._config))
        self._native.put(session)
        self._wanted = True
        return session
