"""``mdingest export``: candles out of a database, piece by piece, as `/candles` would give them."""

import difflib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mdingest.api.reading import Reading
from mdingest.api.wanted import Tables, Wanted
from mdingest.app.instants import instant_of
from mdingest.app.parts import calendars_of, open_reading, url_of
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.core.events import Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE, Interval
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.errors import ConfigError
from mdingest.store.base import SymbolRow
from mdingest.telemetry.clock import Clock

_MONDAY_NS = 4 * DAY_NS  # 1970-01-05: weeks are counted from it
_SECONDS_NS = 2 * 3_600 * SECOND_NS
_ROWS = 100_000  # more than any piece holds


@dataclass(frozen=True, slots=True)
class Export:
    """What is wanted. ``start`` and ``end`` are dates of the exchange, or instants; None: all there is."""

    symbols: Sequence[str]
    interval: Interval
    start: str | None = None
    end: str | None = None
    all_sessions: bool = False


@dataclass(slots=True)
class Exported:
    """What came of it, as it grows."""

    rows: dict[str, int] = field(default_factory=dict)  # candles by symbol
    unknown: dict[str, str] = field(default_factory=dict)  # symbol to what is wrong with it


async def export(
    config: Config, clock: Clock, wanted: Export, said: Exported
) -> AsyncGenerator[tuple[str, Candles], None]:
    """Symbols in the order given, their candles ascending, some thousands at a time.

    ``said`` hears of each. Raises ConfigError if no symbol is known or the range makes no sense,
    StoreUnavailable. To be closed where it is not read to its end.
    """
    book = calendars_of(config)
    async with open_reading(url_of(config)) as store:
        stored = {row.instrument.symbol: row for row in await store.symbols()}
        known = {instrument.symbol: instrument for instrument in await store.instruments()}
        for symbol in wanted.symbols:
            if symbol not in known:
                said.unknown[symbol] = _unknown(symbol, list(known))
        if len(said.unknown) == len(set(wanted.symbols)):
            raise ConfigError("\n".join(f"{symbol}: {why}" for symbol, why in said.unknown.items()))
        ranges = {
            symbol: _range(wanted, known[symbol], stored.get(symbol), book, clock)
            for symbol in dict.fromkeys(wanted.symbols)
            if symbol in known
        }
        reading = Reading(store, Tables(book.table), clock.wall_ns)
        for symbol, (start, end) in ranges.items():
            said.rows[symbol] = 0
            for low, high in _pieces(start, end, wanted.interval):
                question = Wanted(
                    known[symbol], wanted.interval, low, high, _ROWS, all_sessions=wanted.all_sessions
                )
                for candles in await _answers(reading, question):
                    said.rows[symbol] += len(candles)
                    yield symbol, candles


async def _answers(reading: Reading, question: Wanted) -> list[Candles]:
    """All of a piece, ascending: of seconds a week holds more than one question looks at."""
    parts: list[Candles] = []
    while True:
        found = await reading.read(question)
        if len(found.candles):
            parts.insert(0, found.candles)
        if not (found.cut and len(found.candles)):
            return parts
        question = replace(question, end_ns=int(found.candles["ts"][0]))


def _range(
    wanted: Export, instrument: Instrument, stored: SymbolRow | None, book: Calendars, clock: Clock
) -> tuple[int, int]:
    """UTC ns, half-open: what was asked for, as far as anything is stored. Raises ConfigError."""
    known = instrument.session_class in book.classes
    zone = book.zone(instrument.session_class) if known else None
    start = None if wanted.start is None else instant_of(wanted.start, zone)
    end = clock.wall_ns() if wanted.end is None else instant_of(wanted.end, zone)
    if start is not None and start >= end:
        raise ConfigError("--start must lie before " + ("now" if wanted.end is None else "--end"))
    if stored is None or not stored.ranges:
        return 0, 0
    # a day is named by its date, which may lie a day from the trades that it is made of
    spare = max(wanted.interval.ns, DAY_NS)
    first = min(first for first, _ in stored.ranges.values()) - spare
    last = max(last for _, last in stored.ranges.values()) + spare
    return max(start or first, first), min(end, last)


def _pieces(start: int, end: int, interval: Interval) -> list[tuple[int, int]]:
    """The range cut where no candle is: at whole weeks, or hours for those of seconds."""
    step = _SECONDS_NS if interval < MINUTE else 7 * DAY_NS
    if interval.is_daily_or_longer:
        step *= 4
    cuts = [start, *range((start - _MONDAY_NS) // step * step + _MONDAY_NS + step, end, step), end]
    return [(low, high) for low, high in pairwise(cuts) if low < high]


def _unknown(symbol: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(symbol.upper(), known, 3)
    return "nothing is stored of it" + (f"; did you mean {', '.join(near)}?" if near else "")
