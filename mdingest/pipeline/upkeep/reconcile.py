"""After a session: what was built live, against what another source says of the same day.

The other source's candles are fetched whether or not anything is missing, compared, and stored by
rank; what they replace stays in ``candle_revisions``, and how they compared in ``candle_differences``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE, Interval
from mdingest.core.session import SessionTable, TradeDay
from mdingest.core.spans import subtract, union
from mdingest.pipeline.history.backfill import Order
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.report import Quiet
from mdingest.pipeline.upkeep.asking import Asked
from mdingest.pipeline.upkeep.differences import built, day_of, differences, total
from mdingest.providers.history import Hours
from mdingest.store.base import Committed, Difference, Store, Transaction

log = structlog.get_logger()

_MOST_MINUTES = 2 * 1_440  # of a day
INCOMPLETE = "its minutes are not complete: the day is not compared"
NOTHING_YET = "the other side has nothing of it yet"


@dataclass(slots=True)
class Reconciled:
    """Of one trade date. ``problems`` name the symbol."""

    date: str = ""
    symbols: int = 0  # compared
    differences: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """For people."""
        compared, differing = total(self.differences)
        text = f"{self.date}: {self.symbols} symbols, {differing} of {compared} values differ"
        return f"{text}; {'; '.join(self.problems)}" if self.problems else text


class Reconciler:
    """For one use: `keep` is the way into the store that its providers are given."""

    def __init__(self, store: Store, commit: Commit, hours: Callable[[Instrument], Hours]) -> None:
        self._store = store
        self._commit = commit
        self._hours = hours
        self._theirs: list[Candles] = []

    async def keep(self, transaction: Transaction) -> Committed:
        """Note what comes, and pass it on."""
        self._theirs.append(transaction.candles)
        return await self._commit(transaction)

    async def run(
        self, asked: Asked, instruments: Sequence[Instrument], interval: Interval, now_ns: int, date: str = ""
    ) -> Reconciled:
        """``interval`` is a minute or a day. ``date`` empty: the last that was over ``now_ns``.

        Raises StoreUnavailable, ConfigError for an interval that the provider does not have.
        """
        found = Reconciled(date)
        found.problems += [f"{symbol}: {why}" for symbol, why in asked.nowhere.items()]
        for instrument in instruments:
            table = self._hours(instrument).around(now_ns, now_ns)
            if date:
                at = int(np.datetime64(date, "D").astype(np.int64)) * 86_400_000_000_000
                table = self._hours(instrument).around(at, at)
            day = _day(table, now_ns, date)
            if day is None:
                found.problems.append(f"{instrument.symbol}: nothing traded then, or it is not over")
                continue
            found.date = str(day.date)
            await self._one(asked, instrument, interval, day, found)
        log.info("reconcile.done", said=found.said)
        return found

    async def _one(
        self, asked: Asked, instrument: Instrument, interval: Interval, day: TradeDay, found: Reconciled
    ) -> None:
        span = (day.start_ns, day.end_ns)
        minutes = await self._store.candles(instrument.id, MINUTE.seconds, *span, _MOST_MINUTES)
        replaced = await self._store.replaced(instrument.id, MINUTE.seconds, *span)
        self._theirs = []
        order = Order([instrument], interval, *span, force=True)
        report = await asked.chain.run(order, Quiet())
        failures = [text for said in report.symbols for text in said.failures]
        theirs = Candles(np.concatenate([np.empty(0, CANDLE), *self._theirs]))
        theirs = Candles(theirs[np.argsort(theirs["ts"], kind="stable")])
        if failures or not len(theirs):
            found.problems.append(f"{instrument.symbol}: {failures[0] if failures else NOTHING_YET}")
            return
        other = report.symbols[-1].provider
        ours = built(minutes, replaced)
        if interval.is_daily_or_longer:
            if not await self._is_whole(instrument, day):
                found.problems.append(f"{instrument.symbol}: {INCOMPLETE}")
                return
            ours = day_of(minutes, day)
            theirs = Candles(theirs[theirs["ts"] == ours["ts"][0]]) if len(ours) else theirs
        told = differences(
            ours,
            theirs,
            instrument_id=instrument.id,
            date=str(day.date),
            interval_s=interval.seconds,
            other=other,
        )
        await self._commit(Transaction(differences=told))
        found.symbols += 1
        found.differences += told

    async def _is_whole(self, instrument: Instrument, day: TradeDay) -> bool:
        coverage = await self._store.coverage(instrument.id, day.start_ns, day.end_ns)
        heard = union((row.start_ns, row.end_ns) for row in coverage if row.interval_s <= MINUTE.seconds)
        windows = [(window.start_ns, window.end_ns) for window in day.windows]
        return not subtract(union(windows), heard)


def _day(table: SessionTable, now_ns: int, date: str) -> TradeDay | None:
    """A trade date that is over: the one asked for, else the last."""
    over = [day for day in table.days if day.windows and day.windows[-1].end_ns <= now_ns]
    if date:
        over = [day for day in over if str(day.date) == date]
    return over[-1] if over else None
