"""A day held against another source's bars, while the database is busy."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from mdingest.calendars import load
from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.history.order import Order
from mdingest.pipeline.history.report import Progress, Report, SymbolReport
from mdingest.pipeline.upkeep.reconcile import Reconciler
from mdingest.providers.history import Hours
from mdingest.store.base import Committed, Transaction
from tests.support.rows import candle

SHARE = Instrument("RELIANCE.NS", "NSE", "RELIANCE", "NSE.EQ.noncas", VolumeKind.CUMULATIVE, id=1)
DAY_NS = 1_795_113_000_000_000_000  # midnight in India, 2026-11-20
OPEN_S = (DAY_NS // 10**9) + 33_300


def bars(*closes: float, source: str) -> Candles:
    rows = [candle(0, close, interval_s=60, source=source) for close in closes]
    out = np.array(rows, CANDLE)
    out["ts"] = (OPEN_S + 60 * np.arange(len(rows))) * 10**9
    return Candles(out)


class Day:
    """What is stored of one day. The first commit finds the database locked."""

    def __init__(self, ours: Candles) -> None:
        self.ours = ours
        self.busy = 1
        self.stored: list[Transaction] = []

    async def candles(self, *_: object) -> Candles:
        return self.ours

    async def replaced(self, *_: object) -> Candles:
        return Candles(np.empty(0, CANDLE))

    async def commit(self, transaction: Transaction) -> Committed:
        if self.busy:
            self.busy -= 1
            raise StoreUnavailable("database is locked")
        self.stored.append(transaction)
        return Committed(len(transaction.candles))


class Broker:
    """Brings its bars as a backfill does, which asks a busy database again."""

    nowhere: Mapping[str, str] = MappingProxyType({})

    def __init__(self, theirs: Candles) -> None:
        self.theirs = theirs
        self.keep: Any = None

    @property
    def chain(self) -> Any:  # noqa: ANN401 - the part of `Chain` that is asked
        return self

    async def run(self, order: Order, progress: Progress) -> Report:
        del progress
        while True:
            try:
                await self.keep(Transaction(candles=self.theirs))
            except StoreUnavailable:
                continue
            said: Sequence[SymbolReport] = [
                SymbolReport(one.symbol, "1m", "kite") for one in order.instruments
            ]
            return Report(list(said))


async def test_bars_that_a_busy_database_took_at_the_second_attempt_are_compared_once() -> None:
    day, broker = Day(bars(100, 101, 102, source="kite_ws")), Broker(bars(100, 101, 103, source="kite"))
    hours = Hours(load(), SHARE.session_class)
    reconciler = Reconciler(day, day.commit, lambda _: hours)  # type: ignore[arg-type] - what it asks of a store
    broker.keep = reconciler.keep

    found = await reconciler.run(broker, [SHARE], MINUTE, DAY_NS + 86_400 * 10**9, "2026-11-20")

    assert found.problems == {}
    assert {one.field: (one.compared, one.differing) for one in found.differences} == {
        "candle": (3, 0), "open": (3, 1), "high": (3, 1), "low": (3, 1), "close": (3, 1), "volume": (3, 0),
    }  # fmt: skip
