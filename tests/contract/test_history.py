"""What every source of history must keep, against a server that behaves like the vendor."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest
import structlog

from mdingest.app.histories import Histories
from mdingest.config import Config, load
from mdingest.core.events import Flag
from mdingest.core.interval import Interval
from mdingest.core.rank import BY_NAME
from mdingest.errors import ConfigError
from mdingest.pipeline.history import Order, SymbolReport
from mdingest.pipeline.history.child import Child
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.providers import HISTORY
from mdingest.providers.history import Capabilities, Reach
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.history import Silence
from tests.support.rows import Database, candle, ns
from tests.support.vendors import VENDORS
from tests.support.vendors.base import DAY, FAULTS, MINUTE, SECRET, Vendor

_yield = asyncio.sleep
OUTRANKED = sorted(name for name in VENDORS if BY_NAME[name].rank < BY_NAME["bhavcopy"].rank)
WITH_A_SECRET = sorted(name for name, vendor in VENDORS.items() if vendor.names_secret)
START, END = ns(0), ns(1_200)  # twenty minutes of 2026-11-20, from the opening on
_OPENED_NS = (9 * 60 + 15) * MINUTE
DAYS = ns(-25 * 86_400) - _OPENED_NS, ns(86_400) - _OPENED_NS  # twenty trading days up to then
_LAST_TRADE_NS = 10 * 60 * MINUTE + 30 * MINUTE  # 16:00 in Mumbai, after the name of a day


class Market:
    """A vendor, a database, and backfills from one into the other."""

    def __init__(self, vendor: Vendor, db: Database, folder: Path, children: dict[str, Child]) -> None:
        self.children = children
        self.vendor = vendor
        self.db = db
        self.folder = folder
        self.texts: list[str] = []  # that people may see
        self.waited: list[float] = []
        self.now_s = 1_000.0
        self.timeout_s = 30.0  # of one request: a loaded machine is no slow vendor
        self.daily = vendor.daily
        self.one = Interval.parse("1d" if vendor.daily else "1m")
        self.start, self.end = DAYS if vendor.daily else (START, END)
        self.requests = 20 if vendor.daily else 1  # for that range

    def at(self, n: int) -> int:
        """What the bar of that number is called."""
        return self.days[n] if self.daily else START + n * MINUTE

    @cached_property
    def days(self) -> list[int]:
        """Names of the twenty days."""
        return list(self.vendor.bars(*DAYS, DAY))

    def over(self, name: int) -> int:
        """When nothing trades in a bar any more."""
        return name + (_LAST_TRADE_NS if self.daily else MINUTE)

    def day_of(self, instant: int) -> int:
        """The midnight before the opening, for vendors of whole days."""
        return instant - _OPENED_NS if self.daily else instant

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.waited.append(seconds)
        self.now_s += seconds
        await _yield(0)

    async def fetch(
        self,
        start: int | None = None,
        end: int | None = None,
        interval: Interval | None = None,
        symbol: str = "",
        **order: bool,
    ) -> SymbolReport:
        """One backfill, as a process of its own would do it."""
        vendor = self.vendor
        start, end = (self.start if start is None else start), (self.end if end is None else end)
        interval = interval or self.one
        config = self.config()
        async with Fetcher(self.timeout_s, self.children) as fetcher:
            clock = Clock(vendor.now_ns, time.monotonic_ns(), shifted=True)
            histories = Histories(lambda: config, clock, self.db.store, fetcher, now_s=lambda: self.now_s)
            ready = await histories.ready([vendor.provider], [symbol or vendor.symbol], interval)
            report = await ready.chain.run(Order(ready.instruments, interval, start, end, **order), Silence())
        (said,) = report.symbols
        self.texts.append(repr(said))
        return said

    def config(self) -> Config:
        file = self.folder / "config.yaml"
        provider = self.vendor.provider
        session = {"session_class": "NSE.EQ.noncas"} if not self.vendor.always_open else {}
        section = {**self.vendor.options(self.folder), **session}
        file.write_text(
            json.dumps({"journal": {"dir": str(self.folder / "j")}, "providers": {provider: section}})
        )
        return load(file, {})

    async def rows(self, interval_s: int | None = None) -> dict[int, tuple[float, float, int]]:
        """Close, volume and source by opening instant."""
        found = await self.db.store.candles(1, interval_s or self.one.seconds, 0, 1 << 61, 100_000)
        return {int(r["ts"]): (float(r["close"]), float(r["volume"]), int(r["source"])) for r in found}

    async def put(
        self, minutes: range, close: Callable[[int], float], source: str = "kite_ws", volume: float = 9
    ) -> None:
        """Rows that are stored already."""
        await self.db.put(
            *(candle(60 * n, close(n), source=source, interval_s=60, volume=volume) for n in minutes)
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the provider says of itself."""
        provider = self.vendor.provider
        return HISTORY[provider].history(self.config().providers[provider]).capabilities

    def reach(self) -> Reach:
        """The same of its shortest bars."""
        return self.capabilities.intervals[self.one.seconds]

    def reachable(self, start: int) -> int:
        """The instant itself, or the opening of the first day that the provider still has."""
        depth_s = self.reach().depth_s
        if depth_s is None:
            return start
        opening = START % DAY
        return max(start, -(-(self.vendor.now_ns - round(depth_s * 1e9) - opening) // DAY) * DAY + opening)

    def want(self, start: int | None = None, end: int | None = None) -> dict[int, tuple[float, float, int]]:
        """What should be stored of the vendor's bars."""
        source = BY_NAME[self.vendor.provider].id
        start, end = (self.start if start is None else start), (self.end if end is None else end)
        bars = self.vendor.bars(start, end, DAY if self.daily else MINUTE)
        return {at: (b.close, b.volume, source) for at, b in bars.items()}


@pytest.fixture(scope="module")
def children() -> Iterator[dict[str, Child]]:
    """Processes of libraries, which take seconds to start: shared by all tests."""
    children: dict[str, Child] = {}
    yield children
    for child in children.values():
        child.close()


@pytest.fixture(params=sorted(VENDORS))
async def market(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    children: dict[str, Child],
) -> AsyncIterator[Market]:
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    database = Database(url, await open_store(url))
    async with VENDORS[request.param]().serve() as vendor:
        market = Market(vendor, database, tmp_path, children)
        monkeypatch.setattr(asyncio, "sleep", market.sleep)
        yield market
        monkeypatch.undo()
    await database.store.close()


def test_every_provider_that_is_asked_over_the_network_has_a_vendor() -> None:
    assert {"csv"} | set(VENDORS) >= set(HISTORY)


async def test_what_it_has_is_stored_as_it_stands(market: Market) -> None:
    market.vendor.quiet = {market.at(3)}

    said = await market.fetch()

    assert (said.failures, said.rejected, said.notes) == ([], 0, [])
    assert await market.rows() == market.want()
    assert len(market.want()) == 19


async def test_yesterday_and_today_are_one_wish(market: Market) -> None:
    market.vendor.every_ns = 5 * MINUTE
    market.vendor.now_ns = market.end - DAY // 2 if market.daily else START + DAY // 2
    start = market.day_of(ns(-86_400))

    said = await market.fetch(start)

    assert (said.failures, said.rejected) == ([], 0)
    assert await market.rows() == market.want(start)
    assert len(market.vendor.asked) == len(said.requests)


async def test_it_is_asked_once(market: Market) -> None:
    market.vendor.quiet = {market.at(3)}
    first = await market.fetch()
    asked = len(market.vendor.asked)

    again = await market.fetch()

    assert asked == len(first.requests) == market.requests
    assert (again.requests, len(market.vendor.asked)) == ([], asked)


async def test_days_are_named_by_their_date(market: Market) -> None:
    day = Interval.parse("1d")
    said = await market.fetch(ns(-10 * 86_400), ns(86_400), interval=day)

    rows = await market.rows(86_400)
    assert (said.failures, said.rejected) == ([], 0)
    assert all(at % DAY == 0 for at in rows)
    assert len(rows) == (
        12 if market.vendor.always_open else 8
    )  # those at either end are whole; the 10th was a holiday
    assert max(rows) == ns(0 if len(rows) == 8 else 86_400) // DAY * DAY
    assert (await market.fetch(ns(-10 * 86_400), ns(86_400), interval=day)).requests == []


async def test_a_long_range_is_the_fewest_requests_it_allows(market: Market) -> None:
    reach = market.reach()
    start, end = market.reachable(ns(-120 * 86_400)), ns(0)

    said = await market.fetch(start, end, dry_run=True)

    assert said.requests
    assert market.vendor.asked == []
    if market.daily:
        assert len(said.requests) == len(market.vendor.bars(start - DAY, end, DAY))
    elif reach.span_s is not None:
        assert len(said.requests) == -(-(end - start) // (reach.span_s * 1e9))
    if reach.months is not None:
        assert len(said.requests) == 5  # from July to November
    if reach.rows is not None:
        assert len(said.requests) == -(-120 * 1_440 // reach.rows)


async def test_the_forming_bar_is_never_stored(market: Market) -> None:
    settle_ns = market.capabilities.settle_of(market.one) * 1e9
    market.vendor.now_ns = market.at(10) + (9 * 60 * MINUTE if market.daily else MINUTE // 2)

    await market.fetch(end=market.end + 20 * MINUTE)
    rows = await market.rows()

    assert all(market.over(at) <= market.vendor.now_ns - settle_ns for at in rows)
    market.vendor.now_ns = market.end + DAY
    await market.fetch()
    assert await market.rows() == market.want()


@pytest.mark.parametrize("fault", FAULTS)
async def test_trouble_is_tried_again(market: Market, fault: str) -> None:
    market.vendor.every_ns = 5 * MINUTE
    market.vendor.faults = [fault, fault]
    if fault == "slow":
        market.vendor.faults, market.timeout_s = [fault], 1.5

    said = await market.fetch()

    assert said.failures == []
    assert await market.rows() == market.want()
    assert len(market.vendor.asked) == market.requests + (1 if fault == "slow" else 2)
    assert len(market.waited) >= len(market.vendor.asked) - market.requests
    assert max(market.waited) <= 300


async def test_one_that_does_not_recover_is_left_alone(market: Market) -> None:
    market.vendor.faults = ["500"] * 1_000

    said = await market.fetch()

    assert "500" in said.failures[0]
    assert (said.left[0][0], said.left[-1][1]) == (market.start, market.end)
    assert len(market.vendor.asked) <= 12
    assert await market.rows() == {}


async def test_after_a_cut_it_goes_on_where_it_was(market: Market) -> None:
    market.vendor.every_ns = 30 * MINUTE
    end = ns(50 * 86_400)
    market.vendor.now_ns = end + 10 * DAY
    start = market.day_of(market.reachable(ns(-100 * 86_400)))
    planned = (await market.fetch(start, end, dry_run=True)).requests
    assert len(planned) > 1
    end = min(end, start + 3 * (end - start) // len(planned))
    planned = (await market.fetch(start, end, dry_run=True)).requests
    market.vendor.faults = ["", *["500"] * 1_000]
    await market.fetch(start, end)
    market.vendor.faults = []
    asked = len(market.vendor.asked)

    await market.fetch(start, end)

    assert len(market.vendor.asked) - asked == len(planned) - 1
    assert await market.rows() == market.want(start, end)


async def test_an_unknown_symbol_is_told_and_nothing_stored(market: Market) -> None:
    symbol = f"NOSUCH.{market.vendor.symbol.partition('.')[2]}"
    try:
        said = await market.fetch(symbol=symbol)
        text = "".join(said.failures)
    except ConfigError as exc:
        text = str(exc)

    assert text
    assert len(market.vendor.asked) <= market.requests
    assert await market.rows() == {}


async def test_a_wrong_row_is_named_and_asked_for_again(market: Market) -> None:
    market.vendor.wrong = {market.at(5)}

    said = await market.fetch()

    assert said.rejected == 1
    assert "row 6: high is below low" in said.rejects[0] or "high is below low" in said.rejects[0]
    assert set(await market.rows()) == set(market.want()) - market.vendor.wrong
    market.vendor.wrong = set()
    await market.fetch()
    assert await market.rows() == market.want()


async def test_adjusted_bars_leave_good_rows_unchanged(market: Market) -> None:
    await market.fetch()
    before = await market.rows()
    market.vendor.factor = 0.5
    market.vendor.forget(market.folder)

    said = await market.fetch(force=True)

    assert "0.5 times the stored ones" in said.failures[0]
    assert await market.rows() == before


async def test_bars_without_volume_leave_good_rows_unchanged(market: Market) -> None:
    await market.fetch()
    before = await market.rows()
    market.vendor.zeros = {market.at(n) for n in range(4, 9)}
    market.vendor.forget(market.folder)

    await market.fetch(force=True)

    assert await market.rows() == before


@pytest.mark.parametrize("market", ["yfinance"], indirect=True)
async def test_a_suspect_volume_is_marked_and_gives_way(market: Market) -> None:
    market.vendor.zeros = {START + 4 * MINUTE}
    await market.fetch()
    stored = await market.db.store.candles(1, 60, START, END, 100)
    await market.put(range(4, 5), lambda _: 99.0, source="alphavantage")
    replaced = await market.rows()
    market.vendor.zeros = set()
    await market.fetch(force=True)

    assert {int(row["ts"]) for row in stored if row["flags"] == Flag.VOLUME_SUSPECT} == {START + 4 * MINUTE}
    assert replaced[START + 4 * MINUTE] == (99.0, 9, BY_NAME["alphavantage"].id)
    assert (await market.rows())[START + 5 * MINUTE] == market.want()[START + 5 * MINUTE]


async def test_unsettled_bars_leave_good_rows_unchanged(market: Market) -> None:
    await market.fetch()
    before = await market.rows()
    market.vendor.factor = 1.001
    market.vendor.forget(market.folder)
    market.vendor.now_ns = market.start + 30_000_000_000

    await market.fetch(force=True)

    assert await market.rows() == before


@pytest.mark.parametrize("market", OUTRANKED, indirect=True)
async def test_a_higher_rank_is_not_replaced(market: Market) -> None:
    bars = market.vendor.bars(START, END)
    await market.fetch(end=START + MINUTE)  # the instrument
    await market.put(range(3), lambda n: bars[START + n * MINUTE].close + 0.05, source="bhavcopy")

    await market.fetch()

    assert [source for _, _, source in list((await market.rows()).values())[:4]] == [
        *[BY_NAME["bhavcopy"].id] * 3,
        BY_NAME[market.vendor.provider].id,
    ]


@pytest.mark.parametrize("market", WITH_A_SECRET, indirect=True)
async def test_a_token_that_is_refused_is_not_tried_again(market: Market) -> None:
    market.vendor.refuses_token = True

    said = await market.fetch(end=START + 400 * DAY)

    assert len(market.vendor.asked) == 1
    assert said.failures
    assert said.left


async def test_no_text_holds_a_secret(market: Market) -> None:
    with structlog.testing.capture_logs() as logs:
        for fault in FAULTS:
            market.vendor.faults = [fault] * 1_000
            market.timeout_s = 0.3 if fault == "slow" else 30.0
            await market.fetch()
        market.vendor.faults = []
        market.vendor.refuses_token = True
        await market.fetch()
        market.vendor.url = "http://127.0.0.1:1"
        await market.fetch()

    assert logs
    assert SECRET not in f"{logs}{market.texts}"


async def test_no_more_often_than_it_allows(market: Market) -> None:
    market.vendor.every_ns = 30 * MINUTE
    limits = market.capabilities.limits
    start, end = ns(-200 * 86_400), ns(-170 * 86_400)
    market.vendor.now_ns = end
    planned = (await market.fetch(start, end, dry_run=True)).requests

    began = market.now_s
    await market.fetch(start, end)

    if limits.per_second is not None:
        assert market.now_s - began >= (len(planned) - 1) / limits.per_second - 1e-6
