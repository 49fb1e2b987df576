"""Candles and what was heard beside them, asked in a thread of a connection: each in one snapshot."""

import sqlite3
from operator import itemgetter

from mdingest.core.events import CANDLE, Candles
from mdingest.core.session import SECOND_NS
from mdingest.store import rows as plain
from mdingest.store import sqlite_rows as rows
from mdingest.store import sqlite_sql as sql
from mdingest.store import upkeep
from mdingest.store.base import Excerpt
from mdingest.store.sqlite_threads import Work, snapshot

_BY_TS = itemgetter((CANDLE.names or ()).index("ts"))
_GAPS = upkeep.GAPS.replace("$", "?")


def candles(instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int) -> Work[Candles]:
    """See `Store.candles`. Raises ValueError for an interval that is not stored."""
    read = _candles(instrument_id, interval_s, start_ns, end_ns, limit)

    def work(connection: sqlite3.Connection) -> Candles:
        with snapshot(connection):
            return read(connection)

    return work


def excerpt(
    instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
) -> Work[Excerpt]:
    """See `Store.excerpt`. Raises ValueError for an interval that is not stored."""
    read = _candles(instrument_id, interval_s, start_ns, end_ns, limit)

    def work(connection: sqlite3.Connection) -> Excerpt:
        with snapshot(connection):
            last = read(connection)
            values = (instrument_id, min([since_ns, *last["ts"][:1].tolist()]), end_ns)
            coverage = connection.execute(sql.COVERAGE, values).fetchall()
            gaps = connection.execute(_GAPS, values).fetchall()
        return Excerpt(last, plain.coverage_of(instrument_id, coverage), list(map(upkeep.gap_of, gaps)))

    return work


def bounds(connection: sqlite3.Connection) -> dict[tuple[int, int], tuple[int, int]]:
    """First and last opening instant by (instrument, interval), UTC ns."""
    return {
        (number, interval_s): (first * SECOND_NS, last * SECOND_NS)
        for interval_s, query in sql.BOUNDS.items()
        for number, first, last in connection.execute(query)
    }


def _candles(instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int) -> Work[Candles]:
    """Inside a snapshot: see `Store.candles`. Raises ValueError for an interval that is not stored."""
    if interval_s not in sql.CANDLES:
        raise ValueError(f"candles of {interval_s} s are not stored")
    values = (instrument_id, rows.text_of(start_ns), rows.text_of(end_ns), limit)

    def work(connection: sqlite3.Connection) -> Candles:
        found = connection.execute(sql.CANDLES[interval_s], values).fetchall()
        fresh = connection.execute(sql.FRESH_CANDLES, values).fetchall() if interval_s == 1 else []
        if fresh:
            found = sorted(found + fresh, key=_BY_TS, reverse=True)[:limit]
        return rows.candles_of(found)

    return work
