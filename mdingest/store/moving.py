"""A whole SQLite database into a PostgreSQL one, to be broken off and taken up at any time.

Candles are compared page by page, copied where the pages differ, and compared again: what is
there already is not sent twice, and what is reported as equal has been read back. Everything
else (coverage, gaps, replaced rows) follows in statements that may be repeated.

Positions stay behind. An instrument has another id there, and a journal and its states hold the
ids of here: a start there finds a journal that it does not know, and replays it by symbol.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from mdingest.core.events import CANDLE, OPEN_END, Candles
from mdingest.core.interval import Interval
from mdingest.store import postgres_sql as sql
from mdingest.store.base import Store, SymbolRow, Transaction
from mdingest.store.postgres import PostgresStore
from mdingest.store.sqlite_threads import connect
from mdingest.store.upkeep import FORGET

_PAGE = 20_000
_BATCH = 10_000
_FIRST_NS = -(1 << 62)
_PACKED = np.dtype([(name, CANDLE[name]) for name in CANDLE.names or () if name != "instrument_id"])

# Name, what is read here, what is done with each row there. All may be done twice, and again after the
# other side went on by itself: of two rows of a key the one that knows more stays.
_OTHERS = (
    (
        "streams",
        "SELECT journal, stream_id, feed, last_ns FROM streams ORDER BY id",  # whose order means something
        """
        INSERT INTO streams AS s (journal, stream_id, feed, last_ns) VALUES ($1, $2, $3, $4)
        ON CONFLICT (journal, stream_id) DO UPDATE SET last_ns = greatest(s.last_ns, excluded.last_ns)""",
    ),
    (
        "coverage_spans",
        """
        SELECT i.symbol, c.start_ns, c.source, c.end_ns, s.journal, s.stream_id FROM coverage_spans AS c
        JOIN instruments AS i ON i.id = c.instrument_id LEFT JOIN streams AS s ON s.id = c.stream""",
        """
        INSERT INTO coverage_spans AS c (instrument_id, start_ns, source, end_ns, stream)
        SELECT i.id, $2, $3, $4, (SELECT id FROM streams WHERE journal = $5 AND stream_id = $6)
        FROM instruments AS i WHERE symbol = $1
        ON CONFLICT (instrument_id, start_ns, source)
        DO UPDATE SET end_ns = excluded.end_ns, stream = excluded.stream
        WHERE c.end_ns IS NULL OR excluded.end_ns > c.end_ns""",
    ),
    (
        "history_spans",
        """
        SELECT i.symbol, h.interval_s, h.source, h.start_ns, h.end_ns FROM history_spans AS h
        JOIN instruments AS i ON i.id = h.instrument_id""",
        """
        INSERT INTO history_spans AS h (instrument_id, interval_s, source, start_ns, end_ns)
        SELECT id, $2, $3, $4, $5 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, interval_s, source, start_ns) DO UPDATE SET end_ns = excluded.end_ns
        WHERE excluded.end_ns > h.end_ns""",
    ),
    (
        "gap_spans",
        """
        SELECT i.symbol, g.start_ns, g.source, g.cause, g.end_ns, g.volume, g.repair, g.reason, g.attempts,
            g.retry_ns FROM gap_spans AS g JOIN instruments AS i ON i.id = g.instrument_id""",
        # The one that ended, or reaches further, or whose repair has come further.
        """
        INSERT INTO gap_spans AS g (
            instrument_id, start_ns, source, cause, end_ns, volume, repair, reason, attempts, retry_ns
        )
        SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, start_ns, source, cause)
        DO UPDATE SET end_ns = excluded.end_ns, volume = greatest(g.volume, excluded.volume),
            repair = excluded.repair, reason = excluded.reason, attempts = excluded.attempts,
            retry_ns = excluded.retry_ns
        WHERE CASE
            WHEN g.end_ns IS DISTINCT FROM excluded.end_ns THEN g.end_ns IS NULL OR excluded.end_ns > g.end_ns
            ELSE (array_position(ARRAY['open', 'repairing', 'unfillable', 'repaired'], excluded.repair),
                excluded.attempts, excluded.retry_ns)
                > (array_position(ARRAY['open', 'repairing', 'unfillable', 'repaired'], g.repair),
                g.attempts, g.retry_ns)
        END""",
    ),
    (
        "candle_differences",
        """
        SELECT i.symbol, d.date, d.interval_s, d.other, d.field, d.compared, d.differing, d.worst_ns,
            d.ours, d.theirs FROM candle_differences AS d JOIN instruments AS i ON i.id = d.instrument_id""",
        """
        INSERT INTO candle_differences AS d (
            instrument_id, date, interval_s, other, field, compared, differing, worst_ns, ours, theirs
        )
        SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, date, interval_s, other, field)
        DO UPDATE SET compared = excluded.compared, differing = excluded.differing,
            worst_ns = excluded.worst_ns, ours = excluded.ours, theirs = excluded.theirs
        WHERE excluded.compared > d.compared""",
    ),
    (
        "forgotten",
        "SELECT interval_s, before_ns FROM forgotten",
        FORGET,
    ),
    (
        "schedule_runs",
        "SELECT name, due_ns, ended_ns, failed, attempts, said FROM schedule_runs",
        """
        INSERT INTO schedule_runs AS r (name, due_ns, ended_ns, failed, attempts, said)
        VALUES ($1, $2, $3, $4::integer = 1, $5, $6)
        ON CONFLICT (name) DO UPDATE SET due_ns = excluded.due_ns, ended_ns = excluded.ended_ns,
            failed = excluded.failed, attempts = excluded.attempts, said = excluded.said
        WHERE (excluded.due_ns, excluded.ended_ns) > (r.due_ns, r.ended_ns)""",
    ),
    (
        "candle_revisions",
        """
        SELECT i.symbol, r.interval, r.ts_utc, r.open, r.high, r.low, r.close, r.volume, r.oi, r.trades,
            r.source, r.state, r.session, r.flags, r.revision, r.replaced_by, r.replaced_at
        FROM candle_revisions AS r JOIN instruments AS i ON i.id = r.instrument_id ORDER BY r.id""",
        """
        INSERT INTO candle_revisions (symbol, interval, ts_utc, open, high, low, close, volume, oi, trades,
            source, state, session, flags, revision, replaced_by, replaced_at)
        SELECT $1::text, $2::text, $3::text::timestamptz, $4::float8, $5::float8, $6::float8, $7::float8,
            $8::float8, $9::float8, $10::int, $11::smallint, $12::smallint, $13::smallint, $14::int,
            $15::int, $16::smallint, $17::text::timestamptz
        WHERE NOT EXISTS (
            SELECT 1 FROM candle_revisions
            WHERE symbol = $1 AND interval = $2 AND ts_utc = $3::text::timestamptz AND source = $11
            AND revision = $15 AND replaced_by = $16 AND replaced_at = $17::text::timestamptz
        )""",
    ),
    (
        "listings",
        """
        SELECT symbol, exchange, tradingsymbol, name, underlying, kind, segment, expiry, strike, tick_size,
            lot_size FROM listings ORDER BY id""",
        """
        INSERT INTO listings (symbol, exchange, tradingsymbol, name, underlying, kind, segment, expiry,
            strike, tick_size, lot_size)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (symbol) DO UPDATE SET name = excluded.name, underlying = excluded.underlying,
            kind = excluded.kind, segment = excluded.segment, expiry = excluded.expiry,
            strike = excluded.strike, tick_size = excluded.tick_size, lot_size = excluded.lot_size""",
    ),
    (
        "listing_tokens",
        """
        SELECT t.provider, t.token, t.valid_from, t.valid_to, l.symbol FROM listing_tokens AS t
        JOIN listings AS l ON l.id = t.listing_id ORDER BY t.valid_from""",
        # A list synced there meanwhile may mean something else by a token today: that is kept.
        """
        INSERT INTO listing_tokens AS t (provider, token, valid_from, valid_to, listing_id)
        SELECT $1::text, $2::text, $3::text, $4::text, id FROM listings WHERE symbol = $5
        AND ($4::text IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM listing_tokens
            WHERE provider = $1 AND token = $2 AND valid_from <> $3 AND valid_to IS NULL
        ))
        ON CONFLICT (provider, token, valid_from)
        DO UPDATE SET valid_to = excluded.valid_to, listing_id = excluded.listing_id
        WHERE t.valid_to IS NULL""",
    ),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One instrument and interval, or one other table (no interval), and whether both sides agree."""

    name: str
    interval: str
    rows: int
    copied: int  # rows that were not there yet, or said something else
    there: int  # rows of the copy
    lost: int  # rows that the copy lacks, or has otherwise; of other tables, by their number
    checksum: str  # sha256 of what is here; empty for other tables
    checksum_there: str

    @property
    def equal(self) -> bool:
        """Rows and checksum are the same on both sides."""
        return self.rows == self.there and self.checksum == self.checksum_there


async def copy_all(
    path: Path, source: Store, target: PostgresStore, progress: Callable[[str, int, int], None]
) -> AsyncGenerator[Series, None]:
    """Copy and verify everything; one answer a series, as it is done.

    ``path`` is the file behind ``source``, which nobody may write meanwhile. ``progress`` hears
    of a series, and how many of all series are behind us. Raises StoreUnavailable; what was
    copied till then stays and is found again.
    """
    symbols = await source.symbols()
    there = await target.ensure_instruments([row.instrument for row in symbols])
    count = sum(len(row.ranges) for row in symbols) + len(_OTHERS)
    done = 0
    for row, instrument in zip(symbols, there, strict=True):
        for interval_s in row.ranges:
            progress(f"{row.instrument.symbol} {Interval(interval_s).text}", done, count)
            yield await _series(source, target, row, instrument.id, interval_s)
            done += 1
    for name, query, statement in _OTHERS:
        progress(name, done, count)
        yield await _table(path, target, name, query, statement)
        done += 1
    progress("done", count, count)


async def _series(
    source: Store, target: PostgresStore, row: SymbolRow, there: int, interval_s: int
) -> Series:
    here = row.instrument.id
    copied = total = lost = 0
    sums = hashlib.sha256(), hashlib.sha256()
    end = OPEN_END
    while len(page := await source.candles(here, interval_s, _FIRST_NS, end, _PAGE)):
        begin = int(page["ts"][0])
        data = _packed(page)
        theirs = _packed(await target.candles(there, interval_s, begin, end, 2 * _PAGE))
        if theirs != data:
            page["instrument_id"] = there
            copied += (await target.commit(Transaction(candles=page))).changed
            theirs = _packed(await target.candles(there, interval_s, begin, end, 2 * _PAGE))
        if theirs != data:  # it may have more
            lost += len(_cut(data) - _cut(theirs))
        total += len(page)
        sums[0].update(data)
        sums[1].update(theirs)
        end = begin
    older = await target.candles(there, interval_s, _FIRST_NS, end, _PAGE)  # that this database lacks
    sums[1].update(_packed(older))
    counted = await _count(
        target, f"candles_{sql.NAMES[interval_s]} WHERE symbol = $1", row.instrument.symbol
    )
    return Series(
        row.instrument.symbol,
        Interval(interval_s).text,
        total,
        copied,
        counted,
        lost,
        sums[0].hexdigest(),
        sums[1].hexdigest(),
    )


async def _table(path: Path, target: PostgresStore, name: str, query: str, statement: str) -> Series:
    total = 0
    async with aclosing(_batches(path, query)) as batches:
        async for rows in batches:
            await target.run(partial(asyncpg.Connection.executemany, command=statement, args=rows))
            total += len(rows)
    there = await _count(target, name)
    return Series(name, "", total, total, there, max(0, total - there), "", "")


async def _batches(path: Path, query: str) -> AsyncGenerator[list[tuple[Any, ...]], None]:
    """What a query of a database answers, a part at a time: replaced rows may be millions.

    Raises StoreUnavailable. Closed or cancelled, it ends its thread and connection first.
    """
    connection = await connect(path, read_only=True)
    try:
        cursor = await connection.run(lambda found: found.execute(query))
        while rows := await connection.run(lambda _: cursor.fetchmany(_BATCH)):
            yield rows
    finally:
        await connection.close()
        await connection.ended()


async def _count(target: PostgresStore, of: str, *values: object) -> int:
    query = f"SELECT count(*) FROM {of}"  # noqa: S608 - names from the lists
    found: int = await target.run(lambda connection: connection.fetchval(query, *values))
    return found


def _packed(rows: Candles) -> bytes:
    """All columns but the instrument's id, without the gaps between them."""
    out = np.empty(len(rows), _PACKED)
    for name in _PACKED.names or ():
        out[name] = rows[name]
    return out.tobytes()


def _cut(packed: bytes) -> set[bytes]:
    """The single rows."""
    size = _PACKED.itemsize
    return {packed[at : at + size] for at in range(0, len(packed), size)}
