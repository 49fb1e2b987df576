"""The first backfill of the README, as it stands there."""

import time
from pathlib import Path

import orjson
import pytest
import yaml

from mdingest.store import open_store
from mdingest.telemetry.clock import Clock
from tests.support.processes import started
from tests.support.rows import ns
from tests.support.vendors.base import DAY, MINUTE
from tests.support.vendors.yahoo import YahooVendor

SYMBOLS = ("RELIANCE.NS", "TCS.NS")
COMMAND = ("backfill", "--symbols", *SYMBOLS, "--period", "7d", "--interval", "1m")
NOW = ns(0) + 8 * 3_600 * 10**9  # 17:15 in Mumbai, on a Friday


@pytest.mark.timeout(120)
async def test_seven_days_of_minutes_from_yahoo(tmp_path: Path) -> None:
    vendor = YahooVendor()
    vendor.symbols = set(SYMBOLS)
    vendor.now_ns = NOW
    vendor.every_ns = 5 * MINUTE
    clock = Clock(NOW, time.monotonic_ns(), shifted=True)
    async with vendor.serve():
        config = tmp_path / "c.yaml"
        content = {
            "database": {"url": f"sqlite:///{tmp_path}/m.db"},
            "journal": {"dir": f"{tmp_path}/journal"},
            "providers": {"yfinance": {"url": vendor.url}},
        }
        config.write_text(yaml.safe_dump(content))

        async def said(*words: str) -> str:
            log = tmp_path / "log"
            log.unlink(missing_ok=True)
            async with started("--config", config, *words, log=log, cwd=tmp_path, clock=clock) as process:
                assert await process.ended(60) == 0, process.said()
                return process.said()

        first = await said(*COMMAND)
        asked = len(vendor.asked)
        answer = await said(*COMMAND, "--json")
        again = orjson.loads(answer[answer.index("{\n") :])

    want = vendor.bars(NOW - 7 * DAY, NOW)
    assert asked == 2
    assert [line for line in first.splitlines() if " 1m: " in line] == [
        f"{symbol} 1m: {len(want)} candles read, {len(want)} new or changed" for symbol in SYMBOLS
    ]
    assert (again["rows"], again["changed"], again["failed"]) == (0, 0, [])
    store = await open_store(f"sqlite:///{tmp_path}/m.db", read_only=True)
    rows = await store.candles(1, 60, 0, 1 << 61, 10_000)
    await store.close()
    assert {int(row["ts"]): float(row["close"]) for row in rows} == {
        at: bar.close for at, bar in want.items()
    }
