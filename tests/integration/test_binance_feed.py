"""The second shape of feed, through the whole daemon: single trades whose ids tell of holes."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mdingest.app import run_daemon
from mdingest.config import load
from mdingest.core.control import VolumeKind
from mdingest.core.records import Kind
from mdingest.pipeline.reader import JournalReader
from mdingest.store import open_store
from mdingest.telemetry.clock import Clock
from tests.support.fake_exchange import STAY, FakeExchange, Heed

NS = 1_000_000_000
MS = 1_000_000


def trade(number: int, at_ms: int, price: str, size: str) -> str:
    data = {
        "e": "trade",
        "E": at_ms,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": size,
        "T": at_ms,
        "m": True,
    }
    return json.dumps({"stream": "btcusdt@trade", "data": data})


def journalled(directory: Path) -> int:
    """How many frames were received for good."""
    if not list(directory.glob("*.mdj")):
        return 0
    return sum(int((batch.kinds == Kind.FRAME).sum()) for batch in JournalReader(directory).read())


async def recorded(exchange: FakeExchange, tmp_path: Path, frames: int) -> Path:
    """Run the daemon on the exchange until it has received so many frames; the database."""
    database = tmp_path / "mdingest.db"
    async with exchange.serve() as url:
        file = tmp_path / "config.yaml"
        file.write_text(
            f"""
            database: {{url: "sqlite:///{database}"}}
            journal: {{dir: {tmp_path / "journal"}}}
            symbols: [BTCUSDT.BINANCE]
            realtime: [{{provider: binance_ws}}]
            providers: {{binance_ws: {{url: "{url}"}}}}
            """
        )
        stop = asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(run_daemon(load(file), Clock(), stop, serve_http=False))
            while journalled(tmp_path / "journal") < frames:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.02)
            stop.set()
    return database


async def test_trades_become_candles_and_skipped_ids_become_gaps(tmp_path: Path) -> None:
    base = time.time_ns() // NS * 1000 + 1000  # the next whole second, in ms
    first = [
        trade(10, base, "100.5", "1"),
        trade(11, base + 200, "103", "0.5"),
        trade(12, base + 900, "99.25", "2"),
    ]
    consecutive = [trade(13, base + 1100, "100", "1"), trade(14, base + 2500, "101", "1")]
    skipping = [trade(20, base + 4000, "102", "3"), trade(20, base + 4000, "102", "3"), "{not json"]
    clock = [trade(21 + n, base + 5000 + 1000 * n, "103", "1") for n in range(5)]
    exchange = FakeExchange(
        [Heed(1), *first],  # hangs up
        [Heed(1), *consecutive, *skipping, *clock, STAY],
    )
    database = await recorded(exchange, tmp_path, len([*first, *consecutive, *skipping, *clock]))

    assert [json.loads(m)["params"] for session in exchange.sessions for m in session] == [
        ["btcusdt@trade"]
    ] * 2
    store = await open_store(f"sqlite:///{database}", read_only=True)
    (instrument,) = await store.instruments()
    assert (instrument.symbol, instrument.session_class) == ("BTCUSDT.BINANCE", "always")
    assert instrument.volume is VolumeKind.TRADES
    start = base * MS
    rows = await store.candles(instrument.id, 1, start, start + 60 * NS, 100)
    opening = rows[0]
    assert [float(opening[name]) for name in ("open", "high", "low", "close", "volume", "trades")] == [
        100.5,
        103,
        99.25,
        99.25,
        3.5,
        3,
    ]
    assert rows["source"].tolist() == [3] * len(rows)
    by_second = {(int(row["ts"]) - start) // NS: float(row["volume"]) for row in rows}
    assert by_second[1] == 1.0
    assert by_second[4] == 3.0, "the same id twice is one trade"
    gaps = await store.gaps(instrument.id, start, start + 60 * NS)
    skipped = [gap for gap in gaps if gap.cause == "trade_id"]
    assert [((gap.start_ns - start) // NS, (gap.end_ns or 0) - start) for gap in skipped] == [(2, 5 * NS)]
    assert not [gap for gap in gaps if gap.cause == "disconnect" and gap.end_ns != gap.start_ns], (
        "ids went on where they had stopped, so nothing was missed in between"
    )
    await store.close()


@pytest.mark.parametrize("wrong", ["BTCUSDT", "btcusdt.BINANCE"])
async def test_a_symbol_that_is_none_parks_the_feed_and_says_so(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""
        database: {{url: "sqlite:///{tmp_path / "mdingest.db"}"}}
        journal: {{dir: {tmp_path / "journal"}}}
        symbols: [{wrong}]
        realtime: [{{provider: binance_ws}}]
        providers: {{binance_ws: {{url: "ws://127.0.0.1:9"}}}}
        """
    )
    stop = asyncio.Event()
    with capture_logs() as told:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(run_daemon(load(file), Clock(), stop, serve_http=False))
            while "feed.parked" not in {entry["event"] for entry in told}:  # noqa: ASYNC110 - a log has none
                await asyncio.sleep(0.01)
            stop.set()
    (parked,) = [entry for entry in told if entry["event"] == "feed.parked"]
    assert parked["feed"] == "binance_ws"
    assert parked["error"].endswith(f"\n{wrong}: must look like BTCUSDT.BINANCE")
