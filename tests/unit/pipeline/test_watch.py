"""What /health says of ingestion."""

import time
from types import SimpleNamespace
from typing import cast

from mdingest.pipeline.feedwatch import FeedWatch
from mdingest.pipeline.supervise import Ingest
from mdingest.pipeline.watch import watch_ingest
from mdingest.pipeline.writer import WriterStatus
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from tests.support.rows import candle, transaction

NS = 1_000_000_000


def behind(clock: Clock, real_s: float) -> Ingest:
    """An ingest whose oldest record that is not committed came so long ago."""
    committed = WriterStatus(
        committed_lsn=1, waits_since_ns=clock.wall_ns() - round(real_s * clock.speed * NS)
    )
    parts = {
        "writer": SimpleNamespace(status=committed, listeners=[]),
        "journal": SimpleNamespace(
            uuid="", first_lsn=0, end_lsn=2, synced_lsn=2, files=SimpleNamespace(bytes=7, quarantined=0)
        ),
        "room": SimpleNamespace(free=11, listeners=[]),
        "intake": SimpleNamespace(clock=clock),
        "steps": SimpleNamespace(depth=0),
        "source": SimpleNamespace(depth=0, lag_bytes=0, dropped=3),
        "aggregator": SimpleNamespace(on_step=None),
    }
    return cast("Ingest", SimpleNamespace(**parts))


def test_a_writer_of_a_fast_clock_is_not_behind_by_what_passes_between_two_commits() -> None:
    fast = Clock(wall_origin_ns=NS, origin_ns=time.monotonic_ns(), speed=60.0, shifted=True)
    for real_s, well in ((2.0, True), (40.0, False)):
        health = Health(started=True)
        metrics = Metrics()
        watch_ingest(health, metrics, behind(fast, real_s), FeedWatch(metrics, [], fast))
        ok, document = health.report()
        assert ok is well
        assert abs(document["parts"]["writer"]["behind_s"] - real_s) < 1.0


def test_the_lag_of_the_journal_is_told_in_seconds_and_in_bytes_whoever_asks_first() -> None:
    metrics = Metrics()
    ingest = behind(Clock(), 40.0)
    health = Health(started=True)
    watch_ingest(health, metrics, ingest, FeedWatch(metrics, [], Clock()))
    assert health.report()[1]["parts"]["journal"]["reread_batches"] == 3
    value = metrics.registry.get_sample_value
    assert 40 <= (value("mdingest_journal_lag_seconds") or 0) < 41
    assert value("mdingest_journal_lag_bytes") == 1
    assert (value("mdingest_journal_bytes"), value("mdingest_disk_free_bytes")) == (7, 11)
    for committed in ingest.writer.listeners:
        committed(transaction(candles=[candle(interval_s=60), candle(), candle(60, interval_s=60)]), 0.1)
    assert value("mdingest_candles_total", {"interval": "1m"}) == 2
    assert value("mdingest_candles_total", {"interval": "1s"}) == 1
    for listener in ingest.room.listeners:
        listener(5)
    assert value("mdingest_ticks_shed_total") == 5
