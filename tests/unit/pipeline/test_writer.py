"""The writer: what it commits together, in which order, and what it does while a database is away."""

import asyncio

import numpy as np
import pytest

from mdingest.core.events import CANDLE, FETCHED, Candles, Events, Fetched
from mdingest.errors import StoreUnavailable
from mdingest.pipeline import writer as writing
from mdingest.pipeline.aggregate import Step
from mdingest.pipeline.channel import Channel
from mdingest.pipeline.writer import Writer, coalesce
from mdingest.store.base import Committed, Position, Transaction
from tests.support.rows import JOURNAL, candle


class Ledger:
    """A store and a journal that write down what they are asked, and can be away."""

    def __init__(self, away: int = 0) -> None:
        self.said: list[str] = []
        self.transactions: list[Transaction] = []
        self.away = away
        self.tried = asyncio.Event()

    async def sync(self, lsn: int) -> None:
        self.said.append(f"sync {lsn}")

    async def commit(self, transaction: Transaction) -> None:
        self.tried.set()
        if self.away:
            self.away -= 1
            raise StoreUnavailable("gone for a moment")
        assert transaction.position is not None
        self.said.append(f"commit {transaction.position.lsn}")
        self.transactions.append(transaction)


def step(end: int, *rows: tuple[object, ...]) -> Step:
    return Step(end, Events(candles=Candles(np.array(list(rows), CANDLE))), wall_ns=end)


def writer(ledger: Ledger, **options: float) -> Writer:
    return Writer(ledger, journal=JOURNAL, epoch=3, sync=ledger.sync, **options)  # type: ignore[arg-type]


async def written(writer: Writer, *steps: Step) -> None:
    channel: Channel[Step] = Channel(len(steps))
    for each in steps:
        await channel.put(each)
    channel.close()
    async with asyncio.timeout(5):
        await writer.run(channel)


async def test_the_journal_is_synced_before_the_position_is_committed() -> None:
    ledger = Ledger()
    await written(writer(ledger), step(10, candle(1)), step(25, candle(2)))
    assert ledger.said == ["sync 25", "commit 25"]
    (transaction,) = ledger.transactions
    assert transaction.position == Position(JOURNAL, 25)
    assert transaction.epoch == 3
    assert len(transaction.candles) == 2


async def test_a_store_that_is_away_gets_the_same_transaction_until_it_takes_it() -> None:
    ledger = Ledger(away=2)
    heard: list[int] = []
    retrying = Writer(ledger, journal=JOURNAL, epoch=3, sync=ledger.sync, on_commit=heard.append)  # type: ignore[arg-type]
    await written(retrying, step(10, candle(1)))
    assert [len(t.candles) for t in ledger.transactions] == [1]
    assert heard == [10]
    assert retrying.status.error == ""
    assert retrying.status.committed_lsn == 10


async def test_while_the_store_is_away_the_status_says_why_and_the_channel_fills() -> None:
    ledger = Ledger(away=1 << 30)
    waiting = writer(ledger, spacing_s=0.01)
    channel: Channel[Step] = Channel(2)
    task = asyncio.create_task(waiting.run(channel))
    await channel.put(step(10, candle(1)))
    async with asyncio.timeout(5):
        await ledger.tried.wait()
        await asyncio.sleep(0)  # the writer hears of it
    assert waiting.status.error == "gone for a moment"
    await channel.put(step(20))
    await channel.put(step(30))
    blocked = asyncio.create_task(channel.put(step(40)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not blocked.done()
    assert waiting.status.committed_lsn == 0
    for each in (task, blocked):
        each.cancel()
    await asyncio.gather(task, blocked, return_exceptions=True)


async def test_a_commit_waits_for_company_but_not_longer_than_its_spacing() -> None:
    ledger = Ledger()
    channel: Channel[Step] = Channel(8)
    task = asyncio.create_task(writer(ledger, spacing_s=0.05).run(channel))
    for end in (10, 20, 30):
        await channel.put(step(end, candle(end)))
    async with asyncio.timeout(5):
        await ledger.tried.wait()
    assert ledger.said == ["sync 30", "commit 30"]
    channel.close()
    await task


async def test_candles_do_not_wait_when_the_last_ones_are_long_committed() -> None:
    ledger = Ledger()
    channel: Channel[Step] = Channel(8)
    task = asyncio.create_task(writer(ledger, spacing_s=0.02).run(channel))
    await asyncio.sleep(0.03)  # real time is what the spacing is about
    await channel.put(step(10, candle(1)))
    async with asyncio.timeout(5):
        await ledger.tried.wait()
    await channel.put(step(20, candle(2)))
    await channel.put(step(30, candle(3)))
    channel.close()
    await task
    assert ledger.said == ["sync 10", "commit 10", "sync 30", "commit 30"]


async def test_progress_alone_waits_for_candles_to_go_with() -> None:
    ledger = Ledger()
    channel: Channel[Step] = Channel(8)
    task = asyncio.create_task(writer(ledger, spacing_s=0.02).run(channel))
    await asyncio.sleep(0.03)
    await channel.put(step(10))
    await channel.put(step(20, candle(1)))
    async with asyncio.timeout(5):
        await ledger.tried.wait()
    channel.close()
    await task
    assert ledger.said == ["sync 20", "commit 20"]


async def test_progress_alone_is_committed_too() -> None:
    ledger = Ledger()
    channel: Channel[Step] = Channel(8)
    task = asyncio.create_task(writer(ledger, spacing_s=0.01).run(channel))
    await channel.put(step(10))
    async with asyncio.timeout(5):
        await ledger.tried.wait()
    assert ledger.said == ["sync 10", "commit 10"]
    channel.close()
    await task


async def test_more_rows_than_memory_should_hold_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MANY_ROWS", 2)
    ledger = Ledger()
    await written(writer(ledger, spacing_s=60.0), *(step(end, candle(end)) for end in (10, 20, 30)))
    assert ledger.said == ["sync 20", "commit 20", "sync 30", "commit 30"]


async def test_what_was_taken_before_the_end_is_committed_at_the_end() -> None:
    ledger = Ledger()
    await written(writer(ledger, spacing_s=60.0), step(10, candle(1)), step(20, candle(2)))
    assert ledger.said == ["sync 20", "commit 20"]


def test_of_two_things_said_of_a_stream_the_later_counts() -> None:
    first, second = (
        Events(streams={1: ("kite_ws", 5)}),
        Events(streams={1: ("kite_ws", 9), 2: ("kite_ws", 1)}),
    )
    together = coalesce([Step(1, first, 0), Step(2, second, 0)])
    assert together.streams == {1: ("kite_ws", 9), 2: ("kite_ws", 1)}
    assert together.position is None


class Shelf:
    """A store that writes down how many candles each transaction had, and takes a while for each."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int, int]] = []  # candles, spans, position
        self.busy = 0

    async def commit(self, transaction: Transaction) -> Committed:
        self.busy += 1
        assert self.busy == 1, "two transactions at once"
        await asyncio.sleep(0)
        self.busy -= 1
        lsn = 0 if transaction.position is None else transaction.position.lsn
        self.taken.append((len(transaction.candles), len(transaction.fetched), lsn))
        return Committed(len(transaction.candles))


async def test_history_is_brought_in_short_transactions_and_live_rows_go_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MOST_BROUGHT", 10)
    shelf, ledger = Shelf(), Ledger()
    one = Writer(shelf, journal=JOURNAL, epoch=3, sync=ledger.sync)  # type: ignore[arg-type]
    heard: list[int] = []
    one.listeners.append(lambda transaction, _: heard.append(len(transaction.candles)))
    rows = Candles(np.array([candle(at * 60, source="kite", interval_s=60) for at in range(25)], CANDLE))
    covered = Fetched(np.array([(1, 60, 20, 0, 60)], FETCHED))

    async with asyncio.timeout(5):
        done, _ = await asyncio.gather(
            one.bring(Transaction(candles=rows, fetched=covered)), written(one, step(10, candle(1)))
        )

    assert done == Committed(25)
    assert [taken[:2] for taken in shelf.taken if not taken[2]] == [(10, 0), (10, 0), (5, 1)]
    assert shelf.taken.index((1, 0, 10)) < 3
    assert sorted(heard) == [1, 5, 10, 10]


@pytest.mark.parametrize(("rows", "sizes"), [(0, [0]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_no_piece_of_history_is_empty_but_a_single_one(
    monkeypatch: pytest.MonkeyPatch, rows: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(writing, "MOST_BROUGHT", 10)
    candles = Candles(np.array([candle(at) for at in range(rows)], CANDLE))

    assert [len(piece.candles) for piece in writing.pieces(Transaction(candles=candles))] == sizes
