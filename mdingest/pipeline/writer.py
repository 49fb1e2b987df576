"""Events to transactions: the journal first, then one commit, again and again.

A commit holds all events of batches below some address P, and P itself. The journal is
synced up to P before, so the database is never ahead of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import structlog

from mdingest.core.events import Candles, Coverage, Gaps, Marks
from mdingest.core.records import Batch
from mdingest.core.rows import joined
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.aggregate import Step
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.channel import Channel, ChannelClosed
from mdingest.store.base import Committed, Position, Store, Transaction

log = structlog.get_logger()

MANY_ROWS = 8_000  # candles that wait for no others: in rows of a database they take ten times the memory
MOST_BROUGHT = 5_000  # candles of history in one transaction: live ones wait no longer than for that
QUIET_SPACINGS = 2.0  # what only says how far streams have come waits longer, for candles to go with


@dataclass(slots=True)
class WriterStatus:
    """For /health and /metrics. Instants are UTC ns."""

    committed_lsn: int = 0
    waits_since_ns: int = 0  # wall: no record of the log that is not committed is older
    rows: int = 0
    commits: int = 0
    last_commit_s: float = 0.0
    waiting_since_ns: int = 0  # monotonic; 0 while the database answers
    error: str = ""


class Writer:
    """The only writer of live rows. Cancelling `run` leaves a transaction whole or absent."""

    def __init__(
        self,
        store: Store,
        *,
        journal: str,
        epoch: int,
        sync: Callable[[int], Awaitable[None]],
        spacing_s: float = 1.0,
        on_commit: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``sync(lsn)`` returns once the journal is safe on disk up to ``lsn``.

        ``on_commit(lsn)`` hears of each position that was committed.
        """
        self.listeners: list[Callable[[Transaction, float], None]] = []
        """Each hears of a transaction and how long it took in seconds."""
        self.status = WriterStatus()
        self._store = store
        self._journal = journal
        self._epoch = epoch
        self._sync = sync
        self._spacing_s = spacing_s
        self._on_commit = on_commit
        self._turn = asyncio.Lock()

    def heard(self, batch: Batch) -> None:
        """The log has grown by it; before it there may have been a long silence."""
        if self.status.committed_lsn >= batch.lsn:
            self.status.waits_since_ns = int(batch.wall_ns[0])

    async def run(self, steps: Channel[Step]) -> None:
        """Until the channel is closed and drained; everything taken is then committed.

        Two transactions with candles begin at least the spacing apart. Candles close once a
        second and all together: the first after that time goes at once.
        """
        due = time.monotonic() + self._spacing_s
        open_ = True
        while open_:
            taken, open_ = await self._gather(steps, due)
            if any(step.events.rows for step in taken):
                due = time.monotonic() + self._spacing_s
            if taken:
                await self._commit(taken)

    async def bring(self, transaction: Transaction) -> Committed:
        """Commit what is not live, such as history with its coverage, between two live transactions.

        Many rows go in several short transactions, and live ones have their turn between them;
        what the rows cover is in the last. Raises StoreUnavailable: what was committed till then
        is whole.
        """
        changed = 0
        for piece in pieces(transaction):
            async with self._turn:
                begun = time.perf_counter()
                changed += (await self._store.commit(piece)).changed
            for listener in self.listeners:
                listener(piece, time.perf_counter() - begun)
        return Committed(changed)

    async def _gather(self, steps: Channel[Step], due: float) -> tuple[list[Step], bool]:
        """Steps of one transaction, and whether more may come.

        A cancel here loses what was taken from memory only: the log still holds it.
        """
        taken: list[Step] = []
        rows, patience = 0, float("inf")
        while True:
            left = patience - time.monotonic()
            if rows >= MANY_ROWS or left <= 0:
                return taken, True
            try:
                async with asyncio.timeout(left if taken else None):
                    step = await steps.get()
            except TimeoutError:
                continue
            except ChannelClosed:
                return taken, False
            if not taken:
                patience = max(due, time.monotonic() + QUIET_SPACINGS * self._spacing_s)
            if step.events.rows:
                patience = due
            taken.append(step)
            rows += len(step.events.candles)

    async def _commit(self, taken: list[Step]) -> None:
        transaction = coalesce(taken, Position(self._journal, taken[-1].end), self._epoch)
        await self._sync(taken[-1].end)
        waits = full_jitter(cap_s=5.0)
        while True:
            begun = time.perf_counter()
            try:
                async with self._turn:
                    await self._store.commit(transaction)
                break
            except StoreUnavailable as exc:
                if not self.status.waiting_since_ns:
                    self.status.waiting_since_ns = time.monotonic_ns()
                    log.warning("writer.store_unavailable", error=str(exc))
                self.status.error = str(exc)
                await asyncio.sleep(next(waits))
        took = time.perf_counter() - begun
        if self.status.waiting_since_ns:
            away_s = (time.monotonic_ns() - self.status.waiting_since_ns) / 1e9
            log.info("writer.store_back", away_s=round(away_s, 1))
        self.status.waiting_since_ns, self.status.error = 0, ""
        self.status.committed_lsn = taken[-1].end
        self.status.waits_since_ns = taken[-1].wall_ns
        self.status.commits += 1
        self.status.rows += len(transaction.candles)
        self.status.last_commit_s = took
        log.debug("writer.flushed", rows=len(transaction.candles), took_s=round(took, 4))
        self._on_commit(taken[-1].end)
        for listener in self.listeners:
            listener(transaction, took)


def pieces(transaction: Transaction) -> Iterator[Transaction]:
    """Transactions of at most `MOST_BROUGHT` candles; all that is no candle is in the last.

    One that takes the place of a series stays whole.
    """
    if transaction.instead_of:
        yield transaction
        return
    candles = transaction.candles
    cuts = range(0, len(candles) - MOST_BROUGHT, MOST_BROUGHT)
    for begin in cuts:
        yield Transaction(candles=Candles(candles[begin : begin + MOST_BROUGHT]))
    yield replace(transaction, candles=Candles(candles[len(cuts) * MOST_BROUGHT :]))


async def commit_in_pieces(store: Store, transaction: Transaction) -> Committed:
    """`Store.commit` of its pieces, one after another: who waits beside us waits for no more than one."""
    return Committed(sum([(await store.commit(piece)).changed for piece in pieces(transaction)]))


def coalesce(steps: list[Step], position: Position | None = None, epoch: int = 0) -> Transaction:
    """One transaction of all steps' events, in order; of two rows with one key the later wins."""
    events = [step.events for step in steps]
    streams: dict[int, tuple[str, int]] = {}
    for event in events:
        streams |= event.streams
    return Transaction(
        candles=Candles(joined([event.candles for event in events])),
        marks=Marks(joined([event.marks for event in events])),
        coverage=Coverage(joined([event.coverage for event in events])),
        gaps=Gaps(joined([event.gaps for event in events])),
        streams=streams,
        position=position,
        epoch=epoch,
    )
