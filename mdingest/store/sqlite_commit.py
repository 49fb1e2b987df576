"""What happens inside one transaction of the SQLite store, and to its WAL after it."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from mdingest.core.events import Candles
from mdingest.errors import Fenced
from mdingest.store import anew, tables, upkeep
from mdingest.store import rows as plain
from mdingest.store import sqlite_rows as rows
from mdingest.store import sqlite_sql as sql
from mdingest.store.base import Transaction
from mdingest.store.sqlite_fresh import split

WAL_SOFT_BYTES = 16 << 20  # from here on the WAL is copied into the database after each commit
WAL_HARD_BYTES = 64 << 20  # from here on we wait for readers so that it can start anew
LITTLE_ROOM_BYTES = 2 * WAL_HARD_BYTES  # with less left on the disk, the WAL is kept ...
WAL_SCARCE_BYTES = 1 << 20  # ... as small as this
_READER_PATIENCE_MS = 200  # ... this long


def write(connection: sqlite3.Connection, new: Transaction) -> int:
    """All rows of a transaction, inside one; how many candles changed.

    Raises Fenced before anything is written.
    """
    changed = 0
    journal = new.position.journal if new.position is not None else ""
    if new.position is not None:
        done = connection.execute(sql.SET_POSITION, (journal, new.position.lsn, new.epoch))
        if done.rowcount != 1:
            epoch, owner = connection.execute(tables.OWNER).fetchone()
            raise Fenced(f"{owner} took over as owner {epoch} of this database, we were {new.epoch}")
    _retire(connection, new)
    if len(new.candles):
        for interval_s, candles in rows.in_order(new.candles):
            if interval_s == 1:
                changed += _write_seconds(connection, candles)
            else:
                changed += _upsert(connection, sql.UPSERT[interval_s], candles)
    if len(new.marks):
        for interval_s in tables.LIVE:
            connection.executemany(sql.MARK[interval_s], rows.mark_rows(new.marks, interval_s))
        connection.executemany(sql.MARK_FRESH, rows.mark_rows(new.marks, 1))
    if new.streams or len(new.coverage):
        connection.executemany(sql.ADD_STREAM, plain.stream_rows(new.streams, new.coverage, journal))
        connection.executemany(sql.SET_COVERAGE, plain.coverage_rows(new.coverage, journal))
        connection.executemany(sql.CLOSE_GAPS, plain.begun_rows(new.coverage))
    connection.executemany(sql.SET_GAP, plain.gap_rows(new.gaps))
    _write_upkeep(connection, new)
    return changed


def _retire(connection: sqlite3.Connection, new: Transaction) -> None:
    for instrument, interval_s, source in new.instead_of:
        for statement in anew.SQLITE[interval_s]:
            connection.execute(statement, (instrument, source))
        connection.execute(anew.FORGET_SPANS.replace("$", "?"), (instrument, interval_s, source))


def _write_upkeep(connection: sqlite3.Connection, new: Transaction) -> None:
    for span in plain.fetched_rows(new.fetched):
        _join(connection, span)
    for statement, values in upkeep.statements(new.repairs, new.runs, new.differences):
        connection.executemany(statement.replace("$", "?"), values)


def bound_wal(connection: sqlite3.Connection, wal: Path) -> str | None:
    """Copy the WAL into the database when it is long; when it is very long, make readers wait.

    A WAL starts anew only once no reader looks at it, which constant readers never grant by
    themselves. What a checkpoint can't do (a reader that stays, a full disk) is tried again
    after the next commit; the commit before it stands. Returns what went wrong.
    """
    size = wal.stat().st_size if wal.exists() else 0
    if size < WAL_SCARCE_BYTES:
        return None
    scarce = shutil.disk_usage(wal.parent).free < LITTLE_ROOM_BYTES
    if size < WAL_SOFT_BYTES and not scarce:
        return None
    (usual,) = connection.execute("PRAGMA busy_timeout").fetchone()
    try:
        if size < WAL_HARD_BYTES and not scarce:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        else:
            connection.execute(f"PRAGMA busy_timeout = {_READER_PATIENCE_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as exc:
        return str(exc)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual}")
    return None


def _join(connection: sqlite3.Connection, span: plain.Row) -> None:
    """One span in place of those it touches: fetched ranges stay few."""
    start, end = connection.execute(sql.TOUCHED_HISTORY, span).fetchone()
    connection.execute(sql.FORGET_TOUCHED_HISTORY, span)
    connection.execute(sql.ADD_HISTORY, (*span[:3], start, end))


def _write_seconds(connection: sqlite3.Connection, candles: Candles) -> int:
    settled, fresh = split(connection, candles)
    return _upsert(connection, sql.UPSERT[1], settled) + _upsert(connection, sql.UPSERT_FRESH, fresh)


def _upsert(connection: sqlite3.Connection, statements: Sequence[str], candles: Candles) -> int:
    """How many rows changed."""
    alone, between_sources = statements
    changed = 0
    for values in rows.candle_rows(candles):
        moved = connection.executemany(alone, values).rowcount
        if moved < len(values):
            moved += connection.executemany(between_sources, values).rowcount
        changed += moved
    return changed
