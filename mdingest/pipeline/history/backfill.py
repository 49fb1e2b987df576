"""Fetches history into a store, symbol by symbol, in short transactions of rows with coverage."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import SECOND, Interval
from mdingest.core.spans import Span, union
from mdingest.errors import Adjusted, ConfigError, NotYet, PermanentError, TransientError, Unauthorized
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.history.batch import BATCH, Batch
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Commit, Held
from mdingest.pipeline.history.limits import Pace, Sparing
from mdingest.pipeline.history.order import EARLIEST_NS, LATEST_NS, Order
from mdingest.pipeline.history.patience import Patience, Postponed
from mdingest.pipeline.history.plan import earliest_of, plan
from mdingest.pipeline.history.report import EDGE_NS, Progress, Report, SymbolReport, too_old
from mdingest.pipeline.history.storing import Storing
from mdingest.pipeline.history.taking import Taking
from mdingest.providers.history import Ask, History, Hours, Request

ATTEMPTS = 5
MOST_ANEW = 500_000
"""Candles of a series that are replaced as a whole: some 50 MB."""


class Backfill:
    """One provider's way into one store, for one run: what it refused for good is not asked again."""

    def __init__(
        self,
        name: str,
        history: History,
        store: Held,
        *,
        hours: Callable[[Instrument], Hours],
        fetcher: Fetcher,
        pace: Pace | Sparing,
        now_ns: Callable[[], int],
        commit: Commit | None = None,
    ) -> None:
        """``commit`` is the way into a daemon's writer, else the store's; ``now_ns`` the wall clock."""
        self._name = name
        self._history = history
        self._capabilities = history.capabilities
        self._store = store
        self._hours = hours
        self._fetcher = fetcher
        self._now_ns = now_ns
        self._storing = Storing(name, store, store.commit if commit is None else commit)
        self._taking = Taking(name, history, self._storing, fetcher=fetcher, pace=pace, now_ns=now_ns)
        self._patience = Patience(name, pace)

    @property
    def name(self) -> str:
        """The provider's."""
        return self._name

    def lacks(self, interval: Interval) -> str:
        """Why the provider can't be asked for candles of this length; empty if it can."""
        why = self._capabilities.lacks(interval)
        return why and f"{self._name} {why}"

    def settle_s(self, interval: Interval) -> float:
        """After how many seconds a bar of this length stands."""
        return self._capabilities.settle_of(interval)

    async def run(self, order: Order, progress: Progress) -> Report:
        """All symbols, one after another. What fails for one does not touch the others.

        Raises ConfigError for an order that the provider can't take, StoreUnavailable if the
        database stays away. Cancelling leaves what was committed, which is whole.
        """
        self.check(order)
        report = Report()
        for instrument in order.instruments:
            said = await self.one(instrument, order, progress)
            report.symbols.append(said)
            progress.finished(said)
        return report

    async def one(
        self, instrument: Instrument, order: Order, progress: Progress, *, hurried: bool = False
    ) -> SymbolReport:
        """One symbol of an order that was checked; ``progress`` does not hear of its end.

        ``hurried``: somebody else can be asked, so a provider that wants us to wait has had its turn,
        and ``postponed`` says so.
        """
        said = SymbolReport(instrument.symbol, order.interval.text, self._name)
        self._patience.hurried = hurried
        try:
            await self._symbol(instrument, order, said, progress)
            if said.adjusted and order.anew and order.interval != SECOND:  # seconds are live ones, too
                await self._anew(instrument, order, said, progress)
        except (PermanentError, TransientError) as exc:
            said.failures.append(str(exc))
            said.left = said.planned or [self.range_of(order)]
        return said

    def check(self, order: Order) -> None:
        """Raises ConfigError for an order that the provider can't take."""
        if why := self.lacks(order.interval):
            raise ConfigError(why)
        if order.start_ns is None and not self._capabilities.local:
            raise ConfigError(f"{self._name} needs a range: give --period or --start")

    def range_of(self, order: Order) -> Span:
        """From the beginning to now, or as the order has it."""
        start = EARLIEST_NS if order.start_ns is None else order.start_ns
        if self._capabilities.local:
            return start, LATEST_NS if order.end_ns is None else order.end_ns
        now = self._now_ns()
        return start, now if order.end_ns is None else min(order.end_ns, now)

    async def _symbol(
        self, instrument: Instrument, order: Order, said: SymbolReport, progress: Progress
    ) -> None:
        hours, wanted = self._hours(instrument), self.range_of(order)
        if self._capabilities.local:
            ranges = [wanted]
        else:
            said.planned = ranges = await self._missing(instrument, order, wanted, hours, said)
        requests = self._requests(instrument, order, ranges)
        said.requests = [str(request) for _, request in requests]
        if order.dry_run:
            return
        batch = Batch() if self._brings_one_bar(order.interval) else None
        for number, (ask, request) in enumerate(requests):

            def heard(share: float, number: int = number) -> None:
                progress.advanced(said.symbol, (number + share) / len(requests), said.rows)

            asked = self._patience.refused is None
            try:
                await self._request(ask, request, said, heard, batch)
            except (PermanentError, TransientError) as exc:
                said.left.append((ask.start_ns, ask.end_ns))
                said.fail(str(request), exc, asked=asked)
                said.postponed = isinstance(exc, Postponed)
                if self._patience.refused is not None or said.postponed:
                    said.left += [(later.start_ns, later.end_ns) for later, _ in requests[number + 1 :]]
                    break
            if batch is not None and len(batch) >= BATCH:
                await self._store_batch(batch, said)
        if batch is not None:
            await self._store_batch(batch, said)
        await self._settle_unseen(instrument, order, said)

    def _requests(
        self, instrument: Instrument, order: Order, ranges: Sequence[Span]
    ) -> list[tuple[Ask, Request]]:
        now, hours = self._now_ns(), self._hours(instrument)
        asks = [Ask(instrument, order.interval, *span, hours, now_ns=now) for span in ranges]
        return [(_narrowed(ask, request), request) for ask in asks for request in self._history.requests(ask)]

    async def _anew(
        self, instrument: Instrument, order: Order, said: SymbolReport, progress: Progress
    ) -> None:
        """All of a range once more, to take the place of what is stored as a whole, or nothing of it.

        Raises PermanentError, or TransientError after the last attempt.
        """
        again = SymbolReport(said.symbol, said.interval, said.provider)
        requests = self._requests(instrument, order, said.planned or [self.range_of(order)])
        batch = Batch()
        for number, (ask, request) in enumerate(requests):

            def heard(share: float, number: int = number) -> None:
                progress.advanced(said.symbol, (number + share) / len(requests), again.rows)

            await self._request(ask, request, again, heard, batch)
            if again.rows > MOST_ANEW:
                raise PermanentError(f"more than {MOST_ANEW:,} candles can't be replaced at once")
        if again.rejected or again.unseen:
            return  # as it was said already: some of it is wrong
        for ask, rows, spans in batch.taken():
            _, first = np.unique(rows["ts"], return_index=True)  # requests overlap by some bars
            await self._storing.replace(ask, Candles(rows[first]), spans, again)
        said.rows, said.changed = again.rows, again.changed
        said.failures, said.left, said.notes = [], [], again.notes

    async def _settle_unseen(self, instrument: Instrument, order: Order, said: SymbolReport) -> None:
        """Answers for a whole market that lack the instrument: no trade if it is known, else a failure."""
        if not said.unseen:
            return
        known = said.rows or len(
            await self._store.candles(instrument.id, order.interval.seconds, EARLIEST_NS, LATEST_NS, 1)
        )
        if not known:
            said.failures.append(said.unseen[-1][0])
            return
        ask = Ask(instrument, order.interval, *self.range_of(order), self._hours(instrument))
        spans = union(span for _, answered in said.unseen for span in answered)
        await self._storing.write(ask, Candles(np.empty(0, CANDLE)), spans, said)

    def _brings_one_bar(self, interval: Interval) -> bool:
        """Whether each request brings one bar: many of them are then one range to check and to store."""
        span_s = self._capabilities.intervals[interval.seconds].span_s
        return span_s is not None and span_s <= interval.seconds

    async def _store_batch(self, batch: Batch, said: SymbolReport) -> None:
        for ask, rows, spans in batch.taken():
            try:
                await self._storing.refuse_ratio(ask, rows, await self._storing.stored(ask))
            except Adjusted as exc:
                said.failures.append(str(exc))
                said.adjusted = True
                said.left.append((ask.start_ns, ask.end_ns))
            else:
                await self._storing.write(ask, rows, spans, said)

    async def _missing(
        self, instrument: Instrument, order: Order, wanted: Span, hours: Hours, said: SymbolReport
    ) -> list[Span]:
        if wanted[0] >= wanted[1]:
            return []
        planned = plan(
            wanted,
            interval=order.interval,
            table=hours.around(*wanted),
            coverage=await self._store.coverage(instrument.id, *wanted),
            capabilities=self._capabilities,
            now_ns=self._now_ns(),
            force=order.force,
            only=order.only,
        )
        said.beyond = list(planned.beyond)
        if said.beyond and not order.dry_run:
            earliest = earliest_of(self._capabilities.intervals[order.interval.seconds], self._now_ns())
            said.out_of_reach = too_old(self._name, order.interval, said.beyond, earliest, hours)
            said.at_edge = earliest - wanted[0] <= EDGE_NS
        return list(planned.ranges)

    async def _request(
        self,
        ask: Ask,
        request: Request,
        said: SymbolReport,
        heard: Callable[[float], None],
        batch: Batch | None,
    ) -> None:
        """Raises PermanentError, or TransientError after the last attempt."""
        if self._patience.refused is not None:
            raise self._patience.refused
        waits, rejected = full_jitter(cap_s=60.0), said.rejected
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not self._fetcher.has(request):
                    await self._patience.turn()
                async with self._fetcher.reply(request) as reply:
                    if batch is None:
                        await self._taking.refuse_adjusted(ask, reply)
                    write = self._storing.write if batch is None else batch.add
                    await self._taking.keep(ask, reply, said, heard, write)
                    if said.rejected == rejected:
                        await self._fetcher.understood(reply)
                    else:
                        self._fetcher.misunderstood(request)  # it may be mended by the next time
            except (NotYet, Postponed):
                raise
            except Unauthorized as exc:
                self._patience.refused = exc
                raise
            except TransientError as exc:
                self._fetcher.misunderstood(request)
                await self._patience.wait(exc, next(waits), last=attempt == ATTEMPTS)
            else:
                self._patience.answered()
                return


def _narrowed(ask: Ask, request: Request) -> Ask:
    """The part of a wish that a request answers for."""
    if request.span is None:
        return ask
    return replace(ask, start_ns=max(ask.start_ns, request.span[0]), end_ns=min(ask.end_ns, request.span[1]))
