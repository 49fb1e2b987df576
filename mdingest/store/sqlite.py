"""The SQLite store: one thread writes, a few read, and the WAL lets them do so at once."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from mdingest.core.events import Candles
from mdingest.core.instrument import Instrument
from mdingest.core.rank import SOURCES
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable
from mdingest.store import rows as plain
from mdingest.store import sqlite_rows as rows
from mdingest.store import sqlite_sql as sql
from mdingest.store import tables, upkeep
from mdingest.store.base import (
    Claim,
    Committed,
    CoverageRow,
    Excerpt,
    GapRow,
    Position,
    Retention,
    StoreSize,
    SymbolRow,
    Transaction,
)
from mdingest.store.migrate import load, pending_of
from mdingest.store.sqlite_commit import bound_wal, write
from mdingest.store.sqlite_excerpt import bounds, candles, excerpt
from mdingest.store.sqlite_fresh import make_room
from mdingest.store.sqlite_retain import Piece, pieces, shrink
from mdingest.store.sqlite_threads import (
    BUSY_TIMEOUT_S,
    OwnedConnection,
    Place,
    Readers,
    T,
    Work,
    connect,
    transaction,
)

READERS = 2
_PAUSE_S = 0.05  # between two pieces of retention: commits that wait go first
_WRITER_CACHE = "PRAGMA cache_size = -8192"  # KiB; four times as much saves nothing
_READER_CACHE = "PRAGMA cache_size = -4096"


async def open_sqlite(
    path: Path,
    *,
    read_only: bool = False,
    source_order: Sequence[str] = (),
    readers: int = READERS,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> "SqliteStore":
    """Open a migrated database.

    ``source_order`` decides between sources of equal rank, earlier names first. Raises
    ConfigError if there is no such file, PermanentError if its schema is not the program's,
    StoreUnavailable if it can't be opened now.
    """
    if not path.exists():  # noqa: ASYNC240 - one stat
        raise ConfigError(f"there is no database at {path}: run `mdingest migrate` first, or `mdingest run`")
    migrations = load("sqlite")

    def check(connection: sqlite3.Connection) -> None:
        pending = pending_of(connection, migrations)
        if pending:
            raise PermanentError(
                f"{path} lacks {pending[0].name}: run `mdingest migrate` first, or `mdingest run`"
            )

    def prepare(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.executemany(sql.ADD_SOURCE, [(source.id, source.name) for source in SOURCES])
        connection.execute(sql.PRECEDENCE)
        connection.executemany(sql.ADD_PRECEDENCE, plain.precedence_rows(source_order))

    async with AsyncExitStack() as opened:
        writer: OwnedConnection | None = None
        if not read_only:
            pragmas = (*sql.WRITER_PRAGMAS, _WRITER_CACHE)
            writer = await connect(path, read_only=False, pragmas=pragmas, busy_timeout_s=busy_timeout_s)
            opened.push_async_callback(writer.close)
            await writer.run(check)
            await writer.run(prepare)
        pool = []
        for _ in range(readers):
            reader = await connect(path, read_only=True, pragmas=(_READER_CACHE,))
            opened.push_async_callback(reader.close)
            pool.append(reader)
        await pool[0].run(check)
        opened.pop_all()
    return SqliteStore(path, writer, Readers(pool))


class SqliteStore:
    """`Store` on one file. Made by `open_sqlite`."""

    def __init__(self, path: Path, writer: OwnedConnection | None, readers: Readers) -> None:
        self.path = path
        self._place = Place(path)
        self._wal = path.with_name(f"{path.name}-wal")
        self._writer = writer
        self._readers = readers
        self._closed = False
        self.checkpoint_error: str | None = None
        """Why the WAL could not be copied into the database last time; None if it could."""
        self.upkeep: upkeep.Upkeep = upkeep.SqlUpkeep(self._fetch)

    async def close(self) -> None:
        """Finish what runs, copy the WAL into the database, release the files. Twice is once."""
        if self._closed:
            return
        self._closed = True
        await self._readers.close()
        if self._writer is not None:
            await self._writer.close()  # the last connection of all checkpoints by itself

    # -- writing ----------------------------------------------------------------------

    async def ensure_instruments(self, wanted: Sequence[Instrument]) -> list[Instrument]:
        """Add what is unknown, bring the rest up to date. An empty name does not erase a known one."""
        values = [(i.symbol, i.exchange, i.name, i.session_class, str(i.volume)) for i in wanted]

        def work(connection: sqlite3.Connection) -> list[Instrument]:
            with transaction(connection):
                connection.executemany(sql.ADD_INSTRUMENT, values)
                found = [connection.execute(sql.INSTRUMENT_NAMED, (row[0],)).fetchone() for row in values]
            return [plain.instrument_of(row) for row in found]

        return await self._write(work)

    async def claim(self, journal: str, owner: str) -> Claim:
        """Take the ingest role; ``owner`` is text for people."""

        def work(connection: sqlite3.Connection) -> Claim:
            with transaction(connection):
                (epoch,) = connection.execute(sql.CLAIM, (owner,)).fetchone()
                found = connection.execute(sql.POSITION, (journal,)).fetchone()
            return Claim(epoch, None if found is None else Position(journal, found[0]))

        return await self._write(work)

    async def commit(self, transaction: Transaction) -> Committed:
        """See `Store.commit`.

        Raises Fenced if the epoch is not the latest, IntegrityError for rows that no feed
        could mean; both leave nothing behind.
        """
        return await self._write(lambda connection: self._commit(connection, transaction))

    def _commit(self, connection: sqlite3.Connection, new: Transaction) -> Committed:
        make_room(connection, new)
        with transaction(connection):
            changed = write(connection, new)
        self.checkpoint_error = bound_wal(connection, self._wal)
        return Committed(changed)

    async def wait_at_most(self, busy_s: float) -> None:
        """See `Store.wait_at_most`."""
        pragma = f"PRAGMA busy_timeout = {round(1_000 * busy_s)}"
        await self._write(lambda connection: connection.execute(pragma).fetchall())

    async def retain(self, keep: Retention, now_ns: int) -> int:  # noqa: ARG002 - for other databases
        """See `Store.retain`. Pages that came free are used again; very many go back to the disk."""
        gone = 0
        for piece, full in [*pieces(keep), (shrink, 1)]:
            done = full
            while done >= full:
                done = await self._write(partial(self._piece, piece))
                gone += done if piece is not shrink else 0
                await asyncio.sleep(_PAUSE_S)
        return gone

    def _piece(self, piece: Piece, connection: sqlite3.Connection) -> int:
        done = piece(connection)
        self.checkpoint_error = bound_wal(connection, self._wal)
        return done

    # -- reading ----------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        """See `Store.instruments`."""
        return await self._read(  # thousands are made in its thread, so that the loop stays free
            lambda connection: [plain.instrument_of(row) for row in connection.execute(tables.INSTRUMENTS)]
        )

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """See `Store.candles`. Raises ValueError for an interval that is not stored."""
        return await self._read(candles(instrument_id, interval_s, start_ns, end_ns, limit))

    async def excerpt(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
    ) -> Excerpt:
        """See `Store.excerpt`. Raises ValueError for an interval that is not stored."""
        return await self._read(excerpt(instrument_id, interval_s, start_ns, end_ns, limit, since_ns))

    async def replaced(self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int) -> Candles:
        """See `Store.replaced`."""
        between = (rows.text_of(start_ns), rows.text_of(end_ns))
        found = await self._fetch(sql.REPLACED, instrument_id, tables.NAMES[interval_s], *between, interval_s)
        return rows.candles_of(found)

    async def last_candle_ns(self) -> dict[tuple[int, int], int]:
        """See `Store.last_candle_ns`."""
        return {key: last for key, (_, last) in (await self._read(bounds)).items()}

    async def symbols(self) -> list[SymbolRow]:
        """See `Store.symbols`."""

        def work(connection: sqlite3.Connection) -> list[SymbolRow]:
            found = connection.execute(tables.INSTRUMENTS)
            return plain.symbols_of(map(plain.instrument_of, found), bounds(connection))

        return await self._read(work)

    async def positions(self) -> list[Position]:
        """See `Store.positions`."""
        return [Position(*row) for row in await self._fetch(tables.POSITIONS)]

    async def size(self) -> StoreSize:
        """See `Store.size`."""

        def work(_: sqlite3.Connection) -> StoreSize:
            wal = self._wal.stat().st_size if self._wal.exists() else 0
            return StoreSize(self.path.stat().st_size, wal)

        return await self._read(work)

    async def gaps(self, instrument_id: int, start_ns: int, end_ns: int) -> list[GapRow]:
        """See `Store.gaps`."""
        return [upkeep.gap_of(row) for row in await self._fetch(upkeep.GAPS, instrument_id, start_ns, end_ns)]

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """See `Store.coverage`."""
        found = await self._fetch(sql.COVERAGE, instrument_id, start_ns, end_ns)
        return plain.coverage_of(instrument_id, found)

    # -- threads ----------------------------------------------------------------------

    async def _write(self, work: Work[T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._writer is None:
            raise StoreUnavailable("the store was opened for reading only")

        def in_place(connection: sqlite3.Connection) -> T:
            self._place.check()
            return work(connection)

        return await self._writer.run(in_place)

    async def _fetch(self, query: str, *values: float | str) -> list[plain.Row]:
        text = query.replace("$", "?")
        return await self._read(lambda connection: connection.execute(text, values).fetchall())

    async def _read(self, work: Work[T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._readers.run(work)
