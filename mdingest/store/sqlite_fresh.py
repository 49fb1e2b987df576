"""Where the seconds of a SQLite database are, and how they get there.

Seconds are written twice. Right away they go to a small table in time order, where the rows
of a whole market lie side by side. Once it holds some dozens of seconds, a line is drawn after
them, and while the next ones come they move, sorted, to the table that lists each instrument
by itself: a slice of the instruments with each commit. A page of that table is then touched
once in half a minute instead of every second, and no commit waits for a whole market to move.
Measured side by side with 9,000 instruments, a commit a second, on ten million rows: 70 ms of
CPU a second instead of 200, and less than a tenth of the bytes written.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from mdingest.core.events import Candles
from mdingest.core.rows import distinct, take
from mdingest.core.session import SECOND_NS
from mdingest.store import sqlite_rows as rows
from mdingest.store import sqlite_sql as sql
from mdingest.store.base import Transaction
from mdingest.store.sqlite_threads import transaction

FRESH_SECONDS = 32  # before the line is drawn anew; each costs readers a step
_MOVED_WITHIN = 24  # of those seconds, so that a move is over well before the next
_LEAST = 256  # instruments that are worth a transaction of their own
_AT_ONCE = 512  # instruments moved by one statement


class _Line(NamedTuple):
    """Rows of ``since`` and later are fresh; so are those of ``moving`` and later whose turn is to come."""

    since: str
    moving: str  # no line before: as `since`
    moved: int  # instruments up to this id have had their turn


def split(connection: sqlite3.Connection, seconds: Candles) -> tuple[Candles, Candles]:
    """Those that go to, or are in, the table for good, and the fresh ones, whose seconds are listed."""
    line = _line(connection)
    times = distinct(seconds["ts"])
    texts = rows.texts_of(times // SECOND_NS)
    at = np.searchsorted(times, seconds["ts"])
    waits = (at >= bisect_left(texts, line.moving)) & (seconds["instrument_id"] > line.moved)
    fresh = waits | (at >= bisect_left(texts, line.since))
    used = distinct(at[fresh]).tolist()
    connection.executemany(sql.ADD_FRESH_SECOND, [(texts[i],) for i in used])
    if fresh.all():
        return Candles(seconds[:0]), seconds
    return Candles(take(seconds, ~fresh)), Candles(take(seconds, fresh))


class _Due(NamedTuple):
    """What there is to do before seconds are written."""

    line: _Line
    upto: int  # instruments whose turn has come
    last: int
    draw_after: str  # the line is drawn anew after this second; empty: it stays
    many: bool  # and everything before it moves at once: history may go where it stays


def make_room(connection: sqlite3.Connection, new: Transaction) -> None:
    """Move a slice of what waits, and draw the line anew if too many seconds would be after it.

    A transaction of its own, to be called outside of one: all of it, or nothing. The rows have
    passed every constraint, so they are not put to them again; nor does each statement then keep
    the pages as they were, to undo itself alone. Measured with 9,000 instruments: 55 to 60 ms of
    CPU for a second of them, 85 with the constraints.
    """
    times = distinct(new.candles["ts"][new.candles["interval_s"] == 1])
    texts = rows.texts_of(times // SECOND_NS)
    if _due(connection, texts) is None:
        return
    with _unchecked(connection), transaction(connection):
        due = _due(connection, texts)  # another process may have moved some before we had our turn
        if due is None:
            return
        if due.line.moving < due.line.since:
            _move(connection, due.line, due.upto, due.last)
        if due.draw_after:
            connection.execute(sql.DRAW_LINE, (due.draw_after,))
        if due.many:
            _move(connection, _line(connection), due.last, due.last)


def _due(connection: sqlite3.Connection, texts: list[str]) -> _Due | None:
    line = _line(connection)
    coming = [text for text in texts if text >= line.since]
    if not coming:
        return None
    waiting, newest = connection.execute(sql.FRESH_SECONDS, (line.since,)).fetchone()
    seconds = waiting + len(coming)
    full, many = seconds > FRESH_SECONDS, len(coming) > FRESH_SECONDS
    if line.moving == line.since and not full:
        return None
    (last,) = connection.execute(sql.LAST_INSTRUMENT).fetchone()
    upto = last if full else min(last, last * seconds // _MOVED_WITHIN)
    if upto < last and upto - line.moved < _LEAST:
        return None
    draw_after = (max(newest, coming[-1]) if many else newest) if full else ""
    return _Due(line, upto, last, draw_after, many)


def _line(connection: sqlite3.Connection) -> _Line:
    return _Line(*connection.execute(sql.FRESH_LINE).fetchone())


def _move(connection: sqlite3.Connection, line: _Line, upto: int, last: int) -> None:
    """What waits of instruments up to the id ``upto``; where that is the last, nothing waits any more."""
    waiting = [text for (text,) in connection.execute(sql.WAITING_SECONDS, (line.since,))]
    for after in range(line.moved, upto, _AT_ONCE):
        ids = (after, min(after + _AT_ONCE, upto))
        connection.execute(sql.SETTLE, (*ids, line.since))
        connection.executemany(sql.SETTLED, [(text, *ids) for text in waiting])
    if upto < last:
        connection.execute(sql.SET_MOVED, (upto,))
    else:
        connection.execute(sql.FORGET_SECONDS, (line.since,))
        connection.execute(sql.ALL_MOVED)


@contextmanager
def _unchecked(connection: sqlite3.Connection) -> Iterator[None]:
    """Without constraints, which can't be switched inside a transaction."""
    _constraints(connection, "OFF")
    try:
        yield
    finally:
        _constraints(connection, "ON")


def _constraints(connection: sqlite3.Connection, state: str) -> None:
    connection.execute(f"PRAGMA foreign_keys = {state}")
    connection.execute(f"PRAGMA ignore_check_constraints = {'OFF' if state == 'ON' else 'ON'}")
