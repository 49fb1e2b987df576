"""Candles again, from recorded frames: into a database, or against one.

The same decoder, machine and batches as the daemon's, so every column must come out equal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from mdingest.core.control import CandleSettings, decode_start
from mdingest.core.events import CANDLE, Candles
from mdingest.core.machine import Machine
from mdingest.core.rank import BY_ID
from mdingest.core.records import Batch, Kind
from mdingest.pipeline.aggregate import Step
from mdingest.pipeline.decoding import BatchDecoder
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.segments import Damage
from mdingest.pipeline.writer import coalesce
from mdingest.providers.base import FrameDecoder
from mdingest.store.base import Store

log = structlog.get_logger()

ROWS_PER_COMMIT = 50_000
PAGE = 10_000
SHOWN = 20
_FIRST, _LAST = 0, 1 << 62


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
) -> tuple[ReplayReport, list[tuple[int, int]]]:
    """Step a whole journal and commit its rows, without any position.

    ``until_of`` gives the position of a journal (by uuid), where the replay stops. Returns the report,
    and the spans ``[from, to)`` of wall ns that ran under the same ``code`` and ``settings``.
    """
    reader = JournalReader(journal)
    report = ReplayReport(reader.uuid)
    machine, decoder = Machine(settings), BatchDecoder(make_decoder)
    spans: list[tuple[int, int]] = []
    steps: list[Step] = []
    rows = 0
    for batch in _batches(reader, report, until_of(reader.uuid)):
        _note_start(batch, report, spans, code, settings)
        understood = decoder.decode(batch)
        events = machine.step(batch, understood.packets, [bad.rec for bad in understood.bad])
        report.batches += 1
        report.packets += len(understood.packets)
        report.rows += len(events.candles)
        if events:
            steps.append(Step(batch.end, events, int(batch.wall_ns[-1])))
            rows += len(events.candles)
        if rows >= ROWS_PER_COMMIT:
            await into.commit(coalesce(steps))
            steps, rows = [], 0
    if steps:
        await into.commit(coalesce(steps))
    return report, spans


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


async def compare(replayed: Store, stored: Store, report: ReplayReport, spans: list[tuple[int, int]]) -> None:
    """Every replayed row against the stored one of its key, all columns.

    Only rows whose opening instant lies in one of ``spans`` count. A stored row of another
    source is counted, not compared: rank has replaced it.
    """
    for (instrument, interval_s), _ in sorted((await replayed.last_candle_ns()).items()):
        end = _LAST
        while True:
            ours = await replayed.candles(
                instrument, interval_s, _FIRST, min(end, 4_000_000_000 * 10**9), PAGE
            )
            if not len(ours):
                break
            low, high = int(ours["ts"][0]), int(ours["ts"][-1]) + 1
            theirs = await stored.candles(instrument, interval_s, low, high, PAGE)
            _compare(ours, theirs, report, spans)
            end = low


def _compare(ours: Candles, theirs: Candles, report: ReplayReport, spans: list[tuple[int, int]]) -> None:
    ours, theirs = _within(ours, spans), _within(theirs, spans)
    for row in theirs[~np.isin(theirs["ts"], ours["ts"])]:
        if BY_ID[int(row["source"])].live:
            report.differ(f"{_name(row)} is stored but not replayed")
    for row in ours[~np.isin(ours["ts"], theirs["ts"])]:
        report.differ(f"{_name(row)} is replayed but not stored")
    a, b = ours[np.isin(ours["ts"], theirs["ts"])], theirs[np.isin(theirs["ts"], ours["ts"])]
    live = a["source"] == b["source"]
    report.replaced += int((~live).sum())
    report.compared += int(live.sum())
    a, b = a[live], b[live]
    unequal = {
        name: ~((a[name] == b[name]) | ((a[name] != a[name]) & (b[name] != b[name])))
        for name in CANDLE.names or ()
    }
    for i in np.flatnonzero(np.logical_or.reduce(list(unequal.values()))).tolist():
        which = ", ".join(f"{name} {a[name][i]} != {b[name][i]}" for name, bad in unequal.items() if bad[i])
        report.differ(f"{_name(a[i])}: replayed and stored differ in {which}")


def _within(rows: Candles, spans: list[tuple[int, int]]) -> Candles:
    inside = np.zeros(len(rows), np.bool_)
    for low, high in spans:
        inside |= (rows["ts"] >= low) & (rows["ts"] < high)
    return Candles(rows[inside])


def _name(row: np.void) -> str:
    at = np.datetime64(int(row["ts"]), "ns").astype("datetime64[s]")
    return f"instrument {row['instrument_id']} {row['interval_s']}s {at}Z"
