"""Listings in SQLite. See `mdingest.store.listings`."""

import asyncio
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from mdingest.errors import ConfigError, PermanentError
from mdingest.store import listings_sql as sql
from mdingest.store.listings import Listed, Listing, Synced
from mdingest.store.migrate import load, pending_of
from mdingest.store.sqlite_threads import transaction, translated

_PORTION = 10_000  # rows of a transaction: a fraction of a second
_READ = 2_000
_BUSY_S = 30.0
_HALF = 2


def _own(text: str) -> str:
    """The shared text in SQLite's words."""
    text = re.sub(r"NEXT_DAY\(([^)]*)\)", r"date(\1, '+1 day')", text)
    return re.sub(r"\$(\d+)", r"?\1", text)


async def sync(path: Path, provider: str, today: str, rows: Iterable[Listing]) -> Synced:
    """See `sync_listings`."""
    return await asyncio.to_thread(_sync, path, provider, today, rows)


async def find(
    path: Path, words: Sequence[str], *, limit: int, expired: bool
) -> tuple[list[Listed], int, bool]:
    """See `find_listings`; the last value is whether anything is known at all."""
    return await asyncio.to_thread(_find, path, words, limit, expired)


async def similar(path: Path, text: str) -> list[str]:
    """See `similar_symbols`."""
    return await asyncio.to_thread(_similar, path, text)


def _sync(path: Path, provider: str, today: str, rows: Iterable[Listing]) -> Synced:
    done = Synced()
    with _opened(path) as connection:
        _take_in(connection, rows, done)
        for low in range(0, done.rows, _PORTION):
            portion = (low, low + _PORTION)
            with transaction(connection):
                done.changed += connection.execute(_own(sql.CHANGE), portion).rowcount
                done.added += connection.execute(_own(sql.ADD), portion).rowcount
        with transaction(connection):
            for exchange, seen, known in connection.execute(_own(sql.SHRUNK), (provider,)).fetchall():
                if seen * _HALF < known:
                    done.shrunk(exchange, seen, known)
                else:
                    connection.execute("INSERT INTO closable (exchange) VALUES (?)", (exchange,))
            keys = (provider, today)
            connection.execute(_own(sql.FORGET), keys)
            done.closed += connection.execute(_own(sql.CLOSE), keys).rowcount
            done.closed += connection.execute(_own(sql.TAKEN), keys).rowcount
        for low in range(0, done.rows, _PORTION):
            with transaction(connection):
                values = (provider, today, low, low + _PORTION)
                done.opened += connection.execute(_own(sql.OPEN), values).rowcount
    return done


def _take_in(connection: sqlite3.Connection, rows: Iterable[Listing], done: Synced) -> None:
    """The list as a temporary table, so that it is compared in the database and not here."""
    typed = ", ".join(f"{name} {'INTEGER PRIMARY KEY' if name == 'n' else ''}" for name in sql.INCOMING)
    connection.execute(f"CREATE TEMP TABLE incoming ({typed}, UNIQUE (symbol), UNIQUE (token))")
    connection.execute("CREATE TEMP TABLE closable (exchange TEXT PRIMARY KEY)")
    marks = ", ".join("?" * len(sql.INCOMING))
    insert = f"INSERT INTO incoming VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - question marks
    source, doubles = iter(rows), 0
    while portion := list(islice(source, _READ)):
        connection.execute("BEGIN")
        for row in portion:
            if connection.execute(insert, (done.rows + 1, *row)).rowcount:
                done.rows += 1
            else:
                doubles += 1
                done.twice(row.symbol, doubles)
        connection.execute("COMMIT")


def _find(path: Path, words: Sequence[str], limit: int, expired: bool) -> tuple[list[Listed], int, bool]:  # noqa: FBT001
    with _opened(path) as connection:
        known = connection.execute(sql.KNOWN).fetchone() is not None
        query = _own(sql.find(len(words), expired=expired, like="LIKE"))
        values = (" ".join(words), *(sql.pattern(word) for word in words), limit)
        rows = connection.execute(query, values).fetchall()
    return [Listed(*row[:-1]) for row in rows], rows[0][-1] if rows else 0, known


def _similar(path: Path, text: str) -> list[str]:
    with _opened(path) as connection:
        return [symbol for (symbol,) in connection.execute(_own(sql.SIMILAR), (text,))]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A migrated database. Raises ConfigError, PermanentError or StoreUnavailable."""
    if not path.exists():
        raise ConfigError(f"there is no database at {path}: run `mdingest migrate` first, or `mdingest run`")
    with (
        translated(),
        closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection,
    ):
        if pending := pending_of(connection, load("sqlite")):
            raise PermanentError(
                f"{path} lacks {pending[0].name}: run `mdingest migrate` first, or `mdingest run`"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection
