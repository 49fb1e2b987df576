"""What /health says of ingestion."""

import time
from types import SimpleNamespace
from typing import cast

from mdingest.pipeline.supervise import Ingest
from mdingest.pipeline.watch import watch_ingest
from mdingest.pipeline.writer import WriterStatus
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics

NS = 1_000_000_000


def behind(clock: Clock, real_s: float) -> Ingest:
    """An ingest whose oldest record that is not committed came so long ago."""
    committed = WriterStatus(
        committed_lsn=1, waits_since_ns=clock.wall_ns() - round(real_s * clock.speed * NS)
    )
    parts = {
        "writer": SimpleNamespace(status=committed, listeners=[]),
        "journal": SimpleNamespace(uuid="", first_lsn=0, end_lsn=2, synced_lsn=2),
        "intake": SimpleNamespace(clock=clock),
        "steps": SimpleNamespace(depth=0),
        "source": SimpleNamespace(depth=0, lag_bytes=0),
        "aggregator": SimpleNamespace(on_step=None),
    }
    return cast("Ingest", SimpleNamespace(**parts))


def test_a_writer_of_a_fast_clock_is_not_behind_by_what_passes_between_two_commits() -> None:
    fast = Clock(wall_origin_ns=NS, origin_ns=time.monotonic_ns(), speed=60.0, shifted=True)
    for real_s, well in ((2.0, True), (40.0, False)):
        health = Health(started=True)
        watch_ingest(health, Metrics(), behind(fast, real_s))
        ok, document = health.report()
        assert ok is well
        assert abs(document["parts"]["writer"]["behind_s"] - real_s) < 1.0
