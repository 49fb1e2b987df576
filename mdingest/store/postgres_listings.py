"""Listings in PostgreSQL. See `mdingest.store.listings`."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice

import asyncpg

from mdingest.store import listings_sql as sql
from mdingest.store.listings import Listed, Listing, Synced
from mdingest.store.postgres_connections import connect, translated

_PORTION = 10_000  # rows of a transaction, and of what is held here
_HALF = 2
_TEXTS = ("token", "symbol", "exchange", "tradingsymbol", "name", "underlying", "kind", "segment", "expiry")


def _own(text: str) -> str:
    """The shared text in PostgreSQL's words."""
    return re.sub(r"NEXT_DAY\(([^)]*)\)", r"(\1::date + 1)::text", text)


async def sync(url: str, provider: str, today: str, rows: Iterable[Listing]) -> Synced:
    """See `sync_listings`."""
    done = Synced()
    async with _opened(url) as connection:
        await _take_in(connection, rows, done)
        for low in range(0, done.rows, _PORTION):
            async with connection.transaction():
                portion = (low, low + _PORTION)
                done.changed += _count(await connection.execute(sql.CHANGE, *portion))
                done.added += _count(await connection.execute(sql.ADD, *portion))
        async with connection.transaction():
            for exchange, seen, known in await connection.fetch(sql.SHRUNK, provider):
                if seen * _HALF < known:
                    done.shrunk(exchange, seen, known)
                else:
                    await connection.execute("INSERT INTO closable (exchange) VALUES ($1)", exchange)
            await connection.execute(_own(sql.FORGET), provider, today)
            for text in (sql.CLOSE, sql.TAKEN):
                done.closed += _count(await connection.execute(_own(text), provider, today))
        for low in range(0, done.rows, _PORTION):
            done.opened += _count(
                await connection.execute(_own(sql.OPEN), provider, today, low, low + _PORTION)
            )
    return done


async def find(
    url: str, words: Sequence[str], *, limit: int, expired: bool
) -> tuple[list[Listed], int, bool]:
    """See `find_listings`; the last value is whether anything is known at all."""
    async with _opened(url) as connection:
        known = await connection.fetchval(sql.KNOWN) is not None
        patterns = [sql.pattern(word) for word in words]
        query = sql.find(len(words), expired=expired, like="ILIKE")
        rows = await connection.fetch(query, " ".join(words), *patterns, limit)
    return [Listed(*tuple(row)[:-1]) for row in rows], rows[0][-1] if rows else 0, known


async def similar(url: str, text: str) -> list[str]:
    """See `similar_symbols`."""
    async with _opened(url) as connection:
        return [row[0] for row in await connection.fetch(sql.SIMILAR.replace("$1", "$1::text"), text)]


async def _take_in(connection: asyncpg.Connection, rows: Iterable[Listing], done: Synced) -> None:
    """The list as a temporary table, without symbols or tokens that were there before."""
    typed = ", ".join(
        f"{name} {'text' if name in _TEXTS else 'integer' if name == 'n' else 'double precision'}"
        for name in sql.INCOMING
    )
    await connection.execute(f"CREATE TEMP TABLE incoming ({typed}, UNIQUE (n))")
    await connection.execute("CREATE TEMP TABLE closable (exchange text PRIMARY KEY)")
    source, doubles = iter(rows), 0
    symbols: set[str] = set()
    tokens: set[str] = set()
    while portion := list(islice(source, _PORTION)):
        kept = []
        for row in portion:
            if row.symbol in symbols or row.token in tokens:
                doubles += 1
                done.twice(row.symbol, doubles)
                continue
            symbols.add(row.symbol)
            tokens.add(row.token)
            done.rows += 1
            kept.append((done.rows, *row))
        await connection.copy_records_to_table("incoming", records=kept, columns=list(sql.INCOMING))
    await connection.execute("CREATE UNIQUE INDEX ON incoming (token)")
    await connection.execute("CREATE UNIQUE INDEX ON incoming (symbol)")
    await connection.execute("ANALYZE incoming, listings, listing_tokens")
    # Nobody has statistics of what this session itself is about to write: the planner would
    # take the tables for empty and walk through them for each row.
    await connection.execute("SET enable_nestloop = off")


def _count(tag: str) -> int:
    """How many rows a statement touched, out of its tag: ``INSERT 0 5``."""
    return int(tag.rpartition(" ")[2])


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of our own. Raises StoreUnavailable, PermanentError or ConfigError."""
    with translated(url):
        connection = await connect(url, {})
        try:
            yield connection
        finally:
            await connection.close()
