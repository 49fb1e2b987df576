"""Commits of a whole market's seconds into SQLite: our store beside a plain upsert.

The plain one is what a script does: ``executemany`` of ``INSERT ... ON CONFLICT DO UPDATE`` into
one table keyed (instrument, time), without checks, ranks, revisions or the history of what was
replaced. Both get the same 9,000 rows a market second, in commits of one second or of eight, and
hold the same rows in the end. Both begin with a table that already holds some rows of each
instrument, since an empty one fits into any cache.

A regression shows as CPU of the daemon's writer thread, which holds the GIL half of the time,
and in the end as commit lag. The bytes written are what an SD card or a small disk has to take.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.report import Row, main
from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.store import open_store
from mdingest.store.base import Position, Transaction
from mdingest.store.migrate import migrate

TITLE = "sqlite_upsert: 9,000 1s rows a market second, what one such second costs"
_INSTRUMENTS = 9_000
_START_S = 1_795_150_800
_BEFORE_S = 60  # market seconds that are there already
PLAIN_TABLE = """
CREATE TABLE {} (
    instrument_id INTEGER, ts_utc TEXT, open REAL, high REAL, low REAL, close REAL, volume REAL, oi REAL,
    trades INTEGER, source INTEGER, state INTEGER, session INTEGER, flags INTEGER, revision INTEGER,
    PRIMARY KEY (instrument_id, ts_utc)
) WITHOUT ROWID"""
_COLUMNS = (
    *("open", "high", "low", "close", "volume", "oi", "trades"),
    *("source", "state", "session", "flags", "revision"),
)
_COMPARED = (
    "SELECT count(*), sum(volume), sum(trades), min(ts_utc), max(ts_utc), min(close), max(close) FROM {}"
)


def run(*, full: bool) -> list[Row]:
    """The table."""
    seconds = 192 if full else 64
    rows = []
    for spacing in (1, 8):
        with TemporaryDirectory(prefix="mdingest-bench-") as name:
            ours = _ours(Path(name) / "ours.db", seconds, spacing)
            plain = _plain(Path(name) / "plain.db", seconds, spacing)
        assert ours[2] == plain[2], (ours, plain)
        what = f"a commit every {spacing} s"
        for unit, mine, theirs in (("ms CPU", ours[0], plain[0]), ("MB written", ours[1], plain[1])):
            ratio = f"{theirs / mine:.3g} x less"
            rows.append(Row(f"{what}: {unit}", f"{mine:.3g}", f"plain upsert {theirs:.3g}", ratio))
    return rows


def plain_upsert(table: str) -> str:
    """The last row of a key wins."""
    assigned = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
    places = ", ".join("?" * (len(_COLUMNS) + 2))
    return (
        f"INSERT INTO {table} VALUES ({places}) "  # noqa: S608 - names from here
        f"ON CONFLICT (instrument_id, ts_utc) DO UPDATE SET {assigned}"
    )


def _candles(second: int, count: int) -> Candles:
    """Every instrument traded in each of these market seconds."""
    rows = np.zeros(_INSTRUMENTS * count, CANDLE)
    rows["instrument_id"] = np.tile(np.arange(1, _INSTRUMENTS + 1), count)
    rows["interval_s"] = 1
    rows["ts"] = np.repeat(np.arange(second, second + count), _INSTRUMENTS) * 1_000_000_000
    rows["open"] = 100 + rows["instrument_id"] % 997 + second % 7 * 0.05
    rows["close"] = rows["open"] + 0.05
    rows["high"], rows["low"] = rows["open"] + 0.1, rows["open"] - 0.05
    rows["volume"], rows["oi"] = 10.0 + second % 11, np.nan
    rows["trades"], rows["source"], rows["session"] = 4, BY_NAME["kite_ws"].id, 2
    return Candles(rows)


Taken = tuple[float, float, tuple[object, ...]]
"""Ms of CPU and MB written per market second, and what can be compared."""


def _ours(path: Path, seconds: int, spacing: int) -> Taken:
    return asyncio.run(_committed(path, seconds, spacing))


async def _committed(path: Path, seconds: int, spacing: int) -> Taken:
    url = f"sqlite:///{path}"
    await migrate(url)
    store = await open_store(url)
    names = [f"SIM{number:04d}.NS" for number in range(1, _INSTRUMENTS + 1)]
    await store.ensure_instruments(
        [Instrument(name, "NSE", "", "always", VolumeKind.CUMULATIVE) for name in names]
    )
    claim = await store.claim("benchmark", "benchmark")

    async def commit(second: int, count: int) -> None:
        position = Position("benchmark", second)
        rows = _candles(_START_S + second, count)
        await store.commit(Transaction(candles=rows, position=position, epoch=claim.epoch))

    for second in range(0, _BEFORE_S, 20):
        await commit(second, 20)
    used, written = time.process_time(), _written()
    for second in range(_BEFORE_S, _BEFORE_S + seconds, spacing):
        await commit(second, spacing)
    await store.close()
    used, written = time.process_time() - used, _written() - written
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(_COMPARED.format("candles WHERE interval = '1s'")).fetchone()
    return 1e3 * used / seconds, written / 1e6 / seconds, found


def _plain(path: Path, seconds: int, spacing: int) -> Taken:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(PLAIN_TABLE.format("candles_1s"))

    def commit(second: int, count: int) -> None:
        rows = _candles(_START_S + second, count)
        rows = Candles(rows[np.lexsort((rows["ts"], rows["instrument_id"]))])
        text = np.char.add(np.datetime_as_string((rows["ts"] // 1_000_000_000).astype("datetime64[s]")), "Z")
        values = zip(
            rows["instrument_id"].tolist(), text.tolist(), *map(_listed(rows), _COLUMNS), strict=True
        )
        connection.execute("BEGIN")
        connection.executemany(plain_upsert("candles_1s"), values)
        connection.execute("COMMIT")

    for second in range(0, _BEFORE_S, 20):
        commit(second, 20)
    used, written = time.process_time(), _written()
    for second in range(_BEFORE_S, _BEFORE_S + seconds, spacing):
        commit(second, spacing)
    found = connection.execute(_COMPARED.format("candles_1s")).fetchone()
    connection.close()
    return 1e3 * (time.process_time() - used) / seconds, (_written() - written) / 1e6 / seconds, found


def _listed(rows: Candles) -> Callable[[str], list[object]]:
    return lambda name: rows[name].tolist()


def _written() -> int:
    """Bytes that this process has given to the kernel to write."""
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "wchar":
            return int(value)
    return 0


if __name__ == "__main__":
    main(TITLE, run)
