"""Builds the programs from a Config; the only module that knows every other."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from mdingest import __version__
from mdingest.api import Changes, Served, create_app, serving
from mdingest.api.times import format_instant
from mdingest.app.alerting import alerts_of, conditions_of
from mdingest.app.feeding import Feeding
from mdingest.app.ingesting import make_ingest, open_journal, spare_room
from mdingest.app.parts import calendars_of, ingest_mark, open_reading, open_writing, settings_of, url_of
from mdingest.app.repairing import prospects_of
from mdingest.app.retired import replay_retired
from mdingest.app.upkeep import upkeeping
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.core.interval import MINUTE, SECOND
from mdingest.core.session import SECOND_NS
from mdingest.core.units import NS
from mdingest.errors import ConfigError
from mdingest.pipeline.feedwatch import FeedWatch
from mdingest.pipeline.housekeeping import Housekeeper
from mdingest.pipeline.watch import StoreProbe, watch_ingest
from mdingest.store.base import Store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from mdingest.telemetry.stalls import watch_stalls

log = structlog.get_logger()

BUSY_S = 1.5  # once started whoever writes tries again by himself, and has to be out soon after `DRAIN_S`


async def run_daemon(
    config: Config,
    clock: Clock,
    stop: asyncio.Event,
    *,
    serve_http: bool = True,
    reload: asyncio.Event | None = None,
) -> None:
    """Everything the config enables, until ``stop`` is set. ``reload`` set: read it again.

    Without ``serve_http`` the live feeds and their repair only.
    Raises AlreadyRunning, ConfigError, or whatever of `mdingest.errors` ends the process.
    """
    if not (config.realtime or config.backfill or config.reconcile):
        raise ConfigError(
            "realtime: nothing is enabled; list a provider, like {provider: kite_ws, symbols: all}"
        )
    health, metrics = Health(), Metrics()
    book = calendars_of(config)
    async with AsyncExitStack() as stack:
        stack.enter_context(ingest_mark(url_of(config), "mdingest run"))
        spare_room(config)
        store = await stack.enter_async_context(_store(config))
        journal = stack.enter_context(open_journal(config))
        ingest, ids = await make_ingest(config, clock, store, journal, book)
        await store.wait_at_most(BUSY_S)
        feeding = Feeding(config, clock, store, ingest, ids, reload)
        feeds = ingest.room.feeds = feeding.feeds
        upkeep = await stack.enter_async_context(
            upkeeping(lambda: feeding.config, clock, store, ingest.writer.bring, metrics, book)
        )
        upkeep.watch(health)
        alerts = alerts_of(config, clock)
        probe = StoreProbe(store)
        health.register("store", probe.check, for_readers=True)
        feed_watch = FeedWatch(metrics, feeds, clock)
        watch_ingest(health, metrics, ingest, feed_watch)
        feed_watch.register(health)
        feeding.watch(health)
        health.register("disk", ingest.room.check)
        health.register("alerts", alerts.detail)
        producers: dict[str, Any] = {f"feeds.{feed.name}": feed.run for feed in feeds}
        producers["replay.retired"] = partial(replay_retired, config, clock, store, ingest.writer.bring)
        producers["store.probe"] = probe.run
        producers["store.retention"] = _housekeeper(config, clock, store, metrics).run
        producers |= upkeep.producers if serve_http else upkeep.of_the_feeds
        if config.calendar.refresh:
            from mdingest.app.trading_days import trading_days_of

            producers |= trading_days_of(config, clock, book, ingest.announcer)
        producers["feeds.upkeep"] = feeding.run
        producers["alerts"] = partial(alerts.run, conditions_of(feeding, upkeep.schedule, ingest, probe))
        producers["stalls"] = partial(watch_stalls, metrics.loop_stall.observe)
        if serve_http:
            served = _served(config, clock, store, book, health, metrics, lambda: feeding.config)
            changes = Changes()
            ingest.writer.listeners.append(changes.committed)
            forming = ingest.forming([feed.name for feed in feeds])
            served = replace(served, forming=forming, changes=changes)
            ingest.aggregator.give_way = served.in_flight.give_way
            await stack.enter_async_context(serving(create_app(served), config.api.host, config.api.port))
        health.started = True
        log.info("app.started", version=__version__, journal=journal.uuid)
        await ingest.run(producers, stop, code=__version__, settings=settings_of(config))
    log.info("app.stopped")


async def run_serve(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """HTTP only, read-only over an existing database."""
    health, metrics = Health(), Metrics()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_reading(url_of(config)))
        probe = StoreProbe(store)
        health.register("store", probe.check, for_readers=True)
        book = calendars_of(config)
        app = create_app(_served(config, clock, store, book, health, metrics))
        await stack.enter_async_context(serving(app, config.api.host, config.api.port))
        health.started = True
        log.info("app.started", version=__version__, read_only=True)
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(probe.run(), name="store.probe")
            await stop.wait()
            probing.cancel()
    log.info("app.stopped")


async def run_demo(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """The daemon on a simulated broker, over a real websocket on this machine."""
    from mdingest.simulators.instruments import named_instruments  # 3 MB that no other daemon needs
    from mdingest.simulators.kite import KiteSimulator

    options: Any = config.providers["kite_ws"]
    address = urlsplit(options.url)
    if address.hostname is None or address.port is None:
        raise ConfigError("providers.kite_ws.url: the demo needs an address like ws://127.0.0.1:8766")
    day = _date(clock)
    simulator = KiteSimulator(
        clock=clock,
        instruments=named_instruments(config.symbols, day),
        host=address.hostname,
        port=address.port,
        seed=clock.wall_ns() // NS,  # another walk at every start
    )
    async with simulator:
        await run_daemon(config, clock, stop)


def _housekeeper(config: Config, clock: Clock, store: Store, metrics: Metrics) -> Housekeeper:
    rules = config.candles.retention
    keep_s = {SECOND.seconds: rules.seconds_s, MINUTE.seconds: rules.minutes_s}
    return Housekeeper(
        store,
        clock,
        metrics,
        keep_s={interval_s: kept for interval_s, kept in keep_s.items() if kept is not None},
        revisions_s=rules.candle_revisions_s,
    )


def _date(clock: Clock) -> dt.date:
    return dt.datetime.fromtimestamp(clock.wall_ns() // NS, dt.UTC).date()


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[Store]:
    """The database, migrated: a daemon brings its own schema up to date."""
    url = url_of(config)
    for name in await migrate(url):
        log.info("store.migrated", migration=name)
    async with open_writing(url, config) as store:
        yield store


def _served(
    config: Config,
    clock: Clock,
    store: Store,
    book: Calendars,
    health: Health,
    metrics: Metrics,
    in_force: Callable[[], Config] | None = None,
) -> Served:
    if clock.shifted:
        health.facts["clock"] = f"shifted, x{clock.speed:g}"
        log.warning("clock.shifted", speed=clock.speed)
    health.facts["time"] = lambda: format_instant(clock.wall_ns() // SECOND_NS * SECOND_NS)
    health.facts["version"] = __version__
    tokens = [token.get_secret_value() for token in config.api.tokens]
    now: Callable[[], int] = clock.wall_ns
    return Served(
        reader=store,
        tables=book.table,
        tables_version=lambda: book.version,
        now=now,
        health=health,
        metrics=metrics,
        tokens=tokens,
        prospects=prospects_of(in_force or (lambda: config), clock),
    )
