"""The tasks of ingestion and the order in which they end.

Producers (connections, the intake, the calendar) stop first; the log is then complete. What
is in it is stepped and committed as far as one deadline allows; the rest is done after the
next start. A stop closes no candle.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from mdingest.core.control import CandleSettings, Start, encode
from mdingest.core.events import NO_CANDLES, Candles
from mdingest.core.records import Kind
from mdingest.pipeline.aggregate import Aggregator, Step
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.channel import Channel
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.room import Room
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.writer import Writer

log = structlog.get_logger()

STEPS_WAITING = 2  # each may hold a second of a whole market, 1.6 MB in a minute's first
DRAIN_S = 7.5

Producer = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True, eq=False)
class Ingest:
    """Everything between the sockets and the store, built and not yet running."""

    journal: Journal
    source: BatchSource
    intake: Intake
    announcer: Announcer
    aggregator: Aggregator
    writer: Writer
    retainer: Retainer
    room: Room
    fsync_s: float
    steps: Channel[Step] = field(default_factory=lambda: Channel(STEPS_WAITING))

    def forming(self, feeds: Sequence[str]) -> Callable[[int, int], Candles]:
        """What is being built of (instrument, interval), from the first feed that has it."""

        def look(instrument_id: int, interval_s: int) -> Candles:
            rows = NO_CANDLES
            for feed in feeds:
                all_ = self.aggregator.machine.forming(feed)
                mine = (all_["instrument_id"] == instrument_id) & (all_["interval_s"] == interval_s)
                rows = Candles(all_[mine])
                if len(rows):
                    break
            return rows

        return look

    async def run(
        self,
        producers: dict[str, Producer],
        stop: asyncio.Event,
        *,
        code: str,
        settings: CandleSettings,
    ) -> None:
        """Until ``stop`` is set and what was heard is committed, or the deadline has passed.

        ``producers`` are the connections; each must end by itself soon after it is
        cancelled. Raises an ExceptionGroup if any task fails.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as consumers:
                writing = consumers.create_task(self.writer.run(self.steps), name="writer")
                consumers.create_task(self.aggregator.run(self.source, self.steps), name="aggregator")
                keeping = [
                    consumers.create_task(self.journal.run_sync(self.fsync_s), name="journal.sync"),
                    consumers.create_task(self.retainer.run(), name="journal.retain"),
                    consumers.create_task(self.retainer.run_packing(), name="journal.pack"),
                    consumers.create_task(self.room.run(), name="journal.room"),
                ]
                await self.room.look()  # before any feed connects
                self.intake.add(Kind.START, 0, encode(Start(code, settings)))
                await self._produce(producers, stop, deadline, loop)
                self.source.close()
                await writing
                for task in keeping:
                    task.cancel()
        except TimeoutError:
            lag = self.journal.end_lsn - self.writer.status.committed_lsn
            note = "the journal has it; the next start commits it"
            log.warning("app.stopped_behind", uncommitted_bytes=lag, note=note)

    async def _produce(
        self,
        producers: dict[str, Producer],
        stop: asyncio.Event,
        deadline: asyncio.Timeout,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            intake = group.create_task(self.intake.run(), name="intake")
            calendar = group.create_task(self.announcer.run(), name="calendar")
            feeds = [group.create_task(run(), name=name) for name, run in producers.items()]
            await stop.wait()
            log.info("app.draining")
            deadline.reschedule(loop.time() + DRAIN_S)
            for feed in feeds:
                feed.cancel()
            await asyncio.wait(feeds)
            calendar.cancel()
            intake.cancel()  # appends what waits
