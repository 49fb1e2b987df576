"""Replaying what is kept of a journal, and parts of it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mdingest.core.control import CandleSettings, Connect, Start, encode, encode_subscribe
from mdingest.core.machine import Machine
from mdingest.core.records import Kind, Record
from mdingest.errors import JournalError
from mdingest.pipeline.decoding import BatchDecoder, pack_state
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.replay import Part, ReplayReport, replay
from mdingest.pipeline.statefile import StateFiles
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.migrate import migrate
from tests.support.tapes import EPOCH, S
from tests.unit.pipeline import test_aggregate
from tests.unit.pipeline.test_aggregate import make

SUB = replace(test_aggregate.SUB, symbol="AAA.NS", exchange="NSE")
STORED = 1  # the id it gets
SETTINGS = CandleSettings()
SECONDS = 60


class Kept:
    """A journal of one instrument, a segment for each ten seconds, and a state where each begins."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lsns: list[int] = []  # of the batch of each second

    async def write(self) -> "Kept":
        machine, decoder = Machine(SETTINGS), BatchDecoder(make)
        with Journal.open(self.home)[0] as journal:
            states = StateFiles(self.home, journal.uuid, lambda: journal.segments)

            def add(at: float, *records: tuple[Kind, int, bytes]) -> int:
                stamps = (EPOCH + round(at * S), round(at * S))
                batch = journal.append([Record(kind, stream, *stamps, raw) for kind, stream, raw in records])
                understood = decoder.decode(batch)
                machine.step(batch, understood.packets)
                return batch.lsn

            hello = (Kind.CONNECT, 1, encode(Connect("kite_ws", S)))
            subscribe = (Kind.SUBSCRIBE, 1, encode_subscribe([SUB]))
            add(0, (Kind.START, 0, encode(Start("test", SETTINGS))), hello, subscribe)
            for n in range(SECONDS):
                if n and n % 10 == 0:
                    journal.rotate()
                    await states.save(journal.end_lsn, partial(pack_state, decoder, machine))
                self.lsns.append(add(n + 0.9, (Kind.FRAME, 1, b"a %d" % n), (Kind.TICK, 0, b"")))
            self.segments = journal.segments
        return self

    def prune(self, count: int) -> None:
        with Journal.open(self.home)[0] as journal:
            journal.prune(self.segments[count], max_bytes=0)

    def without_state(self, lsn: int) -> None:
        (self.home / f"{lsn:020d}.mds").unlink()


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    return await Kept(tmp_path / "journal").write()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path / 'replayed.db'}"
    async with AsyncExitStack() as stack:
        await migrate(url)
        made = await open_store(url)
        stack.push_async_callback(made.close)
        yield made


async def replayed(kept: Kept, store: Store, part: Part = Part()) -> tuple[ReplayReport, list[int]]:  # noqa: B008 - it is frozen
    """The report, and the seconds that have a candle now."""
    report, _ = await replay(
        kept.home, store, make_decoder=make, running=Start("test", SETTINGS), ended_ns=None, part=part
    )
    rows = await store.candles(STORED, 1, EPOCH, EPOCH + 3600 * S, 1000)
    return report, [int(ts - EPOCH) // S for ts in rows["ts"]]


async def test_a_part_gives_what_its_batches_bring_forth_and_leaves_open_what_is_open(
    kept: Kept, store: Store
) -> None:
    report, seconds = await replayed(kept, store, Part(kept.lsns[25], kept.lsns[38]))

    assert seconds == list(range(22, 35))  # a second closes with the packet three seconds later
    assert report.batches == 18  # stepped from the state at second 20
    rows = await store.candles(STORED, 1, EPOCH, EPOCH + 3600 * S, 1000)
    assert set(rows["volume"].tolist()) == {1.0}
    assert set(rows["state"].tolist()) == {0}
    assert await store.coverage(STORED, EPOCH, EPOCH + 3600 * S) == []
    assert await store.gaps(STORED, EPOCH - S, EPOCH + 3600 * S) == []


async def test_what_is_left_of_a_pruned_journal_is_understood_from_the_state_it_begins_with(
    kept: Kept, store: Store
) -> None:
    kept.prune(3)
    report, seconds = await replayed(kept, store)
    assert seconds == list(range(27, 57))
    assert report.damage == []


async def test_without_a_state_there_it_begins_at_the_next_and_says_so(kept: Kept, store: Store) -> None:
    kept.prune(3)
    kept.without_state(kept.segments[3])
    report, seconds = await replayed(kept, store)
    assert seconds == list(range(37, 57))
    assert report.damage == [
        f"addresses {kept.segments[3]} to {kept.segments[4]} can't be understood without what came before"
    ]


async def test_what_is_gone_is_refused(kept: Kept, store: Store) -> None:
    kept.prune(3)
    with pytest.raises(JournalError, match=f"kept from address {kept.segments[3]} on, 17 is gone"):
        await replayed(kept, store, Part(17))


async def test_a_verification_from_a_state_on_knows_the_version_that_wrote_it(
    kept: Kept, store: Store
) -> None:
    kept.prune(3)
    _, spans = await replay(kept.home, store, make_decoder=make, running=Start("test", SETTINGS))
    assert [low for low, _ in spans] == [EPOCH + round(30.9 * S)]
    _, none = await replay(kept.home, store, make_decoder=make, running=Start("another", SETTINGS))
    assert none == []


def test_an_instant_is_found_by_the_stamps_of_the_records(kept: Kept) -> None:
    reader = JournalReader(kept.home)
    for n in (0, 9, 10, 11, 37, 59):
        assert reader.lsn_at(EPOCH + round((n + 0.9) * S)) == kept.lsns[n]
        assert reader.lsn_at(EPOCH + round((n + 0.5) * S)) == kept.lsns[n]
    assert reader.lsn_at(0) == 0
    assert reader.lsn_at(EPOCH + 3600 * S) > kept.lsns[-1]
