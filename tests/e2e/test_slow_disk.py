"""A disk that takes its time, or says no: the loop goes on, and nothing that was received is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mdingest.pipeline.segments import segment_name
from tests.support.place import Place, fast_clock, place_of
from tests.support.processes import until
from tests.support.tracing import SYNCS, injecting, stalls_with_slow_syncs


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(tmp_path, fast_clock(4)) as one:
        yield one


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_loop_does_not_wait_for_a_slow_disk(tmp_path: Path) -> None:
    """Whoever waited for one sync would stall for two seconds. `make soak` has the design's number."""
    stalls = await stalls_with_slow_syncs(tmp_path, delay_s=2.0, rows=3)

    assert stalls[1.0] == 1.0, stalls


@pytest.mark.timeout(180)
async def test_a_sync_that_fails_ends_the_process_and_the_next_one_has_everything(place: Place) -> None:
    """Nothing can be promised about what a failed sync was about, so the log is read again."""
    log = place.journal / segment_name(0)  # each thread counts for itself, and so does the database's
    async with place.mdingest("run", wrapper=injecting(SYNCS, "error=EIO:when=2+", log)) as daemon:
        assert await daemon.ended(within_s=90) == 1
        assert "Input/output error" in daemon.said()
    async with place.mdingest("run") as daemon:
        await place.until_more(daemon, 3)
        assert await daemon.stopped() == 0

    assert not await place.verdict()


@pytest.mark.timeout(180)
async def test_a_database_that_cannot_be_written_for_a_while_is_told_and_caught_up_with(place: Place) -> None:
    log = place.database.with_name(f"{place.database.name}-wal")
    async with place.mdingest("run", wrapper=injecting("pwrite64", "error=EIO:when=40..46", log)) as daemon:

        async def told() -> bool:
            status, body = await place.get("/health")
            return status == 503 and "disk I/O error" in str(body["parts"])

        async def well() -> bool:
            return (await place.get("/health"))[0] == 200

        await until("word of the database", told, daemon, within_s=60)
        await until("recovery", well, daemon, within_s=60)
        await place.until_more(daemon, 3)
        assert await daemon.stopped() == 0

    assert place.heard_without_a_gap()
    assert not await place.verdict()
