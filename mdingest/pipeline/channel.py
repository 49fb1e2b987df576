"""A bounded hand-off between two tasks that can be closed.

`asyncio.Queue` with one thing more, closing, which that has only from Python 3.13 on.
"""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """Nothing more will come, and nothing may be put."""


class Channel(Generic[T]):
    """At most ``size`` items, first in, first out. For one event loop, not for threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._items: deque[T] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._putters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    @property
    def depth(self) -> int:
        """How many items wait."""
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether `close` was called; items may still wait to be taken."""
        return self._closed

    async def put(self, item: T) -> None:
        """Wait for room. A cancelled put has put nothing.

        Raises ChannelClosed if the channel is, or is closed while this waits.
        """
        while len(self._items) >= self.size and not self._closed:
            await _turn(self._putters)
        if self._closed:
            _wake(self._putters)
            raise ChannelClosed
        self._items.append(item)
        _wake(self._takers)

    def try_put(self, item: T) -> bool:
        """Put it if there is room; False if not. Raises ChannelClosed."""
        if self._closed:
            raise ChannelClosed
        if len(self._items) >= self.size:
            return False
        self._items.append(item)
        _wake(self._takers)
        return True

    async def get(self) -> T:
        """The oldest item. A cancelled get has taken nothing.

        Raises ChannelClosed when the channel is closed and empty.
        """
        while not self._items:
            if self._closed:
                _wake(self._takers)
                raise ChannelClosed
            await _turn(self._takers)
        item = self._items.popleft()
        _wake(self._putters)
        return item

    def close(self) -> None:
        """No more puts; what is inside can still be taken. A second call does nothing."""
        self._closed = True
        _wake(self._takers)  # each one woken wakes the next
        _wake(self._putters)


async def _turn(waiting: deque[asyncio.Future[None]]) -> None:
    """Wait to be woken; who was woken and cancelled at once passes the turn on."""
    mine = asyncio.get_running_loop().create_future()
    waiting.append(mine)
    try:
        await mine
    except asyncio.CancelledError:
        if mine.done() and not mine.cancelled():
            _wake(waiting)
        else:
            mine.cancel()
        raise


def _wake(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        first = waiting.popleft()
        if not first.done():
            first.set_result(None)
            return
