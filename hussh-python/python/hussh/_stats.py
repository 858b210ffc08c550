"""A pool's counts, and how far a batch of commands is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any

__all__ = ["PoolStats"]

ProgressCallback = Callable[[int, "int | None"], object]
"""Called with how many commands, or bytes, are done, and of how many if that is known."""

Progress = bool | ProgressCallback | None
"""`True` shows a bar with tqdm; an `ImportError` where that is not installed."""


@dataclass(frozen=True)
class PoolStats:
    """One consistent snapshot of a pool."""

    max_connections: int
    """The most connections open at once."""
    connections: int
    """How many are open."""
    channels_per_connection: int
    """How many commands a connection carries at once, as far as the server lets it."""
    connecting: int
    """Being opened."""
    idle: int
    """Ready to be lent. With several channels per connection these are channels."""
    lent: int
    """With borrowers."""
    closing: int
    """Being closed."""
    waiting: int
    """Borrowers that wait."""
    closed: bool
    """Whether the pool is closed."""
    acquires: int
    """Borrows asked for so far."""
    served: int
    """Borrows that got a connection."""
    timed_out: int
    """Borrows that reached their deadline."""
    cancelled: int
    """Borrows given up by the borrower."""
    connects: int
    """Connects started."""
    connect_failures: int
    """Connects that failed."""
    replaced: int
    """Connections that were dead when they were to be lent, and replaced unseen."""


class Meter:
    """Tells of progress."""

    def __init__(self, progress: Progress, total: int | None, unit: str = "command") -> None:
        self._total = total
        self._done = 0
        self._bar: Any = None
        self._callback: ProgressCallback | None = None
        if progress is True:
            self._bar = _bar(self._total, unit)
        elif callable(progress):
            self._callback = progress
        elif progress:
            raise TypeError("`progress` must be a bool or a callable")

    def step(self, by: int = 1) -> None:
        self._done += by
        if self._bar is not None:
            self._bar.update(by)
        if self._callback is not None:
            self._callback(self._done, self._total)

    def reached(self, done: int) -> None:
        self.step(done - self._done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def known_length(things: Iterable[object]) -> int | None:
    return len(things) if isinstance(things, Sized) else None


def _bar(total: int | None, unit: str) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "progress=True shows a bar with tqdm, which is not installed: "
            "pip install 'hussh[progress]', or give a callable"
        ) from error
    return tqdm(total=total, unit=unit, unit_scale=unit == "B")
