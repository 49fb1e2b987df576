"""Columns to rows of SQL values and back: ``tolist`` and ``zip``, no loop over cells.

NaN needs no care: SQLite stores it as NULL. Instants of candles are text of fixed width,
all other instants are ns.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import CANDLE, OPEN_END, Candles, Coverage, Fetched, Gaps, Marks
from mdingest.core.rank import BY_ID, SOURCES, rank_of
from mdingest.core.rows import take
from mdingest.core.session import SECOND_NS
from mdingest.store.base import CoverageRow
from mdingest.store.sqlite_sql import COLUMNS, NAMES

Row = tuple[Any, ...]
ROWS_AT_ONCE = 2_000
_DAY_S = 86_400
_FIRST_NS, _LAST_NS = -(1 << 62), (1 << 63) - 1


def text_of(ns: int) -> str:
    """The first whole second not before ``ns``, as ``2026-11-20T03:45:00Z``."""
    return f"{np.datetime64(-(-min(max(ns, _FIRST_NS), _LAST_NS) // SECOND_NS), 's')}Z"


def texts_of(seconds: NDArray[np.int64]) -> list[str]:
    """UTC seconds as text, each distinct one formatted once. ``(n,)`` to ``n``."""
    distinct, where = np.unique(seconds, return_inverse=True)
    if 2 * len(distinct) > len(seconds):  # history: few dates and few times of day in many instants
        return _of_parts(seconds)
    texts = np.char.add(np.datetime_as_string(distinct.astype("datetime64[s]")), "Z")
    found: list[str] = texts.astype(object)[where].tolist()
    return found


def _of_parts(seconds: NDArray[np.int64]) -> list[str]:
    days, times = np.divmod(seconds, _DAY_S)
    distinct_days, day = np.unique(days, return_inverse=True)
    distinct_times, time = np.unique(times, return_inverse=True)
    dates = [f"{text}T" for text in np.datetime_as_string(distinct_days.astype("datetime64[D]")).tolist()]
    clocks = [
        f"{text[-8:]}Z" for text in np.datetime_as_string(distinct_times.astype("datetime64[s]")).tolist()
    ]
    return [dates[i] + clocks[j] for i, j in zip(day.tolist(), time.tolist(), strict=True)]


def in_order(candles: Candles) -> Iterator[tuple[int, Candles]]:
    """Interval in seconds, and its candles sorted by key, so that a table's pages are visited once each.

    Of rows of one key and source the last stays; other equal keys keep their order. Raises
    ValueError for an opening instant that is not a whole second, and for an interval that has
    no table.
    """
    rows = take(candles, np.lexsort((candles["ts"], candles["instrument_id"], candles["interval_s"])))
    again = np.ones(len(rows), np.bool_)
    for name in ("ts", "instrument_id", "interval_s", "source"):
        again[:-1] &= rows[name][:-1] == rows[name][1:]
    again[-1:] = False
    rows = take(rows, ~again) if again.any() else rows
    if (rows["ts"] % SECOND_NS).any():
        raise ValueError("a candle does not open at a whole second")
    intervals, starts = np.unique(rows["interval_s"], return_index=True)
    if not NAMES.keys() >= set(intervals.tolist()):
        raise ValueError(f"candles of {sorted({*intervals.tolist()} - NAMES.keys())} s are not stored")
    bounds = [*starts.tolist(), len(rows)]
    for i, interval in enumerate(intervals.tolist()):
        yield interval, Candles(rows[bounds[i] : bounds[i + 1]])


def candle_rows(candles: Candles) -> Iterator[list[Row]]:
    """Rows for the upsert of an interval, some at a time: as objects they are ten times their size."""
    for begin in range(0, len(candles), ROWS_AT_ONCE):
        piece = candles[begin : begin + ROWS_AT_ONCE]
        values = [piece[name].tolist() for name in COLUMNS]
        yield list(
            zip(piece["instrument_id"].tolist(), texts_of(piece["ts"] // SECOND_NS), *values, strict=True)
        )


def candles_of(newest_first: Sequence[Row]) -> Candles:
    """What a query of `sqlite_sql.CANDLES` or of its kin answered, ascending."""
    return Candles(np.array(newest_first[::-1], CANDLE))  # None becomes NaN


def coverage_of(instrument_id: int, found: Iterable[Row]) -> list[CoverageRow]:
    """What a query of ``COVERAGE`` answered, of either database."""
    return [CoverageRow(instrument_id, BY_ID[source].name, *rest) for source, *rest in found]


def mark_rows(marks: Marks, interval_s: int) -> list[Row]:
    """Rows for `sqlite_sql.MARK`. A range without length stands for its instant."""
    length = interval_s * SECOND_NS
    after = (np.maximum(marks["start"], _FIRST_NS) - length) // SECOND_NS  # ts > it: the bucket ends later
    end = np.maximum(marks["end"], np.minimum(marks["start"], _LAST_NS - 1) + 1)
    before = -(-end // SECOND_NS)
    columns = (marks["partial"].tolist(), marks["flags"].tolist(), marks["instrument_id"].tolist())
    return list(zip(*columns, texts_of(after), texts_of(before), marks["source"].tolist(), strict=True))


def coverage_rows(coverage: Coverage, journal: str) -> list[Row]:
    """Rows for `sqlite_sql.SET_COVERAGE`."""
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
    """Rows for `sqlite_sql.CLOSE_GAPS`: the uptimes that begin."""
    begun = coverage[coverage["end"] == OPEN_END]
    return list(zip(*(begun[name].tolist() for name in ("instrument_id", "source", "start")), strict=True))


def fetched_rows(fetched: Fetched) -> list[Row]:
    """Rows for the statements about ``history_spans``; empty spans are left out."""
    names = ("instrument_id", "interval_s", "source", "start", "end")
    return [row for row in zip(*(fetched[name].tolist() for name in names), strict=True) if row[3] < row[4]]


def gap_rows(gaps: Gaps) -> list[Row]:
    """Rows for `sqlite_sql.SET_GAP`."""
    ends = np.maximum(gaps["end"], gaps["start"])
    names = ("instrument_id", "source", "cause", "start")
    return list(
        zip(*(gaps[name].tolist() for name in names), ends.tolist(), gaps["volume"].tolist(), strict=True)
    )


def stream_rows(streams: dict[int, tuple[str, int]], coverage: Coverage, journal: str) -> list[Row]:
    """Rows for `sqlite_sql.ADD_STREAM`: those named, and those that coverage leans on."""
    fed = coverage[coverage["stream_id"] > 0]
    ids, first = np.unique(fed["stream_id"], return_index=True)
    leaned = zip(ids.tolist(), fed["source"][first].tolist(), fed["start"][first].tolist(), strict=True)
    rows: list[Row] = [(journal, stream, BY_ID[source].name, start) for stream, source, start in leaned]
    return rows + [(journal, stream, feed, last) for stream, (feed, last) in streams.items()]


def precedence_rows(source_order: Sequence[str]) -> list[Row]:
    """Rows for `sqlite_sql.ADD_PRECEDENCE`: rank decides, then the place in the order given.

    Sources that the order does not name share the last place: none of them replaces another.
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
