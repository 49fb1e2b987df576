"""How ingestion is doing, for /health and /metrics."""

import asyncio
import time

import numpy as np

from mdingest.core.events import Events
from mdingest.core.interval import Interval
from mdingest.core.records import Batch
from mdingest.core.units import NS
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.decoding import Understood
from mdingest.pipeline.feedwatch import FeedWatch
from mdingest.pipeline.supervise import Ingest
from mdingest.store.base import Store, Transaction
from mdingest.telemetry.health import Detail, Health
from mdingest.telemetry.metrics import Metrics

PROBE_EVERY_S = 2.0
BEHIND_S = 30.0  # longer than any commit spacing: what waits longer is an outage


class StoreProbe:
    """Whether the database answers, asked again and again beside the work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._error = ""

    async def run(self) -> None:
        """Ask every two seconds until cancelled."""
        while True:
            try:
                await self._store.positions()
                self._error = ""
            except StoreUnavailable as exc:
                self._error = str(exc)
            await asyncio.sleep(PROBE_EVERY_S)

    def check(self) -> tuple[bool, Detail]:
        """For `Health`."""
        return (False, {"error": self._error}) if self._error else (True, {})


def watch_ingest(health: Health, metrics: Metrics, ingest: Ingest, feeds: FeedWatch) -> None:
    """Journal, aggregator and writer."""
    _watch_journal(health, metrics, ingest)
    _watch_steps(metrics, ingest, feeds)
    _watch_writer(health, metrics, ingest)


def _watch_writer(health: Health, metrics: Metrics, ingest: Ingest) -> None:
    writer, journal = ingest.writer.status, ingest.journal

    def check_writer() -> tuple[bool, Detail]:
        waiting_s = (time.monotonic_ns() - writer.waiting_since_ns) / NS if writer.waiting_since_ns else 0.0
        lag_s = _lag_s(ingest)
        detail: dict[str, object] = {
            "committed_lsn": writer.committed_lsn,
            "commits": writer.commits,
            "rows": writer.rows,
            "last_commit_s": round(writer.last_commit_s, 4),
            "behind_s": round(lag_s, 1),
        }
        if waiting_s:
            detail |= {"waiting_s": round(waiting_s, 1), "error": writer.error}
        return not waiting_s and lag_s <= BEHIND_S, detail

    def on_commit(transaction: Transaction, took_s: float) -> None:
        metrics.flush.observe(took_s)
        metrics.gaps.inc(len(transaction.gaps))
        intervals, counts = np.unique(transaction.candles["interval_s"], return_counts=True)
        for interval_s, count in zip(intervals.tolist(), counts.tolist(), strict=True):
            metrics.candles[Interval(interval_s).text].inc(count)
        metrics.commit_lag.observe(max(0.0, _lag_s(ingest)))

    metrics.channel_depth["steps"].set_function(lambda: ingest.steps.depth)
    metrics.channel_depth["batches"].set_function(lambda: ingest.source.depth)
    metrics.journal_lag_bytes.set_function(lambda: journal.end_lsn - writer.committed_lsn)
    metrics.journal_lag.set_function(lambda: _lag_s(ingest))
    ingest.writer.listeners.append(on_commit)
    health.register("writer", check_writer)


def _watch_journal(health: Health, metrics: Metrics, ingest: Ingest) -> None:
    journal = ingest.journal
    metrics.journal_bytes.set_function(lambda: journal.files.bytes)
    metrics.disk_free_bytes.set_function(lambda: ingest.room.free)
    ingest.room.listeners.append(metrics.ticks_shed.inc)

    def check() -> tuple[bool, Detail]:
        return True, {
            "uuid": journal.uuid,
            "first_lsn": journal.first_lsn,
            "end_lsn": journal.end_lsn,
            "synced_lsn": journal.synced_lsn,
            "unread_bytes": ingest.source.lag_bytes,
            "reread_batches": ingest.source.dropped,
            "disk_bytes": journal.files.bytes,
            "quarantined": journal.files.quarantined,
        }

    health.register("journal", check)


def _watch_steps(metrics: Metrics, ingest: Ingest, feeds: FeedWatch) -> None:
    def on_step(batch: Batch, understood: Understood, events: Events) -> None:
        feeds.stepped(batch, understood)
        for name, count in understood.counts.items():
            if name.startswith("packets."):
                metrics.ticks[name.removeprefix("packets.")].inc(count)
        for name, count in events.counts.items():
            metrics.machine[name].inc(count)
        if events.counts["late"]:
            metrics.ticks_late.inc(events.counts["late"])
        packets = understood.packets
        if len(packets):
            stamp = int(packets["ts_exchange"][-1])
            if stamp:
                wall = int(batch.wall_ns[int(packets["rec"][-1])])
                metrics.feed_lag["all"].set((wall - stamp) / NS)

    ingest.aggregator.on_step = on_step


def _lag_s(ingest: Ingest) -> float:
    """How long, in real seconds, the oldest record of the log waits for the database."""
    status = ingest.writer.status
    if status.committed_lsn >= ingest.journal.end_lsn or not status.waits_since_ns:
        return 0.0
    clock = ingest.intake.clock
    return clock.real_s((clock.wall_ns() - status.waits_since_ns) / NS)
