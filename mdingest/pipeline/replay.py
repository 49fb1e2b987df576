"""Candles again, from recorded frames: into a database, or against one.

The same decoder, machine and batches as the daemon's, so every column must come out equal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from mdingest.core.control import (
    CandleSettings,
    Start,
    Subscription,
    decode_start,
    decode_subscribe,
    encode,
)
from mdingest.core.events import OPEN_END, Candles, Coverage, Events, Gaps, Marks
from mdingest.core.instrument import Instrument
from mdingest.core.machine import Machine
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.ticks import empty_packets
from mdingest.core.units import NS
from mdingest.errors import JournalError
from mdingest.pipeline.aggregate import Step
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.recovery import Recovered, recover
from mdingest.pipeline.segments import Damage
from mdingest.pipeline.statefile import StateFiles
from mdingest.pipeline.writer import coalesce
from mdingest.providers.base import FrameDecoder
from mdingest.store.base import Position, Store, Transaction

log = structlog.get_logger()

ROWS_PER_COMMIT = 50_000
STEPS_PER_COMMIT = 5_000  # of a quiet market each has a row or two, and the objects around them weigh more
AT_ITS_END = -1
SHOWN = 20
_LAST = 1 << 62


@dataclass(frozen=True, slots=True)
class Part:
    """Of a journal, as addresses: what batches in ``[start, end)`` bring forth. None: all there is."""

    start: int | None = None
    end: int | None = None


WHOLE = Part()


@dataclass(slots=True)
class ReplayReport:
    """What a replay did. ``differing`` names rows in words, at most `SHOWN` of them."""

    journal: str
    batches: int = 0
    packets: int = 0
    rows: int = 0
    compared: int = 0
    replaced: int = 0  # stored rows that another source has taken since
    differences: int = 0
    differing: list[str] = field(default_factory=list)
    not_comparable: list[str] = field(default_factory=list)  # parts made by other code or settings
    damage: list[str] = field(default_factory=list)

    def differ(self, what: str) -> None:
        """Count one difference; remember the first ones."""
        self.differences += 1
        if len(self.differing) < SHOWN:
            self.differing.append(what)


async def replay(
    journal: Path,
    into: Store,
    *,
    make_decoder: Callable[[str], FrameDecoder],
    running: Start,
    until_of: Callable[[str], int | None] = lambda _: None,
    ended_ns: int | None = None,
    part: Part = WHOLE,
    commit: Callable[[Transaction], Awaitable[object]] | None = None,
) -> tuple[ReplayReport, list[tuple[int, int]]]:
    """Step a journal, or a part of it, and commit its rows, without any position.

    It begins at the newest saved state at or before the part, as a recovery would, and passes
    on what comes from inside it. A part with an end leaves out what is open there: coverage
    and gaps that end later are not its to tell.

    Instruments are found, or made, in ``into`` by their symbols: its ids need not be the
    journal's. ``until_of`` gives the position of a journal (by uuid), where the replay
    stops. ``ended_ns`` (wall; `AT_ITS_END`: its last record) says that the journal was given
    up then: what was open ends with its last frame, and gaps that last end there. ``commit``
    takes the rows instead of ``into``, which they are for: somebody else writes there, too.

    Returns the report, and the spans ``[from, to)`` of wall ns that ran under the code
    and settings of ``running``. Cancelling leaves what was committed; doing it again is harmless.
    """
    reader = JournalReader(journal)
    report = ReplayReport(reader.uuid)
    begun = _begin(reader, journal, report, part, running.settings, make_decoder)
    machine, decoder = begun.machine, begun.decoder
    spans: list[tuple[int, int]] = []
    names = _Names(into)
    await names.add(decoder.subscriptions)
    waiting = _Waiting(names, commit or into.commit)
    end, last_ns = begun.start, 0
    until = min((lsn for lsn in (until_of(reader.uuid), part.end) if lsn is not None), default=None)
    for batch in _batches(reader, report, begun.start, until):
        if not spans and batch.end > begun.committed and Start(machine.code, machine.settings) == running:
            spans.append((int(batch.wall_ns[0]), _LAST))
        _note_start(batch, report, spans, running)
        await names.learn(batch)
        if batch.lsn != end:
            machine.hole(int(batch.wall_ns[0]), int(batch.mono_ns[0]))
        end, last_ns = batch.end, int(batch.wall_ns[-1])
        understood = decoder.decode(batch)
        events = machine.step(batch, understood.packets, [bad.rec for bad in understood.bad])
        report.batches += 1
        report.packets += len(understood.packets)
        if batch.end <= begun.committed:
            continue
        if part.end is not None:
            _leave_open(events)
        report.rows += len(events.candles)
        waiting.add(Step(batch.end, events, last_ns))
        if waiting.enough:
            await waiting.commit()
        await asyncio.sleep(0)
    if ended_ns is not None and part.end is None:
        ended_ns = last_ns if ended_ns == AT_ITS_END else ended_ns
        waiting.add(Step(end, _given_up(machine, end, running, ended_ns), ended_ns))
    await waiting.commit()
    return report, spans


def _begin(
    reader: JournalReader,
    journal: Path,
    report: ReplayReport,
    part: Part,
    settings: CandleSettings,
    make_decoder: Callable[[str], FrameDecoder],
) -> Recovered:
    """Where to step from. Raises JournalError for a part that is not kept."""
    start = reader.first_lsn if part.start is None else part.start
    if start < reader.first_lsn:
        raise JournalError(f"{journal} is kept from address {reader.first_lsn} on, {start} is gone")
    states = StateFiles(journal, reader.uuid, tuple)

    def at(lsn: int) -> Recovered:
        return recover(
            states,
            first=reader.first_lsn,
            end=lsn,
            position=Position(reader.uuid, lsn),
            settings=settings,
            make_decoder=make_decoder,
        )

    begun = at(start)
    if begun.start > reader.first_lsn or begun.machine.code or reader.begins_with_a_start():
        return begun
    # What its streams had subscribed lay in segments that are gone.
    later = states.load_oldest(reader.first_lsn)
    if later is None or later.lsn == reader.first_lsn:
        return begun
    report.damage.append(
        f"addresses {reader.first_lsn} to {later.lsn} can't be understood without what came before"
    )
    return replace(at(later.lsn), committed=max(start, later.lsn))


def _leave_open(events: Events) -> None:
    """Without what has no end yet."""
    events.coverage = Coverage(events.coverage[events.coverage["end"] != OPEN_END])
    events.gaps = Gaps(events.gaps[events.gaps["end"] != OPEN_END])


class _Names:
    """The journal's instrument ids in the words of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of: dict[int, int] = {}

    async def learn(self, batch: Batch) -> None:
        """Look up what a batch subscribes."""
        for rec in np.flatnonzero(batch.kinds == Kind.SUBSCRIBE).tolist():
            await self.add(decode_subscribe(batch.payload(rec)))

    async def add(self, subscribed: Sequence[Subscription]) -> None:
        """Look up those that are new. A journal without symbols keeps its ids."""
        subs = [sub for sub in subscribed if sub.instrument_id not in self._of]
        named = [sub for sub in subs if sub.symbol]
        if not subs:
            return
        wanted = [Instrument(s.symbol, s.exchange, "", s.session_class, s.volume) for s in named]
        stored = await self._store.ensure_instruments(wanted)
        self._of |= {sub.instrument_id: sub.instrument_id for sub in subs}
        self._of |= {sub.instrument_id: found.id for sub, found in zip(named, stored, strict=True)}

    def translate(self, new: Transaction) -> Transaction:
        """With the store's ids; without rows of instruments that no record has named."""
        ours = np.array(sorted(self._of), np.uint32)
        theirs = np.array([self._of[number] for number in ours.tolist()], np.uint32)

        def translated(rows: NDArray[np.void]) -> NDArray[np.void]:
            rows = rows[np.isin(rows["instrument_id"], ours)]
            rows["instrument_id"] = theirs[np.searchsorted(ours, rows["instrument_id"])]
            return rows

        new.candles, new.marks = Candles(translated(new.candles)), Marks(translated(new.marks))
        new.coverage, new.gaps = Coverage(translated(new.coverage)), Gaps(translated(new.gaps))
        return new


class _Waiting:
    """Steps of the next transaction. Those without rows, as in a night of heartbeats, take no room."""

    def __init__(self, names: _Names, commit: Callable[[Transaction], Awaitable[object]]) -> None:
        self._names = names
        self._commit = commit
        self._steps: list[Step] = []
        self._rows = 0

    @property
    def enough(self) -> bool:
        """Whether it is time to commit."""
        return self._rows >= ROWS_PER_COMMIT or len(self._steps) >= STEPS_PER_COMMIT

    def add(self, step: Step) -> None:
        """The next one."""
        if self._steps and not step.events.rows:
            self._steps[-1].events.streams |= step.events.streams
        elif step.events:
            self._steps.append(step)
            self._rows += step.events.rows

    async def commit(self) -> None:
        """All that waits, if anything does."""
        if self._steps:
            await self._commit(self._names.translate(coalesce(self._steps)))
            self._steps, self._rows = [], 0


def _given_up(machine: Machine, end: int, running: Start, ended_ns: int) -> Events:
    """What a START would bring forth, with gaps that end when the journal was given up."""
    start = Record(Kind.START, 0, ended_ns, 0, encode(running))
    batch = decode_batch(memoryview(encode_batch([start], end)), end)
    events = machine.step(batch, empty_packets())
    open_ = events.gaps["end"] == OPEN_END
    events.gaps["end"][open_] = np.maximum(events.gaps["start"][open_], ended_ns // NS * NS)
    return events


def _batches(reader: JournalReader, report: ReplayReport, start: int, until: int | None) -> Iterator[Batch]:
    def damaged(damage: Damage) -> None:
        report.damage.append(str(damage))

    for batch in reader.read(start, on_damage=damaged):
        if until is not None and batch.end > until:
            return
        yield batch


def _note_start(batch: Batch, report: ReplayReport, spans: list[tuple[int, int]], running: Start) -> None:
    for rec in np.flatnonzero(batch.kinds == Kind.START).tolist():
        start, wall = decode_start(batch.payload(rec)), int(batch.wall_ns[rec])
        if spans and spans[-1][1] == _LAST:
            spans[-1] = (spans[-1][0], wall)
        if start == running:
            spans.append((wall, _LAST))
        else:
            report.not_comparable.append(f"from lsn {batch.lsn}: version {start.code}, {start.settings}")
