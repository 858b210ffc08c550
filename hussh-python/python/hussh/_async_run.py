"""What commands are run on, for tasks: connections, leases and pools."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

from . import _log
from ._async_has_files import AsyncHasFiles
from ._command import MAX_OUTPUT, AsyncOnOutput, Command, Pty, Stdin, command_settings, telling
from ._loop import finish
from ._options import seconds
from ._result import SSHResult, _Outcome, from_outcome

if TYPE_CHECKING:
    from ._native import Operation, _CommandSettings, _FileSettings

Self = TypeVar("Self", bound="AsyncRuns")


class AsyncRuns(AsyncHasFiles):
    """Whatever runs commands and is closed at the end of an `async with` block."""

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

        A pool borrows a connection first, which `timeout` does not count, and gives it back; a
        command that may have started is never sent again.

        `stdin` is text, bytes or an open file; `on_output` is called, and awaited where it is a
        coroutine function, with "stdout" or "stderr" and the bytes while the command runs.
        Nothing is kept then, but with `keep_output`. Of each stream `max_output` bytes are kept at
        most, `None` is no limit: a command that writes more is stopped, and `OutputLimitError` has
        what came. With `check`, a command that fails raises `CommandFailedError`.
        """
        limit = seconds("timeout", timeout)
        settings = command_settings(command, limit, stdin, env, pty, keep_output, max_output)
        _log.watch()
        operation = await self._start(settings, on_output is not None)
        outcome = cast(_Outcome, await finish(operation, self._config, telling(on_output)))
        result = from_outcome(outcome, self._config.target)
        return result.raise_for_status(command) if check else result

    @abstractmethod
    async def close(self) -> None:
        """Ends it."""

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    async def _start(self, settings: _CommandSettings, stream: bool) -> Operation:
        """Starts a command, once there is something to run it on."""
        return self._begin(settings, stream)

    async def _start_files(self, told: _FileSettings) -> Operation:
        """Starts something with files, once there is something to do it on."""
        return self._begin_files(told)

    @abstractmethod
    def _begin_files(self, told: _FileSettings) -> Operation:
        """Starts something with files."""

    @abstractmethod
    def _begin(self, settings: _CommandSettings, stream: bool) -> Operation:
        """Starts a command."""
