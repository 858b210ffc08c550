"""How threads wait. The GIL is free meanwhile, and Ctrl-C ends the wait and what it was for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import _log
from ._errors import ConnectionClosedError, from_facts

if TYPE_CHECKING:
    from ._config import Config
    from ._native import Operation, _News


def finish(
    operation: Operation, config: Config, on_news: Callable[[_News], object] | None = None
) -> object:
    """Waits for an operation's end and gives its value, or raises its error. What is to hear of it
    before is called with output, or with how far it is.
    """
    try:
        while (news := operation.wait()) is not None:
            if on_news is not None:
                on_news(news)
    except BaseException:
        operation.cancel()
        raise
    return settle(operation, config)


def settle(operation: Operation, config: Config) -> object:
    """The value of an operation that is over, or its error."""
    kind, value = operation.outcome()
    _log.drain()
    if kind == "ok":
        return value
    return fail(kind, value, config)


def fail(kind: str, value: object, config: Config) -> object:
    """Raises the error that the native half tells of."""
    if kind == "error" and isinstance(value, dict):
        raise from_facts(value, config)
    host, port, username = config.target
    raise ConnectionClosedError(
        f"{username}@{host}: {value}", host=host, port=port, username=username
    )
