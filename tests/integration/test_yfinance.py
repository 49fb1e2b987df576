"""yfinance itself, in its process, against a server that behaves as Yahoo's do."""

import resource
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from aiohttp import web

from mdingest.core.interval import Interval
from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history.child import Child
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.providers.history import Ask, Hours, Parsed, instrument_of
from mdingest.providers.yfinance import YfinanceHistory, YfinanceOptions
from tests.support.history import BOOK
from tests.support.rows import ns
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


async def test_its_memory_is_bounded_and_its_own(yahoo: Yahoo) -> None:
    await yahoo.ask()

    pid = yahoo.children["yfinance"].pid
    assert pid is not None
    assert resource.prlimit(pid, resource.RLIMIT_DATA) == (400 << 20, 400 << 20)
    assert "pandas" not in sys.modules
