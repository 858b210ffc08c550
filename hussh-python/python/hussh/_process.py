"""Values that each process makes for itself: a forked child has none of its parent's threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_guard = threading.Lock()


def _renew_guard() -> None:
    # Another thread may have held it when the process was forked.
    global _guard
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_renew_guard)


class _Slot(Generic[T]):
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.value: T | None = None


class PerProcess(Generic[T]):
    """Holds this process's value, and in a child nothing at first."""

    def __init__(self) -> None:
        self._slot: _Slot[T] = _Slot()

    def peek(self) -> T | None:
        """The value, if this process has one."""
        slot = self._slot
        return slot.value if slot.pid == os.getpid() else None

    def get(self, make: Callable[[], T]) -> T:
        """The value, made by one thread while others wait for it."""
        value = self.peek()
        if value is not None:
            return value
        slot = self._here()
        with slot.lock:
            if slot.value is None:
                slot.value = make()
            return slot.value

    def put(self, value: T) -> None:
        self._here().value = value

    def _here(self) -> _Slot[T]:
        if self._slot.pid != os.getpid():
            with _guard:
                if self._slot.pid != os.getpid():
                    self._slot = _Slot()
        return self._slot
