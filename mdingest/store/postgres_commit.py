"""What happens inside one transaction of the PostgreSQL store.

Candles are copied into a staging table of the session and upserted from there, one statement
an interval: see ``benchmarks/postgres_write.py`` for what other ways cost.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from mdingest.errors import Fenced
from mdingest.store import anew, tables, upkeep
from mdingest.store import postgres_rows as rows
from mdingest.store import postgres_sql as sql
from mdingest.store import rows as plain
from mdingest.store.base import Committed, Position, Transaction
from mdingest.store.postgres_connections import is_outage

_MANY_ROWS = 1_000
_PATIENCE = 16  # commits
_WORTH_A_LOOK = (20, 200, 2_000, 20_000, 200_000)  # rows


@asynccontextmanager
async def transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """All of the block or nothing of it.

    What the server refused is rolled back. After anything else the connection's lender gives
    it up, and the server rolls back by itself.
    """
    await connection.execute("BEGIN")
    try:
        yield
    except Exception as exc:
        if not is_outage(exc):
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


class Writer:
    """Writes transactions over whichever connection it is given, one at a time.

    Knows which partitions there are, as far as it has asked, and which commit was never
    answered.
    """

    def __init__(self, source_order: Sequence[str]) -> None:
        self._weights, self._live = rows.precedence(source_order)
        self._partitions: dict[tuple[int, int], int] = {}  # interval, number: rows, as far as we know
        self._known_rows: Counter[int] = Counter()  # interval: commits to go before we hope for new rows
        self._in_doubt: tuple[Position, int, Committed] | None = None  # with its epoch

    async def write(self, connection: asyncpg.Connection, new: Transaction) -> Committed:
        """All rows of a transaction, or none. Raises Fenced before anything is written."""
        if (done := await self._done_already(connection, new)) is not None:
            return done
        staged = rows.staged(new.candles) if len(new.candles) else None
        places = rows.places(staged) if staged is not None else []
        await self._make_room(connection, places)
        try:
            done = await self._write(connection, new, staged)
        except asyncpg.CheckViolationError as exc:
            if not str(exc).startswith("no partition"):
                raise
            # Dropped since we asked, by another process. Make it again, once.
            self._partitions.clear()
            await self._make_room(connection, places)
            done = await self._write(connection, new, staged)
        await self._look_at_growth(connection, places)
        return done

    async def _done_already(self, connection: asyncpg.Connection, new: Transaction) -> Committed | None:
        """What this commit did, if it is the one whose answer got lost and was done after all."""
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is None or new.position is None or doubt[:2] != (new.position, new.epoch):
            return None
        stored = await connection.fetchrow(sql.OWNER_AND_POSITION, new.position.journal)
        return doubt[2] if stored is not None and tuple(stored) == (new.epoch, new.position.lsn) else None

    async def _write(
        self, connection: asyncpg.Connection, new: Transaction, staged: rows.Staged | None
    ) -> Committed:
        async with transaction(connection):
            done = Committed(await self._write_rows(connection, new, staged))
            if new.position is not None:
                self._in_doubt = (new.position, new.epoch, done)
        self._in_doubt = None
        return done

    async def _write_rows(
        self, connection: asyncpg.Connection, new: Transaction, staged: rows.Staged | None
    ) -> int:
        """How many candles changed."""
        changed = 0
        journal = ""
        if new.position is not None:
            journal = new.position.journal
            epoch, owner = await connection.fetchrow(sql.GUARD)
            if epoch != new.epoch:
                raise Fenced(f"{owner} took over as owner {epoch} of this database, we were {new.epoch}")
            await connection.execute(sql.SET_POSITION, journal, new.position.lsn)
        for instrument, interval_s, source in new.instead_of:
            await connection.execute(anew.POSTGRES[interval_s], instrument, source)
            await connection.execute(anew.FORGET_SPANS, instrument, interval_s, source)
        if staged is not None:
            changed = await self._upsert(connection, staged)
        if len(new.marks):
            for interval_s in tables.LIVE:
                await connection.execute(sql.MARK[interval_s], *rows.mark_columns(new.marks, interval_s))
        if new.streams or len(new.coverage):
            streams = plain.stream_rows(new.streams, new.coverage, journal)
            await connection.executemany(sql.ADD_STREAM, streams)
            await connection.executemany(sql.SET_COVERAGE, plain.coverage_rows(new.coverage, journal))
            await connection.executemany(tables.CLOSE_GAPS, plain.begun_rows(new.coverage))
        if len(new.gaps):
            await connection.executemany(sql.SET_GAP, plain.gap_rows(new.gaps))
        await self._write_upkeep(connection, new)
        return changed

    async def _write_upkeep(self, connection: asyncpg.Connection, new: Transaction) -> None:
        if len(new.fetched):
            await connection.execute(sql.LOCK_HISTORY)
        for span in plain.fetched_rows(new.fetched):
            bounds = await connection.fetchrow(sql.JOIN_HISTORY, *span)
            await connection.execute(sql.ADD_HISTORY, *span[:3], *bounds)
        for statement, values in upkeep.statements(new.repairs, new.runs, new.differences):
            await connection.executemany(statement, values)

    async def _upsert(self, connection: asyncpg.Connection, staged: rows.Staged) -> int:
        await connection.copy_to_table(
            "staging", source=rows.copy_data(staged), columns=rows.STAGED, format="binary"
        )
        changed = 0
        for number, interval_s, count in rows.steps(staged):
            if number == 0 and count >= _MANY_ROWS and await self._insert(connection, interval_s):
                changed += count
                continue
            tag = await connection.execute(sql.UPSERT[interval_s], self._weights, self._live, number)
            changed += int(tag.rpartition(" ")[2])  # INSERT 0 n
        return changed

    async def _insert(self, connection: asyncpg.Connection, interval_s: int) -> bool:
        """Whether all of many rows were new, as live ones are. If not, nothing happened."""
        if self._known_rows[interval_s]:  # rows are stepped or fetched again: more will be known
            self._known_rows[interval_s] -= 1
            return False
        await connection.execute("SAVEPOINT before_insert")
        try:
            await connection.execute(sql.INSERT[interval_s], 0)
        except asyncpg.UniqueViolationError:
            await connection.execute("ROLLBACK TO SAVEPOINT before_insert")
            self._known_rows[interval_s] = _PATIENCE
            return False
        return True

    async def _make_room(self, connection: asyncpg.Connection, places: Sequence[rows.Place]) -> None:
        """Partitions for all rows, in transactions of their own: their locks are held for a moment."""
        for place in places:
            if place[:2] not in self._partitions:
                name = tables.NAMES[place.interval_s]
                await connection.execute(sql.ADD_PARTITIONS, name, place.at, place.at)
                self._partitions[place[:2]] = await connection.fetchval(sql.ROWS_OF_PARTITION, name, place.at)

    async def _look_at_growth(self, connection: asyncpg.Connection, places: Sequence[rows.Place]) -> None:
        """Have partitions analysed as they grow from nothing; later the server does by itself.

        A big one takes seconds, so what grew before we came is counted, too.
        """
        for place in places:
            before = self._partitions[place[:2]]
            after = self._partitions[place[:2]] = before + place.rows
            if any(before < size <= after for size in _WORTH_A_LOOK):
                await connection.execute(sql.ANALYZE_PARTITION, tables.NAMES[place.interval_s], place.at)
