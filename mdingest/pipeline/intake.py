"""Where all connections meet: records become batches, and batches become the log.

Records of all streams are put in one order, stamped when they are taken from the socket,
and appended together: when the oldest has waited for `MAX_WAIT_S`, or many wait.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from mdingest.core.records import Batch, Kind, Record
from mdingest.errors import JournalError
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.clock import SHORTEST_REAL_TICK_S, Clock

MAX_WAIT_S = 0.05  # real seconds from the oldest record to the append
MAX_BYTES = 1 << 20
MAX_RECORDS = 8192
TICK_S = 1.0  # of the clock, which may run faster than real time
SLEPT_S = 1.0  # real seconds that a tick is overdue by: not the peers were silent, this process was
WAKING_S = 0.25  # what waits in the sockets is heard within this time
FULL_S = 0.5  # real seconds between attempts while the disk is full
MAX_HELD = 2 * MAX_RECORDS  # of records that say how streams begin and end, on a full disk

log = structlog.get_logger(__name__)


class Appends(Protocol):
    """What is needed of a journal."""

    def append(self, records: list[Record]) -> Batch:
        """Returns when the kernel has them; raises JournalError, and then kept none."""
        ...


class Intake:
    """The only writer of the journal. Each batch goes to ``deliver`` once it is appended.

    ``tick_wanted`` says whether time must go on in the log although no stream is open: a
    candle is still forming. When the journal refuses a batch, its records stay here and the
    JournalError goes to whoever caused the append (`add`, `flush` or `run`); at most a batch
    is held, and `add` takes nothing more until a `flush` went well.

    A full disk is not the end: ``make_room`` is asked for some, at once, and says whether there
    is any. Without it frames are refused (JournalFull), `run` tries again and again, and what
    opens and ends streams is still taken, or their end would never be told.
    """

    def __init__(
        self,
        journal: Appends,
        deliver: Callable[[Batch], None],
        clock: Clock,
        *,
        tick_wanted: Callable[[], bool] = lambda: False,
        make_room: Callable[[], bool] = lambda: False,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self.clock = clock
        self.batches = 0
        self.records = 0
        self._journal = journal
        self._deliver = deliver
        self._tick_wanted = tick_wanted
        self._make_room = make_room
        self._max_wait_s = max_wait_s
        self._waiting: list[Record] = []
        self._bytes = 0
        self._since = 0.0  # real monotonic seconds: when the oldest waiting record came
        self._arrived = asyncio.Event()
        self._open: set[int] = set()
        self._refused = False

    def add(self, kind: Kind, stream_id: int, payload: bytes) -> None:
        """Take one record, stamped now. Never waits.

        Raises JournalError if the journal does not take what waits already; the record was
        not accepted then.
        """
        if self._refused or self._bytes >= MAX_BYTES or len(self._waiting) >= MAX_RECORDS:
            try:
                self.flush()
            except JournalFull:
                if kind in (Kind.FRAME, Kind.TICK) or len(self._waiting) >= MAX_HELD:
                    raise
        if not self._waiting:
            self._since = time.monotonic()
            self._arrived.set()
        self._waiting.append(Record(kind, stream_id, self.clock.wall_ns(), self.clock.mono_ns(), payload))
        self._bytes += len(payload)
        if kind is Kind.CONNECT:
            self._open.add(stream_id)
        elif kind is Kind.DISCONNECT:
            self._open.discard(stream_id)

    def flush(self) -> None:
        """Append and deliver what waits. Raises JournalError; then it still waits."""
        if not self._waiting:
            return
        try:
            batch = self._append()
        except JournalError:
            self._refused = True
            raise
        self.batches += 1
        self.records += len(self._waiting)
        self._waiting, self._bytes, self._refused = [], 0, False
        self._arrived.clear()
        self._deliver(batch)

    def _append(self) -> Batch:
        try:
            return self._journal.append(self._waiting)
        except JournalFull:
            if not self._make_room():
                raise
            return self._journal.append(self._waiting)

    async def run(self) -> None:
        """Append on time and let the clock tick, until cancelled; what waits then is appended.

        Raises JournalError, but for a full disk.
        """
        spacing_s = max(SHORTEST_REAL_TICK_S, self.clock.real_s(TICK_S))
        tick_at = time.monotonic() + spacing_s
        try:
            while True:
                if await self._arrived_by(tick_at):
                    await asyncio.sleep(self._since + self._max_wait_s - time.monotonic())
                    await self._flush_or_wait()
                now = time.monotonic()
                if now >= tick_at:
                    if now - tick_at >= SLEPT_S:
                        # Told first that time has passed, the machine would take it all for late.
                        await asyncio.sleep(WAKING_S)
                    tick_at = max(tick_at + spacing_s, now)
                    if (self._open or self._tick_wanted()) and not self._refused:
                        with suppress(JournalFull):  # a second is told when what waits is taken again
                            self.add(Kind.TICK, 0, b"")
        except asyncio.CancelledError:
            try:
                self.flush()
            except JournalFull as exc:
                log.error("journal.not_appended", records=len(self._waiting), error=str(exc))  # noqa: TRY400
            raise

    async def _flush_or_wait(self) -> None:
        try:
            self.flush()
        except JournalFull:
            await asyncio.sleep(FULL_S)

    async def _arrived_by(self, moment: float) -> bool:
        """Whether a record came before a real monotonic instant."""
        left_s = max(0.0, moment - time.monotonic())
        alarm = asyncio.get_running_loop().call_later(left_s, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            alarm.cancel()
            if not self._waiting:
                self._arrived.clear()
        return bool(self._waiting)
