"""After a session: what was built live, against what another source says of the same day.

The other source's candles are fetched whether or not anything is missing, compared, and stored by
rank; what they replace stays in ``candle_revisions``, and how they compared in ``candle_differences``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE, Interval
from mdingest.core.session import SECOND_NS, SessionTable, TradeDay
from mdingest.core.spans import Span, subtract, union
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.order import Order
from mdingest.pipeline.history.report import Quiet
from mdingest.pipeline.upkeep.asking import Asked
from mdingest.pipeline.upkeep.differences import built, day_of, differences, total
from mdingest.providers.history import Hours
from mdingest.store.base import Committed, Difference, Store, Transaction

log = structlog.get_logger()

_MOST_MINUTES = 2 * 1_440  # of a day
_NAMED = 3  # symbols in a sentence; more are counted
NOT_OVER = "nothing traded then, or it is not over"
NOTHING_BUILT = "nothing was built live"
NOTHING_YET = "the other side has nothing of it yet"


@dataclass(slots=True)
class Reconciled:
    """Of one trade date. The last two say of symbols why they are not compared."""

    date: str = ""
    symbols: int = 0  # compared
    differences: list[Difference] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """What may be another time."""
    left_out: dict[str, str] = field(default_factory=dict)
    """What there is nothing to compare of."""

    @property
    def problems(self) -> dict[str, str]:
        """Both."""
        return self.failures | self.left_out

    @property
    def said(self) -> str:
        """For people."""
        compared, differing = total(self.differences)
        count = f"{self.symbols} symbol{'s' if self.symbols != 1 else ''}"
        text = f"{count}, {differing} of {compared} values differ" if self.symbols else "nothing was compared"
        return "; ".join([f"{self.date}: {text}" if self.date else text, *_told(self.problems)])


class Reconciler:
    """For one use: `keep` is the way into the store that its providers are given."""

    def __init__(self, store: Store, commit: Commit, hours: Callable[[Instrument], Hours]) -> None:
        self._store = store
        self._commit = commit
        self._hours = hours
        self._theirs: list[Candles] = []

    async def keep(self, transaction: Transaction) -> Committed:
        """Pass on what comes, and note it: once, however often a busy database was asked."""
        committed = await self._commit(transaction)
        self._theirs.append(transaction.candles)
        return committed

    async def run(
        self, asked: Asked, instruments: Sequence[Instrument], interval: Interval, now_ns: int, date: str = ""
    ) -> Reconciled:
        """``interval`` is a minute or a day. ``date`` empty: the last that was over ``now_ns``.

        Raises StoreUnavailable, ConfigError for an interval that the provider does not have.
        """
        found = Reconciled(date)
        found.left_out |= asked.nowhere
        for instrument in instruments:
            table = self._hours(instrument).around(now_ns, now_ns)
            if date:
                at = int(np.datetime64(date, "D").astype(np.int64)) * 86_400_000_000_000
                table = self._hours(instrument).around(at, at)
            day = _day(table, now_ns, date)
            if day is None:
                found.left_out[instrument.symbol] = NOT_OVER
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
        ours = built(minutes, replaced)
        if not len(ours):
            found.left_out[instrument.symbol] = f"{NOTHING_BUILT} on {day.date}"
            return
        lacking: list[Span] = []
        if interval.is_daily_or_longer:
            lacking = await self._lacking(instrument, day)
            ours = day_of(ours, minutes, day)
        self._theirs = []
        order = Order([instrument], interval, *span, force=True)
        report = await asked.chain.run(order, Quiet())
        failures = [text for said in report.symbols for text in [*said.failures, *said.rejects]]
        if failures:
            found.failures[instrument.symbol] = failures[0]
        theirs = Candles(np.concatenate([np.empty(0, CANDLE), *self._theirs]))
        theirs = Candles(theirs[np.argsort(theirs["ts"], kind="stable")])
        if interval.is_daily_or_longer:
            theirs = Candles(theirs[theirs["ts"] == ours["ts"][0]])
        if not len(theirs):
            found.failures.setdefault(instrument.symbol, NOTHING_YET)
        if not len(theirs) or any(said.failures for said in report.symbols):
            return
        if lacking:  # theirs is stored all the same
            found.left_out[instrument.symbol] = f"its minutes are not complete: {_told_minutes(lacking)}"
            return
        other = report.symbols[-1].provider
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

    async def _lacking(self, instrument: Instrument, day: TradeDay) -> list[Span]:
        coverage = await self._store.coverage(instrument.id, day.start_ns, day.end_ns)
        heard = union((row.start_ns, row.end_ns) for row in coverage if row.interval_s <= MINUTE.seconds)
        windows = [(window.start_ns, window.end_ns) for window in day.windows]
        return subtract(union(windows), heard)


def _told_minutes(lacking: Sequence[Span]) -> str:
    """``12 missing from 2026-11-20T03:50:00Z on``."""
    first = lacking[0][0] // MINUTE.ns * MINUTE.ns
    touched = union(
        (low // MINUTE.ns * MINUTE.ns, -(-high // MINUTE.ns) * MINUTE.ns) for low, high in lacking
    )
    count = sum(end - start for start, end in touched) // MINUTE.ns
    at = np.datetime64(first // SECOND_NS, "s")
    return f"{count} missing from {at}Z on"


def _told(problems: Mapping[str, str]) -> list[str]:
    """Symbols that have the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for symbol, why in problems.items():
        by_reason.setdefault(why, []).append(symbol)
    told = []
    for why, symbols in by_reason.items():
        more = len(symbols) - _NAMED
        told.append(f"{', '.join(symbols[:_NAMED])}{f' and {more} more' if more > 0 else ''}: {why}")
    return told


def _day(table: SessionTable, now_ns: int, date: str) -> TradeDay | None:
    """A trade date that is over: the one asked for, else the last."""
    over = [day for day in table.days if day.windows and day.windows[-1].end_ns <= now_ns]
    if date:
        over = [day for day in over if str(day.date) == date]
    return over[-1] if over else None
