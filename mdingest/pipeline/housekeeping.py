"""The database's size each minute, and once an hour what is too old."""

import asyncio
import time
from collections.abc import Mapping

import structlog

from mdingest.core.units import NS
from mdingest.errors import StoreUnavailable
from mdingest.store.base import Retention, Store
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.metrics import Metrics

log = structlog.get_logger()

EVERY_S = 60.0
RETAIN_EVERY_S = 3_600.0


class Housekeeper:
    """Forgets candles older than ``keep_s`` (interval in seconds to seconds), and measures."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        *,
        keep_s: Mapping[int, float],
        revisions_s: float | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._keep_s = keep_s
        self._revisions_s = revisions_s

    async def run(self) -> None:
        """Until cancelled. A database that does not answer is asked again a minute later."""
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:
                    await self.retain()
                    due = time.monotonic() + RETAIN_EVERY_S
                size = await self._store.size()
                self._metrics.database_bytes.set(size.data)
                self._metrics.database_pending_bytes.set(size.pending)
            except StoreUnavailable as exc:
                log.warning("store.retention_failed", error=str(exc))
            await asyncio.sleep(EVERY_S)

    async def retain(self) -> None:
        """Once, now."""
        now = self._clock.wall_ns()
        keep = Retention(
            {interval_s: now - round(keep_s * NS) for interval_s, keep_s in self._keep_s.items()},
            None if self._revisions_s is None else time.time_ns() - round(self._revisions_s * NS),
        )
        begun = time.monotonic()
        gone = await self._store.retain(keep, now)
        if gone:
            log.info("store.retained", gone=gone, took_s=round(time.monotonic() - begun, 1))
