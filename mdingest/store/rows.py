"""What both databases take and answer alike: rows of SQL values, and candles in the order of their tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.control import VolumeKind
from mdingest.core.events import OPEN_END, Candles, Coverage, Fetched, Gaps
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_ID, SOURCES, rank_of
from mdingest.core.rows import distinct, take
from mdingest.core.session import SECOND_NS
from mdingest.store.base import CoverageRow, SymbolRow
from mdingest.store.tables import INTERVALS, NAMES

Row = tuple[Any, ...]
_KEY = ("ts", "instrument_id", "interval_s")


def instrument_of(row: Sequence[Any]) -> Instrument:
    """A row of the queries of instruments."""
    symbol, exchange, name, session_class, volume, number = row
    return Instrument(symbol, exchange, name, session_class, VolumeKind(volume), number)


def symbols_of(
    instruments: Iterable[Instrument], bounds: Mapping[tuple[int, int], tuple[int, int]]
) -> list[SymbolRow]:
    """What is stored of each, out of the first and last instants by (instrument, interval)."""
    return [
        SymbolRow(one, {s: bounds[one.id, s] for s in INTERVALS if (one.id, s) in bounds})
        for one in instruments
    ]


def by_key(candles: Candles) -> Candles:
    """Sorted by interval, instrument and time. ``(n,)`` to ``(m <= n,)``.

    Of rows of one key and source the last stays; other equal keys keep their order. Raises
    ValueError for an opening instant that is not a whole second, and for an interval that has
    no table.
    """
    # take() copies a row at once, [] field by field
    rows = take(candles, np.lexsort((candles["ts"], candles["instrument_id"], candles["interval_s"])))
    if (said_again := same_as_next(rows, *_KEY, "source")).any():
        rows = take(rows, ~said_again)
    if (rows["ts"] % SECOND_NS).any():
        raise ValueError("a candle does not open at a whole second")
    if unknown := set(distinct(rows["interval_s"]).tolist()) - NAMES.keys():
        raise ValueError(f"candles of {sorted(unknown)} s are not stored")
    return Candles(rows)


def same_as_next(rows: NDArray[np.void], *names: str) -> NDArray[np.bool_]:
    """Whether each row and the one behind it are equal in some columns. ``(n,)`` to ``(n,)``."""
    same = np.ones(len(rows), np.bool_)
    for name in names:
        same[:-1] &= rows[name][:-1] == rows[name][1:]
    same[-1:] = False
    return same


def coverage_of(instrument_id: int, found: Iterable[Row]) -> list[CoverageRow]:
    """What a query of ``COVERAGE`` answered, of either database."""
    return [CoverageRow(instrument_id, BY_ID[source].name, *rest) for source, *rest in found]


def coverage_rows(coverage: Coverage, journal: str) -> list[Row]:
    """Rows for the statement `SET_COVERAGE`."""
    ends = np.maximum(coverage["end"], coverage["start"])
    n = len(coverage)
    return list(
        zip(
            coverage["instrument_id"].tolist(),
            coverage["source"].tolist(),
            coverage["start"].tolist(),
            ends.tolist(),
            [journal] * n,
            coverage["stream_id"].tolist(),
            strict=True,
        )
    )


def begun_rows(coverage: Coverage) -> list[Row]:
    """Rows for the statement `CLOSE_GAPS`: the uptimes that begin."""
    begun = coverage[coverage["end"] == OPEN_END]
    return list(zip(*(begun[name].tolist() for name in ("instrument_id", "source", "start")), strict=True))


def fetched_rows(fetched: Fetched) -> list[Row]:
    """Rows for the statements about ``history_spans``; empty spans are left out."""
    names = ("instrument_id", "interval_s", "source", "start", "end")
    return [row for row in zip(*(fetched[name].tolist() for name in names), strict=True) if row[3] < row[4]]


def gap_rows(gaps: Gaps) -> list[Row]:
    """Rows for the statement `SET_GAP`."""
    ends = np.maximum(gaps["end"], gaps["start"])
    names = ("instrument_id", "source", "cause", "start")
    return list(
        zip(*(gaps[name].tolist() for name in names), ends.tolist(), gaps["volume"].tolist(), strict=True)
    )


def stream_rows(streams: dict[int, tuple[str, int]], coverage: Coverage, journal: str) -> list[Row]:
    """Rows for the statement `ADD_STREAM`: those named, and those that coverage leans on."""
    fed = coverage[coverage["stream_id"] > 0]
    ids, first = np.unique(fed["stream_id"], return_index=True)
    leaned = zip(ids.tolist(), fed["source"][first].tolist(), fed["start"][first].tolist(), strict=True)
    rows: list[Row] = [(journal, stream, BY_ID[source].name, start) for stream, source, start in leaned]
    return rows + [(journal, stream, feed, last) for stream, (feed, last) in streams.items()]


def precedence_rows(source_order: Sequence[str]) -> list[Row]:
    """For each source, by whether a row is partial and its volume 0: whether it is live, and its weight.

    Rank decides, then the place in the order given. Sources that the order does not name share the last
    place: none of them replaces another.
    """
    places = {name: place for place, name in enumerate(source_order)}
    last = len(places)
    return [
        (
            source.id,
            partial,
            zero,
            int(source.live),
            rank_of(source, partial=bool(partial), volume=0.0 if zero else 1.0) * (last + 1)
            + last
            - places.get(source.name, last),
        )
        for source in SOURCES
        for partial in (0, 1)
        for zero in (0, 1)
    ]
