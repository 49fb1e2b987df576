"""Reads from a big PostgreSQL table while a whole market is written into it.

The server of `/candles` and the writer share one process and its uvloop, as in the daemon; whoever
asks is another process. Measured: what the HTTP server itself counts from request to reply, what
`/candles` asks of the store by itself, the README's query of whoever asks, the CPU of the whole
process, and bytes a row.

Beside them, what the machine itself allows: the same rows over a bare asyncpg connection, and
``SELECT 1``, in the same seconds. Where even that takes 5 ms, as on a machine that others use,
no figure says anything about the store; the ratio still does.
"""

import asyncio
import multiprocessing
import random
import time

import aiohttp
import asyncpg
import uvloop

from benchmarks.postgres_write import INSTRUMENTS, SETTINGS, START_S, market, prepared
from benchmarks.report import NOT_INSTALLED, Row, at_most, main, quantile
from mdingest.api.wanted import LATEST
from mdingest.core.session import DAY_NS
from mdingest.store.base import Position, Transaction
from mdingest.store.postgres import PostgresStore
from mdingest.store.postgres_retain import width
from mdingest.store.postgres_sql import SET_WIDTH
from mdingest.telemetry.metrics import Metrics
from tests.support.postgres import Server, bindir, database, fetch, make_template
from tests.support.served import served

TITLE = "postgres_read: the last 50 of a symbol while 9,000 rows/s are written"
_QUERY = "SELECT * FROM candles WHERE symbol = $1 ORDER BY ts_utc DESC LIMIT 10"
_BARE = "SELECT * FROM candles_1s WHERE symbol = $1 ORDER BY ts_utc DESC LIMIT 50"
_NOTHING = "SELECT 1 WHERE $1 <> ''"
_FILL = """
INSERT INTO candles_1s
SELECT to_timestamp($1 + second), 100, 101, 99, 100, 10, NULL, 4, 0, 0, 1, 0, 2, i.symbol
FROM generate_series(0, $2 - 1) AS second CROSS JOIN instruments AS i ORDER BY second"""
_KEPT = (("1s", width(1, 30 * DAY_NS), 34), ("1m", width(60, None), 3 * 365), ("5m", "decade", 3 * 365))
_PIECE_S = 50
_ASKED_PER_S = 200
_PROMISED_S = 0.005


def run(*, full: bool) -> list[Row]:
    """The table."""
    if bindir() is None:
        return [Row("PostgreSQL", NOT_INSTALLED)]
    with Server(settings=SETTINGS) as server:
        return uvloop.run(_measure(server, 20_000_000 if full else 2_000_000, 30 if full else 10))


async def _measure(server: Server, rows: int, seconds: int) -> list[Row]:
    await make_template(server)
    async with database(server) as url:
        store = await prepared(url)
        await store.commit(Transaction(candles=market(-1, 1)))  # makes the partition
        filled_s = rows // INSTRUMENTS
        connection = await asyncpg.connect(url)
        for at in range(0, filled_s, _PIECE_S):
            await connection.execute(_FILL, START_S + at, min(_PIECE_S, filled_s - at), timeout=600)
        await connection.execute("ANALYZE candles_1s", timeout=600)
        for interval, cut, days in _KEPT:  # what the README's query is planned over
            await connection.execute(SET_WIDTH, interval, cut)
            await connection.execute(
                "SELECT add_partitions($1, to_timestamp($2) - $3 * interval '1 day', to_timestamp($2))",
                *(interval, START_S + 4 * 86_400, days),
            )
        ((size,),) = await fetch(
            url,
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relispartition",
        )
        async with served(store, now=(START_S + filled_s + 3600) * 10**9) as api:
            port = api.client.server.port
            handled = _observed(api.metrics)
            context = multiprocessing.get_context("spawn")
            answers: multiprocessing.Queue[dict[str, list[float]]] = context.Queue()
            asking = context.Process(target=_ask, args=(port, url, seconds, answers))
            wall, cpu = time.perf_counter(), time.process_time()
            asking.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(_write(store, filled_s, seconds), name="write")
                end_ns = (START_S + filled_s + 3600) * 10**9
                ours = group.create_task(_read(store, end_ns, seconds), name="read")
                asked = group.create_task(asyncio.to_thread(answers.get), name="answers")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            await asyncio.to_thread(asking.join)
        await connection.close()
        await store.close()
    what = f"{rows / 1e6:g} M rows"
    times = asked.result()
    bare, nothing = (quantile(times[query], 0.99) * 1e3 for query in (_BARE, _NOTHING))
    store_p99 = quantile(ours.result(), 0.99) * 1e3
    quick = sum(took <= _PROMISED_S for took in handled) / len(handled)
    machine = f"SELECT 1 {nothing:.2g} ms"
    return [
        at_most(f"{what}: /candles, p99", quantile(handled, 0.99) * 1e3, 5, "ms", note=machine),
        Row(f"{what}: /candles, p50", f"{quantile(handled, 0.5) * 1e3:.3g} ms", f"{len(handled):,} requests"),
        Row(f"{what}: /candles", f"{quick:.2%} within 5 ms"),
        Row(
            f"{what}: store, last 51 and what is missing, p99",
            f"{store_p99:.3g} ms",
            f"bare asyncpg {bare:.3g} ms",
            f"{store_p99 / bare:.2f} x",
            "<= 5 ms",
            store_p99 <= 5,
        ),
        at_most(f"{what}: README query, p99", quantile(times[_QUERY], 0.99) * 1e3, 5, "ms", note=machine),
        Row(f"{what}: README query, p50", f"{quantile(times[_QUERY], 0.5) * 1e3:.3g} ms"),
        Row(f"{what}: CPU of it all", f"{cpu / wall:.1%} of a core"),
        Row(f"{what}: on disk", f"{int(size) / rows:.0f} bytes a row"),
    ]


def _symbol() -> str:
    return f"SYM{random.randrange(INSTRUMENTS):05}.NS"


async def _write(store: PostgresStore, begin_s: int, seconds: int) -> None:
    for n in range(seconds):
        due = time.monotonic() + 1
        rows = market(begin_s + n, 1)
        await store.commit(Transaction(candles=rows, position=Position("journal", n), epoch=1))
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _read(store: PostgresStore, end_ns: int, seconds: int) -> list[float]:
    """What `/candles` asks, fifty times a second."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.perf_counter()
        found = await store.excerpt(random.randrange(1, INSTRUMENTS + 1), 1, 0, end_ns, 51, LATEST)
        took.append(time.perf_counter() - begun)
        assert len(found.candles) == 51
        await asyncio.sleep(0.02)
    return took


async def _query(url: str, query: str, rows: int, seconds: int) -> list[float]:
    """How long each took, twenty a second, over a connection of its own."""
    connection = await asyncpg.connect(url)
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.perf_counter()
        found = await connection.fetch(query, _symbol())
        took.append(time.perf_counter() - begun)
        assert len(found) == rows
        await asyncio.sleep(0.05)
    await connection.close()
    return took


def _ask(port: int, url: str, seconds: int, answers: "multiprocessing.Queue[dict[str, list[float]]]") -> None:
    async def all_of_it() -> dict[str, list[float]]:
        async with asyncio.TaskGroup() as group:
            group.create_task(_asking(port, seconds), name="http")
            took = {
                query: group.create_task(_query(url, query, rows, seconds), name=f"sql.{rows}")
                for query, rows in ((_QUERY, 10), (_BARE, 50), (_NOTHING, 1))
            }
        return {query: task.result() for query, task in took.items()}

    answers.put(asyncio.run(all_of_it()))


async def _asking(port: int, seconds: int) -> None:
    """Requests at an even pace."""
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            due = time.monotonic() + 1 / _ASKED_PER_S
            url = f"http://127.0.0.1:{port}/candles?symbol={_symbol()}&interval=1s&limit=50&session=all"
            async with session.get(url) as reply:
                assert len((await reply.json())["candles"]) == 50, await reply.text()
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def _observed(metrics: Metrics) -> list[float]:
    """From now on, every duration that the server counts."""
    found: list[float] = []
    counts = metrics.http_seconds.observe

    def observe(took_s: float) -> None:
        found.append(took_s)
        counts(took_s)

    metrics.http_seconds.observe = observe
    return found


if __name__ == "__main__":
    main(TITLE, run)
