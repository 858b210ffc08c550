"""Events of the native half, handed to Python's `logging`.

They arise on threads that never touch Python, and are fetched whenever a call comes back.
"""

from __future__ import annotations

import atexit
import logging
import warnings

from . import _native

logger = logging.getLogger("hussh")
logger.addHandler(logging.NullHandler())

_level = -1
_warned: set[str] = set()


class HostKeyNotRecordedWarning(UserWarning):
    """A new host's key was trusted and could not be recorded, so that the next run trusts
    whatever key it is shown then. Said once for each host; an error with
    `must_record_host_keys=True`.
    """


def watch() -> None:
    """Tells the native half what is worth keeping."""
    global _level
    level = logger.getEffectiveLevel()
    if level != _level:
        _level = level
        _native.log_level(min(max(level, 0), 255))


def drain() -> None:
    """Hands on what has come in."""
    if _native.log_waiting():
        for level, module, text in _native.log_take():
            logger.log(level, "%s: %s", module, text)
        for host, text in _native.not_recorded_take():
            if host not in _warned:
                _warned.add(host)
                warnings.warn(text, HostKeyNotRecordedWarning, stacklevel=4)


atexit.register(drain)
