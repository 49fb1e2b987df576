"""What a running daemon takes of a configuration that changed."""

import asyncio
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from mdingest.app.feeding import Feeding
from mdingest.config import load
from mdingest.telemetry.clock import Clock, parse_clock

SHIFTED = parse_clock("2026-11-20T09:10:00+05:30")
BACKFILL = "symbols: [RELIANCE.NS]\nbackfill: [{provider: csv, interval: 1m}]\n"
REAL = "backfill: [{provider: yfinance, interval: 1m}]\n"


@pytest.mark.parametrize(("clock", "taken"), [(Clock(), "yfinance"), (SHIFTED, "csv")])
async def test_a_shifted_clock_takes_no_real_address_while_running(
    tmp_path: Path, clock: Clock, taken: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(BACKFILL)
    nothing: Any = cast("Any", SimpleNamespace())  # without live feeds nothing of it is touched
    feeding = Feeding(load(file, {}), clock, nothing, nothing, count())

    file.write_text(f"symbols: [RELIANCE.NS]\n{REAL}")
    with capture_logs() as logs:
        feeding.reload.set()
        running = asyncio.create_task(feeding.run())
        while not any(line["event"].startswith("config.re") for line in logs):  # noqa: ASYNC110 - it only yields
            await asyncio.sleep(0)
        running.cancel()

    assert [entry.provider for entry in feeding.config.backfill] == [taken]
    if clock.shifted:
        assert "MDINGEST_CLOCK is for simulators, but providers.yfinance.url is https://" in logs[0]["error"]
