"""Files and directories from here to there and back, for threads."""

from __future__ import annotations

from abc import abstractmethod
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, cast

from . import _calls
from ._calls import Call, content
from ._file import PIECE
from ._files import FileStat, Transferred, TransferReport
from ._paths import LocalPath, RemotePath, is_path
from ._stats import Meter, Progress
from ._wait import finish

if TYPE_CHECKING:
    from ._config import Config
    from ._native import Operation, _News

T = TypeVar("T")


class Transfers:
    """What transfers files."""

    def put(
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
        """Transfers a file, or a directory with all that is in it, to the server.

        `remote_path` is what it is to be named there, not a directory to put it in; with `parents`
        the directories above it are made. A binary file that is open here is read to its
        end, and written as it comes: only `progress` is for it, too.

        `links` says what becomes of symbolic links: "keep" makes them anew, "follow" transfers what
        they lead to, "skip" leaves them out. With `preserve` permissions and times are those of the
        original, without set-id bits. With `atomic` each file gets its name when it is whole. With
        `resume` a file that is there in part is continued. With `sync` the server has each file on
        its disk before it counts.

        The report says what became of each file. Where one of a directory failed, its error is
        raised once all the others are done, with the report as its `report`; at once with
        `fail_fast`, and not at all where `check` is false. `concurrency` files are in flight
        together, 128 or what the server has room for. `progress` is called with the bytes done, and
        of how many where that is known; `True` shows a bar with tqdm.
        """
        if not is_path(local_path):
            with self.open(remote_path, "wb") as target:
                return self._copy(cast(BinaryIO, local_path), target, None, progress)
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
        report = self._metered(call, progress, _calls.total_of(source))
        return report.raise_for_failures() if check else report

    def get(
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
        """Transfers a file, or a directory with all that is in it, from the server.

        `local_path` is what it is to be named here, not a directory to put it in, and nothing is
        written outside it, whatever the server says: links that lead out of it are left out. Each
        file is replaced when its successor is whole. The content of a file may also go to a binary
        file that is open here. The rest is as for `put`.
        """
        if not is_path(local_path):
            with self.open(remote_path, "rb") as source:
                size = self.stat(remote_path).st_size if progress else None
                return self._copy(source, cast(BinaryIO, local_path), size, progress)
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
            found = self.stat(remote_path)
            total = None if found.is_dir() else found.st_size
        report = self._metered(call, progress, total)
        return report.raise_for_failures() if check else report

    def _copy(
        self, source: Any, target: Any, total: int | None, progress: Progress
    ) -> TransferReport:
        """From one open file to another."""
        meter = Meter(progress, total, "B")
        size = 0
        try:
            while piece := source.read(PIECE):
                data = content("local_path", piece)
                target.write(data)
                size += len(data)
                meter.reached(size)
        finally:
            meter.close()
        return TransferReport((Transferred("", "file", size),))

    def _metered(self, call: Call[T], progress: Progress, total: int | None) -> T:
        meter = Meter(progress, total, "B")

        def tell(news: _News) -> None:
            meter.reached(news[0])

        try:
            operation, config = self._begin(_calls.telling(call, progress))
            return call.answer(finish(operation, config, tell))
        finally:
            meter.close()

    @abstractmethod
    def open(self, path: RemotePath, mode: str) -> IO[Any]:
        """Opens a file."""

    @abstractmethod
    def stat(self, path: RemotePath) -> FileStat:
        """What is known of a file."""

    @abstractmethod
    def _begin(self, call: Call[Any]) -> tuple[Operation, Config]:
        """Starts something."""
