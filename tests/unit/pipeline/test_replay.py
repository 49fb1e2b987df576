"""Replay into stores whose ids are not the journal's, and the comparison behind --verify."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mdingest.core.control import (
    CandleSettings,
    Connect,
    Start,
    Subscription,
    VolumeKind,
    encode,
    encode_subscribe,
)
from mdingest.core.instrument import Instrument
from mdingest.core.records import Kind, Record
from mdingest.pipeline import compare as compare_module
from mdingest.pipeline import replay as replay_module
from mdingest.pipeline.compare import compare
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.replay import AT_ITS_END, ReplayReport, replay
from mdingest.pipeline.writer import coalesce
from mdingest.store import open_store
from mdingest.store.base import Store, Transaction
from mdingest.store.migrate import migrate
from tests.support.rows import RELIANCE, candle, ns, transaction
from tests.support.tapes import EPOCH, S
from tests.unit.pipeline.test_aggregate import make

SETTINGS = CandleSettings()


def written(directory: Path, *, code: str = "test") -> Path:
    """A journal of one instrument, id 7 there, over twenty seconds, that ends without a word."""
    sub = Subscription("a", 7, 1.0, "always", VolumeKind.CUMULATIVE, "AAA.NS", "NSE")

    def record(kind: Kind, payload: bytes, at: float, stream: int = 1) -> Record:
        return Record(kind, stream, EPOCH + round(at * S), round(at * S), payload)

    with Journal.open(directory)[0] as journal:
        journal.append([record(Kind.START, encode(Start(code, SETTINGS)), 0, 0)])
        hello = record(Kind.CONNECT, encode(Connect("kite_ws", S)), 0.5)
        journal.append([hello, record(Kind.SUBSCRIBE, encode_subscribe([sub]), 0.5)])
        for n in range(20):
            frame = record(Kind.FRAME, b"a %d" % n, n + 0.9)
            journal.append([frame, record(Kind.TICK, b"", n + 0.9, 0)])
    return directory


Opened = Callable[[str], Awaitable[Store]]


@pytest.fixture
async def store_at(tmp_path: Path) -> AsyncIterator[Opened]:
    """Opens a migrated store of a name, and closes all of them at the end."""
    async with AsyncExitStack() as stack:

        async def opened(name: str) -> Store:
            url = f"sqlite:///{tmp_path / name}"
            await migrate(url)
            store = await open_store(url)
            stack.push_async_callback(store.close)
            return store

        yield opened


async def replayed(
    journal: Path, store: Store, **options: object
) -> tuple[ReplayReport, list[tuple[int, int]]]:
    return await replay(journal, store, make_decoder=make, running=Start("test", SETTINGS), **options)  # type: ignore[arg-type]


async def test_ids_of_another_database_are_translated_by_symbol(tmp_path: Path, store_at: Opened) -> None:
    store = await store_at("fresh.db")
    taken = Instrument("OTHER.NS", "NSE", "", "always", VolumeKind.CUMULATIVE)
    await store.ensure_instruments([taken])
    report, _ = await replayed(written(tmp_path / "journal"), store)
    assert report.rows > 0
    by_symbol = {row.instrument.symbol: row for row in await store.symbols()}
    assert set(by_symbol["AAA.NS"].ranges) == {1}
    assert by_symbol["OTHER.NS"].ranges == {}


async def test_a_journal_that_was_given_up_leaves_no_gap_open(tmp_path: Path, store_at: Opened) -> None:
    store = await store_at("fresh.db")
    await replayed(written(tmp_path / "journal"), store, ended_ns=EPOCH + 100 * S)
    (instrument,) = await store.instruments()
    gaps = await store.gaps(instrument.id, EPOCH - S, EPOCH + 1000 * S)
    assert [(gap.cause, (gap.start_ns - EPOCH) // S, gap.end_ns) for gap in gaps[-1:]] == [
        ("crash", 19, EPOCH + 100 * S)
    ]
    (uptime,) = await store.coverage(instrument.id, EPOCH, EPOCH + 1000 * S)
    assert uptime.end_ns == EPOCH + 19 * S


async def test_a_replay_for_good_ends_what_was_open_with_the_last_record(
    tmp_path: Path, store_at: Opened
) -> None:
    store = await store_at("fresh.db")
    await replayed(written(tmp_path / "journal"), store, ended_ns=AT_ITS_END)
    (instrument,) = await store.instruments()
    (uptime,) = await store.coverage(instrument.id, EPOCH, EPOCH + 1000 * S)
    assert uptime.end_ns == EPOCH + 19 * S
    assert all(gap.end_ns is not None for gap in await store.gaps(instrument.id, EPOCH - S, EPOCH + 1000 * S))


@pytest.fixture
async def pair(tmp_path: Path, store_at: Opened) -> tuple[Path, Store, Store]:
    journal = written(tmp_path / "journal")
    stored, again = await store_at("stored.db"), await store_at("again.db")
    await replayed(journal, stored)
    return journal, stored, again


async def test_a_replay_equals_itself(pair: tuple[Path, Store, Store]) -> None:
    journal, stored, again = pair
    report, spans = await replayed(journal, again)
    await compare(again, stored, report, spans)
    assert report.compared == report.rows > 10
    assert (report.differences, report.not_comparable) == (0, [])


@pytest.mark.parametrize("missed", [[], [6]], ids=["all are stored", "one is not"])
async def test_what_history_put_between_hides_no_stored_row(
    store_at: Opened, monkeypatch: pytest.MonkeyPatch, missed: list[int]
) -> None:
    """What fills holes makes a page of stored rows reach less far back than one of replayed rows."""
    monkeypatch.setattr(compare_module, "PAGE", 4)
    again, stored = await store_at("again.db"), await store_at("stored.db")
    for store in (again, stored):
        await store.ensure_instruments([RELIANCE])
    live = range(0, 60, 3)
    await again.commit(transaction(candles=[candle(n) for n in live]))
    rows = [candle(n) for n in live if n not in missed]
    rows += [candle(n, source="csv") for n in range(60) if n not in live]
    await stored.commit(transaction(candles=rows))
    report = ReplayReport("of rows")
    await compare(again, stored, report, [(ns(0), ns(60))])
    assert (report.compared, report.differences) == (len(live) - len(missed), len(missed))
    assert all("replayed but not stored" in one for one in report.differing)


async def test_a_stored_row_that_no_replay_gives_is_found_before_all_others(
    store_at: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_module, "PAGE", 4)
    again, stored = await store_at("again.db"), await store_at("stored.db")
    for store in (again, stored):
        await store.ensure_instruments([RELIANCE])
    await again.commit(transaction(candles=[candle(50)]))
    await stored.commit(transaction(candles=[candle(n) for n in (1, 2, 50)]))
    await stored.commit(transaction(candles=[candle(n, source="csv") for n in range(30, 40)]))
    report = ReplayReport("of rows")
    await compare(again, stored, report, [(ns(2), ns(60))])
    assert (report.compared, report.differences) == (1, 1)
    assert "stored but not replayed" in report.differing[0]


@pytest.mark.parametrize("column", ["open", "high", "close", "volume", "trades", "state", "flags"])
async def test_one_changed_value_is_found_and_named(pair: tuple[Path, Store, Store], column: str) -> None:
    journal, stored, again = pair
    (instrument,) = await stored.instruments()
    rows = await stored.candles(instrument.id, 1, EPOCH, EPOCH + 5 * S, 1)
    rows["revision"] += 1  # a live revision replaces the row
    rows[column] += 1
    rows["high"] = max(rows["high"][0], rows["open"][0], rows["close"][0])
    await stored.commit(Transaction(candles=rows))
    report, spans = await replayed(journal, again)
    await compare(again, stored, report, spans)
    assert report.differences == 1
    assert column in report.differing[0]
    assert report.differing[0].startswith("AAA.NS 1s 2026-11-20T04:00:04")


async def test_what_other_code_made_is_listed_and_not_compared(tmp_path: Path, store_at: Opened) -> None:
    journal = written(tmp_path / "journal", code="older")
    stored, again = await store_at("stored.db"), await store_at("again.db")
    report, spans = await replayed(journal, again)
    await compare(again, stored, report, spans)
    assert (report.compared, spans) == (0, [])
    assert "older" in report.not_comparable[0]


async def test_a_replay_stops_at_the_position_of_the_database(pair: tuple[Path, Store, Store]) -> None:
    journal, _, again = pair
    whole, _ = await replayed(journal, again)
    part, _ = await replayed(journal, again, until_of=lambda _: 900)
    assert 0 < part.batches < whole.batches


async def test_a_quiet_night_takes_no_memory(
    tmp_path: Path, store_at: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each heartbeat says how far its stream was heard, and nothing else."""
    taken: list[int] = []
    monkeypatch.setattr(
        replay_module, "coalesce", lambda steps: (taken.append(len(steps)), coalesce(steps))[1]
    )
    journal = written(tmp_path / "journal")
    with Journal.open(journal)[0] as log:
        for n in range(30, 330):
            log.append([Record(Kind.FRAME, 1, EPOCH + n * S, n * S, b"heartbeat")])
    store = await store_at("fresh.db")

    await replayed(journal, store)

    assert sum(taken) < 50  # rows come from twenty batches
    (instrument,) = await store.instruments()
    (uptime,) = await store.coverage(instrument.id, EPOCH, EPOCH + 1000 * S)
    assert uptime.end_ns > EPOCH + 300 * S  # the last of them counts all the same


@pytest.mark.parametrize("limit", ["ROWS_PER_COMMIT", "STEPS_PER_COMMIT"])
async def test_rows_may_be_brought_by_somebody_else_a_part_at_a_time(
    pair: tuple[Path, Store, Store], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, limit, 5)
    journal, _, other = pair
    brought: list[Transaction] = []

    async def bring(transaction: Transaction) -> None:
        brought.append(transaction)

    report, _ = await replayed(journal, other, commit=bring)

    assert len(brought) > 2
    assert sum(len(one.candles) for one in brought) == report.rows > 0
    assert [row.ranges for row in await other.symbols()] == [{}]
