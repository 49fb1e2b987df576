"""``mdingest backfill``: history into a database, beside a daemon or without one."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from mdingest import calendars
from mdingest.app.instants import instant_of
from mdingest.app.parts import open_writing, url_of
from mdingest.config import Config
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import SECOND_NS
from mdingest.errors import ConfigError
from mdingest.pipeline.history import Backfill, Order, Progress, Report, SymbolReport
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.limits import Pace
from mdingest.providers import HISTORY
from mdingest.providers.history import Hours, instrument_of
from mdingest.providers.options import ProviderOptions
from mdingest.store.base import Store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()


_MANY_OBJECTS = 500_000
"""Rows come and go by the ten thousand and hold no cycles: to look for some each time that 700 more
objects are alive takes a third of all time (measured)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request for history. ``start`` and ``end`` are dates of the exchange, or instants."""

    provider: str
    symbols: Sequence[str]
    interval: Interval
    start: str | None = None
    end: str | None = None
    period_s: float | None = None  # back from now, instead of ``start``
    force: bool = False
    dry_run: bool = False


async def run_backfill(config: Config, clock: Clock, wanted: Wanted, progress: Progress) -> Report:
    """Fetch what is wanted; a database that does not exist is made.

    Raises ConfigError if nothing of it makes sense, StoreUnavailable if the database stays away.
    Symbols that the provider does not have are part of the report, unless it has none of them.
    """
    provider = HISTORY.get(wanted.provider)
    if provider is None:
        raise ConfigError(f"backfill has {', '.join(HISTORY)} so far: {wanted.provider} is not available yet")
    options = config.providers[provider.name]
    unknown = await asyncio.to_thread(provider.unknown, wanted.symbols, options, wanted.interval)
    if len(unknown) == len(wanted.symbols):
        raise ConfigError("\n".join(f"{symbol}: {why}" for symbol, why in unknown.items()))
    book = calendars.load(config.calendar.file)
    url = url_of(config)
    for name in await migrate(url):
        log.info("store.migrated", migration=name)
    with _few_collections():
        return await _run(config, clock, wanted, progress, unknown, book)


async def _run(
    config: Config,
    clock: Clock,
    wanted: Wanted,
    progress: Progress,
    unknown: dict[str, str],
    book: calendars.Calendars,
) -> Report:
    provider, options = HISTORY[wanted.provider], config.providers[wanted.provider]
    report = Report()
    async with open_writing(url_of(config), config) as store, Fetcher() as fetcher:
        history = provider.history(options)
        backfill = Backfill(
            provider.name,
            history,
            store,
            hours=lambda instrument: Hours(book, instrument.session_class),
            fetcher=fetcher,
            pace=Pace(history.capabilities.limits, time.monotonic),
            now_ns=clock.wall_ns,
        )
        known = {instrument.symbol: instrument for instrument in await store.instruments()}
        for symbol in wanted.symbols:
            if symbol in unknown:
                said = SymbolReport(symbol, wanted.interval.text, provider.name, failures=[unknown[symbol]])
                progress.finished(said)
                report.symbols.append(said)
                continue
            instrument = await _instrument(symbol, options, known.get(symbol), store)
            order = _order(wanted, instrument, Hours(book, instrument.session_class), clock)
            report.symbols += (await backfill.run(order, progress)).symbols
    return report


@contextmanager
def _few_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _instrument(symbol: str, options: object, known: Instrument | None, store: Store) -> Instrument:
    """What the database knows of it, unless the options correct its hours; else made from its symbol."""
    told = options if isinstance(options, ProviderOptions) else ProviderOptions()
    if known is None:
        wanted = instrument_of(symbol, told)
    else:
        wanted = replace(known, session_class=told.session_class_of(symbol, known.session_class))
        if wanted == known:
            return known
    (instrument,) = await store.ensure_instruments([wanted])
    return instrument


def _order(wanted: Wanted, instrument: Instrument, hours: Hours, clock: Clock) -> Order:
    start = None if wanted.start is None else instant_of(wanted.start, hours.zone)
    end = None if wanted.end is None else instant_of(wanted.end, hours.zone)
    if wanted.period_s is not None:
        start = (clock.wall_ns() if end is None else end) - round(wanted.period_s * SECOND_NS)
    if start is not None and end is not None and start >= end:
        raise ConfigError("--start must lie before --end")
    return Order([instrument], wanted.interval, start, end, force=wanted.force, dry_run=wanted.dry_run)
