"""What commands are run on, for threads: connections, leases and pools."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

from . import _log
from ._command import MAX_OUTPUT, Command, OnOutput, Pty, Stdin, command_settings, telling
from ._has_files import HasFiles
from ._options import seconds
from ._result import SSHResult, _Outcome, from_outcome
from ._wait import finish

if TYPE_CHECKING:
    from ._native import Operation, _CommandSettings

Self = TypeVar("Self", bound="Runs")


class Runs(HasFiles):
    """Whatever runs commands and is closed at the end of a `with` block."""

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

        `timeout` is in seconds; that of a `Connection` is in **milliseconds**, as it always was,
        and replaces the connection's. A pool borrows a connection first, which `timeout` does not
        count, and gives it back; a command that may have started is never sent again.

        `stdin` is text, bytes or an open file; `on_output` is called with "stdout" or "stderr"
        and the bytes while the command runs. Nothing is kept then, but with `keep_output`. Of each
        stream `max_output` bytes are kept at most, `None` is no limit: a command that writes more
        is stopped, and `OutputLimitError` has what came. With `check`, a command that fails raises
        `CommandFailedError`.
        """
        limit = self._limit(timeout)
        settings = command_settings(command, limit, stdin, env, pty, keep_output, max_output)
        _log.watch()
        operation = self._begin(settings, on_output is not None)
        outcome = cast(_Outcome, finish(operation, self._config, telling(on_output)))
        result = from_outcome(outcome, self._config.target)
        return result.raise_for_status(command) if check else result

    @abstractmethod
    def close(self) -> None:
        """Ends it."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def _limit(self, timeout: float | None) -> float | None:
        """A command's time in seconds."""
        return seconds("timeout", timeout)

    @abstractmethod
    def _begin(self, settings: _CommandSettings, stream: bool) -> Operation:
        """Starts a command."""
