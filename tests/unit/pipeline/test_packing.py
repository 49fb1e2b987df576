"""Packing in the background: who does it, how much of a core it takes, and how it ends."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from mdingest.core.records import Kind, Record
from mdingest.pipeline import retain
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.statefile import StateFiles
from mdingest.telemetry.clock import Clock


def journal_of(home: Path, segments: int) -> Journal:
    journal = Journal.open(home)[0]
    for n in range(segments):
        journal.append([Record(Kind.FRAME, 1, n, n, b"abc" * 50_000)])
        journal.rotate()
    return journal


def retainer_of(journal: Journal, home: Path) -> Retainer:
    states = StateFiles(home, journal.uuid, lambda: journal.segments)
    return Retainer(journal, states, Clock(), kept_from=0, keep_s=1, max_bytes=1 << 40)


async def test_what_is_complete_is_packed_soon_and_a_cancel_ends_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retain, "PACK_EVERY_S", 0.01)
    with journal_of(tmp_path, 3) as journal:
        before = journal.files.bytes
        packing = asyncio.create_task(retainer_of(journal, tmp_path).run_packing())
        async with asyncio.timeout(20):
            while journal.files.bytes > before / 10:  # noqa: ASYNC110 - a file tells nobody that it shrank
                await asyncio.sleep(0.01)
            journal.append([Record(Kind.FRAME, 1, 9, 9, b"abc" * 500_000)])
            journal.rotate()  # one more, and it is in the middle of it, or resting, or waiting
            await asyncio.sleep(0.02)
        begun = time.monotonic()
        packing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await packing
        assert time.monotonic() - begun < 5
        assert len(list(journal.read(0))) == 4
    assert not list(tmp_path.glob("*.new"))  # noqa: ASYNC240 - a test may wait for its disk


async def test_a_disk_that_is_slow_to_sync_holds_up_a_stop_for_one_piece_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, syncing, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    real, times = os.fdatasync, list[bool]()

    def slow(fd: int) -> None:
        if threading.current_thread().name.startswith("journal.pack"):
            loop.call_soon_threadsafe(syncing.set)
            times.append(go_on.wait(5))
        real(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    with Journal.open(tmp_path)[0] as journal:
        for n in range(8):
            journal.append([Record(Kind.FRAME, 1, n, n, b"abc" * 200_000)])
        journal.rotate()
        packing = asyncio.create_task(retainer_of(journal, tmp_path).run_packing())
        async with asyncio.timeout(10):
            await syncing.wait()
            packing.cancel()
            await asyncio.sleep(0.01)
            go_on.set()  # never reached by a loop that waits itself
            with pytest.raises(asyncio.CancelledError):
                await packing
    assert times == [True]


def test_it_rests_for_so_many_times_the_cpu_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = iter([1.0, 1.5, 1.5])
    monkeypatch.setattr(retain.time, "thread_time", lambda: next(cpu))
    rests: list[float] = []

    class Stopped:
        def wait(self, seconds: float) -> bool:
            rests.append(seconds)
            return False

    pacer = retain._Pacer()
    pacer._worked_s = 1.0
    pacer._stopped = Stopped()  # type: ignore[assignment]
    for _ in range(3):
        pacer()
    assert rests == [0.0, 0.5 * retain.BREATH, 0.0]
