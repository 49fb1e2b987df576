"""Kite's instrument list (about 100,000 rows of CSV) to instruments and subscriptions.

A canonical symbol is the trading symbol with a suffix for the exchange:

====================  =====================================================
``RELIANCE.NS``       NSE cash, series other than EQ as Kite spells them (``EMMBI-BL.NS``)
``RELIANCE.BO``       BSE cash
``NIFTY26NOVFUT.NFO`` any other exchange by its own name: NFO, BFO, MCX, CDS, BCD, NCO
``NIFTY_50.INDEX``    an index of any exchange, blanks as underscores
====================  =====================================================

Other blanks become underscores too. The options may say otherwise: ``suffixes`` by exchange,
``names`` for single instruments.

The list is read as a stream: rows that are not asked for leave nothing behind but their
symbol, which is what misspelt ones are compared with.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mdingest.calendars import UNKNOWN, session_class_for
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.errors import ConfigError
from mdingest.providers.base import Resolved
from mdingest.providers.kite.options import KiteOptions
from mdingest.providers.nearest import not_listed

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,"
    "tick_size,lot_size,instrument_type,segment,exchange"
)
_COLUMNS = HEADER.count(",") + 1
INDEX_SUFFIX = "INDEX"
_INDEX_SEGMENT = "INDICES"
_SUFFIXES = {"NSE": "NS", "BSE": "BO", _INDEX_SEGMENT: INDEX_SUFFIX}
_EQUITY_DERIVATIVES = ("NFO", "BFO")
_MAX_TOKEN = 0xFFFF_FFFF
_MAX_PROBLEMS = 20  # a wholly foreign file is one mistake, not 100,000


class Row(NamedTuple):
    """What we use of a line."""

    token: int
    tradingsymbol: str
    name: str
    instrument_type: str
    segment: str
    exchange: str
    expiry: str = ""  # yyyy-mm-dd; empty where there is none
    strike: str = ""
    tick_size: str = ""
    lot_size: str = ""

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        return _symbol(self, _SUFFIXES)


_DERIVATIVES = ("FUT", "CE", "PE")
_LEADING = re.compile(r"[A-Z&-]+")


def underlying(row: Row) -> str:
    """What a derivative is derived from; empty for anything else. Old lists leave it out."""
    if row.instrument_type not in _DERIVATIVES:
        return ""
    found = _LEADING.match(row.tradingsymbol)
    return row.name or (found[0] if found else "")


class Naming:
    """The canonical symbols of rows, as the options have it."""

    def __init__(self, options: KiteOptions | None = None) -> None:
        self._suffixes = _SUFFIXES | (options.suffixes if options is not None else {})
        self._names = {theirs: ours for ours, theirs in options.names.items()} if options is not None else {}

    def symbol(self, row: Row) -> str:
        """Ours, for Kite's."""
        own = self._names.get(f"{row.exchange}:{row.tradingsymbol}") if self._names else None
        return own or _symbol(row, self._suffixes)


def _symbol(row: Row, suffixes: Mapping[str, str]) -> str:
    where = _INDEX_SEGMENT if row.segment == _INDEX_SEGMENT else row.exchange
    name = row.tradingsymbol.replace(" ", "_") if " " in row.tradingsymbol else row.tradingsymbol
    return f"{name}.{suffixes.get(where, where)}"


def read_rows(instruments: str | Iterable[str], problems: list[str]) -> Iterator[Row]:
    """The good rows, as they come. Bad ones are described in ``problems`` by line number.

    Raises ConfigError if the first line is not Kite's header: this is another file.
    """
    lines = csv.reader(_lines(instruments) if isinstance(instruments, str) else instruments)
    bad = 0
    width = _width(lines)
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as exc:
            said: str | None = str(exc)
        else:
            if cells is None:
                break
            said = _mistake(cells, width)
        if said is None and cells:
            yield Row(int(cells[0]), cells[2], cells[3], cells[9], cells[10], cells[11], *cells[5:9])
        elif said is not None:
            bad += 1
            if bad <= _MAX_PROBLEMS:
                problems.append(f"instrument list, line {lines.line_num}: {said}")
    if bad > _MAX_PROBLEMS:
        problems.append(f"instrument list: {bad - _MAX_PROBLEMS} more bad lines")


def resolve(
    symbols: Sequence[str],
    options: KiteOptions,
    instruments: str | Iterable[str] | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Resolved]:
    """See `providers.base.Resolve`. The session class comes from the list, or from ``options``."""
    if instruments is None:
        raise ConfigError("Kite's instrument list is needed: set providers.kite_ws.instruments")
    wanted = dict.fromkeys(symbols)
    found: dict[str, Row] = {}
    known: list[str] = []
    with_derivatives: set[str] = set()
    mistakes: list[str] = []
    naming = Naming(options)
    for row in read_rows(instruments, mistakes):
        symbol = naming.symbol(row)
        known.append(symbol)
        if row.exchange in _EQUITY_DERIVATIVES:
            with_derivatives.add(row.name or underlying(row))
        if symbol not in wanted:
            continue
        if symbol in found and found[symbol].token != row.token:
            mistakes.append(f"{symbol}: listed twice, tokens {found[symbol].token} and {row.token}")
            continue
        found[symbol] = row
    missing = [not_listed(symbol, known, "Kite's") for symbol in wanted if symbol not in found]
    if problems is not None:
        problems += missing + mistakes
    elif missing:
        raise ConfigError("\n".join(missing + mistakes))
    return [
        _resolved(
            symbol,
            found[symbol],
            options,
            with_derivatives=found[symbol].tradingsymbol in with_derivatives,
        )
        for symbol in wanted
        if symbol in found
    ]


def _resolved(symbol: str, row: Row, options: KiteOptions, *, with_derivatives: bool) -> Resolved:
    session = session_class_for(
        row.exchange, row.segment, row.instrument_type, has_derivatives=with_derivatives
    )
    session = options.session_class_of(
        symbol, options.default_session_class if session == UNKNOWN else session
    )
    volume = VolumeKind.NONE if row.segment == _INDEX_SEGMENT else VolumeKind.CUMULATIVE
    return Resolved(
        Instrument(symbol, row.exchange, row.name or row.tradingsymbol, session, volume),
        Subscription(str(row.token), 0, options.divisor_of(row.token), session, volume),
    )


def _width(lines: Iterator[list[str]]) -> int:
    """How many columns the list has: those we know, and perhaps newer ones behind them."""
    try:
        header = next(lines, [])
    except csv.Error:  # not even lines
        header = []
    if [name.strip().lstrip("\ufeff") for name in header[:_COLUMNS]] != HEADER.split(","):
        raise ConfigError(f"not Kite's instrument list: its first line should be {HEADER}")
    return len(header)


def _mistake(cells: list[str], width: int) -> str | None:
    """What is wrong with a line, or None. An empty line is no mistake."""
    if not cells:
        return None
    if len(cells) != width:
        return f"{len(cells)} columns instead of {width}"
    token = cells[0]
    if not (token.isascii() and token.isdigit() and 0 < int(token[:11]) <= _MAX_TOKEN):
        return f"instrument_token {token[:20]!r} is no token"
    if not cells[2] or not cells[11]:
        return "no tradingsymbol or no exchange"
    if "\ufffd" in cells[2]:  # what was read stands in for bytes that are no UTF-8
        return "tradingsymbol is not UTF-8 text"
    return None


def _lines(text: str) -> Iterator[str]:
    """Lines of a text with their ends, without a second copy of the whole."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end
