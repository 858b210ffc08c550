"""Connections and pools for asyncio and uvloop."""

from ._async_connection import AsyncConnection
from ._async_file import AsyncSftpFile
from ._async_pool import AsyncConnectionPool, PooledAsyncConnection
from ._async_sftp import AsyncSftp

__all__ = [
    "AsyncConnection",
    "AsyncConnectionPool",
    "AsyncSftp",
    "AsyncSftpFile",
    "PooledAsyncConnection",
]

for _public in (
    AsyncConnection,
    AsyncConnectionPool,
    AsyncSftp,
    AsyncSftpFile,
    PooledAsyncConnection,
):
    _public.__module__ = __name__
del _public
