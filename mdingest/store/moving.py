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
from mdingest.store import tables
from mdingest.store.base import Store, SymbolRow, Transaction
from mdingest.store.moving_sql import OTHERS
from mdingest.store.postgres import PostgresStore
from mdingest.store.sqlite_threads import connect

_PAGE = 20_000
_BATCH = 10_000
_FIRST_NS = -(1 << 62)
_PACKED = np.dtype([(name, CANDLE[name]) for name in CANDLE.names or () if name != "instrument_id"])


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
    count = sum(len(row.ranges) for row in symbols) + len(OTHERS)
    done = 0
    for row, instrument in zip(symbols, there, strict=True):
        for interval_s in row.ranges:
            progress(f"{row.instrument.symbol} {Interval(interval_s).text}", done, count)
            yield await _series(source, target, row, instrument.id, interval_s)
            done += 1
    for name, query, statement in OTHERS:
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
        theirs, digest = await _same(target, there, page, end, sums[1])
        if theirs != data:
            page["instrument_id"] = there
            copied += (await target.commit(Transaction(candles=page))).changed
            theirs, digest = await _same(target, there, page, end, sums[1])
        if theirs != data:
            lost += len(_cut(data) - _cut(theirs))
        total += len(page)
        sums = (sums[0], digest)
        sums[0].update(data)
        end = begin
    older = await target.candles(there, interval_s, _FIRST_NS, end, _PAGE)  # that this database lacks
    sums[1].update(_packed(older))
    counted = await _count(
        target, f"candles_{tables.NAMES[interval_s]} WHERE symbol = $1", row.instrument.symbol
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


async def _same(
    target: PostgresStore, there: int, page: Candles, end: int, digest: "hashlib._Hash"
) -> tuple[bytes, "hashlib._Hash"]:
    """What the copy says at the instants of a page, and the digest with all that it has up to ``end``.

    It may have any number of rows more, if it went on by itself.
    """
    begin, interval_s, digest, found = int(page["ts"][0]), int(page["interval_s"][0]), digest.copy(), []
    while True:
        theirs = await target.candles(there, interval_s, begin, end, 2 * _PAGE)
        digest.update(_packed(theirs))
        found.append(_packed(Candles(theirs[np.isin(theirs["ts"], page["ts"])])))
        if len(theirs) < 2 * _PAGE:
            return b"".join(reversed(found)), digest
        end = int(theirs["ts"][0])


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
