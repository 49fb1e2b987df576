"""The PostgreSQL store: one connection writes and holds the ingest role, a few read."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from mdingest.core.events import Candles
from mdingest.core.instrument import Instrument
from mdingest.core.rank import SOURCES
from mdingest.errors import AlreadyRunning, PermanentError, StoreUnavailable
from mdingest.store import postgres_rows as rows
from mdingest.store import postgres_sql as sql
from mdingest.store import rows as plain
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
from mdingest.store.migrate import load
from mdingest.store.postgres_commit import Writer, transaction
from mdingest.store.postgres_connections import Pool, T
from mdingest.store.postgres_excerpt import CANDLES, EXCERPT, REPLACED, excerpt_of, lows, stored
from mdingest.store.postgres_migrate import pending_of
from mdingest.store.postgres_retain import retain

READERS = 4
READ_S = 10.0  # waiting for a connection, connecting and reading together
WRITE_S = 60.0  # the same for a commit; what takes longer is an outage
_ROLE_S = 5.0  # how long a dead owner's session may linger


async def open_postgres(
    url: str,
    *,
    read_only: bool = False,
    source_order: Sequence[str] = (),
    readers: int = READERS,
    read_s: float = READ_S,
    write_s: float = WRITE_S,
) -> "PostgresStore":
    """Open a migrated database.

    ``source_order`` decides between sources of equal rank, earlier names first. Raises
    ConfigError for an address that can't be read, PermanentError if its schema is not the
    program's or we may not enter, StoreUnavailable if it can't be reached now.
    """
    store = PostgresStore(url, read_only, source_order, readers, read_s, write_s)
    try:
        await store.prepare()
    except BaseException:
        await store.close()
        raise
    return store


class PostgresStore:
    """`Store` on one database. Made by `open_postgres`."""

    def __init__(
        self,
        url: str,
        read_only: bool,  # noqa: FBT001 - private to this module
        source_order: Sequence[str],
        readers: int,
        read_s: float,
        write_s: float,
    ) -> None:
        self._readers = Pool(
            url,
            readers,
            {
                "default_transaction_read_only": "on",
                "statement_timeout": _ms(read_s),
                # Statements are planned once. Their limits and bounds are unknown then, so say
                # what is right for each of them: walk the index, newest first.
                "plan_cache_mode": "force_generic_plan",
                "enable_sort": "off",
                "enable_bitmapscan": "off",
                "enable_seqscan": "off",
            },
            deadline_s=read_s,
        )
        self._connection: Pool | None = None
        if not read_only:
            settings = {"statement_timeout": _ms(write_s), "lock_timeout": _ms(write_s / 2)}
            self._connection = Pool(
                url, 1, settings, prepare=lambda session: session.execute(sql.STAGING), deadline_s=write_s
            )
        self._writer = Writer(source_order)
        self._wants_role = False
        self._holder: asyncpg.Connection | None = None
        """The session that has the ingest role's lock."""
        self.upkeep: upkeep.Upkeep = upkeep.SqlUpkeep(self._fetch)

    async def prepare(self) -> None:
        """Check the schema; bring the names of sources up to date. Called once."""
        migrations = load("postgres")

        async def check(connection: asyncpg.Connection) -> None:
            pending = await pending_of(connection, migrations)
            if pending:
                raise PermanentError(f"the database lacks {pending[0].name}: run `mdingest migrate` first")

        await self._readers.run(check)
        if self._connection is not None:
            names = [(source.id, source.name) for source in SOURCES]
            await self._connection.run(lambda connection: connection.executemany(sql.ADD_SOURCE, names))
            self._connection.entered = True
        self._readers.entered = True

    async def close(self) -> None:
        """Give the ingest role back, release connections. Twice is once."""
        pools = filter(None, (self._readers, self._connection))
        await asyncio.gather(*(pool.close() for pool in pools))

    # -- writing ----------------------------------------------------------------------

    async def ensure_instruments(self, wanted: Sequence[Instrument]) -> list[Instrument]:
        """Add what is unknown, bring the rest up to date. An empty name does not erase a known one."""
        names = [i.symbol for i in wanted]
        details = ((i.exchange, i.name, i.session_class, str(i.volume)) for i in wanted)
        columns = (names, *map(list, zip(*details, strict=True))) if names else ([],) * 5

        async def work(connection: asyncpg.Connection) -> list[Instrument]:
            async with transaction(connection):
                await connection.execute(sql.LOCK_INSTRUMENTS)
                await connection.execute(sql.ADD_INSTRUMENTS, *columns)
                await connection.execute(sql.UPDATE_INSTRUMENTS, *columns)
                found = await connection.fetch(sql.INSTRUMENTS_NAMED, names)
            known = {instrument.symbol: instrument for instrument in map(plain.instrument_of, found)}
            return [known[name] for name in names]

        return await self._writing.run(work)

    async def claim(self, journal: str, owner: str) -> Claim:
        """Take the ingest role; ``owner`` is text for people.

        Raises AlreadyRunning, naming the holder, while another living session has it.
        """
        card = f"{owner} (pid {os.getpid()} on {socket.gethostname()})"

        async def work(connection: asyncpg.Connection) -> Claim:
            until = asyncio.get_running_loop().time() + _ROLE_S
            while not await self._take_role(connection):
                if asyncio.get_running_loop().time() > until:
                    _, holder = await connection.fetchrow(tables.OWNER)
                    raise AlreadyRunning(f"the database is in use by {holder}")
                await asyncio.sleep(0.1)
            async with transaction(connection):
                epoch = await connection.fetchval(sql.CLAIM, card)
                lsn = await connection.fetchval(tables.POSITION, journal)
            return Claim(epoch, None if lsn is None else Position(journal, lsn))

        found = await self._writing.run(work)
        self._wants_role = True
        return found

    async def commit(self, transaction: Transaction) -> Committed:
        """See `Store.commit`.

        Raises Fenced if the epoch is not the latest, asyncpg's IntegrityConstraintViolationError
        for rows that no feed could mean; both leave nothing behind. A commit whose answer got
        lost is looked up before it is done again.
        """

        async def work(connection: asyncpg.Connection) -> Committed:
            if self._wants_role and self._holder is not connection:
                await self._take_role(connection)  # the epoch guards us while an old session lingers
            return await self._writer.write(connection, transaction)

        return await self._writing.run(work)

    async def wait_at_most(self, busy_s: float) -> None:
        """See `Store.wait_at_most`. Here transactions go on side by side."""

    async def retain(self, keep: Retention, now_ns: int) -> int:
        """See `Store.retain`: whole partitions are dropped, and those of the next days made."""
        return await retain(self._do, keep, now_ns)

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """What ``work`` does over the writer's connection, perhaps twice; for `moving`."""
        return await self._writing.run(work)

    async def _do(self, query: str, *values: object) -> int:
        """The number a statement answers, or how many rows it touched."""

        async def work(connection: asyncpg.Connection) -> int:
            if query.startswith("SELECT"):
                return int(await connection.fetchval(query, *values))
            return int((await connection.execute(query, *values)).rpartition(" ")[2])

        return await self._writing.run(work)

    async def _take_role(self, connection: asyncpg.Connection) -> bool:
        if await connection.fetchval(sql.TAKE_ROLE):
            self._holder = connection
            return True
        return False

    @property
    def _writing(self) -> Pool:
        if self._connection is None:
            raise StoreUnavailable("the store was opened for reading only")
        return self._connection

    # -- reading ----
    async def instruments(self) -> list[Instrument]:
        """See `Store.instruments`."""
        return [plain.instrument_of(row) for row in await self._fetch(tables.INSTRUMENTS)]

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """See `Store.candles`. Raises ValueError for an interval that is not stored."""
        query, end = stored(CANDLES, interval_s), rows.us_of(end_ns)
        for low_ns in lows(interval_s, start_ns, end_ns):
            ((packed, _),) = await self._fetch(query, instrument_id, rows.us_of(low_ns), end, limit)
            found = rows.candles_of(instrument_id, interval_s, packed)
            if len(found) == limit:
                break
        return found

    async def excerpt(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
    ) -> Excerpt:
        """See `Store.excerpt`. Raises ValueError for an interval that is not stored."""
        query, rest = stored(EXCERPT, interval_s), (rows.us_of(end_ns), limit, since_ns, end_ns)
        for low_ns in lows(interval_s, start_ns, end_ns):
            found = excerpt_of(
                instrument_id,
                interval_s,
                await self._fetch(query, instrument_id, rows.us_of(low_ns), *rest),
            )
            if len(found.candles) == limit:
                break
        return found

    async def replaced(self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int) -> Candles:
        """See `Store.replaced`."""
        bounds = (rows.us_of(start_ns), rows.us_of(end_ns))
        ((packed, _),) = await self._fetch(REPLACED, instrument_id, tables.NAMES[interval_s], *bounds)
        return rows.candles_of(instrument_id, interval_s, packed)

    async def last_candle_ns(self) -> dict[tuple[int, int], int]:
        """See `Store.last_candle_ns`."""
        return {key: last for key, (_, last) in (await self._bounds()).items()}

    async def symbols(self) -> list[SymbolRow]:
        """See `Store.symbols`."""
        return plain.symbols_of(await self.instruments(), await self._bounds())

    async def positions(self) -> list[Position]:
        """See `Store.positions`."""
        return [Position(*row) for row in await self._fetch(tables.POSITIONS)]

    async def size(self) -> StoreSize:
        """See `Store.size`. Nothing of it is pending: the server keeps its own log."""
        ((size,),) = await self._fetch(sql.SIZE)
        return StoreSize(size, 0)

    async def gaps(self, instrument_id: int, start_ns: int, end_ns: int) -> list[GapRow]:
        """See `Store.gaps`."""
        return [upkeep.gap_of(row) for row in await self._fetch(upkeep.GAPS, instrument_id, start_ns, end_ns)]

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """See `Store.coverage`."""
        found = await self._fetch(sql.COVERAGE, instrument_id, start_ns, end_ns)
        return plain.coverage_of(instrument_id, found)

    async def _bounds(self) -> dict[tuple[int, int], tuple[int, int]]:
        return {
            (number, interval_s): (rows.ns_of(first), rows.ns_of(last))
            for interval_s, query in sql.BOUNDS.items()
            for number, first, last in await self._fetch(query)
        }

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            found: list[asyncpg.Record] = await connection.fetch(query, *values)
            return found

        return await self._readers.run(work)


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
