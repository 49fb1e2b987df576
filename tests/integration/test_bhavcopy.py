"""Day files from an archive that behaves like the exchanges', into a real database."""

import asyncio
import datetime as dt
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mdingest.app.histories import Histories
from mdingest.config import load
from mdingest.core.interval import DAY
from mdingest.core.rank import BY_NAME
from mdingest.pipeline.history import Order, SymbolReport
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.history import Silence
from tests.support.rows import Database, candle, ns
from tests.support.vendors.base import DAY as DAY_NS
from tests.support.vendors.bhavcopy import BhavcopyVendor

DAY_S = 86_400
_yield = asyncio.sleep


class Archive:
    """The vendor, a database and one long-lived fetcher, as in a daemon."""

    def __init__(self, vendor: BhavcopyVendor, db: Database, folder: Path, fetcher: Fetcher) -> None:
        self.vendor, self.db, self.folder, self.fetcher = vendor, db, folder, fetcher
        self.now_s = 0.0

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.now_s += seconds
        await _yield(0)

    async def fetch(self, symbol: str, first: int, last: int, **options: Any) -> SymbolReport:  # noqa: ANN401
        """Days from ``first`` to before ``last``, counted from 2026-11-20."""
        section = {**self.vendor.options(self.folder), **options}
        file = self.folder / "config.yaml"
        file.write_text(
            json.dumps({"journal": {"dir": str(self.folder / "j")}, "providers": {"bhavcopy": section}})
        )
        config = load(file, {})
        clock = Clock(self.vendor.now_ns, time.monotonic_ns(), shifted=True)
        histories = Histories(lambda: config, clock, self.db.store, self.fetcher, now_s=lambda: self.now_s)
        ready = await histories.ready(["bhavcopy"], [symbol], DAY)
        order = Order(ready.instruments, DAY, ns(first * DAY_S), ns(last * DAY_S))
        (said,) = (await ready.chain.run(order, Silence())).symbols
        return said

    @property
    def kept(self) -> list[Path]:
        """Files on disk, the one unused longest first."""
        return sorted((self.folder / "bhavcopy").glob("*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
async def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    db = Database(url, await open_store(url))
    async with BhavcopyVendor().serve() as vendor, Fetcher(30.0) as fetcher:
        assert isinstance(vendor, BhavcopyVendor)
        archive = Archive(vendor, db, tmp_path, fetcher)
        monkeypatch.setattr(asyncio, "sleep", archive.sleep)
        yield archive
        monkeypatch.undo()
    await db.store.close()


async def test_a_days_file_is_fetched_once_for_all_symbols(archive: Archive) -> None:
    first = await archive.fetch("RELIANCE.NS", -14, 1)
    asked = len(archive.vendor.asked)

    second = await archive.fetch("TCS.NS", -14, 1)

    assert asked == len(archive.kept) == len(first.requests) == 11  # 10 ordinary days and Muhurat, no holiday
    assert (second.rows, second.failures, len(archive.vendor.asked)) == (11, [], asked)
    rows = await archive.db.store.candles(1, DAY_S, 0, 1 << 61, 100)
    assert dt.datetime.fromtimestamp(int(rows["ts"][1]) / 1e9, dt.UTC).date() == dt.date(2026, 11, 8)
    assert set(rows["source"].tolist()) == {BY_NAME["bhavcopy"].id}


async def test_both_exchanges_and_both_forms_give_the_same_market(archive: Archive) -> None:
    july = (dt.date(2024, 7, 3) - dt.date(2026, 11, 20)).days

    reports = [
        await archive.fetch("RELIANCE.NS", july, july + 7),
        await archive.fetch("RELIANCE.BO", july, july + 7),
        await archive.fetch("500325.BO", july, july + 7),
    ]

    assert [(said.rows, said.failures) for said in reports] == [(6, [])] * 3
    stored = [await archive.db.store.candles(n, DAY_S, 0, 1 << 61, 100) for n in (1, 2, 3)]
    assert [rows["close"].tolist() for rows in stored] == [stored[0]["close"].tolist()] * 3


async def test_a_file_that_is_not_published_yet_holds_up_nothing_else(archive: Archive) -> None:
    archive.vendor.now_ns = ns(10 * 3_600)  # 19:15 in Mumbai
    real = archive.vendor.has
    archive.vendor.has = lambda date: date != dt.date(2026, 11, 20) and real(date)  # type: ignore[method-assign]

    for symbol in ("RELIANCE.NS", "TCS.NS"):
        said = await archive.fetch(symbol, -3, 1)
        assert (said.rows, len(said.failures)) == (3, 1)
        assert "2026-11-20: there is no file; it is not published yet" in said.failures[0]
    assert len(archive.vendor.asked) == 4  # nobody asked for today's twice

    archive.vendor.has = real  # type: ignore[method-assign]
    archive.fetcher._absent.clear()  # ten minutes later
    said = await archive.fetch("RELIANCE.NS", -3, 1)
    assert (said.rows, said.failures, len(said.requests)) == (1, [], 1)


async def test_a_holiday_that_the_calendar_missed_is_told(archive: Archive) -> None:
    real = archive.vendor.has
    archive.vendor.has = lambda date: date != dt.date(2026, 11, 18) and real(date)  # type: ignore[method-assign]

    for options in ({}, {"cash": "full"}):
        said = await archive.fetch("RELIANCE.NS", -3, 1, **options)
        assert "NSE.CM 2026-11-18: " in said.failures[0]
        assert "say so in calendar.file" in said.failures[0]
    assert "the file of 2026-11-17 came instead" in said.failures[0]


async def test_a_web_page_in_place_of_a_file_is_asked_for_once_for_all_symbols(archive: Archive) -> None:
    archive.vendor.now_ns = ns(10 * 3_600)  # 19:15 in Mumbai
    real, late = archive.vendor.has, {dt.date(2026, 11, 18), dt.date(2026, 11, 20)}
    archive.vendor.has = lambda date: date not in late and real(date)  # type: ignore[method-assign]

    for symbol in ("RELIANCE.BO", "500325.BO"):
        said = await archive.fetch(symbol, -3, 1)
        assert (said.rows, len(said.failures)) == (2, 2)
        assert "BSE.CM 2026-11-18: there is no file. If it was a holiday" in said.failures[0]
        assert "2026-11-20: there is no file; it is not published yet" in said.failures[1]

    assert len(archive.vendor.asked) == 4


async def test_of_a_day_that_no_calendar_knows_no_web_page_is_kept(archive: Archive) -> None:
    day = (dt.date(2033, 3, 8) - dt.date(2026, 11, 20)).days
    archive.vendor.now_ns = ns((day + 4) * DAY_S)
    archive.vendor.has = lambda _: False  # type: ignore[method-assign]

    for symbol in ("RELIANCE.BO", "500325.BO"):
        said = await archive.fetch(symbol, day, day + 1)
        assert (said.rows, said.failures, archive.kept) == (0, [], [])

    assert len(archive.vendor.asked) == 2
    archive.fetcher._absent.clear()  # ten minutes later
    assert (await archive.fetch("500325.BO", day, day + 1)).requests == []  # nothing traded on it


async def test_a_file_that_was_damaged_on_disk_is_fetched_again(archive: Archive) -> None:
    await archive.fetch("RELIANCE.NS", 0, 1)
    (file,) = archive.kept
    file.write_bytes(file.read_bytes()[:50])

    said = await archive.fetch("TCS.NS", 0, 1)

    assert (said.rows, said.failures) == (1, [])
    assert len(archive.vendor.asked) == 2


async def test_kept_files_stay_within_their_bound(archive: Archive) -> None:
    await archive.fetch("RELIANCE.NS", -3, 1)
    size = archive.kept[0].stat().st_size
    oldest = archive.kept[-1]
    os.utime(oldest, ns=(0, 0))

    await archive.fetch("RELIANCE.NS", -4, -3, cache_max=size * 5 // 2)

    assert len(archive.kept) == 2
    assert oldest not in archive.kept


async def test_a_share_that_rarely_trades_is_not_asked_for_again(archive: Archive) -> None:
    archive.vendor.quiet = {ns(-1 * DAY_S) // DAY_NS * DAY_NS}

    first = await archive.fetch("RELIANCE.NS", -3, 1)
    again = await archive.fetch("RELIANCE.NS", -3, 1)

    assert (first.rows, first.failures, first.unseen[0][0]) == (
        3, [],
        "RELIANCE is not in the file of NSE.CM of 2026-11-19 but as GB (see providers.bhavcopy.series)",
    )  # fmt: skip
    assert again.requests == []


async def test_a_symbol_that_no_file_has_is_a_failure_and_covers_nothing(archive: Archive) -> None:
    for _ in range(2):
        said = await archive.fetch("RELIANSE.NS", -2, 1)
        assert said.failures == [
            "RELIANSE is not in the file of NSE.CM of 2026-11-20; did you mean RELIANCE, RELIABLE?"
        ]
        assert len(said.requests) == 3


async def test_prices_of_an_adjusted_series_are_not_mixed_with_the_raw_ones(archive: Archive) -> None:
    await archive.fetch("RELIANCE.NS", 0, 1)
    midnight = -(3_600 * 3 + 45 * 60)  # the market opens at 03:45 UTC
    bars = archive.vendor.bars(ns(-5 * DAY_S), ns(0))
    await archive.db.put(
        *(
            candle((at - ns(0)) // 10**9, bar.close / 2, source="yfinance", interval_s=DAY_S, volume=9)
            for at, bar in bars.items()
        )
    )
    assert (min(bars) - ns(0)) // 10**9 % DAY_S == midnight % DAY_S

    said = await archive.fetch("RELIANCE.NS", -5, 0)

    assert "its closes are 2 times the stored ones" in said.failures[0]
    rows = await archive.db.store.candles(1, DAY_S, 0, 1 << 61, 100)
    assert set(rows["source"][:-1].tolist()) == {BY_NAME["yfinance"].id}


async def test_files_on_disk_need_no_network(archive: Archive) -> None:
    await archive.fetch("RELIANCE.NS", -5, 1)
    local = archive.folder / "mine"
    local.mkdir()
    for path in archive.kept:
        path.rename(local / path.name.split("_", 2)[2])
    asked = len(archive.vendor.asked)

    said = await archive.fetch("TCS.NS", -5, 1, files=f"{local}/*")

    assert (said.rows, said.failures, len(archive.vendor.asked)) == (5, [], asked)
