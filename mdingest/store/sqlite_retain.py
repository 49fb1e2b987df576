"""Forgetting old rows of a SQLite database, and giving their pages back, a little at a time."""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial

from mdingest.store import sqlite_rows as rows
from mdingest.store import sqlite_sql as sql
from mdingest.store import tables, upkeep
from mdingest.store.base import Retention
from mdingest.store.sqlite_threads import transaction

ROWS_AT_ONCE = 20_000  # about a tenth of a second during which commits wait
_ALL = 1 << 62
_PAGES_AT_ONCE = 1_000
_FREE_SHARE = 0.25  # of the file; fewer free pages are kept, since new rows will want them

# Retention, a bounded number of rows at a time: ?1 instrument, ?2 before, ?3 at most.
_FORGET = {
    seconds: f"""
DELETE FROM candles_{name} WHERE instrument_id = ?1 AND ts_utc IN (
    SELECT c.ts_utc FROM candles_{name} AS c WHERE c.instrument_id = ?1 AND c.ts_utc < ?2
    ORDER BY c.ts_utc LIMIT ?3
)"""  # noqa: S608 - names of intervals
    for seconds, name in tables.NAMES.items()
}
_FORGET_FRESH = (
    "DELETE FROM fresh_1s WHERE ts_utc < ?1",
    "DELETE FROM fresh_seconds WHERE ts_utc < ?1",
)
_FORGET_SPANS = tuple(
    f"""
DELETE FROM {table} WHERE instrument_id = ?1 AND ({key}) IN (
    SELECT {key} FROM {table} WHERE instrument_id = ?1 AND start_ns < ?2 AND end_ns <= ?2
    ORDER BY start_ns LIMIT ?3
)"""  # noqa: S608 - names from the list here
    for table, key in (("coverage_spans", "start_ns, source"), ("gap_spans", "start_ns, source, cause"))
)
_FORGET_HISTORY = {
    seconds: f"""
DELETE FROM history_spans WHERE instrument_id = ?1 AND interval_s = {seconds} AND (source, start_ns) IN (
    SELECT source, start_ns FROM history_spans
    WHERE instrument_id = ?1 AND interval_s = {seconds} AND end_ns <= ?2 LIMIT ?3
)"""  # noqa: S608 - numbers of seconds
    for seconds in tables.NAMES
}
_FORGET_REVISIONS = """
DELETE FROM candle_revisions WHERE id IN (
    SELECT id FROM (SELECT id, replaced_at FROM candle_revisions ORDER BY id LIMIT ?2) WHERE replaced_at < ?1
)"""  # ids follow the time: the oldest are the first, and there is no index to find them by

_REMEMBER = upkeep.FORGET.replace("$", "?")

Piece = Callable[[sqlite3.Connection], int]
"""Does a bounded piece of work in its own transaction; how many rows or pages it touched."""


def pieces(keep: Retention) -> Iterator[tuple[Piece, int]]:
    """Work to be done, each piece again while it touches as much as the number beside it."""
    for interval_s, before_ns in keep.candles.items():
        yield partial(_remember, values=(interval_s, before_ns)), _ALL  # first: some go with the first piece
        if interval_s == 1:
            yield partial(_fresh, before=rows.text_of(before_ns)), _ALL
        yield _ByInstrument(_FORGET[interval_s], rows.text_of(before_ns)), ROWS_AT_ONCE
        yield _ByInstrument(_FORGET_HISTORY[interval_s], keep.history_ns(interval_s)), ROWS_AT_ONCE
    if keep.spans_ns is not None:
        for query in _FORGET_SPANS:
            yield _ByInstrument(query, keep.spans_ns), ROWS_AT_ONCE
    if keep.revisions_ns is not None:
        yield partial(_revisions, before=rows.text_of(keep.revisions_ns)), ROWS_AT_ONCE


class _ByInstrument:
    """Instrument after instrument: the rows of each lie side by side."""

    def __init__(self, query: str, before: str | int) -> None:
        self._query = query
        self._before = before
        self._left: list[int] | None = None

    def __call__(self, connection: sqlite3.Connection) -> int:
        if self._left is None:
            self._left = [row[0] for row in connection.execute(sql.INSTRUMENT_IDS)]
        gone = 0
        with transaction(connection):
            while self._left and gone < ROWS_AT_ONCE:
                values = (self._left[-1], self._before, ROWS_AT_ONCE - gone)
                gone += connection.execute(self._query, values).rowcount
                if gone < ROWS_AT_ONCE:
                    self._left.pop()
        return gone


def _remember(connection: sqlite3.Connection, values: tuple[int, int]) -> int:
    """How far back retention reaches now. No row of candles."""
    with transaction(connection):
        connection.execute(_REMEMBER, values)
    return 0


def _fresh(connection: sqlite3.Connection, before: str) -> int:
    """All at once: these are few."""
    with transaction(connection):
        candles, seconds = _FORGET_FRESH
        gone = connection.execute(candles, (before,)).rowcount
        connection.execute(seconds, (before,))
        return gone


def _revisions(connection: sqlite3.Connection, before: str) -> int:
    with transaction(connection):
        return connection.execute(_FORGET_REVISIONS, (before, ROWS_AT_ONCE)).rowcount


def shrink(connection: sqlite3.Connection) -> int:
    """Give some free pages at the end of the file back to the disk, if there are very many."""
    (free,), (pages,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count")
    )
    if free <= pages * _FREE_SHARE:
        return 0
    connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
    return int(free - connection.execute("PRAGMA freelist_count").fetchone()[0])
