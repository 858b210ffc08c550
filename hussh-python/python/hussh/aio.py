"""Connections and pools for asyncio and uvloop."""

from ._async_connection import AsyncConnection
from ._async_pool import AsyncConnectionPool, PooledAsyncConnection

__all__ = ["AsyncConnection", "AsyncConnectionPool", "PooledAsyncConnection"]

for _public in (AsyncConnection, AsyncConnectionPool, PooledAsyncConnection):
    _public.__module__ = __name__
del _public
