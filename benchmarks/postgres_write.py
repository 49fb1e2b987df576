"""Rows into PostgreSQL: the ways a client can send them, and what a whole market costs.

All ways fill the same partition of the same table under the same rules of rank, and hold the
same rows in the end; "plain COPY" only inserts, which is the limit for a bulk load. A regression
shows as CPU of the daemon (client) or as commit lag (wall).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import numpy as np

from benchmarks.report import NOT_INSTALLED, Row, main
from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.store import postgres_rows, postgres_sql
from mdingest.store.base import Position, Transaction
from mdingest.store.migrate import migrate
from mdingest.store.postgres import PostgresStore, open_postgres
from tests.support.postgres import Server, bindir, database, fetch, make_template

TITLE = "postgres_write: 9,000 1s rows a market second into PostgreSQL"
INSTRUMENTS = 9_000
START_S = 1_795_150_800  # 2026-11-20T05:00:00Z
BULK_S = 11  # market seconds of one bulk commit
SETTINGS = ("fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=2GB", "autovacuum=on")
_KINDS = (
    *("int", "timestamptz", *["double precision"] * 6, "int"),
    *("smallint", "smallint", "smallint", "int", "int"),
)
_NAMES = ("instrument_id", "ts_utc", *postgres_sql.COLUMNS)
_COLUMNS = tuple(zip(range(4, 4 + len(_KINDS)), _NAMES, _KINDS, strict=True))
_ARRAYS = ", ".join(f"${n}::{kind}[]" for n, _, kind in _COLUMNS)
_VALUES = ", ".join(f"${n}::{kind} AS {name}" for n, name, kind in _COLUMNS)


def _instead_of_staging(select: str) -> str:
    return postgres_sql.UPSERT[1].replace(
        "staging AS s", f"(SELECT 1 AS interval_s, 0 AS pass, {select}) AS s"
    )


_UNNEST = _instead_of_staging(f"* FROM unnest({_ARRAYS}) AS u ({', '.join(_NAMES)})")
_ONE = _instead_of_staging(_VALUES)

Send = Callable[[Any], Awaitable[None]]


def run(*, full: bool) -> list[Row]:
    """The table."""
    if bindir() is None:
        return [Row("PostgreSQL", NOT_INSTALLED)]
    with Server(settings=SETTINGS) as server:
        return asyncio.run(_measure(server, full=full))


async def _measure(server: Server, *, full: bool) -> list[Row]:
    seconds = 20 if full else 8
    await make_template(server)
    found: dict[str, tuple[float, float]] = {}
    sums = set()
    for name, way in (("COPY + upsert (ours)", _ours), ("unnest", _unnest), ("executemany", _executemany)):
        async with database(server) as url:
            store = await prepared(url)
            send = await way(store, url)
            found[name] = await _timed(send, seconds, 1)
            counted = (
                "SELECT count(*), sum(volume), max(close) FROM candles_1s WHERE ts_utc >= to_timestamp($1)"
            )
            sums.add(tuple(await fetch(url, counted, START_S)))
            await store.close()
    assert len(sums) == 1, sums
    bulk, limit = await _bulk(server, 8 if full else 4)
    ours = found["COPY + upsert (ours)"]
    rows = [
        Row(
            "a market second, client CPU", f"{ours[1] * 1e3:.1f} ms", "a second", f"{ours[1]:.1%} of a core",
            "< 25 %", met=ours[1] < 0.25,
        ),
    ]  # fmt: skip
    for name in ("unnest", "executemany"):
        for unit, mine, theirs in zip(("wall", "client CPU"), ours, found[name], strict=True):
            ratio = f"{theirs / mine:.1f} x less"
            rows.append(
                Row(
                    f"a market second, {unit}", f"{mine * 1e3:.0f} ms", f"{name} {theirs * 1e3:.0f} ms", ratio
                )
            )
    n = INSTRUMENTS * BULK_S
    rows.append(
        Row(
            f"bulk, {n:,} rows a commit", f"{n / bulk:,.0f} rows/s", f"plain COPY {n / limit:,.0f}",
            f"{limit / bulk:.2f} x", ">= 0.5 x", met=limit / bulk >= 0.5,
        )
    )  # fmt: skip
    return rows


async def _bulk(server: Server, rounds: int) -> tuple[float, float]:
    """Ours and plain COPY, in turns into one table, so that both find it equally full. Median seconds."""
    walls: tuple[list[float], list[float]] = ([], [])
    async with database(server) as url:
        store = await prepared(url)
        await store.commit(Transaction(candles=market(-1, 1)))
        ours = await _ours(store, url)
        prepare, plain = await _plain_copy(url)
        for n in range(rounds):
            for turn, (ready, send) in enumerate(((lambda rows: rows, ours), (prepare, plain))):
                begin = (2 * n + turn) * BULK_S
                walls[turn].append((await _timed(send, 1, BULK_S, begin, ready))[0])
        await store.close()
    return float(np.median(walls[0])), float(np.median(walls[1]))


async def prepared(url: str) -> PostgresStore:
    """A store that owns the ingest role, with all instruments."""
    await migrate(url)
    store = await open_postgres(url)
    names = [f"SYM{n:05}.NS" for n in range(INSTRUMENTS)]
    kind = VolumeKind.CUMULATIVE
    await store.ensure_instruments([Instrument(name, "NSE", "", "NSE.EQ.cas", kind) for name in names])
    await store.claim("journal", "benchmark")
    return store


def market(second: int, count: int) -> Candles:
    """Every instrument traded in each of these market seconds."""
    rows = np.zeros(INSTRUMENTS * count, CANDLE)
    rows["instrument_id"] = np.tile(np.arange(1, INSTRUMENTS + 1), count)
    rows["interval_s"], rows["source"], rows["session"], rows["trades"] = 1, 1, 2, 4
    rows["ts"] = (START_S + second + np.repeat(np.arange(count), INSTRUMENTS)) * 10**9
    for name in ("open", "high", "low", "close"):
        rows[name] = 100.0 + rows["instrument_id"]
    rows["volume"], rows["oi"] = 10.0, np.nan
    return Candles(rows)


async def _timed(
    send: Send,
    commits: int,
    seconds: int,
    begin: int = 0,
    prepare: Callable[[Candles], Any] = lambda rows: rows,
) -> tuple[float, float]:
    """Median wall and client CPU seconds of a commit. What ``prepare`` does is not counted."""
    walls, cpus = [], []
    for n in range(commits):
        rows = prepare(market(begin + n * seconds, seconds))
        wall, cpu = time.perf_counter(), time.process_time()
        await send(rows)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return float(np.median(walls)), float(np.median(cpus))


async def _ours(store: PostgresStore, url: str) -> Send:
    del url
    lsn = iter(range(1, 1 << 30))

    async def send(rows: Candles) -> None:
        await store.commit(Transaction(candles=rows, position=Position("journal", next(lsn)), epoch=1))

    return send


async def _other(store: PostgresStore, url: str) -> tuple[asyncpg.Connection, list[object]]:
    await store.commit(Transaction(candles=market(-1, 1)))  # makes the partition
    weights, live = postgres_rows.precedence(())
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="tuple", encoder=lambda us: (us,), decoder=lambda t: t[0]
    )
    await connection.execute("DELETE FROM candles_1s")
    return connection, [weights, live, 0]


def _columns(rows: Candles) -> list[list[object]]:
    columns = {name: rows[name].tolist() for name in (*postgres_sql.COLUMNS, "instrument_id")}
    columns["ts_utc"] = [postgres_rows.us_of(ts) for ts in rows["ts"].tolist()]
    return [columns[name] for name in _NAMES]


async def _unnest(store: PostgresStore, url: str) -> Send:
    connection, fixed = await _other(store, url)

    async def send(rows: Candles) -> None:
        async with connection.transaction():
            await connection.execute(_UNNEST, *fixed, *_columns(rows))

    return send


async def _executemany(store: PostgresStore, url: str) -> Send:
    connection, fixed = await _other(store, url)

    async def send(rows: Candles) -> None:
        async with connection.transaction():
            await connection.executemany(_ONE, [(*fixed, *row) for row in zip(*_columns(rows), strict=True)])

    return send


async def _plain_copy(url: str) -> tuple[Callable[[Candles], bytes], Send]:
    connection = await asyncpg.connect(url)
    symbols = dict(await connection.fetch("SELECT id, symbol FROM instruments"))
    names = ("ts_utc", *postgres_sql.COLUMNS, "symbol")

    def prepare(rows: Candles) -> bytes:
        columns = [rows[name].tolist() for name in postgres_sql.COLUMNS]
        texts = (rows["ts"] // 10**9).astype("datetime64[s]").astype(str).tolist()
        by_symbol = map(symbols.__getitem__, rows["instrument_id"].tolist())
        lines = zip((f"{text}Z" for text in texts), *columns, by_symbol, strict=True)
        text = "\n".join("\t".join(map(str, line)) for line in lines)
        return f"{text}\n".replace("\tnan\t", "\t\\N\t").encode()

    async def send(text: bytes) -> None:
        await connection.copy_to_table("candles_1s", source=_pieces(text), columns=names)

    return prepare, send


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1 << 20):
        yield data[at : at + (1 << 20)]


if __name__ == "__main__":
    main(TITLE, run)
