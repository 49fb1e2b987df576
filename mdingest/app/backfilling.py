"""``mdingest backfill``: history into a database, beside a daemon or without one."""

import gc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from mdingest.app.histories import Histories, Ready
from mdingest.app.instants import instant_of, is_date
from mdingest.app.parts import open_writing, url_of
from mdingest.config import Config
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.errors import ConfigError, PermanentError
from mdingest.pipeline.history import Order, Progress, Report, SymbolReport
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Nothing
from mdingest.providers import HISTORY
from mdingest.providers.history import HistoryProvider, Hours
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()


BACKWARDS = "--start must lie before --end"
_MANY_OBJECTS = 500_000
"""Rows come and go by the ten thousand and hold no cycles: to look for some each time that 700 more
objects are alive takes a third of all time (measured)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request for history. ``start`` and ``end`` are dates of the exchange, or instants."""

    providers: Sequence[str]  # asked in this order
    symbols: Sequence[str]
    interval: Interval
    start: str | None = None
    end: str | None = None
    period_s: float | None = None  # back from now, instead of ``start``
    force: bool = False
    dry_run: bool = False


async def run_backfill(config: Config, clock: Clock, wanted: Wanted, progress: Progress) -> Report:
    """Fetch what is wanted; a database that does not exist is made, unless it is a dry run.

    Raises ConfigError if nothing of it makes sense, StoreUnavailable if the database stays away.
    Symbols that no provider has are part of the report, unless none is anywhere.
    """
    url = url_of(config)
    if not wanted.dry_run:
        check(config, wanted)
        for name in await migrate(url):
            log.info("store.migrated", migration=name)
    opened = _as_it_is(url) if wanted.dry_run else open_writing(url, config)
    with _few_collections():
        async with opened as store, Fetcher() as fetcher:
            histories = Histories(lambda: config, clock, store, fetcher, read_only=wanted.dry_run)
            ready = await histories.ready(wanted.providers, wanted.symbols, wanted.interval)
            return await _run(ready, histories, wanted, progress, clock)


def check(config: Config, wanted: Wanted) -> None:
    """Refuse what nobody can do before a database is made for it. Raises ConfigError."""
    _check_range(wanted)
    refused: dict[str, list[str]] = {symbol: [] for symbol in wanted.symbols}
    for name in wanted.providers:
        provider = HISTORY.get(name)
        if provider is None:
            raise ConfigError(f"backfill has {', '.join(HISTORY)}: {name} is not available yet")
        _check_begin(provider, config, wanted)
        unknown = provider.unknown(wanted.symbols, config.providers.get(name), wanted.interval)
        for symbol in set(wanted.symbols) - set(unknown):
            refused.pop(symbol, None)
        for symbol in refused.keys() & unknown.keys():
            refused[symbol].append(unknown[symbol])
    if len(refused) == len(set(wanted.symbols)):
        raise ConfigError("\n".join(f"{symbol}: {'; '.join(why)}" for symbol, why in refused.items()))


def _check_range(wanted: Wanted) -> None:
    """As far as it can be told without the exchange's clocks."""
    ends: dict[str, int] = {}
    for option, text in (("--start", wanted.start), ("--end", wanted.end)):
        try:
            if text is not None:
                ends[option] = instant_of(text, None)
        except ConfigError as exc:
            raise ConfigError(f"{option}: {exc}") from None
    alike = is_date(wanted.start or "") == is_date(wanted.end or "")
    if len(ends) > 1 and ends["--start"] >= ends["--end"] + (0 if alike else DAY_NS):
        raise ConfigError(BACKWARDS)


def _check_begin(provider: HistoryProvider[Any], config: Config, wanted: Wanted) -> None:
    """Only what costs nothing may be asked for all there ever was."""
    options = config.providers.get(provider.name) or provider.Options()
    boundless = wanted.start is None and wanted.period_s is None
    if boundless and not provider.history(options).capabilities.local:
        raise ConfigError(f"{provider.name} needs a range: give --period or --start")


async def _run(
    ready: Ready, histories: Histories, wanted: Wanted, progress: Progress, clock: Clock
) -> Report:
    report = Report()
    of = {instrument.symbol: instrument for instrument in ready.instruments}
    for symbol in dict.fromkeys(wanted.symbols):
        if symbol in ready.nowhere:
            names = ", ".join(wanted.providers)
            said = SymbolReport(symbol, wanted.interval.text, names, failures=[ready.nowhere[symbol]])
            progress.finished(said)
            report.symbols.append(said)
            continue
        order = _order(wanted, of[symbol], histories.hours_of(of[symbol]), clock)
        report.symbols += (await ready.chain.run(order, progress)).symbols
    return report


@asynccontextmanager
async def _as_it_is(url: str) -> AsyncIterator[Store | Nothing]:
    """The database for reading, or an empty one in its place where there is none that can be read."""
    try:
        store = await open_store(url, read_only=True)
    except (ConfigError, PermanentError) as exc:
        log.info("backfill.planned_from_nothing", reason=str(exc))
        yield Nothing()
        return
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def _few_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(_MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _order(wanted: Wanted, instrument: Instrument, hours: Hours, clock: Clock) -> Order:
    start = None if wanted.start is None else instant_of(wanted.start, hours.zone)
    end = None if wanted.end is None else instant_of(wanted.end, hours.zone)
    if wanted.period_s is not None:
        start = (clock.wall_ns() if end is None else end) - round(wanted.period_s * SECOND_NS)
    if start is not None and end is not None and start >= end:
        raise ConfigError(BACKWARDS)
    return Order(
        [instrument],
        wanted.interval,
        start,
        end,
        force=wanted.force,
        anew=wanted.force,
        dry_run=wanted.dry_run,
    )
