"""One connection, for threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from . import _log, _native
from ._base import Own, begin, begun, closed
from ._config import Config
from ._options import ConnectionOptions, seconds
from ._process import PerProcess
from ._run import Runs
from ._wait import finish

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Connection"]

DEFAULTS_FAILED = "Failed to authenticate with ssh-agent and default SSH keys"


class Connection(Own, Runs):
    """One SSH connection, open until it is closed. Many threads may run commands on it at once.

    It is not reopened when it dies; a `ConnectionPool` of one does that. Pickled, it is its
    configuration: whoever unpickles it connects with the first command. So does a forked child. A
    password or passphrase is pickled with `pickle_secrets=True` only; without it that is a
    `TypeError`.

    `timeout` is in **milliseconds**, as it always was: for connecting, and for each command that
    has none of its own; 0 is none, and connecting then takes `connect_timeout` seconds at most.
    All else is in seconds. `host_keys` is "accept-new" (unknown hosts are recorded in
    `~/.ssh/known_hosts`, changed keys refused), "strict", a pin ("SHA256:…") or
    "danger-accept-any". Without password and key, the agent's keys and then the default key files
    are tried.

    A pin is "ssh-ed25519 SHA256:…", a public key, or "SHA256:…" for a key of the type that the
    server prefers; several are a list. A new host's key that cannot be recorded is a
    `HostKeyNotRecordedWarning`, and with `must_record_host_keys` a `KnownHostsError`.

    `passphrase` is what the private key is encrypted with, and is sent to nobody. Without one,
    `password` opens the key, as it always did; once the key turned out to be encrypted it is not
    sent to a server. A key file that others may read is refused, unless `strict_key_modes` is
    false. `required_rsa_size` is the fewest bits of an RSA key, a server's or yours.

    `proxy_jump` is the host to go through, or a list of hosts in order: a connection, whose way to
    log in is used for a session of our own, `(host, port)`, "host", "host:port" or
    "user@host:port", which log in as `root` where no user is named, by the agent or a default key.
    `proxy_command` is a shell command whose input and output are the way there; `%h`, `%p` and `%r`
    stand for host, port and user.
    """

    _unopened = "_closed"

    def __init__(
        self,
        host: str,
        port: int | None = 22,
        username: str | None = "root",
        password: str | None = None,
        private_key: str | os.PathLike[str] | None = None,
        proxy_jump: object = None,
        proxy_command: str | None = None,
        timeout: float | None = 0,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self._timeout = 0 if timeout is None else timeout
        if limit := seconds("timeout", timeout, per_second=1000):
            options["connect_timeout"] = limit
        self._config = Config.of(
            ConnectionOptions,
            type(self).__name__,
            host=host,
            port=port,
            username=username,
            password=password,
            private_key=private_key,
            proxy_jump=proxy_jump,
            proxy_command=proxy_command,
            defaults_failed=DEFAULTS_FAILED,
            options=options,
        )
        self._closed = False
        self._native: PerProcess[_native.Session] = PerProcess()
        self._session()

    @property
    def password(self) -> str:
        """The password, "" when there is none."""
        return self._config.password or ""

    @property
    def private_key(self) -> str:
        """The private key's file, "" when there is none."""
        return self._config.private_key or ""

    @property
    def timeout(self) -> float:
        """The timeout in milliseconds, 0 when there is none."""
        return self._timeout

    @property
    def proxy_command(self) -> str | None:
        """The command that it goes through, `None` when there is none."""
        return self._config.proxy_command

    def is_alive(self) -> bool:
        """Whether nothing is known that makes the connection unusable. Never waits."""
        native = self._native.peek()
        return native is not None and native.is_alive()

    def close(self) -> None:
        """Ends the connection; commands under way fail. Never waits."""
        self._closed = True
        native = self._native.peek()
        if native is not None:
            native.close()

    def _limit(self, timeout: float | None) -> float | None:
        limit = self._timeout if timeout is None else timeout
        return seconds("timeout", limit, per_second=1000)

    def _begin(self, settings: _native._CommandSettings, stream: bool) -> _native.Operation:
        return begin(self._session(), self._config, settings, stream)

    def _begin_files(self, told: _native._FileSettings) -> _native.Operation:
        return begun(self._session().files(told), self._config)

    def _idle_limit(self, asked: float | None) -> float | None:
        return self._limit(None) if asked is None else asked

    def _session(self) -> _native.Session:
        if self._closed:
            raise closed(self._config, "the connection is closed")
        return self._native.get(self._connect)

    def _connect(self) -> _native.Session:
        _log.watch()
        operation = _native.connect(self._config.settings())
        session = cast(_native.Session, finish(operation, self._config))
        host, port, username = self._config.target
        _log.logger.debug("connected to %s@%s:%s", username, host, port)
        return session
