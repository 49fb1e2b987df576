"""Candles again, from recorded frames: into a database, or against one.

The same decoder, machine and batches as the daemon's, so every column must come out equal.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from mdingest.core.candles import NS
from mdingest.core.control import CandleSettings, Start, decode_start, decode_subscribe, encode
from mdingest.core.events import OPEN_END, Events
from mdingest.core.instrument import Instrument
from mdingest.core.machine import Machine
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.ticks import empty_packets
from mdingest.pipeline.aggregate import Step
from mdingest.pipeline.decoding import BatchDecoder
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.segments import Damage
from mdingest.pipeline.writer import coalesce
from mdingest.providers.base import FrameDecoder
from mdingest.store.base import Store, Transaction

log = structlog.get_logger()

ROWS_PER_COMMIT = 50_000
AT_ITS_END = -1
SHOWN = 20
_LAST = 1 << 62


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
    code: str,
    settings: CandleSettings,
    until_of: Callable[[str], int | None] = lambda _: None,
    ended_ns: int | None = None,
) -> tuple[ReplayReport, list[tuple[int, int]]]:
    """Step a whole journal and commit its rows, without any position.

    Instruments are found, or made, in ``into`` by their symbols: its ids need not be the
    journal's. ``until_of`` gives the position of a journal (by uuid), where the replay
    stops. ``ended_ns`` (wall; `AT_ITS_END`: its last record) says that the journal was given
    up then: what was open ends with its last frame, and gaps that last end there.

    Returns the report, and the spans ``[from, to)`` of wall ns that ran under the same
    ``code`` and ``settings``. Cancelling leaves what was committed; doing it again is harmless.
    """
    reader = JournalReader(journal)
    report = ReplayReport(reader.uuid)
    machine, decoder = Machine(settings), BatchDecoder(make_decoder)
    spans: list[tuple[int, int]] = []
    steps: list[Step] = []
    names = _Names(into)
    rows, end, last_ns = 0, reader.first_lsn, 0
    for batch in _batches(reader, report, until_of(reader.uuid)):
        _note_start(batch, report, spans, code, settings)
        await names.learn(batch)
        if batch.lsn != end:
            machine.hole()
        end, last_ns = batch.end, int(batch.wall_ns[-1])
        understood = decoder.decode(batch)
        events = machine.step(batch, understood.packets, [bad.rec for bad in understood.bad])
        report.batches += 1
        report.packets += len(understood.packets)
        report.rows += len(events.candles)
        if events:
            steps.append(Step(batch.end, events, int(batch.wall_ns[-1])))
            rows += len(events.candles)
        if rows >= ROWS_PER_COMMIT:
            await into.commit(names.translate(coalesce(steps)))
            steps, rows = [], 0
        await asyncio.sleep(0)
    if ended_ns is not None:
        ended_ns = last_ns if ended_ns == AT_ITS_END else ended_ns
        steps.append(Step(end, _given_up(machine, end, code, settings, ended_ns), ended_ns))
    if steps:
        await into.commit(names.translate(coalesce(steps)))
    return report, spans


class _Names:
    """The journal's instrument ids in the words of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of: dict[int, int] = {}

    async def learn(self, batch: Batch) -> None:
        """Look up what a batch subscribes. A journal without symbols keeps its ids."""
        for rec in np.flatnonzero(batch.kinds == Kind.SUBSCRIBE).tolist():
            subs = [sub for sub in decode_subscribe(batch.payload(rec)) if sub.instrument_id not in self._of]
            named = [sub for sub in subs if sub.symbol]
            wanted = [Instrument(s.symbol, s.exchange, "", s.session_class, s.volume) for s in named]
            stored = await self._store.ensure_instruments(wanted)
            self._of |= {sub.instrument_id: sub.instrument_id for sub in subs}
            self._of |= {sub.instrument_id: found.id for sub, found in zip(named, stored, strict=True)}

    def translate(self, transaction: Transaction) -> Transaction:
        """Replace the ids in place."""
        table = np.arange(max(self._of, default=0) + 1, dtype=np.uint32)
        for ours, theirs in self._of.items():
            table[ours] = theirs
        for rows in (transaction.candles, transaction.marks, transaction.coverage, transaction.gaps):
            rows["instrument_id"] = table[rows["instrument_id"]]
        return transaction


def _given_up(machine: Machine, end: int, code: str, settings: CandleSettings, ended_ns: int) -> Events:
    """What a START would bring forth, with gaps that end when the journal was given up."""
    start = Record(Kind.START, 0, ended_ns, 0, encode(Start(code, settings)))
    batch = decode_batch(memoryview(encode_batch([start], end)), end)
    events = machine.step(batch, empty_packets())
    open_ = events.gaps["end"] == OPEN_END
    events.gaps["end"][open_] = np.maximum(events.gaps["start"][open_], ended_ns // NS * NS)
    return events


def _batches(reader: JournalReader, report: ReplayReport, until: int | None) -> Iterator[Batch]:
    def damaged(damage: Damage) -> None:
        report.damage.append(str(damage))

    for batch in reader.read(on_damage=damaged):
        if until is not None and batch.end > until:
            return
        yield batch


def _note_start(
    batch: Batch, report: ReplayReport, spans: list[tuple[int, int]], code: str, settings: CandleSettings
) -> None:
    for rec in np.flatnonzero(batch.kinds == Kind.START).tolist():
        start, wall = decode_start(batch.payload(rec)), int(batch.wall_ns[rec])
        if spans and spans[-1][1] == _LAST:
            spans[-1] = (spans[-1][0], wall)
        if start.code == code and start.settings == settings:
            spans.append((wall, _LAST))
        else:
            report.not_comparable.append(f"from lsn {batch.lsn}: version {start.code}, {start.settings}")
