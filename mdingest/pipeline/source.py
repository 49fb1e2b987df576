"""Batches to the aggregator: from memory while it keeps up, from the segments when it doesn't.

Whoever publishes is never held up: a batch that finds no room in memory is forgotten here,
and read from the log when its turn comes. So an outage, an overload and a start cost no
memory, and lose nothing.

Whoever takes is not woken for each batch: the first after a pause costs two or three times as
much as those right behind it, whose code and tables the processor still has at hand.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from mdingest.core.records import Batch
from mdingest.errors import CantRead
from mdingest.pipeline import segments as seg
from mdingest.pipeline.channel import ChannelClosed
from mdingest.pipeline.segments import Chunk, Damage

MAX_BATCHES = 256
MAX_BYTES = 2 << 20
MANY_BYTES = MAX_BYTES // 4  # so much wakes the taker at once
EARLY = 0.75  # of the spacing: what is appended from then on takes the taker along
READ_LATER_S = 1.0  # real; the system had no file or memory to read with

log = structlog.get_logger(__name__)


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

    At most ``max_batches`` and ``max_bytes`` wait in memory, and one piece of the log. Small
    ones are given out in bursts that begin at least ``spacing_s`` (real) apart.
    Damage in the log is told to ``on_damage`` and stepped over; without it `next` raises.
    """

    def __init__(
        self,
        log: Log,
        start: int,
        *,
        max_batches: int = MAX_BATCHES,
        max_bytes: int = MAX_BYTES,
        spacing_s: float = 0.0,
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self.dropped = 0  # copies that found no room: nothing is lost, they are read from the log
        self._log = log
        self._next = start
        self._end = log.end_lsn
        self._max_bytes = max_bytes
        self._spacing_s = spacing_s
        self._burst = 0.0  # monotonic seconds: when the last one began
        self._many = asyncio.Event()
        self._on_damage = on_damage
        self._memory: asyncio.Queue[Batch] = asyncio.Queue(max_batches)
        self._held: Batch | None = None  # taken out of it, before its turn
        self._bytes = 0
        self._piece: deque[Batch] = deque()
        self._pauses = 0  # that last
        self._forgotten = 0  # how often: what is being read meanwhile is old, too
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
        return self._memory.qsize() + (self._held is not None)

    def publish(self, batch: Batch) -> None:
        """A batch was appended. Never waits."""
        self._end = batch.end
        self._forget_passed()
        size = batch.end - batch.lsn
        if self.depth >= self._memory.maxsize or self._bytes + size > self._max_bytes:
            self.dropped += 1
        else:
            self._memory.put_nowait(batch)
            self._bytes += size
        self._news.set()
        if self._end - self._next >= MANY_BYTES or time.monotonic() >= self._burst + EARLY * self._spacing_s:
            self._many.set()

    @contextmanager
    def paused(self) -> Iterator[int]:
        """Give out nothing, and then read the log anew: what was not taken yet is about to change.

        The value is `position`, which stays where it is meanwhile.
        """
        self._memory = asyncio.Queue(self._memory.maxsize)
        self._held, self._bytes = None, 0
        self._piece.clear()
        self._forgotten += 1
        self._pauses += 1
        try:
            yield self._next
        finally:
            self._pauses -= 1
            self._news.set()

    def close(self) -> None:
        """Nothing more will be published; `next` ends when everything was taken."""
        self._closed = True
        self._news.set()
        self._many.set()

    async def next(self) -> Batch:
        """The next batch of the log. A cancelled call has taken nothing.

        Raises ChannelClosed after the last, JournalError if the log can't be read.
        """
        while True:
            if self._pauses:
                self._news.clear()
                await self._news.wait()
                continue
            batch = self._at_hand()
            if batch is not None:
                self._next = batch.end
                return batch
            if self._next < self._end:
                await self._read_on()
            elif self._closed:
                raise ChannelClosed
            else:
                await self._next_burst()

    async def _next_burst(self) -> None:
        """Wait for batches: for the first, and then for those that come soon after the last burst."""
        self._news.clear()
        self._many.clear()
        await self._news.wait()
        left_s = self._burst + self._spacing_s - time.monotonic()
        if left_s > 0:
            alarm = asyncio.get_running_loop().call_later(left_s, self._many.set)
            try:
                await self._many.wait()
            finally:
                alarm.cancel()
        self._burst = time.monotonic()

    def _at_hand(self) -> Batch | None:
        """The batch at `position`, if it is in memory."""
        while self._piece:
            batch = self._piece.popleft()
            if batch.lsn == self._next:
                return batch
        self._forget_passed()
        if self._held is None or self._held.lsn != self._next:
            return None
        first, self._held = self._held, None
        self._bytes -= first.end - first.lsn
        return first

    def _forget_passed(self) -> None:
        """Hold the first copy whose original was not read from the log before its turn."""
        while self._held is None or self._held.lsn < self._next:
            if self._held is not None:
                self._bytes -= self._held.end - self._held.lsn
                self._held = None
            if self._memory.empty():
                return
            self._held = self._memory.get_nowait()

    async def _read_on(self) -> None:
        forgotten = self._forgotten
        try:
            chunk = await asyncio.to_thread(self._log.read_some, self._next)
        except CantRead as exc:
            if not exc.passing:
                raise
            log.warning("journal.read_later", error=str(exc))
            await asyncio.sleep(READ_LATER_S)
            return
        if forgotten != self._forgotten:
            return
        if chunk.damage is not None:
            seg.report(chunk.damage, self._on_damage)
            self._next = chunk.resume
        self._piece = deque(chunk.batches)
