"""Making partitions ahead, and forgetting: old partitions whole, old rows of other tables in pieces."""

from collections.abc import Awaitable, Callable

from mdingest.core.session import DAY_NS
from mdingest.store import postgres_rows as rows
from mdingest.store import postgres_sql as sql
from mdingest.store import tables
from mdingest.store.base import Retention

ROWS_AT_ONCE = 20_000
_AHEAD_NS = {1: 4 * DAY_NS, 60: 32 * DAY_NS}  # past a long weekend, into the next month
_DAYS_NS, _WEEKS_NS = 14 * DAY_NS, 100 * DAY_NS  # seconds kept up to so long are cut by day, by week

Do = Callable[..., Awaitable[int]]
"""Runs a statement in a transaction of its own: the number it answers, or how many rows it touched."""


def width(interval_s: int, kept_ns: int | None) -> str:
    """How the next partitions of an interval are cut, by how long its candles are kept; None is for ever.

    A query without a time is planned over all of them, so they must be few. They go whole, so
    what is not kept for ever is cut into months at most.
    """
    if interval_s != 1:
        return "year" if kept_ns is None else "month"
    if kept_ns is None or kept_ns > _WEEKS_NS:
        return "month"
    return "day" if kept_ns <= _DAYS_NS else "week"


async def retain(do: Do, keep: Retention, now_ns: int) -> int:
    """See `Store.retain`."""
    gone = 0
    for interval_s in tables.LIVE:
        before_ns = keep.candles.get(interval_s)
        kept_ns = None if before_ns is None else now_ns - before_ns
        await do(sql.SET_WIDTH, tables.NAMES[interval_s], width(interval_s, kept_ns))
        until = now_ns + _AHEAD_NS[interval_s]
        await do(sql.ADD_PARTITIONS, tables.NAMES[interval_s], rows.us_of(now_ns), rows.us_of(until))
    for interval_s, before_ns in keep.candles.items():
        gone += await do(sql.DROP_PARTITIONS, tables.NAMES[interval_s], rows.us_of(before_ns))
    if keep.revisions_ns is not None:
        gone += await _in_pieces(do, sql.FORGET_REVISIONS, rows.us_of(keep.revisions_ns))
    for interval_s in keep.candles:
        gone += await _in_pieces(do, sql.FORGET_HISTORY, interval_s, keep.history_ns(interval_s))
    if keep.spans_ns is not None:
        for query in sql.FORGET_SPANS:
            gone += await _in_pieces(do, query, keep.spans_ns)
    return gone


async def _in_pieces(do: Do, query: str, *values: object) -> int:
    gone = 0
    while True:
        done = await do(query, *values, ROWS_AT_ONCE)
        gone += done
        if done < ROWS_AT_ONCE:
            return gone
