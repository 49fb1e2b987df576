import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.errors import CantRead, JournalError
from mdingest.pipeline import source as source_module
from mdingest.pipeline.channel import ChannelClosed
from mdingest.pipeline.segments import Chunk, Damage
from mdingest.pipeline.source import BatchSource


class CountingLog:
    """A log in memory that counts how often it is read, and may be damaged."""

    def __init__(self) -> None:
        self.batches: dict[int, Batch] = {}
        self.bad: set[int] = set()
        self.end_lsn = 0
        self.reads = 0

    def append(self, payload: bytes = b"x" * 100) -> Batch:
        raw = encode_batch([Record(Kind.FRAME, 1, 0, 0, payload)], self.end_lsn)
        batch = decode_batch(memoryview(raw), self.end_lsn)
        self.batches[batch.lsn] = batch
        self.end_lsn = batch.end
        return batch

    def read_some(self, lsn: int) -> Chunk:
        self.reads += 1
        if lsn in self.bad:
            return Chunk([], self.batches[lsn].end, Damage(Path("x"), lsn, self.batches[lsn].end, "flipped"))
        piece = [self.batches[lsn]]
        while len(piece) < 3 and piece[-1].end < self.end_lsn and piece[-1].end not in self.bad:
            piece.append(self.batches[piece[-1].end])
        return Chunk(piece, piece[-1].end)


async def take(source: BatchSource, count: int) -> list[int]:
    return [(await source.next()).lsn for _ in range(count)]


async def test_who_keeps_up_never_reads_the_log() -> None:
    log = CountingLog()
    source = BatchSource(log, 0, max_batches=2)
    for _ in range(20):
        source.publish(log.append())
        source.publish(log.append())
        await take(source, 2)
    assert (log.reads, source.dropped, source.lag_bytes) == (0, 0, 0)


async def test_a_log_that_can_not_be_read_just_now_is_read_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when other parts of the process hold all files that it may open."""
    monkeypatch.setattr(source_module, "READ_LATER_S", 0.0)

    class ScarceLog(CountingLog):
        def read_some(self, lsn: int) -> Chunk:
            if self.reads < 2:
                self.reads += 1
                raise CantRead("too many open files", errno.EMFILE)
            return super().read_some(lsn)

    log = ScarceLog()
    for _ in range(3):
        log.append()
    assert await take(BatchSource(log, 0), 3) == sorted(log.batches)


async def test_who_fell_behind_reads_the_log_and_then_takes_from_memory_again() -> None:
    log = CountingLog()
    source = BatchSource(log, 0, max_batches=2)
    for _ in range(20):
        source.publish(log.append())
    assert (source.depth, source.dropped) == (2, 18)
    assert await take(source, 20) == sorted(log.batches)
    reads = log.reads
    assert reads == 6  # 18 batches in pieces of three
    for _ in range(20):
        source.publish(log.append())
        await take(source, 1)
    assert log.reads == reads


async def test_what_was_read_from_the_log_before_its_copy_came_up_makes_room_in_memory() -> None:
    log = CountingLog()
    log.append()
    source = BatchSource(log, 0, max_batches=2)
    source.publish(log.append())
    source.publish(log.append())
    assert await take(source, 3) == sorted(log.batches)
    assert log.reads == 1  # one piece held all three, two of them also in memory
    for _ in range(5):
        source.publish(log.append())
        await take(source, 1)
    assert (log.reads, source.dropped) == (1, 0)


async def test_memory_is_bounded_in_bytes_too() -> None:
    log = CountingLog()
    size = log.append().end
    source = BatchSource(log, size, max_bytes=3 * size)
    for _ in range(10):
        source.publish(log.append())
    assert source.depth == 3


async def test_a_start_reads_what_was_there_before() -> None:
    log = CountingLog()
    lsns = [log.append().lsn for _ in range(5)]
    source = BatchSource(log, lsns[2])
    source.publish(log.append())
    source.close()
    assert await take(source, 4) == sorted(log.batches)[2:]
    assert source.position == log.end_lsn
    with pytest.raises(ChannelClosed):
        await source.next()


async def test_a_waiting_taker_is_woken_by_news_and_by_the_end() -> None:
    log = CountingLog()
    source = BatchSource(log, 0)
    async with asyncio.timeout(5):
        waiting = asyncio.ensure_future(source.next())
        await asyncio.sleep(0)
        batch = log.append()
        source.publish(batch)
        assert await waiting is batch
        waiting = asyncio.ensure_future(source.next())
        await asyncio.sleep(0)
        source.close()
        with pytest.raises(ChannelClosed):
            await waiting


async def test_damage_is_told_and_stepped_over_or_is_an_error() -> None:
    log = CountingLog()
    lsns = [log.append().lsn for _ in range(6)]
    log.bad = {lsns[2]}
    told: list[Damage] = []
    source = BatchSource(log, 0, on_damage=told.append)
    assert await take(source, 5) == [lsn for lsn in lsns if lsn != lsns[2]]
    assert [d.lsn for d in told] == [lsns[2]]
    strict = BatchSource(log, lsns[2])
    with pytest.raises(JournalError, match="flipped"):
        await strict.next()


async def turns(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_small_batches_come_in_bursts_and_much_or_the_end_comes_at_once() -> None:
    log = CountingLog()
    source = BatchSource(log, 0, spacing_s=3600)
    async with asyncio.timeout(5):
        first = asyncio.create_task(take(source, 1))
        await turns()
        source.publish(log.append())
        assert len(await first) == 1

        waiting = asyncio.create_task(take(source, 2))
        for _ in range(2):
            await turns()
            source.publish(log.append())
        await turns()
        assert (waiting.done(), source.depth) == (False, 2)

        while source.lag_bytes < source_module.MANY_BYTES:
            source.publish(log.append(bytes(100_000)))
        assert len(await waiting) == 2

        await take(source, source.depth)
        last = asyncio.create_task(take(source, 1))
        await turns()
        source.publish(log.append())
        source.close()
        assert len(await last) == 1


async def test_a_burst_comes_when_it_is_due_or_with_a_batch_shortly_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(source_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    log = CountingLog()
    source = BatchSource(log, 0, spacing_s=0.04)
    source.publish(log.append())
    async with asyncio.timeout(2):
        for early_s in (0.7 * 0.04, 0.8 * 0.04):
            await take(source, source.depth)
            waiting = asyncio.create_task(take(source, 2))
            await turns()
            source.publish(log.append())
            await turns()
            now_s += early_s
            source.publish(log.append())
            await turns()
            assert waiting.done() == (early_s > 0.75 * 0.04)
            assert len(await waiting) == 2
            now_s += 0.04
