"""A bounded `asyncio.Queue` between two tasks that can be closed, as Python 3.13's can."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """Nothing more will come, and nothing may be put."""


class _End:
    """Stands in the queue for the end of it, to wake who waits for an item."""


class Channel(Generic[T]):
    """At most ``size`` items, first in, first out. Only whoever puts may close it."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[T | _End] = asyncio.Queue(size)
        self._closed = False
        self._marked = False  # an _End is in the queue

    @property
    def depth(self) -> int:
        """How many items wait."""
        return self._queue.qsize() - self._marked

    @property
    def closed(self) -> bool:
        """Whether `close` was called; items may still wait to be taken."""
        return self._closed

    async def put(self, item: T) -> None:
        """Wait for room. A cancelled put has put nothing. Raises ChannelClosed."""
        if self._closed:
            raise ChannelClosed
        await self._queue.put(item)

    async def get(self) -> T:
        """The oldest item. A cancelled get has taken nothing.

        Raises ChannelClosed when the channel is closed and empty.
        """
        if self._closed and self._queue.empty():
            raise ChannelClosed
        item = await self._queue.get()
        if isinstance(item, _End):
            self._queue.put_nowait(item)  # for whoever else waits
            raise ChannelClosed
        return item

    def close(self) -> None:
        """No more puts; what is inside can still be taken. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if not self._queue.full():  # nobody waits at a full one
            self._queue.put_nowait(_End())
            self._marked = True
