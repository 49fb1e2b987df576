"""What a source of history is: its capabilities as data, requests as values, replies to rows.

An adapter says what it can do (`Capabilities`), turns a wish into requests, and turns the
replies into bars. It opens nothing and waits for nothing: files and sockets belong to
`mdingest.pipeline.history`, which also plans, paces, checks and stores.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from mdingest.calendars import ALWAYS, UNKNOWN, Calendars, session_class_for
from mdingest.core.control import VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SessionTable
from mdingest.providers.asking import FileRequest, HttpRequest, Keep, LibraryRequest, Reply, Request
from mdingest.providers.bars import (
    BAR,
    FAULTS,
    NAMED_REJECTS,
    Bars,
    Parsed,
    Reject,
    dated,
    faults,
    joined,
)
from mdingest.providers.base import Access, Resolved
from mdingest.providers.options import ProviderOptions

__all__ = [
    "BAR",
    "FAULTS",
    "NAMED_REJECTS",
    "Adjustment",
    "Ask",
    "Bars",
    "Capabilities",
    "FileRequest",
    "Find",
    "History",
    "HistoryProvider",
    "Hours",
    "HttpRequest",
    "InstrumentList",
    "Keep",
    "LibraryRequest",
    "Limits",
    "Parsed",
    "Reach",
    "Reject",
    "Reply",
    "Request",
    "dated",
    "faults",
    "instrument_of",
    "joined",
    "knows_all",
]

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class Adjustment(StrEnum):
    """What was done to prices for splits and dividends before we got them."""

    RAW = "raw"
    SPLIT = "split"
    ALL = "split+dividend"
    UNKNOWN = "unknown"  # whoever made the file knows


@dataclass(frozen=True, slots=True)
class Reach:
    """What a provider has of one interval. None: no limit."""

    depth_s: float | None = None  # how far back from now
    span_s: float | None = None  # of one request
    rows: int | None = None  # of one reply
    adjustment: Adjustment = Adjustment.RAW
    since: dt.date | None = None  # nothing before this date
    months: str | None = None  # a zone: one request brings one calendar month there
    settle_s: float | None = None  # where these bars need longer than the provider's others


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests allowed; None: as many as one likes."""

    per_second: float | None = None
    per_minute: int | None = None
    per_half_hour: int | None = None
    per_day: int | None = None  # of any 24 hours; counted across restarts


@dataclass(frozen=True, slots=True)
class Capabilities:
    """All that planning needs to know of a provider. The rank of its rows is in `core.rank`."""

    intervals: Mapping[int, Reach]  # by length in seconds
    limits: Limits = Limits()
    settle_s: float = 0.0  # a bar that ended less than this ago may still change
    running: bool = False  # replies end with the bar that is still forming
    absence_is_no_trade: bool = True  # a bar that a reply leaves out had no trade
    local: bool = False  # asking again costs nothing: the whole range is read each time

    def settle_of(self, interval: Interval) -> float:
        """After how many seconds a bar of this length stands."""
        own = self.intervals[interval.seconds].settle_s if interval.seconds in self.intervals else None
        return self.settle_s if own is None else own

    def lacks(self, interval: Interval) -> str:
        """Why candles of this length can't be asked for, to be read after a name; empty if they can."""
        if interval.seconds in self.intervals:
            return ""
        names = ", ".join(Interval(seconds).text for seconds in sorted(self.intervals))
        parts = [seconds for seconds in self.intervals if interval.seconds % seconds == 0]
        todo = (
            f"ask for {Interval(max(parts))}, of which {interval} is made on read"
            if parts
            else "ask for these"
        )
        return f"has no candles of {interval}; it has {names}: {todo}"


@dataclass(frozen=True, slots=True)
class Hours:
    """When one kind of instrument trades, around any instants."""

    book: Calendars
    session_class: str

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the exchange; None if nobody knows it."""
        return None if self.session_class == UNKNOWN else self.book.zone(self.session_class)

    def around(self, start_ns: int, end_ns: int) -> SessionTable:
        """A table that covers ``[start, end)`` with a week to spare on either side."""
        first, last = _date_of(start_ns - 8 * DAY_NS), _date_of(end_ns + 8 * DAY_NS)
        return self.book.table(self.session_class, first, last)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted: bars that open in ``[start_ns, end_ns)``."""

    instrument: Instrument
    interval: Interval
    start_ns: int
    end_ns: int
    hours: Hours
    key: str = ""  # what the provider calls the instrument; empty if it has no list of them
    now_ns: int = 0  # the instant of asking: it decides what is today


class History(Protocol):
    """One provider, told its options."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; the options may have a say in it."""
        ...

    def requests(self, ask: Ask) -> Sequence[Request]:
        """What to fetch for a wish that keeps the limits of a single request.

        Raises PermanentError if there is nothing to ask, ConfigError if the options are at fault.
        """
        ...

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """Bars of the reply, in parts of bounded size; bars outside the wish may be among them.

        The generator is to be closed before the reply is.

        Raises TransientError or PermanentError if the reply is a refusal, in text without
        secrets. May seek in ``reply.body``, and be called again for the same reply.
        """
        ...


class Find(Protocol):
    """Whether a provider has a symbol."""

    def __call__(self, symbols: Sequence[str], options: Any, interval: Interval) -> dict[str, str]:  # noqa: ANN401 - its own
        """Symbol to what is wrong with it, naming the nearest that exist; none for good ones."""
        ...


def knows_all(symbols: Sequence[str], options: object, interval: Interval) -> dict[str, str]:
    """`Find` of a provider that only finds out by asking, or by its list."""
    del symbols, options, interval
    return {}


@dataclass(frozen=True, slots=True)
class InstrumentList(Generic[OptionsT]):
    """Where a provider lists its instruments, and how symbols are found there."""

    source: Callable[[OptionsT], str]  # an address or a local file
    file: str  # what it is called on disk; feeds of the same broker share it
    find: Callable[[Sequence[str], OptionsT, Path, list[str]], Mapping[str, Resolved]]
    """Symbols to what they stand for; a line for each problem is added to the list. Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class HistoryProvider(Generic[OptionsT]):
    """One source of history, as the registry holds it."""

    name: str  # in configuration, and in candles.source
    Options: type[OptionsT]  # what its section under ``providers`` may say
    history: Callable[[OptionsT], History]
    unknown: Find = knows_all
    account: str = ""  # the live provider whose section says what the own one leaves out
    access: Access[OptionsT] | None = None  # None: no token that dies
    listing: InstrumentList[OptionsT] | None = None  # None: the symbol says it all


_EXCHANGES = {"NS": "NSE", "BO": "BSE", "BSE": "BSE"}
_INDEX_SUFFIX = "INDEX"
_OF_BSE = ("SENSEX", "BANKEX", "BSE")
_DERIVATIVES = {"NFO", "BFO", "CDS", "BCD", "MCX", "NCO"}


def instrument_of(symbol: str, options: ProviderOptions) -> Instrument:
    """An instrument from its symbol alone, for databases that never heard of it.

    The suffix names the exchange (``.NS``, ``.BO``, else as it stands). Whether a stock is in
    the closing auction can't be seen from outside: it is taken not to be, until an
    instrument list or the option ``session_class`` says otherwise.
    """
    name, _, suffix = symbol.rpartition(".")
    exchange = _EXCHANGES.get(suffix.upper(), suffix.upper()) if name else ""
    volume = VolumeKind.CUMULATIVE
    if name and exchange == _INDEX_SUFFIX:
        exchange = "BSE" if name.upper().startswith(_OF_BSE) else "NSE"
        session, volume = session_class_for(exchange, "INDICES", "EQ", has_derivatives=False), VolumeKind.NONE
    else:
        session = session_class_for(exchange, exchange, "EQ", has_derivatives=False)
        volume = VolumeKind.TRADES if session == ALWAYS else volume
    return Instrument(symbol, exchange, name or symbol, options.session_class_of(symbol, session), volume)


def _date_of(ns: int) -> dt.date:
    days = min(max(ns // DAY_NS, -25_000), 90_000)  # 1901 and 2216
    return dt.date(1970, 1, 1) + dt.timedelta(days=days)
