"""Files and directories from here to there and back, for tasks."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, cast

from . import _calls
from ._async_file import Opening
from ._calls import Call, content
from ._file import PIECE
from ._files import FileStat, Transferred, TransferReport
from ._loop import finish
from ._paths import LocalPath, RemotePath, is_path
from ._stats import Meter, Progress

if TYPE_CHECKING:
    from ._config import Config
    from ._native import Operation, _News

T = TypeVar("T")


class AsyncTransfers:
    """What transfers files."""

    async def put(
        self,
        local_path: LocalPath | BinaryIO,
        remote_path: RemotePath,
        *,
        links: Literal["keep", "follow", "skip"] = "keep",
        preserve: bool = True,
        atomic: bool = False,
        resume: bool = False,
        sync: bool = False,
        parents: bool = False,
        fail_fast: bool = False,
        check: bool = True,
        concurrency: int | None = None,
        progress: Progress = None,
    ) -> TransferReport:
        """Transfers a file, or a directory with all that is in it, to the server. As `Sftp.put`."""
        if not is_path(local_path):
            async with self.open(remote_path, "wb") as target:
                opened = cast(BinaryIO, local_path)

                async def read(size: int) -> object:
                    return await asyncio.to_thread(opened.read, size)

                return await _copy(read, target.write, None, progress)
        source = cast("LocalPath", local_path)
        call = _calls.put(
            source,
            remote_path,
            links=links,
            concurrency=concurrency,
            preserve=preserve,
            atomic=atomic,
            resume=resume,
            sync=sync,
            parents=parents,
            fail_fast=fail_fast,
        )
        report = await self._metered(call, progress, _calls.total_of(source))
        return report.raise_for_failures() if check else report

    async def get(
        self,
        remote_path: RemotePath,
        local_path: LocalPath | BinaryIO,
        *,
        links: Literal["keep", "follow", "skip"] = "keep",
        preserve: bool = True,
        resume: bool = False,
        fail_fast: bool = False,
        check: bool = True,
        concurrency: int | None = None,
        progress: Progress = None,
    ) -> TransferReport:
        """Transfers a file, or a directory with all that is in it, from the server. As
        `Sftp.get`.
        """
        if not is_path(local_path):
            async with self.open(remote_path, "rb") as source:
                size = (await self.stat(remote_path)).st_size if progress else None
                target = cast(BinaryIO, local_path)

                async def write(data: bytes) -> object:
                    return await asyncio.to_thread(target.write, data)

                return await _copy(source.read, write, size, progress)
        call = _calls.get(
            remote_path,
            cast("LocalPath", local_path),
            links=links,
            concurrency=concurrency,
            preserve=preserve,
            resume=resume,
            fail_fast=fail_fast,
        )
        total = None
        if progress:
            found = await self.stat(remote_path)
            total = None if found.is_dir() else found.st_size
        report = await self._metered(call, progress, total)
        return report.raise_for_failures() if check else report

    async def _metered(self, call: Call[T], progress: Progress, total: int | None) -> T:
        meter = Meter(progress, total, "B")

        def tell(news: _News) -> None:
            meter.reached(news[0])

        try:
            operation, config = await self._begin(_calls.telling(call, progress))
            return call.answer(await finish(operation, config, tell))
        finally:
            meter.close()

    @abstractmethod
    def open(self, path: RemotePath, mode: str) -> Opening:
        """Opens a file."""

    @abstractmethod
    async def stat(self, path: RemotePath) -> FileStat:
        """What is known of a file."""

    @abstractmethod
    async def _begin(self, call: Call[Any]) -> tuple[Operation, Config]:
        """Starts something."""


async def _copy(
    read: Callable[[int], Awaitable[object]],
    write: Callable[[bytes], Awaitable[object]],
    total: int | None,
    progress: Progress,
) -> TransferReport:
    """From one open file to another."""
    meter = Meter(progress, total, "B")
    size = 0
    try:
        while piece := await read(PIECE):
            data = content("local_path", piece)
            await write(data)
            size += len(data)
            meter.reached(size)
    finally:
        meter.close()
    return TransferReport((Transferred("", "file", size),))
