"""What came back."""

from __future__ import annotations

from typing import Any

from ._errors import CommandFailedError

__all__ = ["SSHResult"]

_Outcome = tuple[bytes, bytes, int, "str | None", bool, float]


class SSHResult:
    """What a finished command left: every byte of both streams, and how it ended."""

    __slots__ = (
        "__weakref__",
        "_target",
        "core_dumped",
        "duration",
        "exit_signal",
        "status",
        "stderr_bytes",
        "stdout_bytes",
    )

    stdout_bytes: bytes
    """What it wrote to standard output."""
    stderr_bytes: bytes
    """What it wrote to standard error."""
    status: int
    """Its exit code; 128 + N for a command that was killed by signal N."""
    exit_signal: str | None
    """The signal that killed it, without `SIG`, such as `"KILL"`."""
    core_dumped: bool
    """Whether the signal left a core dump."""
    duration: float
    """How long the call took, in seconds; through a pool, waiting for a connection included."""

    def __init__(
        self,
        stdout_bytes: bytes = b"",
        stderr_bytes: bytes = b"",
        status: int = 0,
        *,
        exit_signal: str | None = None,
        core_dumped: bool = False,
        duration: float = 0.0,
    ) -> None:
        self.stdout_bytes = stdout_bytes
        self.stderr_bytes = stderr_bytes
        self.status = status
        self.exit_signal = exit_signal
        self.core_dumped = core_dumped
        self.duration = duration
        self._target: tuple[str, int, str] | None = None

    @property
    def stdout(self) -> str:
        """Standard output as text, with U+FFFD for what is not UTF-8."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text, with U+FFFD for what is not UTF-8."""
        return self.stderr_bytes.decode(errors="replace")

    def raise_for_status(self, command: object = None) -> SSHResult:
        """Raises `CommandFailedError` unless the command exited with code 0; else gives itself."""
        if self.status == 0 and self.exit_signal is None:
            return self
        host, port, username = self._target or (None, None, None)
        how = f"exited with code {self.status}"
        if self.exit_signal is not None:
            how = f"was killed by signal {self.exit_signal}"
        where = "" if host is None else f"{username}@{host}{'' if port == 22 else f':{port}'}: "
        raise CommandFailedError(
            f"{where}the command {how}; see `stderr` of this error",
            host=host,
            port=port,
            username=username,
            may_have_started=True,
            stdout_bytes=self.stdout_bytes,
            stderr_bytes=self.stderr_bytes,
            returncode=self.status,
            cmd=command,
            result=self,
        )

    def __repr__(self) -> str:
        return f"SSHResult(stdout={self.stdout}, stderr={self.stderr}, status={self.status})"

    def __str__(self) -> str:
        return f"stdout:\n{self.stdout}\nstderr:\n{self.stderr}\nstatus: {self.status}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SSHResult):
            return NotImplemented
        return self._facts()[:5] == other._facts()[:5]

    def __hash__(self) -> int:
        return hash(self._facts()[:5])

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self._facts(), self._target)

    def _facts(self) -> _Outcome:
        return (
            self.stdout_bytes,
            self.stderr_bytes,
            self.status,
            self.exit_signal,
            self.core_dumped,
            self.duration,
        )


def from_outcome(outcome: _Outcome, target: tuple[str, int, str]) -> SSHResult:
    """The result of an operation of the native half."""
    return _revive(SSHResult, outcome, target)


def _revive(
    kind: type[SSHResult], facts: _Outcome, target: tuple[str, int, str] | None
) -> SSHResult:
    stdout, stderr, status, signal, core_dumped, duration = facts
    result = kind(
        stdout, stderr, status, exit_signal=signal, core_dumped=core_dumped, duration=duration
    )
    result._target = target
    return result
