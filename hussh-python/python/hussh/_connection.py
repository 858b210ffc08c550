"""One connection, for threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TypeVar, cast

from . import _log, _native
from ._base import Own
from ._command import MAX_OUTPUT, Command, OnOutput, Pty, Stdin, command_settings
from ._config import Config, Crypto, HostKeys, checked, seconds
from ._errors import ConnectionClosedError
from ._process import PerProcess
from ._result import SSHResult, _Outcome, from_outcome
from ._wait import finish

__all__ = ["Connection"]

DEFAULTS_FAILED = "Failed to authenticate with ssh-agent and default SSH keys"

Self = TypeVar("Self", bound="Connection")


class Connection(Own):
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
        *,
        keepalive_interval: float | None = 0,
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
        self._timeout = 0 if timeout is None else timeout
        limit = seconds("timeout", timeout, per_second=1000)
        self._config = checked(
            host,
            port,
            username,
            password,
            private_key,
            keepalive_interval,
            keepalive_count_max,
            host_keys,
            limit or connect_timeout,
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
        """Runs a command to its end and gives what it left.

        `timeout`, in **milliseconds**, replaces the connection's for this call. `stdin` is text,
        bytes or an open file; `on_output` is called with "stdout" or "stderr" and the bytes while
        the command runs. Nothing is kept then, but with `keep_output`. Of each stream `max_output`
        bytes are kept at most, `None` is no limit: a command that writes more is stopped, and
        `OutputLimitError` has what came. With `check`, a command that fails raises
        `CommandFailedError`.
        """
        limit = seconds("timeout", self._timeout if timeout is None else timeout, per_second=1000)
        settings = command_settings(command, limit, stdin, env, pty, keep_output, max_output)
        result = run(self._session(), self._config, settings, on_output)
        return result.raise_for_status(command) if check else result

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

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

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


def closed(config: Config, why: str) -> ConnectionClosedError:
    """The error for using what was closed or given back."""
    host, port, username = config.target
    return ConnectionClosedError(
        f"{username}@{host}: {why}", host=host, port=port, username=username
    )


def run(
    session: _native.Session,
    config: Config,
    settings: _native._CommandSettings,
    on_output: OnOutput | None,
) -> SSHResult:
    """Runs a command on a session to its end."""
    _log.watch()
    operation = session.execute(settings, on_output is not None)
    if operation is None:
        raise closed(config, "the connection is closed")
    return from_outcome(cast(_Outcome, finish(operation, config, on_output)), config.target)
