"""Pooled, kept-alive SSH sessions for automation.

from hussh import ConnectionPool

with ConnectionPool("myserver.example.com", username="deploy", password="...") as pool:
    print(pool.execute("uptime").stdout)
"""

from . import aio
from ._command import Pty
from ._connection import Connection
from ._directories import DirectoryTransfer
from ._errors import (
    AgentError,
    AuthenticationError,
    ChannelRefusedError,
    CommandFailedError,
    ConnectFailedError,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectRefusedError,
    ConnectResetError,
    FileDeniedError,
    FileError,
    FileIsDirectoryError,
    FileMissingError,
    FileNotDirectoryError,
    FileTakenError,
    FileTextError,
    HandshakeError,
    HostKeyError,
    InvalidArgumentError,
    KeyFileError,
    KeyFileMissingError,
    KeyFormatError,
    KnownHostsError,
    NoExitStatusError,
    OutputLimitError,
    PassphraseError,
    PoolClosedError,
    PoolTimeoutError,
    RequestRefusedError,
    ResolveError,
    ServerBusyError,
    SSHError,
    SSHTimeoutError,
)
from ._files import FileStat, RemoteEntry, StatVFS, Transferred, TransferReport
from ._log import HostKeyNotRecordedWarning
from ._native import __version__
from ._options import ConnectionOptions, PoolOptions
from ._pool import ConnectionPool, PooledConnection
from ._result import SSHResult
from ._sftp import Sftp
from ._stats import PoolStats
from .aio import (
    AsyncConnection,
    AsyncConnectionPool,
    AsyncSftp,
    AsyncSftpFile,
    PooledAsyncConnection,
)

__all__ = [
    "AgentError",
    "AsyncConnection",
    "AsyncConnectionPool",
    "AsyncSftp",
    "AsyncSftpFile",
    "AuthenticationError",
    "ChannelRefusedError",
    "CommandFailedError",
    "ConnectFailedError",
    "ConnectRefusedError",
    "ConnectResetError",
    "Connection",
    "ConnectionClosedError",
    "ConnectionLostError",
    "ConnectionOptions",
    "ConnectionPool",
    "DirectoryTransfer",
    "FileDeniedError",
    "FileError",
    "FileIsDirectoryError",
    "FileMissingError",
    "FileNotDirectoryError",
    "FileStat",
    "FileTakenError",
    "FileTextError",
    "HandshakeError",
    "HostKeyError",
    "HostKeyNotRecordedWarning",
    "InvalidArgumentError",
    "KeyFileError",
    "KeyFileMissingError",
    "KeyFormatError",
    "KnownHostsError",
    "NoExitStatusError",
    "OutputLimitError",
    "PassphraseError",
    "PoolClosedError",
    "PoolOptions",
    "PoolStats",
    "PoolTimeoutError",
    "PooledAsyncConnection",
    "PooledConnection",
    "Pty",
    "RemoteEntry",
    "RequestRefusedError",
    "ResolveError",
    "SSHError",
    "SSHResult",
    "SSHTimeoutError",
    "ServerBusyError",
    "Sftp",
    "StatVFS",
    "TransferReport",
    "Transferred",
    "__version__",
    "aio",
]

# Where they are documented and unpickled from, whichever file they are in.
for _name in __all__:
    _public = globals()[_name]
    if getattr(_public, "__module__", "").startswith(f"{__name__}._"):
        _public.__module__ = __name__
del _name, _public
