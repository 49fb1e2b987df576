"""Batches to the aggregator: from memory while it keeps up, from the segments when it doesn't.

Whoever publishes is never held up: a batch that finds no room in memory is forgotten here,
and read from the log when its turn comes. So an outage, an overload and a start cost no
memory, and lose nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mdingest.core.records import Batch
from mdingest.pipeline import segments as seg
from mdingest.pipeline.channel import ChannelClosed
from mdingest.pipeline.segments import Chunk, Damage

MAX_BATCHES = 256
MAX_BYTES = 4 << 20


class Log(Protocol):
    """What is needed of a journal."""

    @property
    def end_lsn(self) -> int:
        """The address behind the last batch."""
        ...

    def read_some(self, lsn: int) -> Chunk:
        """A bounded piece from an address on; called in a thread."""
        ...


class BatchSource:
    """Every batch of the log from ``start`` on, once, in order, to one taker.

    At most ``max_batches`` and ``max_bytes`` wait in memory, and one piece of the log.
    Damage in the log is told to ``on_damage`` and stepped over; without it `next` raises.
    """

    def __init__(
        self,
        log: Log,
        start: int,
        *,
        max_batches: int = MAX_BATCHES,
        max_bytes: int = MAX_BYTES,
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self.dropped = 0  # copies that found no room, for metrics: nothing was lost
        self._log = log
        self._next = start
        self._end = log.end_lsn
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._on_damage = on_damage
        self._memory: deque[Batch] = deque()
        self._bytes = 0
        self._piece: deque[Batch] = deque()
        self._news = asyncio.Event()
        self._closed = False

    @property
    def position(self) -> int:
        """The address that `next` returns next: retention must not delete it."""
        return self._next

    @property
    def lag_bytes(self) -> int:
        """How much of the log is published and not yet taken."""
        return self._end - self._next

    @property
    def depth(self) -> int:
        """Batches waiting in memory."""
        return len(self._memory)

    def publish(self, batch: Batch) -> None:
        """A batch was appended. Never waits."""
        self._end = batch.end
        self._forget_passed()
        size = batch.end - batch.lsn
        if len(self._memory) < self._max_batches and self._bytes + size <= self._max_bytes:
            self._memory.append(batch)
            self._bytes += size
        else:
            self.dropped += 1
        self._news.set()

    def close(self) -> None:
        """Nothing more will be published; `next` ends when everything was taken."""
        self._closed = True
        self._news.set()

    async def next(self) -> Batch:
        """The next batch of the log. A cancelled call has taken nothing.

        Raises ChannelClosed after the last, JournalError if the log can't be read.
        """
        while True:
            batch = self._at_hand()
            if batch is not None:
                self._next = batch.end
                return batch
            if self._next < self._end:
                await self._read_on()
            elif self._closed:
                raise ChannelClosed
            else:
                self._news.clear()
                await self._news.wait()

    def _at_hand(self) -> Batch | None:
        """The batch at `position`, if it is in memory."""
        while self._piece:
            batch = self._piece.popleft()
            if batch.lsn == self._next:
                return batch
        self._forget_passed()
        return self._from_memory() if self._memory and self._memory[0].lsn == self._next else None

    def _forget_passed(self) -> None:
        """Copies whose originals were read from the log before it was their turn."""
        while self._memory and self._memory[0].lsn < self._next:
            self._from_memory()

    def _from_memory(self) -> Batch:
        batch = self._memory.popleft()
        self._bytes -= batch.end - batch.lsn
        return batch

    async def _read_on(self) -> None:
        chunk = await asyncio.to_thread(self._log.read_some, self._next)
        if chunk.damage is not None:
            seg.report(chunk.damage, self._on_damage)
            self._next = chunk.resume
        self._piece = deque(chunk.batches)
