"""yfinance itself, in its process, against a server that behaves as Yahoo's do."""

import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from mdingest.app.histories import Histories
from mdingest.config import load
from mdingest.core.interval import Interval
from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history import Order
from mdingest.pipeline.history.child import Child
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.providers.history import Ask, Hours, Parsed, instrument_of
from mdingest.providers.yfinance import YfinanceHistory, YfinanceOptions
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.history import BOOK, Silence
from tests.support.rows import ns
from tests.support.vendors.alphavantage import USED_UP, AlphaVantageVendor
from tests.support.vendors.base import DAY, MINUTE
from tests.support.vendors.yahoo import YahooVendor

START, END = ns(0), ns(1_200)


@pytest.fixture(scope="module")
def children() -> Iterator[dict[str, Child]]:
    """One process for all of them: it takes seconds to start."""
    children: dict[str, Child] = {}
    yield children
    for child in children.values():
        child.close()


@dataclass
class Yahoo:
    vendor: YahooVendor
    children: dict[str, Child]

    async def ask(
        self, start: int = START, end: int = END, interval: str = "1m", symbol: str = "RELIANCE.NS"
    ) -> Parsed:
        options = YfinanceOptions(url=self.vendor.url)
        instrument = instrument_of(symbol, options)
        hours = Hours(BOOK, "NSE.EQ.noncas")
        wish = Ask(instrument, Interval.parse(interval), start, end, hours, now_ns=self.vendor.now_ns)
        history = YfinanceHistory(options)
        (request,) = history.requests(wish)
        async with Fetcher(10.0, self.children) as fetcher, fetcher.reply(request) as reply:
            (part,) = history.parse(wish, reply)
        return part


@pytest.fixture
async def yahoo(children: dict[str, Child]) -> AsyncIterator[Yahoo]:
    vendor = YahooVendor()
    async with vendor.serve():
        yield Yahoo(vendor, children)


async def test_prices_are_not_adjusted_for_dividends(yahoo: Yahoo) -> None:
    found = await yahoo.ask(ns(-2 * 86_400), ns(86_400), interval="1d")

    traded = yahoo.vendor.bars(ns(-2 * 86_400) - DAY, ns(0), DAY)
    stamps = [str(at)[:10] for at in found.bars["ts"].astype("datetime64[ns]")]
    assert stamps == ["2026-11-18", "2026-11-19", "2026-11-20"]
    assert set(found.bars["close"].tolist()) <= {bar.close for bar in traded.values()}


async def test_a_bar_without_prices_had_no_trade(yahoo: Yahoo) -> None:
    yahoo.vendor.quiet = {START + 3 * MINUTE, START + 4 * MINUTE}

    found = await yahoo.ask()

    assert (len(found.bars), found.empty, found.rejected) == (18, 2, 0)


async def test_a_volume_of_zero_is_kept(yahoo: Yahoo) -> None:
    yahoo.vendor.zeros = {START}

    found = await yahoo.ask()

    assert found.bars["volume"][:2].tolist() == [0, 5]
    assert np.isfinite(found.bars["close"]).all()


async def test_what_is_late_is_not_said_to_be_there(yahoo: Yahoo) -> None:
    yahoo.vendor.now_ns = END + 40 * MINUTE
    yahoo.vendor.ends_ns = START + 5 * MINUTE

    found = await yahoo.ask()

    assert found.answered == (START, START + 5 * MINUTE)
    yahoo.vendor.now_ns = END + 2 * DAY
    assert (await yahoo.ask()).answered is None


async def test_nothing_at_all_is_a_note_and_no_coverage(yahoo: Yahoo) -> None:
    found = await yahoo.ask(ns(86_400), ns(2 * 86_400))  # a Saturday

    assert found.notes == ["Yahoo has no candles there"]
    assert found.answered == (ns(86_400), ns(86_400))


async def test_an_unknown_symbol_is_looked_for_once(yahoo: Yahoo) -> None:
    with pytest.raises(PermanentError, match=r"404: No data found, symbol may be delisted\. It has no such"):
        await yahoo.ask(symbol="NOSUCH.NS")

    assert len([path for path in yahoo.vendor.visits if "NOSUCH" in path]) + len(yahoo.vendor.asked) == 1


async def test_beyond_its_depth_its_own_words_are_told(yahoo: Yahoo) -> None:
    with pytest.raises(PermanentError, match="must be within the last 30 days"):
        await yahoo.ask(ns(-40 * 86_400), ns(-39 * 86_400))


@pytest.mark.parametrize(("told", "waits"), [({"Retry-After": "7"}, 7.0), ({}, 60.0)])
async def test_too_many_requests_is_said_once(yahoo: Yahoo, told: dict[str, str], waits: float) -> None:
    yahoo.vendor.throttled = lambda: web.Response(status=429, text="Too Many Requests", headers=told)  # type: ignore[method-assign]
    yahoo.vendor.faults = ["throttle"] * 3

    with pytest.raises(TransientError, match="429") as raised:
        await yahoo.ask()

    assert raised.value.retry_after_s == waits
    assert len(yahoo.vendor.asked) == 1


async def test_the_same_question_is_asked_anew(yahoo: Yahoo) -> None:
    before = await yahoo.ask()
    yahoo.vendor.factor = 2.0

    after = await yahoo.ask()

    assert after.bars["close"].tolist() == (before.bars["close"] * 2).tolist()


async def test_its_memory_is_bounded_and_its_own(yahoo: Yahoo, monkeypatch: pytest.MonkeyPatch) -> None:
    for heavy in ("pandas", "yfinance"):
        monkeypatch.setitem(sys.modules, heavy, None)  # importing it here would raise ImportError

    await yahoo.ask()

    pid = yahoo.children["yfinance"].pid
    assert pid is not None
    assert resource.prlimit(pid, resource.RLIMIT_DATA) == (400 << 20, 400 << 20)


async def test_it_steps_in_for_one_whose_day_is_used_up(yahoo: Yahoo, tmp_path: Path) -> None:
    yahoo.vendor.symbols = {"RELIANCE.BO"}
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    store = await open_store(url)
    async with AlphaVantageVendor().serve() as alpha:
        assert isinstance(alpha, AlphaVantageVendor)
        alpha.now_ns = yahoo.vendor.now_ns
        alpha.says = {"Information": USED_UP}
        file = tmp_path / "config.yaml"
        sections = {"alphavantage": alpha.options(tmp_path), "yfinance": yahoo.vendor.options(tmp_path)}
        file.write_text(json.dumps({"journal": {"dir": str(tmp_path / "j")}, "providers": sections}))
        config = load(file, {})

        async def fetch(start: int, end: int) -> list[tuple[str, int, list[str], list[str]]]:
            """As a process of its own would."""
            clock = Clock(yahoo.vendor.now_ns, time.monotonic_ns(), shifted=True)
            async with Fetcher(10.0, yahoo.children) as fetcher:
                histories = Histories(lambda: config, clock, store, fetcher)
                asked = ["alphavantage", "yfinance"]
                ready = await histories.ready(asked, ["RELIANCE.BO"], Interval.parse("1m"))
                order = Order(ready.instruments, Interval.parse("1m"), start, end)
                report = await ready.chain.run(order, Silence())
            return [(said.provider, said.rows, said.failures, said.notes) for said in report.symbols]

        first, second = await fetch(START, END), await fetch(END, END + 10 * MINUTE)
    await store.close()

    assert [said[:3] for said in first] == [("alphavantage", 0, []), ("yfinance", 20, [])]
    assert [said[:3] for said in second] == [("alphavantage", 0, []), ("yfinance", 10, [])]
    assert "25 requests per day" in first[0][3][0]
    assert "the quota of 25 requests a day is used up" in second[0][3][0]
    assert len(alpha.asked) == 1  # the second process knew
