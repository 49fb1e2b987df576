"""Batches to events: decode, step, pass on. One task, in the order of the log.

Recovery is the same loop started further back: it begins at a saved state, and the events
of batches that the database has already committed are thrown away.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from mdingest.core.events import Events
from mdingest.core.machine import Machine
from mdingest.core.records import Batch
from mdingest.core.saving import Writable
from mdingest.core.units import NS
from mdingest.pipeline.channel import Channel, ChannelClosed
from mdingest.pipeline.decoding import BatchDecoder, Understood, pack_state
from mdingest.pipeline.statefile import WriteState
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

STATE_EVERY_NS = 30 * NS
SEGMENT_STATE_EVERY_NS = 10 * NS
QUIET_NS = 1 * NS  # what only says how far streams have come is passed on no more often
POSITION_EVERY_NS = 5 * NS


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What everything below ``end`` brought forth since the previous step that was passed on."""

    end: int
    events: Events
    wall_ns: int  # of the batch's last record


async def _others_first() -> None:
    await asyncio.sleep(0)


class Source(Protocol):
    """Where batches come from, by address, without hole or repeat."""

    async def next(self) -> Batch:
        """The next batch; raises ChannelClosed after the last."""
        ...


@dataclass(slots=True)
class AggregateStatus:
    """For /health and /metrics."""

    lsn: int = 0  # everything below was stepped through
    wall_ns: int = 0  # of the last record stepped
    counts: Counter[str] = field(default_factory=Counter)


class Aggregator:
    """Owns the machine. Cancelling `run` loses nothing: the log is still there."""

    def __init__(
        self,
        machine: Machine,
        decoder: BatchDecoder,
        *,
        start: int,
        committed: int,
        clock: Clock,
        save_state: Callable[[int, WriteState], Awaitable[None]] | None = None,
        begins_segment: Callable[[int], bool] = lambda _: False,
        stepping: Callable[[int], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Step from ``start`` on; events of batches that end at or below ``committed`` are discarded.

        States are saved now and then, and where a segment begins, so that each can be stepped
        without those before it. ``stepping(lsn)`` is held round each step.
        """
        self.machine = machine
        self.status = AggregateStatus(lsn=start)
        self._decoder = decoder
        self._committed = committed
        self._clock = clock
        self._save_state = save_state
        self._begins_segment = begins_segment
        self._stepping = stepping
        self._saved = clock.mono_ns()
        self.on_step: Callable[[Batch, Understood, Events], None] | None = None
        self.give_way: Callable[[], Awaitable[None]] = _others_first
        """Awaited after each step: catching up must not starve sockets and readers."""

    def save_soon(self) -> None:
        """Save a state after the next batch: somebody needs the room of what lies before it."""
        self._saved = -STATE_EVERY_NS

    def step(self, batch: Batch) -> Events:
        """One batch through decoder and machine."""
        if self.status.lsn and batch.lsn != self.status.lsn:
            log.error("journal.hole", lsn=self.status.lsn, resumed_lsn=batch.lsn)
            self.machine.hole(int(batch.wall_ns[0]), int(batch.mono_ns[0]))
        with self._stepping(batch.lsn):
            understood = self._decoder.decode(batch)
            events = self.machine.step(batch, understood.packets, [bad.rec for bad in understood.bad])
        self.status.lsn = batch.end
        self.status.wall_ns = int(batch.wall_ns[-1])
        self.status.counts.update(understood.counts)
        self.status.counts.update(events.counts)
        if self.on_step is not None:
            self.on_step(batch, understood, events)
        return events

    async def run(self, source: Source, out: Channel[Step]) -> None:
        """Until the source ends. Waits while ``out`` is full; closes it at the end."""
        passed_on = self._clock.mono_ns()
        end = told = self.status.lsn
        streams: dict[int, tuple[str, int]] = {}  # not passed on yet
        try:
            while True:
                batch = await source.next()
                if batch.lsn == self.status.lsn and self._begins_segment(batch.lsn):
                    await self._save(batch.lsn, SEGMENT_STATE_EVERY_NS)
                events = self.step(batch)
                end = batch.end
                now = self._clock.mono_ns()
                if end > self._committed:
                    streams |= events.streams
                patience = QUIET_NS if streams else POSITION_EVERY_NS
                if end > self._committed and (events.rows or now - passed_on >= patience):
                    events.streams, streams = streams, {}
                    await out.put(Step(end, events, self.status.wall_ns))
                    passed_on, told = now, end
                await self._save(end, STATE_EVERY_NS)
                await self.give_way()
        except ChannelClosed:
            if end > max(self._committed, told):
                await out.put(Step(end, Events(streams=streams), self.status.wall_ns))
            if end:
                await self._save(end, 0)
        finally:
            out.close()

    async def _save(self, lsn: int, after_ns: int) -> None:
        now = self._clock.mono_ns()
        if self._save_state is not None and now - self._saved >= after_ns:
            self._saved = now
            await self._save_state(lsn, self.write_state)  # meanwhile nothing is stepped

    def write_state(self, out: Writable) -> None:
        """What a state file holds; in any thread, as long as nothing is stepped."""
        pack_state(self._decoder, self.machine, out)
