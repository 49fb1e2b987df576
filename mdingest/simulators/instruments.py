"""What the simulated exchange lists, and the broker's instruments file.

Tokens of well-known names are the real ones, so that a config written against the broker
works here. Any other name gets a made-up token that depends on nothing but the name.
"""

import csv
import io
import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zlib import crc32

from mdingest.errors import ConfigError

NSE, NFO, CDS, BSE, BCD, INDICES, NCO = 1, 2, 3, 4, 6, 9, 12
"""Segment numbers: the lowest byte of an instrument token."""

DIVISORS = {CDS: 10_000_000, BCD: 10_000, NCO: 10_000}
"""Wire units per rupee where they are not ``PAISE`` (protocols of the official client 5.2.2)."""

PAISE = 100
CSV_HEADER = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)

_TUESDAY = 1
_DECEMBER = 12
_SEGMENT_BITS = 8
_SEGMENT_MASK = 0xFF
_SYNTHETIC_BASE = 900_000  # exchange tokens of SIM0001...; above any real NSE token
_HASHED_BASE = 100_000  # of other made-up names
_HASHED_ROOM = 700_000
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FUTURE = re.compile(rf"(?P<name>[A-Z0-9&-]+?)(?P<year>\d\d)(?P<month>{'|'.join(_MONTHS)})FUT")
_NUMBERED = re.compile(r"SIM(?!0000)([0-9]{4})\.NS", re.ASCII)
_SUFFIXES = {"NSE": "NS", "BSE": "BO"}


@dataclass(frozen=True, slots=True)
class SimInstrument:
    """One listed instrument. ``price`` and ``tick`` are integers in wire units (paise for most)."""

    token: int  # exchange token * 256 + segment number
    exchange: str  # NSE, NFO, ...
    tradingsymbol: str
    name: str
    segment: str  # as in the broker's file: NSE, NFO-FUT, INDICES
    price: int  # around which it trades
    tick: int = 5
    lot: int = 1
    kind: str = "EQ"  # EQ (indices too), FUT
    expiry: date | None = None

    @property
    def divisor(self) -> int:
        """Wire units per rupee."""
        return DIVISORS.get(self.token & _SEGMENT_MASK, PAISE)

    @property
    def is_index(self) -> bool:
        """Whether it is computed, not traded: no volume, no depth."""
        return self.token & _SEGMENT_MASK == INDICES

    @property
    def symbol(self) -> str:
        """The daemon's name for it: RELIANCE.NS, NIFTY26NOVFUT.NFO, NIFTY_50.INDEX."""
        if self.is_index:
            return f"{self.tradingsymbol.replace(' ', '_')}.INDEX"
        return f"{self.tradingsymbol}.{_SUFFIXES.get(self.exchange, self.exchange)}"


def _token(exchange_token: int, segment: int) -> int:
    return exchange_token << _SEGMENT_BITS | segment


def _share(exchange_token: int, symbol: str, name: str, price: int, exchange: str = "NSE") -> SimInstrument:
    segment = BSE if exchange == "BSE" else NSE
    return SimInstrument(_token(exchange_token, segment), exchange, symbol, name, exchange, price)


def _index(exchange_token: int, name: str, price: int) -> SimInstrument:
    return SimInstrument(_token(exchange_token, INDICES), "NSE", name, name, "INDICES", price)


_KNOWN = (
    _share(2885, "RELIANCE", "RELIANCE INDUSTRIES", 150_000),
    _share(11536, "TCS", "TATA CONSULTANCY SERV LT", 310_000),
    _share(1594, "INFY", "INFOSYS", 157_370),
    _share(1333, "HDFCBANK", "HDFC BANK", 99_500),
    _index(1001, "NIFTY 50", 2_612_345),
)


def default_instruments(on: date) -> tuple[SimInstrument, ...]:
    """Four shares, an index and its running future as listed on a date."""
    return (*_KNOWN, _future("NIFTY", *_running_month(on)))


def synthetic_instruments(count: int) -> tuple[SimInstrument, ...]:
    """``SIM0001.NS`` and on, for load: shares at prices from 50 to 5,000 rupees."""
    return tuple(_synthetic(n) for n in range(1, count + 1))


def named_instruments(symbols: Sequence[str], on: date) -> tuple[SimInstrument, ...]:
    """Instruments by the daemon's symbols: ``X.NS``, ``X.BO``, ``X.INDEX``, ``NAMEyyMMMFUT.NFO``.

    Raises ConfigError for a symbol of another form.
    """
    known = {one.symbol: one for one in default_instruments(on)}
    found: dict[int, SimInstrument] = {}
    for symbol in dict.fromkeys(symbols):
        numbered = _NUMBERED.fullmatch(symbol)
        one = _synthetic(int(numbered[1])) if numbered else known.get(symbol) or _invented(symbol)
        while one.token in found:  # two names with one hash: the later one moves on
            one = replace(one, token=one.token + (1 << _SEGMENT_BITS))
        found[one.token] = one
    return tuple(found.values())


def instruments_csv(instruments: Iterable[SimInstrument]) -> str:
    """The broker's instruments file: its header, one row an instrument, newlines as line ends."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_HEADER)
    for one in instruments:
        rows.writerow(
            (
                one.token,
                one.token >> _SEGMENT_BITS,
                one.tradingsymbol,
                one.name,
                "0.0",
                one.expiry or "",
                "0.0",
                "0" if one.is_index else f"{one.tick / one.divisor:g}",
                0 if one.is_index else one.lot,
                one.kind,
                one.segment,
                one.exchange,
            )
        )
    return text.getvalue()


def _synthetic(n: int) -> SimInstrument:
    price = 5_000 + n * 7_919 % 495_000 // 5 * 5
    return _share(_SYNTHETIC_BASE + n, f"SIM{n:04d}", f"SIMULATED {n}", price)


def _invented(symbol: str) -> SimInstrument:
    name, _, suffix = symbol.rpartition(".")
    mark = crc32(symbol.encode())
    price = 5_000 + mark % 495_000 // 5 * 5
    if suffix in ("NS", "BO") and name:
        exchange = "NSE" if suffix == "NS" else "BSE"
        return _share(_HASHED_BASE + mark % _HASHED_ROOM, name, name, price, exchange)
    if suffix == "INDEX" and name:
        return _index(_HASHED_BASE + mark % _HASHED_ROOM, name.replace("_", " "), price)
    future = _FUTURE.fullmatch(name) if suffix == "NFO" else None
    if future is None:
        raise ConfigError(
            f"{symbol!r} can't be simulated: symbols look like RELIANCE.NS, TCS.BO, NIFTY_50.INDEX or "
            "NIFTY26NOVFUT.NFO"
        )
    return _future(future["name"], 2000 + int(future["year"]), _MONTHS.index(future["month"]) + 1, price)


def _future(name: str, year: int, month: int, price: int = 2_618_000) -> SimInstrument:
    symbol = f"{name}{year % 100:02d}{_MONTHS[month - 1]}FUT"
    return SimInstrument(
        token=_token(_HASHED_BASE + crc32(symbol.encode()) % _HASHED_ROOM, NFO),
        exchange="NFO",
        tradingsymbol=symbol,
        name=name,
        segment="NFO-FUT",
        price=price,
        tick=10,
        lot=65,
        kind="FUT",
        expiry=_last_tuesday(year, month),
    )


def _running_month(on: date) -> tuple[int, int]:
    if on <= _last_tuesday(on.year, on.month):
        return on.year, on.month
    return (on.year + 1, 1) if on.month == _DECEMBER else (on.year, on.month + 1)


def _last_tuesday(year: int, month: int) -> date:
    """Day on which NSE's monthly contracts expire (a holiday would move it; not modelled)."""
    last = date(year, month, monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - _TUESDAY) % 7)
