"""What alerts are about: feeds, the disk and the database of a daemon."""

import time
from collections.abc import Callable, Iterator

from mdingest.app.feeding import Feeding
from mdingest.config import Config
from mdingest.core.units import NS
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.supervise import Ingest
from mdingest.pipeline.upkeep.schedule import Schedule
from mdingest.pipeline.watch import StoreProbe
from mdingest.telemetry.alerts import Alerts, Condition
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Check

_WAITS_S = 10.0  # the writer for the database: more than a passing lock
_AGAIN = 1.25  # times the limit: so much must be free before the disk counts as well again


def alerts_of(config: Config, clock: Clock) -> Alerts:
    """As the configuration has it."""
    webhook = config.alerts.webhook
    return Alerts(None if webhook is None else webhook.get_secret_value(), clock.wall_ns, full_jitter)


def conditions_of(
    feeding: Feeding, schedule: Schedule, ingest: Ingest, probe: StoreProbe
) -> Callable[[], Iterator[Condition]]:
    """How everything is now that somebody would want to know of."""

    def now() -> Iterator[Condition]:
        yield from feeding.conditions()
        yield from schedule.conditions()
        yield _disk(ingest.room.check)
        yield _database(ingest, probe)

    return now


def _disk(check: Check) -> Condition:
    well, detail = check()
    if not well:
        state, reason = str(detail.get("state", "low")), str(detail.get("error", ""))
        return Condition("disk", state, False, reason, str(detail.get("what_to_do", "")))
    if detail["free_bytes"] < detail["low_bytes"] * _AGAIN:
        return Condition("disk", "low", None)
    return Condition("disk", "ok", True, "there is room again")


def _database(ingest: Ingest, probe: StoreProbe) -> Condition:
    well, detail = probe.check()
    writer = ingest.writer.status
    waited_s = (time.monotonic_ns() - writer.waiting_since_ns) / NS if writer.waiting_since_ns else 0.0
    if well and not waited_s:
        return Condition("database", "back", True, "it takes candles again; the journal is catching up")
    if well and waited_s < _WAITS_S:
        return Condition("database", "away", None)
    reason = str(detail.get("error") or writer.error)
    todo = "start or mend it: candles wait in the journal meanwhile and nothing is lost"
    return Condition("database", "away", False, reason, todo)
