"""What can go wrong: one hierarchy for threads and tasks.

Each error is an `SSHError`, and also the built-in exception that programs already catch.
Where hussh 0.3.3 raised `TimeoutError` (threads) or `RuntimeError` (tasks), ours are those, too.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._config import Config
    from ._files import TransferReport
    from ._result import SSHResult

__all__ = [
    "AgentError",
    "AuthenticationError",
    "ChannelRefusedError",
    "CommandFailedError",
    "ConnectFailedError",
    "ConnectRefusedError",
    "ConnectResetError",
    "ConnectionClosedError",
    "ConnectionLostError",
    "FileDeniedError",
    "FileError",
    "FileIsDirectoryError",
    "FileMissingError",
    "FileNotDirectoryError",
    "FileTakenError",
    "FileTextError",
    "HandshakeError",
    "HostKeyError",
    "InvalidArgumentError",
    "KeyFileError",
    "KeyFileMissingError",
    "KeyFormatError",
    "KnownHostsError",
    "NoExitStatusError",
    "OutputLimitError",
    "PassphraseError",
    "PoolClosedError",
    "PoolTimeoutError",
    "RequestRefusedError",
    "ResolveError",
    "SSHError",
    "SSHTimeoutError",
    "ServerBusyError",
]


class SSHError(Exception):
    """Why something failed, in one sentence that names the host and what to do."""

    host: str | None
    """Whom it was about."""
    port: int | None
    """Its port."""
    username: str | None
    """The user to log in as."""
    may_have_started: bool
    """Whether the command can have started on the server. Where this is false it has not."""
    retryable: bool
    """Whether the same call may succeed later without anybody changing anything."""
    stdout_bytes: bytes
    """What the command had written to standard output when the call failed."""
    stderr_bytes: bytes
    """What the command had written to standard error when the call failed."""
    phase: str | None
    """What was under way."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        # Not `super()`: built-in bases want other arguments than ours.
        Exception.__init__(self, message)
        self.host = None
        self.port = None
        self.username = None
        self.may_have_started = False
        self.retryable = False
        self.stdout_bytes = b""
        self.stderr_bytes = b""
        self.phase = None
        self.__dict__.update(_told(self, facts))

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        number = getattr(self, "errno", None)
        facts = dict(self.__dict__)
        if number is not None:
            facts["errno"] = number
        filename = getattr(self, "filename", None)
        if filename is not None:
            facts["filename"] = filename
        return _revive, (type(self), str(self), facts, self.__cause__)

    @property
    def stdout(self) -> str:
        """`stdout_bytes` as text."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """`stderr_bytes` as text."""
        return self.stderr_bytes.decode(errors="replace")


class InvalidArgumentError(SSHError, ValueError):
    """A value that no server could make sense of. Nothing was sent."""

    parameter: str | None = None


class ResolveError(SSHError, socket.gaierror, TimeoutError, RuntimeError):
    """The host's name has no address."""


class ConnectFailedError(SSHError, ConnectionError, TimeoutError, RuntimeError):
    """No TCP connection to any address of the host."""


class ConnectRefusedError(ConnectFailedError, ConnectionRefusedError):
    """Nobody listens on the port."""


class ConnectResetError(ConnectFailedError, ConnectionResetError):
    """The connection was reset at once."""


class ServerBusyError(ConnectFailedError, ConnectionResetError):
    """The server hung up before it said who it is, as sshd does at `MaxStartups`."""


class HandshakeError(SSHError, ConnectionError, TimeoutError, RuntimeError):
    """Not an SSH server, or one that shares no algorithm with us."""


class HostKeyError(SSHError, ConnectionError, RuntimeError):
    """The server's key is not one we believe. No credential was sent."""

    fingerprint: str | None = None
    """The fingerprint of the key that the server presented."""
    problem: str | None = None
    """"changed", "revoked", "unknown", "not certified", "too short" or "not pinned"."""


class KnownHostsError(SSHError, OSError, RuntimeError):
    """A known_hosts file could not be read or written."""


class AuthenticationError(SSHError, PermissionError, RuntimeError):
    """The server refused everything we have to prove who we are, or we have nothing to show."""

    tried: list[str]
    """What the server refused, in order."""
    offered: list[str]
    """What the server said it takes, such as "publickey"; empty where it said nothing."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        self.tried = []
        self.offered = []
        super().__init__(message, **facts)


class AgentError(AuthenticationError):
    """There is no SSH agent, or it holds no usable key."""


class KeyFileError(AuthenticationError):
    """The private key's file cannot be read."""


class KeyFileMissingError(KeyFileError, FileNotFoundError):
    """There is no such private key file."""


class KeyFormatError(KeyFileError, ValueError):
    """The file holds no private key of a kind we can use."""


class PassphraseError(KeyFileError, ValueError):
    """The private key is encrypted, and there is no passphrase or a wrong one."""


class SSHTimeoutError(SSHError, TimeoutError):
    """The deadline passed. What the command had written is in `stdout` and `stderr`."""

    elapsed: float | None = None
    """How long the whole call had taken, in seconds."""


class PoolTimeoutError(SSHTimeoutError):
    """No connection came free in time; the last failed connect, if any, is `__cause__`."""


class ConnectionLostError(SSHError, ConnectionResetError, TimeoutError, RuntimeError):
    """The connection ended under us. What the command had written is in `stdout`, `stderr`."""


class ConnectionClosedError(SSHError, ConnectionError, TimeoutError, RuntimeError):
    """The connection was closed on our side, given back, or never opened."""


class PoolClosedError(ConnectionClosedError):
    """The pool is closed."""


class ChannelRefusedError(SSHError, TimeoutError, RuntimeError):
    """The server opens no further channel on this connection (`MaxSessions`)."""


class RequestRefusedError(SSHError, PermissionError, RuntimeError):
    """The server refused to run the command, or to set it up. It did not start."""


class NoExitStatusError(SSHError, ConnectionError, TimeoutError, RuntimeError):
    """The server closed the channel without saying how the command ended."""


class OutputLimitError(SSHError, BufferError, RuntimeError):
    """The command wrote more to a stream than was to be collected, and was stopped."""


class CommandFailedError(SSHError, subprocess.CalledProcessError):
    """The command ran and failed: `check=True` or `raise_for_status()` asked."""

    result: SSHResult
    """What it left."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        self.returncode = 0
        self.cmd = None
        super().__init__(message, **facts)

    @property
    def output(self) -> str:
        """The same as `stdout`, under the name that `CalledProcessError` has for it."""
        return self.stdout


class FileError(SSHError, OSError, RuntimeError):
    """A file, there or here, could not be read, written or whatever was asked. `errno`, `strerror`
    and `filename` are set as those of `OSError`.
    """

    side: str | None
    """"remote" for the server's file, "local" for this machine's."""
    reason: str | None
    """What kind of failure, such as "NotFound"; "Other" where the server only says that it
    failed."""
    report: TransferReport | None
    """What became of the other files, where it was one of a directory."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        self.side = None
        self.reason = None
        self.report = None
        name = facts.get("filename")
        if isinstance(name, bytes):
            remote = facts.get("side") == "remote"
            facts["filename"] = (
                name.decode(errors="surrogateescape") if remote else os.fsdecode(name)
            )
        number = _NUMBERS.get(facts.get("reason", ""))
        if number is not None:
            facts.setdefault("errno", number)
        super().__init__(message, **facts)


class FileMissingError(FileError, FileNotFoundError):
    """There is no such file."""


class FileDeniedError(FileError, PermissionError):
    """The permissions of a file or directory do not allow it."""


class FileTakenError(FileError, FileExistsError):
    """There is something of that name already."""


class FileIsDirectoryError(FileError, IsADirectoryError):
    """It is a directory."""


class FileNotDirectoryError(FileError, NotADirectoryError):
    """It is no directory."""


class FileTextError(FileError, UnicodeError):
    """What is in the file is not text in that encoding. The decoder's error is `__cause__`."""


_NUMBERS: Mapping[str, int] = {
    "AlreadyExists": errno.EEXIST,
    "DirectoryNotEmpty": errno.ENOTEMPTY,
    "FileTooLarge": errno.EFBIG,
    "InvalidInput": errno.EINVAL,
    "IsADirectory": errno.EISDIR,
    "NotADirectory": errno.ENOTDIR,
    "NotFound": errno.ENOENT,
    "PermissionDenied": errno.EACCES,
    "QuotaExceeded": errno.EDQUOT,
    "ReadOnlyFilesystem": errno.EROFS,
    "StorageFull": errno.ENOSPC,
    "Unsupported": errno.EOPNOTSUPP,
}
"""By the name of a kind of failure."""

_OF_FILES: Mapping[str, type[FileError]] = {
    "AlreadyExists": FileTakenError,
    "IsADirectory": FileIsDirectoryError,
    "NotADirectory": FileNotDirectoryError,
    "NotFound": FileMissingError,
    "PermissionDenied": FileDeniedError,
}
"""Those that have a built-in exception of their own."""

_CLASSES: Mapping[str, type[SSHError]] = {
    "agent": AgentError,
    "authentication": AuthenticationError,
    "busy": ServerBusyError,
    "channel_refused": ChannelRefusedError,
    "closed": ConnectionClosedError,
    "connect": ConnectFailedError,
    "connect_refused": ConnectRefusedError,
    "connect_reset": ConnectResetError,
    "connect_unreachable": ConnectFailedError,
    "file": FileError,
    "handshake": HandshakeError,
    "host_key": HostKeyError,
    "invalid": InvalidArgumentError,
    "key_file": KeyFileError,
    "key_format": KeyFormatError,
    "key_missing": KeyFileMissingError,
    "key_passphrase": PassphraseError,
    "known_hosts": KnownHostsError,
    "lost": ConnectionLostError,
    "no_exit_status": NoExitStatusError,
    "output_limit": OutputLimitError,
    "pool_closed": PoolClosedError,
    "pool_timeout": PoolTimeoutError,
    "request_refused": RequestRefusedError,
    "resolve": ResolveError,
    "timeout": SSHTimeoutError,
}


def from_facts(facts: Mapping[str, Any], config: Config | None = None) -> SSHError:
    """The exception for an error that the native half tells of.

    With the configuration it says more of a login that failed.
    """
    rest = dict(facts)
    kind, message, cause = rest.pop("kind"), rest.pop("message"), rest.pop("cause", None)
    known = _CLASSES.get(kind, SSHError)
    if kind == "file":
        known = _OF_FILES.get(rest.get("reason", ""), FileError)
        message = message.replace("`Bounds::bytes`", "`max_bytes`")
    if config is not None and issubclass(known, AuthenticationError):
        login_failed = config.login_failed(rest.get("host"), rest.get("port"))
        message = message if login_failed is None else f"{login_failed}: {message}"
    error = known(message, **rest)
    if cause is not None:
        error.__cause__ = from_facts(cause, config)
    return error


def _told(error: SSHError, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that are not attributes of `OSError`, which are set here."""
    if isinstance(error, OSError):
        number = facts.pop("errno", None)
        if number is not None:
            error.errno = number
            error.strerror = os.strerror(number)
        error.filename = facts.pop("filename", None)
    return facts


def _revive(
    kind: type[SSHError], message: str, facts: dict[str, Any], cause: BaseException | None
) -> SSHError:
    error = kind(message, **facts)
    error.__cause__ = cause
    return error
