"""How tasks wait, on whatever event loop.

Operations run on threads that never touch Python. When one has news, its token is put into the
mailbox of the loop, which watches the mailbox's descriptor: so only the loop's own thread touches
its futures.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import _log, _native
from ._wait import settle

if TYPE_CHECKING:
    from ._config import Config


class _Post:
    """The mailbox of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = os.getpid()
        self._mailbox = _native.Mailbox(True)
        self._tokens = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self._mailbox.fileno(), self._arrived)

    async def news(self, operation: _native.Operation) -> None:
        """Waits until an operation has output or is over."""
        token = next(self._tokens)
        future = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        try:
            operation.notify(self._mailbox, token)
            await future
        finally:
            del self._waiting[token]

    def _arrived(self) -> None:
        for token in self._mailbox.take():
            future = self._waiting.get(token)
            if future is not None and not future.done():
                future.set_result(None)
        _log.drain()


_posts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Post] = weakref.WeakKeyDictionary()


def _post() -> _Post:
    loop = asyncio.get_running_loop()
    post = _posts.get(loop)
    if post is None or post.pid != os.getpid():
        # Futures that nobody waits for any more would keep their loops.
        for other in [other for other in _posts if other.is_closed()]:
            _posts.pop(other, None)
        post = _posts[loop] = _Post(loop)
    return post


async def finish(
    operation: _native.Operation,
    config: Config,
    on_news: Callable[[_native._News], object] | None = None,
) -> object:
    """Waits for an operation's end and gives its value, or raises its error. When the task is
    cancelled, so is the operation.
    """
    post = _post()
    try:
        over = False
        while not over:
            await post.news(operation)
            over = operation.done()
            while (news := operation.news()) is not None:
                if on_news is not None:
                    answer = on_news(news)
                    if asyncio.iscoroutine(answer) or asyncio.isfuture(answer):
                        await answer
    except BaseException:
        operation.cancel()
        raise
    return settle(operation, config)
