import asyncio
import socket
import time

import pytest

from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.errors import JournalError
from mdingest.pipeline import intake as intake_module
from mdingest.pipeline.intake import MAX_BYTES, MAX_RECORDS, SLEPT_S, TICK_S, Intake
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.clock import Clock

SLOW = Clock(wall_origin_ns=0, origin_ns=0, speed=1e-6, shifted=True)  # a second of it never passes here


class FakeJournal:
    """Keeps batches in a list; refuses while told to."""

    def __init__(self) -> None:
        self.end = 0
        self.refuses = self.full = False

    def append(self, records: list[Record]) -> Batch:
        if self.full:
            raise JournalFull("No space left on device")
        if self.refuses:
            raise JournalError("Input/output error")
        raw = encode_batch(records, self.end)
        batch = decode_batch(memoryview(raw), self.end)
        self.end = batch.end
        return batch


class Log:
    """Where delivered batches go; can be waited for."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.grown = asyncio.Event()

    def deliver(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.grown.set()

    def kinds(self) -> list[str]:
        return [r.kind.name for b in self.batches for r in b.records()]

    async def reach(self, count: int) -> None:
        while len(self.batches) < count:
            self.grown.clear()
            await self.grown.wait()


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_records_that_come_together_are_one_batch_in_their_order() -> None:
    log = Log()
    intake = Intake(FakeJournal(), log.deliver, SLOW)
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(0)
        begun = time.monotonic()
        for n in range(5):
            intake.add(Kind.FRAME, n, b"%d" % n)
        await log.reach(1)
        assert time.monotonic() - begun >= 0.04
        intake.add(Kind.FRAME, 9, b"later")
        await log.reach(2)
        await stopped(task)
    first, second = log.batches
    assert [(r.stream_id, r.payload) for r in first.records()] == [(n, b"%d" % n) for n in range(5)]
    assert second.payload(0) == b"later"
    assert first.end == second.lsn


async def test_a_record_waits_no_longer_than_asked_also_under_a_steady_stream() -> None:
    log = Log()
    intake = Intake(FakeJournal(), log.deliver, Clock(), max_wait_s=0.02)
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(intake.run())
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            intake.add(Kind.FRAME, 1, b"x")
            await asyncio.sleep(0.001)
        await stopped(task)
    spans = [int(b.mono_ns[-1] - b.mono_ns[0]) for b in log.batches]
    assert len(spans) >= 5
    assert sorted(spans)[len(spans) // 2] <= 60_000_000  # the median: a busy machine may stall one


@pytest.mark.parametrize(("payload", "count"), [(b"x" * (MAX_BYTES // 4), 4), (b"", MAX_RECORDS)])
async def test_many_or_large_records_do_not_wait_for_the_clock(payload: bytes, count: int) -> None:
    log = Log()
    intake = Intake(FakeJournal(), log.deliver, SLOW)
    for _ in range(count):
        intake.add(Kind.FRAME, 1, payload)
    assert log.batches == []
    intake.add(Kind.FRAME, 1, b"one more")
    assert [len(b) for b in log.batches] == [count]


async def test_the_clock_ticks_while_a_stream_is_open_or_a_candle_forms() -> None:
    log = Log()
    forming = [False]
    fast = Clock(wall_origin_ns=0, origin_ns=0, speed=60.0, shifted=True)  # a tick each 50 ms
    intake = Intake(FakeJournal(), log.deliver, fast, tick_wanted=lambda: forming[0], max_wait_s=0.001)
    async with asyncio.timeout(10):
        task = asyncio.ensure_future(intake.run())
        await asyncio.sleep(0.2)
        assert log.kinds() == []
        intake.add(Kind.CONNECT, 3, b"")
        await log.reach(3)
        assert log.kinds()[:3] == ["CONNECT", "TICK", "TICK"]
        intake.add(Kind.DISCONNECT, 3, b"")
        intake.flush()
        count = len(log.batches)
        await asyncio.sleep(0.2)
        assert len(log.batches) == count
        forming[0] = True
        await log.reach(count + 2)
        await stopped(task)
    ticks = [r for b in log.batches for r in b.records() if r.kind is Kind.TICK]
    assert all(r.stream_id == 0 for r in ticks)
    assert ticks[1].mono_ns - ticks[0].mono_ns >= 2_000_000_000  # not below 50 ms real, at 60 times the speed


async def test_a_process_that_slept_hears_what_waits_before_time_goes_on() -> None:
    """A suspended machine: what came meanwhile is not late, it only was not heard yet."""
    log = Log()
    intake = Intake(FakeJournal(), log.deliver, Clock(), max_wait_s=0.001)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def listen() -> None:
        while True:
            frame = await asyncio.get_running_loop().sock_recv(ours, 3)
            for _ in range(3):
                await asyncio.sleep(0)  # through the layers of a websocket
            intake.add(Kind.FRAME, 3, frame)

    with ours, theirs:
        async with asyncio.timeout(10):
            tasks = [asyncio.ensure_future(intake.run()), asyncio.ensure_future(listen())]
            intake.add(Kind.CONNECT, 3, b"")
            await log.reach(1)
            for _ in range(20):
                theirs.sendall(b"abc")
            time.sleep(2 * TICK_S + SLEPT_S)  # noqa: ASYNC251 - the loop is asleep, on purpose
            while "TICK" not in log.kinds():
                await log.reach(len(log.batches) + 1)
            for task in tasks:
                await stopped(task)
    assert log.kinds()[:22] == ["CONNECT", *["FRAME"] * 20, "TICK"]


async def test_stopping_appends_what_waits() -> None:
    log = Log()
    intake = Intake(FakeJournal(), log.deliver, SLOW, max_wait_s=60)
    task = asyncio.ensure_future(intake.run())
    await asyncio.sleep(0)
    intake.add(Kind.FRAME, 1, b"last words")
    await stopped(task)
    assert [b.payload(0) for b in log.batches] == [b"last words"]


async def test_a_refused_batch_stays_and_nothing_more_is_taken_until_it_is_written() -> None:
    log, journal = Log(), FakeJournal()
    intake = Intake(journal, log.deliver, SLOW)
    journal.refuses = True
    intake.add(Kind.FRAME, 1, b"kept")
    with pytest.raises(JournalError):
        intake.flush()
    with pytest.raises(JournalError):
        intake.add(Kind.FRAME, 1, b"not accepted")
    journal.refuses = False
    intake.add(Kind.FRAME, 1, b"accepted")
    intake.flush()
    assert [b.payload(i) for b in log.batches for i in range(len(b))] == [b"kept", b"accepted"]


async def test_a_journal_that_fails_ends_the_intake() -> None:
    journal = FakeJournal()
    intake = Intake(journal, Log().deliver, SLOW, max_wait_s=0.001)
    journal.refuses = True
    intake.add(Kind.FRAME, 1, b"x")
    with pytest.raises(JournalError):
        async with asyncio.timeout(5):
            await intake.run()


async def test_a_disk_that_fills_while_a_second_is_told_does_not_end_the_intake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake_module, "FULL_S", 0.001)
    log, journal, filled = Log(), FakeJournal(), asyncio.Event()

    def much_comes() -> bool:
        if not filled.is_set():
            journal.full = True
            intake.add(Kind.FRAME, 1, bytes(MAX_BYTES))
            filled.set()
        return True

    intake = Intake(journal, log.deliver, Clock(speed=60.0, shifted=True), tick_wanted=much_comes)
    task = asyncio.ensure_future(intake.run())
    async with asyncio.timeout(5):
        await filled.wait()
        await asyncio.sleep(0.01)
        assert not task.done()
        journal.full = False
        await log.reach(1)
    await stopped(task)
    assert log.kinds()[0] == "FRAME"
