"""What readers wait for, on ten million rows while a market is being written.

`SELECT * FROM candles WHERE symbol = ... ORDER BY ts_utc DESC LIMIT 10` is the promise of the
README: if it gets slow, a plan has lost its index, or rows are sorted that come sorted. The
reader is a process of its own with a connection of its own, as a notebook or a script would be.

`/candles` is the last 50 rows over HTTP from `mdingest serve`, beside FastAPI and uvicorn with
the same query on the same file (its own idiom: a threaded function and a response model). Ours
also says what is missing. A regression there is one of the whole chain: routing, checking,
one visit to the database, JSON. Its p99 is what the server itself recorded.
"""

import asyncio
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import numpy as np

from benchmarks import processes as run_
from benchmarks.processes import (
    Process,
    bound_of,
    free_port,
    histogram,
    mdingest,
    metrics,
    running,
    until,
)
from benchmarks.report import NOT_INSTALLED, Row, at_least, at_most, main, quantile
from mdingest.core.control import VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.store import open_store
from mdingest.store.migrate import migrate

TITLE = "readme_query: reading at ten million 1s rows while 500 a second are written"
INSTRUMENTS = 500
_SECONDS = 20_000  # of each instrument: ten million rows
_QUERY = "SELECT * FROM candles WHERE symbol = ? ORDER BY ts_utc DESC LIMIT 10"
_FILL = """
INSERT INTO candles_1s
SELECT i.id, t.ts_utc, 100, 100.5, 99.5, 100.25, 10, NULL, 2, ?, 0, 2, 0, 0
FROM instruments AS i CROSS JOIN temp.times AS t ORDER BY i.id, t.ts_utc"""
_FILL_MINUTES = """
INSERT INTO candles_1m
SELECT i.id, t.ts_utc, 100, 100.5, 99.5, 100.25, 600, NULL, 120, ?, 0, 2, 0, 0
FROM instruments AS i CROSS JOIN temp.times AS t WHERE t.ts_utc LIKE '%:00Z' ORDER BY i.id, t.ts_utc"""


def run(*, full: bool) -> list[Row]:
    """The table."""
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        folder = Path(name)
        path = folder / "market.db"
        total = asyncio.run(_filled(path))
        begun = int(time.time())
        writer = [sys.executable, "-m", "benchmarks.steady_writer", str(path), str(INSTRUMENTS)]
        with running(writer, folder, "writer") as writing:
            until("the writer", lambda: _newest(path) >= begun, writing)
            rows = [
                *_queries(path, total, 4_000 if full else 1_500),
                *_http(folder, path, 10 if full else 2.5),
            ]
            writing.alive()
            assert _newest(path) > begun  # somebody did write
        return rows


def symbol(number: int) -> str:
    """Of an instrument, from 1 on."""
    return f"SIM{number:04d}.NS"


async def _filled(path: Path) -> int:
    """Rows in a new database: written in the order of the key, which is quick."""
    url = f"sqlite:///{path}"
    await migrate(url)
    store = await open_store(url)
    names = [symbol(number) for number in range(1, INSTRUMENTS + 1)]
    await store.ensure_instruments(
        [Instrument(name, "NSE", "", "always", VolumeKind.CUMULATIVE) for name in names]
    )
    await store.close()
    newest = int(time.time()) - 600
    times = np.datetime_as_string(np.arange(newest - _SECONDS, newest).astype("datetime64[s]"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "ignore_check_constraints = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TEMP TABLE times (ts_utc TEXT PRIMARY KEY)")
        connection.executemany(
            "INSERT INTO temp.times VALUES (?)", [(f"{text}Z",) for text in times.tolist()]
        )
        source = (BY_NAME["kite_ws"].id,)
        connection.execute("BEGIN")
        done = connection.execute(_FILL, source).rowcount + connection.execute(_FILL_MINUTES, source).rowcount
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    return done


def _newest(path: Path) -> float:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        text = "SELECT unixepoch(max(ts_utc)) FROM candles WHERE symbol = ? AND interval = '1s'"
        (found,) = connection.execute(text, (symbol(1),)).fetchone()
    return float(found or 0)


def _queries(path: Path, total: int, count: int) -> list[Row]:
    rng = np.random.default_rng(1)
    took: list[float] = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for number in rng.integers(1, INSTRUMENTS + 1, count).tolist():
            begun = time.perf_counter()
            found = connection.execute(_QUERY, (symbol(number),)).fetchall()
            took.append(1e3 * (time.perf_counter() - begun))
            assert len(found) == 10
            assert found == sorted(found, key=lambda row: row[2], reverse=True)
            time.sleep(0.002)  # a reader that reads now and then finds nothing warm
    note = f"{total / 1e6:.1f} M rows"
    return [
        Row("SELECT ... LIMIT 10, p50", f"{quantile(took, 0.5):.2f} ms", note),
        at_most("SELECT ... LIMIT 10, p99", quantile(took, 0.99), 5, "ms", note=note),
    ]


def _http(folder: Path, path: Path, seconds: float) -> list[Row]:
    port = free_port()
    config = run_.write_config(folder, feed_port=1, symbols=[symbol(1)], api_port=port)
    with running(mdingest("--config", config, "serve"), folder, "serve") as serve:
        until("mdingest serve", lambda: bool(run_.get(port, "/livez")), serve)
        asyncio.run(_load(port, 0.5))
        before = metrics(port)
        gentle = asyncio.run(_load(port, 2 * seconds, clients=4, pause_s=0.02))
        served = histogram(run_.since(metrics(port), before), "mdingest_http_request_seconds")
        note = f"{len(gentle) / 2 / seconds:.0f} requests/s"
        return [
            at_most("/candles at the server, p99 at most", 1e3 * bound_of(served, 0.99), 5, "ms", note=note),
            Row("/candles at the client, p50", f"{1e3 * quantile(gentle, 0.5):.2f} ms", note),
            Row("/candles at the client, p99", f"{1e3 * quantile(gentle, 0.99):.2f} ms", note),
            *_in_turns(folder, path, serve, port, seconds),
        ]


def _in_turns(folder: Path, path: Path, ours: Process, port: int, seconds: float) -> list[Row]:
    """Both servers as fast as they go, one after the other, three times."""
    what = "/candles, 8 clients without pause"
    their_port = free_port()
    command = [sys.executable, "-m", "benchmarks.fastapi_candles", str(path), str(their_port)]
    try:
        with running(command, folder, "fastapi") as theirs:
            until("FastAPI", lambda: bool(run_.get(their_port, "/openapi.json")), theirs)
            asyncio.run(_load(their_port, 0.5))
            turns = [(*_asked(port, seconds, ours), *_asked(their_port, seconds, theirs)) for _ in range(3)]
    except RuntimeError as exc:
        if "ModuleNotFoundError" not in str(exc):
            raise
        replies, _ = _asked(port, seconds, ours)
        return [Row(what, f"{replies:,.0f}/s", f"FastAPI {NOT_INSTALLED}")]
    replies, cpu, their_replies, their_cpu = map(statistics.median, zip(*turns, strict=True))
    return [
        at_least(what, replies, reference=("FastAPI + uvicorn", their_replies), ratio=1.5),
        at_least("/candles, replies a CPU second", cpu, reference=("FastAPI + uvicorn", their_cpu)),
    ]


def _asked(port: int, seconds: float, server: Process) -> tuple[float, float]:
    """Replies a second, and a CPU second of the server."""
    used, begun = server.cpu_s(), time.monotonic()
    took = asyncio.run(_load(port, seconds))
    return len(took) / (time.monotonic() - begun), len(took) / (server.cpu_s() - used)


async def _load(port: int, seconds: float, *, clients: int = 8, pause_s: float = 0.0) -> list[float]:
    """Seconds of each reply. A client asks again once it has its answer, and after about the pause."""
    took: list[float] = []
    end = time.monotonic() + seconds

    async def client(session: aiohttp.ClientSession, seed: int) -> None:
        rng = np.random.default_rng(seed)
        numbers = rng.integers(1, INSTRUMENTS + 1, 100_000).tolist()
        while time.monotonic() < end:
            begun = time.perf_counter()
            query = f"symbol={symbol(numbers.pop())}&interval=1s&limit=50"
            async with session.get(f"http://127.0.0.1:{port}/candles?{query}") as reply:
                body = await reply.read()
                assert reply.status == 200
                assert body.count(b"ts_utc") == 50
            took.append(time.perf_counter() - begun)
            if pause_s:
                await asyncio.sleep(rng.uniform(0, 2 * pause_s))

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(client(session, seed))
    return took


if __name__ == "__main__":
    main(TITLE, run)
