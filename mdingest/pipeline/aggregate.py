"""Batches to events: decode, step, pass on. One task, in the order of the log.

Recovery is the same loop started further back: it begins at a saved state, and the events
of batches that the database has already committed are thrown away.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from mdingest.core.events import Events
from mdingest.core.machine import Machine
from mdingest.core.records import Batch
from mdingest.pipeline.channel import Channel, ChannelClosed
from mdingest.pipeline.decoding import BatchDecoder, Understood, pack_state
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

_NS = 1_000_000_000
STATE_EVERY_NS = 30 * _NS
POSITION_EVERY_NS = 5 * _NS


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What everything below ``end`` brought forth since the previous step that was passed on."""

    end: int
    events: Events
    wall_ns: int  # of the batch's last record


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
        save_state: Callable[[int, Sequence[bytes]], Awaitable[None]] | None = None,
    ) -> None:
        """Step from ``start`` on; events of batches that end at or below ``committed`` are discarded."""
        self.machine = machine
        self.status = AggregateStatus(lsn=start)
        self._decoder = decoder
        self._committed = committed
        self._clock = clock
        self._save_state = save_state
        self.on_step: Callable[[Batch, Understood, Events], None] | None = None

    def step(self, batch: Batch) -> Events:
        """One batch through decoder and machine."""
        if self.status.lsn and batch.lsn != self.status.lsn:
            log.error("journal.hole", lsn=self.status.lsn, resumed_lsn=batch.lsn)
            self.machine.hole()
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
        passed_on = saved = self._clock.mono_ns()
        end = told = self.status.lsn
        try:
            while True:
                batch = await source.next()
                events = self.step(batch)
                end = batch.end
                now = self._clock.mono_ns()
                if end > self._committed and (events or now - passed_on >= POSITION_EVERY_NS):
                    await out.put(Step(end, events, self.status.wall_ns))
                    passed_on, told = now, end
                if self._save_state is not None and now - saved >= STATE_EVERY_NS:
                    saved = now
                    await self._save_state(end, self.state())
                await asyncio.sleep(0)  # catching up must not starve sockets and readers
        except ChannelClosed:
            if end > max(self._committed, told):
                await out.put(Step(end, Events(), self.status.wall_ns))
            if self._save_state is not None and end:
                await self._save_state(end, self.state())
        finally:
            out.close()

    def state(self) -> list[bytes]:
        """What a state file holds, in pieces; only between two steps."""
        return pack_state(self._decoder, self.machine.state_parts())
