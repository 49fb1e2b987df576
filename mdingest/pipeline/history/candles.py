"""Bars of a provider to candles of ours: named, placed in their session, and only if final."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import CANDLE, FETCHED, Candles, Fetched, State
from mdingest.core.interval import WEEK, Interval, buckets
from mdingest.core.rank import BY_NAME
from mdingest.core.rows import distinct, take
from mdingest.core.session import DAY_NS, SECOND_NS, Session, SessionTable
from mdingest.core.spans import Span, subtract, union
from mdingest.providers.history import Bars

_MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Candles, ascending, and the bars that became none."""

    candles: Candles
    off_grid: Bars  # open where no candle of this length does
    unfinished: Bars  # not over yet at the instant asked about


def place(
    bars: Bars, interval: Interval, table: SessionTable, settled_ns: int, *, instrument_id: int, source: str
) -> Placed:
    """Candles out of good bars, ascending and each stamp once. ``(n,)`` to ``(m <= n,)``.

    A stamp may lie some seconds into its minute (some vendors name the last trade). What is
    not over at ``settled_ns`` is unfinished: it is never stored as final.
    """
    ts = bars["ts"].astype(np.int64)
    on_grid = np.ones(len(ts), np.bool_)
    if not interval.is_daily_or_longer:
        if interval.ns >= _MINUTE_NS:
            ts = ts // _MINUTE_NS * _MINUTE_NS
        starts = buckets(ts, interval, table).names
        on_grid = (starts == ts) & (ts % SECOND_NS == 0)
        on_grid[1:] &= ts[1:] != ts[:-1]
    over = final_at(ts, interval, table) <= settled_ns
    keep = on_grid & over
    out = np.empty(int(keep.sum()), CANDLE)
    good = bars if keep.all() else take(bars, keep)
    out["instrument_id"], out["interval_s"] = instrument_id, interval.seconds
    out["ts"] = ts[keep]
    for name in ("open", "high", "low", "close", "volume", "oi"):
        out[name] = good[name]
    out["trades"], out["revision"], out["flags"] = -1, 0, 0
    out["source"], out["state"] = BY_NAME[source].id, State.FINAL
    out["session"] = _sessions(out["ts"], interval, table)
    return Placed(Candles(out), Bars(take(bars, over & ~on_grid)), Bars(take(bars, ~over)))


def final_at(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> NDArray[np.int64]:
    """When each candle is over: nothing can trade in it any more. ``(n,)`` to ``(n,)``.

    A day is over with its last session, not at midnight; a week with the last session in it.
    """
    if not interval.is_daily_or_longer:
        return np.asarray(np.minimum(ts + interval.ns, buckets(ts, interval, table).ends))
    over = {}
    for name in distinct(ts).tolist():
        first = name // DAY_NS
        days = [table.day(first + n) for n in range(7 if interval == WEEK else 1)]
        ends = [
            (first + n + 1) * DAY_NS if day is None else day.windows[-1].end_ns if day.windows else day.end_ns
            for n, day in enumerate(days)
            if day is None or day.windows or not day.known
        ]
        over[name] = max(ends, default=name)
    return np.fromiter((over[name] for name in ts.tolist()), np.int64, len(ts))


def _sessions(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> NDArray[np.uint8]:
    if not interval.is_daily_or_longer:
        return table.session_of(ts)
    days = {name: table.day(name // DAY_NS) for name in distinct(ts).tolist()}
    known = {
        name: Session.UNKNOWN if day is None or not (day.windows or interval == WEEK) else Session.REGULAR
        for name, day in days.items()
    }
    return np.fromiter((known[name] for name in ts.tolist()), np.uint8, len(ts))


def covered(
    ts: NDArray[np.int64],
    interval: Interval,
    table: SessionTable,
    *,
    holes: NDArray[np.int64],
    before: Span | None = None,
) -> list[Span]:
    """What a file answers for: from its first candle to its last, less the trading days it lacks.

    ``ts`` are ascending candles of a part of it, ``before`` what the part before reached from
    and to, ``holes`` the stamps of rows that were rejected.
    """
    if not len(ts):
        return []
    if interval.is_daily_or_longer:
        return spans_of(ts, interval, table)
    low, high = int(ts[0]), int(ts[-1]) + interval.ns
    dates = set(distinct(table.trade_date_of(ts)).tolist())
    if before is not None:  # the minutes between two parts are inside the file
        for edge in before:
            if table.trade_date_of(edge) in dates or table.trade_date_of(edge - 1) in dates:
                low, high = min(low, edge), max(high, edge)
    lacked = [
        (day.start_ns, day.end_ns)
        for day in table.days
        if day.known and day.windows and day.ordinal not in dates and day.start_ns < high and low < day.end_ns
    ]
    wrong = buckets(holes, interval, table)
    spans = zip(wrong.starts.tolist(), wrong.ends.tolist(), strict=True)
    return subtract([(low, high)], union([*lacked, *spans]))


def spans_of(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> list[Span]:
    """What candles of these names stretch over: days from midnight to midnight of the exchange."""
    if not interval.is_daily_or_longer:
        return union((stamp, stamp + interval.ns) for stamp in ts.tolist())
    spans = []
    for name in ts.tolist():
        days = [table.day(name // DAY_NS + n) for n in range(7 if interval == WEEK else 1)]
        spans += [(day.start_ns, day.end_ns) for day in days if day is not None]
    return union(spans)


def settled_edge(settled_ns: int, interval: Interval, table: SessionTable) -> int:
    """Up to where candles are over at an instant: the start of the one that is not, else its end."""
    here = buckets(np.array([settled_ns], np.int64), interval, table)
    over = int(final_at(here.names, interval, table)[0]) <= settled_ns
    return int(here.ends[0] if over else here.starts[0])


def fetched(spans: list[Span], interval: Interval, *, instrument_id: int, source: str) -> Fetched:
    """Spans as rows for the store."""
    rows = [(instrument_id, interval.seconds, BY_NAME[source].id, *span) for span in spans]
    return Fetched(np.array(rows, FETCHED))
