"""Fetches history into a store, symbol by symbol, in short transactions of rows with coverage."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import structlog

from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.spans import Span
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable, TransientError
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.history.candles import fetched
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.limits import Pace
from mdingest.pipeline.history.plan import plan
from mdingest.pipeline.history.ratio import constant_ratio
from mdingest.pipeline.history.replies import Reading, date, next_part
from mdingest.pipeline.history.report import Progress, Report, SymbolReport
from mdingest.providers.history import Ask, FileRequest, History, Hours, Reply, Request
from mdingest.store.base import Committed, Store, Transaction

log = structlog.get_logger()

EARLIEST_NS, LATEST_NS = -(1 << 61), 1 << 61
COMMIT_ROWS = 40_000  # a fraction of a second: a daemon beside us waits no longer
ATTEMPTS = 5
LONGEST_WAIT_S = 300.0  # a provider that wants us to wait longer has failed for now
_COMPARED = 2_000  # stored rows that a part of a reply is compared with

Commit = Callable[[Transaction], Awaitable[Committed]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to bring. ``start_ns`` None: everything, which only files allow; ``end_ns`` None: to now."""

    instruments: Sequence[Instrument]
    interval: Interval
    start_ns: int | None = None
    end_ns: int | None = None
    force: bool = False  # covered ranges too
    dry_run: bool = False  # say what would be asked for, and ask for nothing


class Backfill:
    """One provider's way into one store."""

    def __init__(
        self,
        name: str,
        history: History,
        store: Store,
        *,
        hours: Callable[[Instrument], Hours],
        fetcher: Fetcher,
        pace: Pace,
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
        self._pace = pace
        self._now_ns = now_ns
        self._commit: Commit = store.commit if commit is None else commit

    async def run(self, order: Order, progress: Progress) -> Report:
        """All symbols, one after another. What fails for one does not touch the others.

        Raises ConfigError for an order that the provider can't take, StoreUnavailable if the
        database stays away. Cancelling leaves what was committed, which is whole.
        """
        self._check(order)
        report = Report()
        for instrument in order.instruments:
            said = SymbolReport(instrument.symbol, order.interval.text, self._name)
            report.symbols.append(said)
            try:
                await self._symbol(instrument, order, said, progress)
            except (PermanentError, TransientError) as exc:
                said.failures.append(str(exc))
            progress.finished(said)
        return report

    def _check(self, order: Order) -> None:
        known = self._capabilities.intervals
        if order.interval.seconds not in known:
            names = ", ".join(Interval(seconds).text for seconds in sorted(known))
            raise ConfigError(f"{self._name} has no candles of {order.interval}; it has {names}")
        if order.start_ns is None and not self._capabilities.local:
            raise ConfigError(f"{self._name} needs a range: give --period or --start")

    async def _symbol(
        self, instrument: Instrument, order: Order, said: SymbolReport, progress: Progress
    ) -> None:
        hours, now = self._hours(instrument), self._now_ns()
        start = EARLIEST_NS if order.start_ns is None else order.start_ns
        if self._capabilities.local:
            ranges = [(start, LATEST_NS if order.end_ns is None else order.end_ns)]
        else:
            wanted = (start, now if order.end_ns is None else min(order.end_ns, now))
            said.planned = ranges = await self._missing(instrument, order, wanted, hours, said)
        asks = [Ask(instrument, order.interval, *span, hours) for span in ranges]
        requests = [(ask, request) for ask in asks for request in self._history.requests(ask)]
        said.requests = [str(request) for _, request in requests]
        if order.dry_run:
            return
        for number, (ask, request) in enumerate(requests):

            def heard(share: float, number: int = number) -> None:
                progress.advanced(said.symbol, (number + share) / len(requests), said.rows)

            try:
                await self._request(ask, request, said, heard)
            except (PermanentError, TransientError) as exc:
                said.failures.append(f"{request}: {exc}")

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
        )
        said.beyond = list(planned.beyond)
        return list(planned.ranges)

    # -- one request ------------------------------------------------------------------

    async def _request(
        self, ask: Ask, request: Request, said: SymbolReport, heard: Callable[[float], None]
    ) -> None:
        """Raises PermanentError, or TransientError after the last attempt."""
        waits = full_jitter(cap_s=60.0)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not isinstance(request, FileRequest):
                    await self._pace.turn()
                async with self._fetcher.reply(request) as reply:
                    await self._refuse_adjusted(ask, reply)
                    await self._keep(ask, reply, said, heard)
            except TransientError as exc:
                wait = next(waits) if exc.retry_after_s is None else exc.retry_after_s
                if attempt == ATTEMPTS or wait > LONGEST_WAIT_S:
                    raise
                log.warning("backfill.retry_scheduled", delay_s=round(wait, 1), error=str(exc))
                await asyncio.sleep(wait)
            else:
                return

    async def _refuse_adjusted(self, ask: Ask, reply: Reply) -> None:
        """Compare a reply with what is stored before any of it is. Raises PermanentError."""
        who, interval_s = ask.instrument.id, ask.interval.seconds
        if not len(await self._store.candles(who, interval_s, ask.start_ns, ask.end_ns, 1)):
            return
        reading = self._reading(ask, reply, SymbolReport("", "", ""))
        with closing(self._history.parse(ask, reply)) as parts:
            while (part := await next_part(parts)) is not None:
                mine, _ = reading.candles(part)
                if not len(mine):
                    continue
                first, last = int(mine["ts"][0]), int(mine["ts"][-1])
                stored = await self._store.candles(who, interval_s, first, last + 1, _COMPARED)
                ratio = constant_ratio(stored, mine)
                if ratio is not None:
                    raise PermanentError(
                        f"its closes are {ratio:.6g} times the stored ones ({date(first)} to {date(last)}): "
                        "one of the two series is adjusted, and they can't be mixed; nothing of it was stored"
                    )

    async def _keep(self, ask: Ask, reply: Reply, said: SymbolReport, heard: Callable[[float], None]) -> None:
        reading = self._reading(ask, reply, said)
        with closing(self._history.parse(ask, reply)) as parts:
            while (part := await next_part(parts)) is not None:
                candles, spans = reading.candles(part)
                await self._write(ask, candles, spans, said)
                heard(reading.share)
        await self._write(ask, Candles(np.empty(0, CANDLE)), reading.end(), said)

    def _reading(self, ask: Ask, reply: Reply, said: SymbolReport) -> Reading:
        return Reading(ask, reply, self._capabilities, self._name, self._now_ns(), said)

    async def _write(self, ask: Ask, rows: Candles, spans: list[Span], said: SymbolReport) -> None:
        """Transactions of bounded size; what the rows cover is written with the last of them."""
        for begin in range(0, len(rows) or 1, COMMIT_ROWS):
            last = begin + COMMIT_ROWS >= len(rows)
            covered = fetched(
                spans if last else [], ask.interval, instrument_id=ask.instrument.id, source=self._name
            )
            transaction = Transaction(candles=Candles(rows[begin : begin + COMMIT_ROWS]), fetched=covered)
            if len(transaction.candles) or len(covered):
                said.changed += (await self._patiently(transaction)).changed

    async def _patiently(self, transaction: Transaction) -> Committed:
        """A database that is busy is asked again. Raises StoreUnavailable after the last attempt."""
        waits = full_jitter(cap_s=5.0)
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._commit(transaction)
            except StoreUnavailable as exc:
                log.warning("backfill.store_unavailable", error=str(exc))
                await asyncio.sleep(next(waits))
        return await self._commit(transaction)
