"""The way of fetched candles into a store: compared with what is there, in transactions of bounded size."""

import asyncio

import numpy as np
import structlog

from mdingest.core.events import Candles
from mdingest.core.rank import BY_ID, BY_NAME
from mdingest.core.spans import Span, subtract
from mdingest.errors import Adjusted, StoreUnavailable
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.history.candles import fetched, spans_of
from mdingest.pipeline.history.held import Commit, Held
from mdingest.pipeline.history.order import EARLIEST_NS, LATEST_NS
from mdingest.pipeline.history.ratio import constant_ratio
from mdingest.pipeline.history.replies import date
from mdingest.pipeline.history.report import SymbolReport
from mdingest.providers.history import Ask
from mdingest.store.base import Committed, Transaction

log = structlog.get_logger()

COMMIT_ROWS = 40_000  # a fraction of a second: a daemon beside us waits no longer
ATTEMPTS = 5
_COMPARED = 2_000  # stored rows that a part of a reply is compared with
_FEW = 20  # one in so many stored candles may be missing where a series comes anew
_ELSE = (
    "Else ask a provider whose prices are like the stored ones, or take this series into a database of its "
    "own (--database)"
)


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
            raise Adjusted(
                f"its closes are {ratio:.6g} times the stored ones ({date(first)} to {date(last)}): "
                "one of the two series is adjusted, and they can't be mixed; nothing of it was stored",
                f"If {self._source} has adjusted all of it since, backfill --force from the first stored "
                f"candle on takes the place of what is stored of {self._source}. {_ELSE}",
            )

    async def replace(self, ask: Ask, rows: Candles, spans: list[Span], said: SymbolReport) -> None:
        """Let a whole series take the place of this provider's stored one, in one transaction.

        Those of other sources stay. Raises Adjusted where that would lose candles, or mix adjusted
        ones with others; StoreUnavailable. Nothing is stored then.
        """
        stored = await self._all(ask)
        ours = stored["source"] == BY_NAME[self._source].id
        mine, others = Candles(stored[ours]), Candles(stored[~ours])
        if (ratio := constant_ratio(others, rows)) is not None:
            raise Adjusted(
                f"its closes are {ratio:.6g} times those of {_names(others)}, which are stored in the same "
                "series, and can't be mixed with them; nothing was replaced",
                _ELSE,
            )
        if len(mine) and (not len(rows) or mine["ts"][0] < rows["ts"][0] or rows["ts"][-1] < mine["ts"][-1]):
            raise Adjusted(
                f"it was adjusted since, and stored is {date(int(mine['ts'][0]))} to "
                f"{date(int(mine['ts'][-1]))}, of which not all came; nothing was replaced",
                f"Give --start {date(int(mine['ts'][0]))}, if {self._source} goes back so far. {_ELSE}",
            )
        lost = mine["ts"][~np.isin(mine["ts"], rows["ts"])]
        if len(lost) * _FEW > len(mine):
            raise Adjusted(
                f"it was adjusted since, and lacks {len(lost)} of {len(mine)} stored candles; nothing was "
                "replaced",
                "Try again later",
            )
        series = (ask.instrument.id, ask.interval.seconds, BY_NAME[self._source].id)
        if len(lost):
            table = ask.hours.around(int(lost[0]), int(lost[-1]))
            spans = subtract(spans, spans_of(lost, ask.interval, table))
        covered = fetched(spans, ask.interval, instrument_id=ask.instrument.id, source=self._source)
        transaction = Transaction(candles=rows, fetched=covered, instead_of=[series])
        said.changed = (await self._patiently(transaction)).changed
        said.notes.append(
            f"{ask.instrument.symbol}: {self._source} has adjusted its {ask.interval} candles: {len(mine)} "
            f"stored ones were replaced as a whole, and are in candle_revisions"
            + (f"; {len(lost)} of them have no successor and are missing now" if len(lost) else "")
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

    async def _all(self, ask: Ask) -> Candles:
        """What is stored of a series, ascending."""
        pages, end_ns = [await self._between(ask, EARLIEST_NS, LATEST_NS)], LATEST_NS
        while len(pages[-1]) == _COMPARED:
            end_ns = int(pages[-1]["ts"][0])
            pages.append(await self._between(ask, EARLIEST_NS, end_ns))
        return Candles(np.concatenate(pages[::-1]))

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


def _names(candles: Candles) -> str:
    return ", ".join(sorted(BY_ID[source].name for source in set(candles["source"].tolist())))
