"""What the daemon forgets, and when."""

import asyncio
from dataclasses import dataclass, field

import pytest

from mdingest.errors import StoreUnavailable
from mdingest.pipeline import housekeeping
from mdingest.pipeline.housekeeping import Housekeeper
from mdingest.store.base import Retention, StoreSize
from mdingest.telemetry.clock import parse_clock
from mdingest.telemetry.metrics import Metrics


@dataclass
class Kept:
    """A store that only remembers what it was asked to forget."""

    asked: list[Retention] = field(default_factory=list)
    sizes: int = 0
    fails: int = 0
    thrice: asyncio.Event = field(default_factory=asyncio.Event)

    async def retain(self, keep: Retention, now_ns: int) -> int:
        self.asked.append(keep)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("down")
        assert now_ns > 0
        return 3

    async def size(self) -> StoreSize:
        self.sizes += 1
        if self.sizes == 3:
            self.thrice.set()
        return StoreSize(1000, 50)


def keeper(store: Kept, metrics: Metrics) -> Housekeeper:
    clock = parse_clock("2026-11-20T03:45:00Z")
    return Housekeeper(store, clock, metrics, keep_s={1: 3600.0}, revisions_s=None)  # type: ignore[arg-type]


async def test_what_is_older_than_configured_is_forgotten_by_the_daemons_clock() -> None:
    store = Kept()
    await keeper(store, Metrics()).retain()
    (asked,) = store.asked
    hour_ago = 1_795_146_300 * 10**9 - 3600 * 10**9
    assert 0 <= asked.candles[1] - hour_ago < 60 * 10**9
    assert asked.revisions_ns is None


async def test_sizes_are_measured_each_time_and_an_outage_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.0)
    store, metrics = Kept(fails=2), Metrics()
    task = asyncio.create_task(keeper(store, metrics).run(), name="retention")
    await store.thrice.wait()
    task.cancel()
    assert len(store.asked) == 3  # twice in vain, and then not again for an hour
    page = metrics.exposition("")[0].decode()
    assert "mdingest_database_bytes 1000.0" in page
    assert "mdingest_database_pending_bytes 50.0" in page
