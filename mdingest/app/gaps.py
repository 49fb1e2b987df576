"""``mdingest gaps``: what is missing from what is stored, symbol by symbol."""

import datetime as dt
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from mdingest.api.complete import Completeness, completeness_of
from mdingest.api.holes import Hole, holes_of
from mdingest.api.times import parse_instant
from mdingest.api.wanted import EARLIEST, Tables, Wanted
from mdingest.app.instants import instant_of
from mdingest.app.parts import calendars_of, open_reading, url_of
from mdingest.app.repairing import prospects_of
from mdingest.config import Config
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SessionTable
from mdingest.errors import ConfigError
from mdingest.telemetry.clock import Clock

LOOK_BACK_NS = 7 * DAY_NS
LIVE = 0  # the length of candles in rows of coverage that tell of a live feed
_DATES_BACK_NS = 400 * DAY_NS  # of which an earlier one begins at midnight UTC

Instant = Callable[[SessionTable | None], int]
"""UTC ns of a moment that may depend on when an exchange's dates begin."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One symbol: its holes, and how complete each length of its candles is that was heard or fetched.

    ``known`` False: nothing is stored under that name.
    """

    symbol: str
    holes: Sequence[Hole] = ()
    series: Sequence[Completeness] = ()
    known: bool = True


async def list_gaps(
    config: Config,
    clock: Clock,
    symbols: Sequence[str],
    *,
    start: Instant | None = None,
    end: Instant | None = None,
) -> AsyncGenerator[Listed, None]:
    """Every stored symbol, or those named, in order. ``start`` defaults to a week ago, ``end`` to now.

    A series is counted from ``start``; without one, from the trade date of a week ago, or of its
    first candle if that is later.

    Raises ConfigError if ``start`` is not before ``end``, StoreUnavailable.
    """
    now = clock.wall_ns()
    tables = Tables(calendars_of(config).table)
    prospects = prospects_of(lambda: config, clock)
    live = {Interval.parse(text).seconds for text in config.candles.intervals}
    async with open_reading(url_of(config)) as store:
        stored = {instrument.symbol: instrument for instrument in await store.instruments()}
        forgotten = await store.upkeep.forgotten()
        for symbol in dict.fromkeys(symbols or stored):
            instrument = stored.get(symbol)
            if instrument is None:
                yield Listed(symbol, known=False)
                continue
            since = now - LOOK_BACK_NS if start is None else start(_dates(tables, instrument, now))
            until = now if end is None else end(_dates(tables, instrument, now))
            if since >= until:
                raise ConfigError("--start must be before --end")
            coverage = await store.coverage(instrument.id, EARLIEST, until)
            gaps = await store.gaps(instrument.id, since - DAY_NS, until)
            lengths = {row.interval_s for row in coverage}
            series = [
                completeness_of(
                    coverage,
                    gaps,
                    tables,
                    Wanted(instrument, Interval(seconds), None if start is None else since, until, 0),
                    now_ns=now,
                    prospects=prospects,
                    since_ns=since,
                    forgotten=forgotten,
                )
                for seconds in sorted(lengths - {LIVE} | (live if LIVE in lengths else set()))
            ]
            yield Listed(
                symbol, await holes_of(store, tables, instrument, since, until, now, prospects), series
            )


def instant(text: str) -> Instant:
    """``2026-11-20`` (a trade date of the exchange) or an instant. Raises ConfigError."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        try:
            at = parse_instant(text)
        except ValueError as exc:
            raise ConfigError(f"{exc}; or a trade date like 2026-11-20") from None
        return lambda _: at
    midnight = instant_of(date.isoformat(), None)

    def begins(table: SessionTable | None) -> int:
        day = None if table is None else table.day(date)
        return midnight if day is None else day.start_ns

    return begins


def _dates(tables: Tables, instrument: Instrument, now: int) -> SessionTable:
    return tables.around(instrument, now - _DATES_BACK_NS, now)
