"""What lies between a daemon and its broker: silence, cuts, slow lines, and a process that was stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.place import Place, fast_clock, place_of
from tests.support.processes import until
from tests.support.proxy import Proxy, proxy

SPEED = 4


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(tmp_path, fast_clock(SPEED)) as one:
        yield one


@pytest.fixture
async def line(place: Place) -> AsyncIterator[Proxy]:
    """The line that the daemon takes to its broker."""
    async with proxy(place.simulator.port) as one:
        place.listens_to(f"ws://127.0.0.1:{one.port}")
        yield one


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_process_that_was_stopped_longer_than_a_dead_socket_goes_on_without_loss(
    place: Place,
) -> None:
    """What the kernel kept meanwhile is neither late nor a reason to hang up."""
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 3, within_s=60)
        for seconds in (9.0, 0.3, 1.2):
            daemon.send(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            daemon.send(signal.SIGCONT)
            await place.until_more(daemon, 4)
        assert await daemon.stopped() == 0

    assert place.heard_without_a_gap()
    assert not await place.verdict()


@pytest.mark.timeout(120)
async def test_a_line_that_is_slow_and_cuts_frames_anywhere_loses_nothing(place: Place, line: Proxy) -> None:
    line.piece_bytes = 7
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 4, within_s=60)
        line.delay_s = 0.2
        await place.until_more(daemon, 6)
        assert await daemon.stopped() == 0

    assert place.heard_without_a_gap()
    assert not await place.verdict()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_line_that_breaks_or_swallows_everything_leaves_gaps_and_nothing_else(
    place: Place, line: Proxy
) -> None:
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 4, within_s=60)
        for _ in range(3):
            line.cut()
            await asyncio.sleep(0.2)
        await place.until_more(daemon, 4)
        before = line.connections
        line.silent = True

        async def hung_up() -> bool:
            return line.connections > before

        await until("new connection", hung_up, daemon, within_s=60)
        line.silent = False
        await place.until_more(daemon, 4, within_s=60)
        assert await daemon.stopped() == 0

    assert not place.heard_without_a_gap()
    assert not await place.verdict()
