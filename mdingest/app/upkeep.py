"""What keeps the record of a daemon whole beside its feeds: repair, and what runs at a time of day."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from mdingest.app.histories import Histories
from mdingest.app.renewing import renewal_of, watch_renewals
from mdingest.app.repairing import repairer_of
from mdingest.app.scheduling import jobs_of
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.supervise import Producer
from mdingest.pipeline.upkeep.measure import Measure
from mdingest.pipeline.upkeep.repair import Repairer
from mdingest.pipeline.upkeep.schedule import Schedule
from mdingest.store.base import Store
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Both share the providers, so their pace and their quota."""

    repairer: Repairer
    schedule: Schedule
    measure: Measure
    watch_renewals: Producer

    def watch(self, health: Health) -> None:
        """Let them be part of what the process says of itself."""
        health.register("repair", self.repairer.check)
        health.register("schedule", self.schedule.check)

    @property
    def producers(self) -> dict[str, Producer]:
        """Tasks by name."""
        return {"schedule": self.schedule.run, **self.of_the_feeds}

    @property
    def of_the_feeds(self) -> dict[str, Producer]:
        """Those without which what a feed missed stays missing."""
        return {
            "repair": self.repairer.run,
            "repair.measure": self.measure.run,
            "upkeep.renewals": self.watch_renewals,
        }


@asynccontextmanager
async def upkeeping(
    config: Callable[[], Config],
    clock: Clock,
    store: Store,
    commit: Commit,
    metrics: Metrics,
    book: Calendars,
) -> AsyncIterator[Upkeep]:
    """Built, not yet running; connections to providers are closed at the end of the block.

    ``config`` gives the configuration in force; ``commit`` is the way into the daemon's writer.
    """
    async with Fetcher() as fetcher:
        histories = Histories(config, clock, store, fetcher, commit=commit, book=book)
        jobs = jobs_of(config, clock, store, commit, histories)
        schedule = Schedule(store, commit, jobs, now_ns=clock.wall_ns, real_s=clock.real_s)
        repairer = repairer_of(config, clock, store, commit, histories)
        measure = Measure(store, metrics, hours=histories.hours_of, now_ns=clock.wall_ns)
        renewed = renewal_of(config, clock, store, commit, schedule, repairer)
        yield Upkeep(repairer, schedule, measure, partial(watch_renewals, config, clock, renewed))
