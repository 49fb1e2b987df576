"""The way of fetched candles into a store: compared with what is there, in transactions of bounded size."""

import asyncio

import structlog

from mdingest.core.events import Candles
from mdingest.core.spans import Span
from mdingest.errors import PermanentError, StoreUnavailable
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.history.candles import fetched
from mdingest.pipeline.history.held import Commit, Held
from mdingest.pipeline.history.ratio import constant_ratio
from mdingest.pipeline.history.replies import date
from mdingest.pipeline.history.report import SymbolReport
from mdingest.providers.history import Ask
from mdingest.store.base import Committed, Transaction

log = structlog.get_logger()

COMMIT_ROWS = 40_000  # a fraction of a second: a daemon beside us waits no longer
ATTEMPTS = 5
_COMPARED = 2_000  # stored rows that a part of a reply is compared with


class Storing:
    """For one provider."""

    def __init__(self, source: str, store: Held, commit: Commit) -> None:
        self._source = source
        self._store = store
        self._commit = commit

    async def stored(self, ask: Ask) -> Candles:
        """The last stored candles around a wish, for `refuse_ratio`."""
        return await self._between(
            ask, ask.start_ns - ask.interval.ns, ask.end_ns
        )  # a day's name may lie before it

    async def refuse_ratio(self, ask: Ask, mine: Candles, stored: Candles) -> None:
        """Raises PermanentError for a series that is the stored one times a constant."""
        if not len(mine) or not len(stored):
            return
        first, last = int(mine["ts"][0]), int(mine["ts"][-1])
        if len(stored) == _COMPARED and first < stored["ts"][0]:
            stored = await self._between(ask, first, last + 1)
        ratio = constant_ratio(stored, mine)
        if ratio is not None:
            raise PermanentError(
                f"its closes are {ratio:.6g} times the stored ones ({date(first)} to {date(last)}): "
                "one of the two series is adjusted, and they can't be mixed; nothing of it was stored",
                "Ask a provider whose prices are like the stored ones, or take this series into a database "
                "of its own (--database)",
            )

    async def write(self, ask: Ask, rows: Candles, spans: list[Span], said: SymbolReport) -> None:
        """Store rows; what they cover is written with the last of them. Raises StoreUnavailable.

        Cancelling leaves whole transactions.
        """
        for begin in range(0, len(rows) or 1, COMMIT_ROWS):
            last = begin + COMMIT_ROWS >= len(rows)
            covered = fetched(
                spans if last else [], ask.interval, instrument_id=ask.instrument.id, source=self._source
            )
            transaction = Transaction(candles=Candles(rows[begin : begin + COMMIT_ROWS]), fetched=covered)
            if len(transaction.candles) or len(covered):
                said.changed += (await self._patiently(transaction)).changed

    async def _between(self, ask: Ask, start_ns: int, end_ns: int) -> Candles:
        return await self._store.candles(ask.instrument.id, ask.interval.seconds, start_ns, end_ns, _COMPARED)

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
