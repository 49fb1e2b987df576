"""Columns to rows of SQL values and back: ``tolist`` and ``zip``, no loop over cells.

NaN needs no care: SQLite stores it as NULL. Instants of candles are text of fixed width,
all other instants are ns.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import CANDLE, Candles, Marks
from mdingest.core.session import SECOND_NS
from mdingest.store.rows import Row, by_key
from mdingest.store.sqlite_sql import COLUMNS

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
    texts = np.datetime_as_string(distinct.astype("datetime64[s]"), timezone="UTC")
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
    """Interval in seconds, and its candles as `by_key` sorts them: a table's pages are visited once each."""
    rows = by_key(candles)
    intervals, starts = np.unique(rows["interval_s"], return_index=True)
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


def mark_rows(marks: Marks, interval_s: int) -> list[Row]:
    """Rows for `sqlite_sql.MARK`. A range without length stands for its instant."""
    length = interval_s * SECOND_NS
    after = (np.maximum(marks["start"], _FIRST_NS) - length) // SECOND_NS  # ts > it: the bucket ends later
    end = np.maximum(marks["end"], np.minimum(marks["start"], _LAST_NS - 1) + 1)
    before = -(-end // SECOND_NS)
    columns = (marks["partial"].tolist(), marks["flags"].tolist(), marks["instrument_id"].tolist())
    return list(zip(*columns, texts_of(after), texts_of(before), marks["source"].tolist(), strict=True))
