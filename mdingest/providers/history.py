"""What a source of history is: its capabilities as data, requests as values, replies to rows.

An adapter says what it can do (`Capabilities`), turns a wish into requests, and turns the
replies into bars. It opens nothing and waits for nothing: files and sockets belong to
`mdingest.pipeline.history`, which also plans, paces, checks and stores.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Generic, NewType, Protocol, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mdingest.calendars import ALWAYS, UNKNOWN, Calendars, session_class_for
from mdingest.core.control import VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.interval import DAY, WEEK, Interval
from mdingest.core.session import DAY_NS, SessionTable, date_ordinal
from mdingest.providers.options import ProviderOptions

OptionsT = TypeVar("OptionsT", bound=BaseModel)

NAMED_REJECTS = 20
"""Of the wrong rows of one file or reply so many are named; the others are counted."""

BAR = np.dtype(
    [
        ("ts", np.int64),  # UTC ns, opening instant; 1d and longer: the date at 00:00Z, see `dated`
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),  # NaN: none was given
        ("oi", np.float64),  # NaN: none was given
        ("line", np.int64),  # of the file, or row of the reply, from 1: for people
    ]
)
Bars = NewType("Bars", NDArray[np.void])


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


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests allowed; None: as many as one likes."""

    per_second: float | None = None
    per_minute: int | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """All that planning needs to know of a provider. The rank of its rows is in `core.rank`."""

    intervals: Mapping[int, Reach]  # by length in seconds
    limits: Limits = Limits()
    settle_s: float = 0.0  # a bar that ended less than this ago may still change
    running: bool = False  # replies end with the bar that is still forming
    absence_is_no_trade: bool = True  # a bar that a reply leaves out had no trade
    local: bool = False  # asking again costs nothing: the whole range is read each time


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


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Read a local file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """GET an address. ``secrets`` are parameters and headers that no text may show."""

    url: str
    params: tuple[tuple[str, str], ...] = ()
    secret_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.params)
        return f"{self.url}?{query}" if query else self.url


Request = FileRequest | HttpRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``body`` can be sought; a file has status 200 and no headers."""

    request: Request
    body: BinaryIO
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def place(self, line: int) -> str:
        """``file.csv:17``, or the address and the row."""
        if isinstance(self.request, FileRequest):
            return f"{self.request}:{line}"
        return f"{self.request} row {line}"


@dataclass(frozen=True, slots=True)
class Reject:
    """A wrong row: where it stands, and why it was left out."""

    line: int
    why: str


@dataclass(slots=True, eq=False)
class Parsed:
    """A part of a reply: good bars, ascending, each stamp once; and what was wrong."""

    bars: Bars = field(default_factory=lambda: Bars(np.empty(0, BAR)))
    rejects: list[Reject] = field(default_factory=list)  # the first ones only
    rejected: int = 0  # all of them
    holes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Stamps of rejected rows, where they have one: something was there, and we do not know it."""
    empty: int = 0  # rows that say that nothing traded
    notes: list[str] = field(default_factory=list)  # what was guessed, for people

    def reject(self, line: int, why: str) -> None:
        """Count a wrong row, and name it if it is among the first."""
        self.rejected += 1
        if len(self.rejects) < NAMED_REJECTS:
            self.rejects.append(Reject(line, why))


class History(Protocol):
    """One provider, told its options."""

    capabilities: Capabilities

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


@dataclass(frozen=True, slots=True)
class HistoryProvider(Generic[OptionsT]):
    """One source of history, as the registry holds it."""

    name: str  # in configuration, and in candles.source
    Options: type[OptionsT]  # what its section under ``providers`` may say
    history: Callable[[OptionsT], History]
    unknown: Find


def faults(bars: Bars) -> NDArray[np.uint8]:
    """What is wrong with each bar: 0, or an index into `FAULTS`. ``(n,)`` to ``(n,)``."""
    codes = np.zeros(len(bars), np.uint8)
    o, h, l, c = (bars[name] for name in ("open", "high", "low", "close"))  # noqa: E741 - as they are called
    codes[bars["volume"] < 0] = 5
    codes[(o > h) | (c > h) | (o < l) | (c < l)] = 4
    codes[h < l] = 3
    codes[(o <= 0) | (h <= 0) | (l <= 0) | (c <= 0)] = 2
    codes[~(np.isfinite(o) & np.isfinite(h) & np.isfinite(l) & np.isfinite(c))] = 1
    return codes


FAULTS = (
    "",
    "a price is not a number",
    "a price is not above zero",
    "high is below low",
    "open or close lies outside low and high",
    "volume is negative",
)


def dated(ts: NDArray[np.int64], interval: Interval, zone: dt.tzinfo | None) -> NDArray[np.int64]:
    """What bars of a day or a week are called: their date at 00:00Z, a week by its Monday.

    An instant that is midnight UTC names its date already; any other belongs to the date
    that the clocks of the exchange show then.
    """
    days = ts // DAY_NS
    moved = np.flatnonzero(ts % DAY_NS)
    if len(moved) and zone is not None:
        seconds = (ts[moved] // 1_000_000_000).tolist()
        local = (dt.datetime.fromtimestamp(second, zone).date() for second in seconds)
        days[moved] = np.fromiter((date_ordinal(date) for date in local), np.int64, len(moved))
    if interval == WEEK:
        days -= (days + 3) % 7  # 1970-01-01 was a Thursday
    return days * DAY_NS if interval >= DAY else ts


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


def joined(parts: Iterable[Bars]) -> Bars:
    """All bars, one part after another."""
    found = list(parts)
    return Bars(np.concatenate(found) if found else np.empty(0, BAR))


def _date_of(ns: int) -> dt.date:
    days = min(max(ns // DAY_NS, -25_000), 90_000)  # 1901 and 2216
    return dt.date(1970, 1, 1) + dt.timedelta(days=days)
