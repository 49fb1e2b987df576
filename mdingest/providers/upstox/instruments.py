"""Upstox's instrument list (gzipped JSON, about 100,000 records) to symbols and instrument keys.

Symbols are the same as from Kite's list, so that a database may hear of an instrument from both:
``RELIANCE.NS``, ``EMMBI-BL.NS`` (series other than EQ), ``TCS.BO``, ``NIFTY_50.INDEX``,
``NIFTY26NOVFUT.NFO``, ``NIFTY26NOV24000CE.NFO``, and for weekly options ``NIFTY26N2424000CE.NFO``.

A record, of which there is one an instrument::

    {"segment":"NSE_EQ","name":"RELIANCE INDUSTRIES LTD","exchange":"NSE","isin":"INE002A01018",
     "instrument_type":"EQ","instrument_key":"NSE_EQ|INE002A01018","lot_size":1,"tick_size":10.0,
     "trading_symbol":"RELIANCE"}
    {"weekly":false,"segment":"NSE_FO","exchange":"NSE","expiry":1795544999000,"instrument_type":"FUT",
     "asset_symbol":"NIFTY","instrument_key":"NSE_FO|51245","lot_size":75,"tick_size":10.0,
     "trading_symbol":"NIFTY FUT 24 NOV 26","strike_price":0.0}

``expiry`` is the last ms of its day in India, ``tick_size`` is in paise. The list is read record by
record: as a whole it would take 200 MB. Source: upstox.com/developer/api-documentation/instruments,
read 2026-11-22.
"""

import datetime as dt
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdingest.calendars import session_class_for
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.errors import PermanentError
from mdingest.providers.answers import number
from mdingest.providers.base import Resolved
from mdingest.providers.nearest import not_listed
from mdingest.providers.upstox.options import UpstoxOptions

_EXCHANGES = {
    "NSE_EQ": "NSE",
    "BSE_EQ": "BSE",
    "NSE_FO": "NFO",
    "BSE_FO": "BFO",
    "NCD_FO": "CDS",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "NSE_COM": "NCO",
}
_INDICES = ("NSE_INDEX", "BSE_INDEX", "MCX_INDEX")
_SUFFIXES = {"NSE": "NS", "BSE": "BO"}
_EQUITY_DERIVATIVES = ("NFO", "BFO")
_MONTHS = "123456789OND"
_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
_PIECE = 1 << 16
_LONGEST = 1 << 20  # of a record: beyond it the list is damaged
_BETWEEN = " ,\r\n\t"
_GZIP = b"\x1f\x8b"
_MAX_PROBLEMS = 20


class Row(NamedTuple):
    """What we use of a record."""

    key: str  # instrument_key
    symbol: str  # canonical
    exchange: str  # ours: NSE, NFO ...
    trading_symbol: str
    name: str
    kind: str  # EQ, BE ..., FUT, CE, PE, INDEX
    segment: str
    underlying: str
    expiry: str | None  # yyyy-mm-dd
    strike: float | None
    tick_size: float | None  # rupees
    lot_size: float | None


def read_rows(path: Path, problems: list[str]) -> Iterator[Row]:
    """The good records, as they come; others are described in ``problems``.

    Raises PermanentError if the file is no such list.
    """
    bad = 0
    for at, record in enumerate(_records(path), 1):
        if not isinstance(record, dict):
            said = "is no object"
        else:
            segment = record.get("segment")
            if segment not in _EXCHANGES and segment not in _INDICES:
                continue  # GLOBAL_INDEX and whatever comes
            try:
                yield _row(record)
            except (KeyError, TypeError, ValueError) as exc:
                said = f"has no good {exc.args[0] if isinstance(exc, KeyError) else 'values'}"
            else:
                continue
        bad += 1
        if bad <= _MAX_PROBLEMS:
            problems.append(f"instrument list, record {at}: {said}")
    if bad > _MAX_PROBLEMS:
        problems.append(f"instrument list: {bad - _MAX_PROBLEMS} more bad records")


def find(
    symbols: Sequence[str], options: UpstoxOptions, path: Path, problems: list[str]
) -> dict[str, Resolved]:
    """What symbols stand for; a line for each that is not there goes to ``problems``."""
    wanted = dict.fromkeys(symbols)
    own = {theirs: ours for ours, theirs in options.names.items()}
    known: list[str] = []
    found: dict[str, Row] = {}
    with_derivatives: set[str] = set()
    mistakes: list[str] = []
    for row in read_rows(path, mistakes):
        symbol = own.get(row.key, row.symbol)
        known.append(symbol)
        if row.exchange in _EQUITY_DERIVATIVES:
            with_derivatives.add(row.underlying)
        if symbol not in wanted:
            continue
        if symbol in found and found[symbol].key != row.key:
            mistakes.append(f"{symbol}: listed twice, as {found[symbol].key} and {row.key}")
            continue
        found[symbol] = row
    problems += [not_listed(symbol, known, "Upstox's") for symbol in wanted if symbol not in found]
    problems += mistakes
    return {
        symbol: _resolved(symbol, row, options, row.symbol.rpartition(".")[0] in with_derivatives)
        for symbol, row in found.items()
    }


def _resolved(symbol: str, row: Row, options: UpstoxOptions, has_derivatives: bool) -> Resolved:  # noqa: FBT001
    is_index = row.segment in _INDICES
    session = session_class_for(
        row.exchange, "INDICES" if is_index else row.exchange, row.kind, has_derivatives=has_derivatives
    )
    session = options.session_class_of(symbol, session)
    volume = VolumeKind.NONE if is_index else VolumeKind.CUMULATIVE
    return Resolved(
        Instrument(symbol, row.exchange, row.name or row.trading_symbol, session, volume),
        Subscription(row.key, 0, 1.0, session, volume),
    )


def _row(record: dict[str, Any]) -> Row:
    """Raises KeyError, TypeError or ValueError if it lacks what a symbol is made of."""
    segment, key, kind = (_text(record, name) for name in ("segment", "instrument_key", "instrument_type"))
    trading = _text(record, "trading_symbol")
    is_index = segment in _INDICES
    exchange = segment.partition("_")[0] if is_index else _EXCHANGES[segment]
    expiry = None
    if record.get("expiry"):
        expiry = dt.datetime.fromtimestamp(int(record["expiry"]) / 1_000, _IST).date()
    strike = number(record.get("strike_price"))
    underlying = str(record.get("asset_symbol") or record.get("underlying_symbol") or "")
    if is_index:
        kind = "INDEX"
        symbol = f"{key.partition('|')[2].upper().replace(' ', '_')}.INDEX"
    elif expiry is not None:
        if not underlying or kind not in ("FUT", "CE", "PE") or not (kind == "FUT" or strike > 0):
            raise ValueError(kind)
        symbol = (
            f"{_contract(underlying, expiry, kind, strike, weekly=record.get('weekly') is True)}.{exchange}"
        )
    else:
        is_series = exchange == "NSE" and kind != "EQ" and not trading.endswith(f"-{kind}")
        name = f"{trading}-{kind}" if is_series else trading
        symbol = f"{name.replace(' ', '_')}.{_SUFFIXES.get(exchange, exchange)}"
    return Row(
        key,
        symbol,
        exchange,
        trading,
        str(record.get("name") or ""),
        kind,
        segment,
        underlying,
        None if expiry is None else expiry.isoformat(),
        strike if strike > 0 else None,
        _positive(number(record.get("tick_size")) / 100),
        _positive(number(record.get("lot_size"))),
    )


def _contract(underlying: str, expiry: dt.date, kind: str, strike: float, *, weekly: bool) -> str:
    """As exchanges and Kite write it; the last week of a month has the month's name."""
    name = underlying.replace(" ", "")
    if kind == "FUT":
        return f"{name}{expiry:%y%b}FUT".upper()
    when = f"{expiry:%y}{_MONTHS[expiry.month - 1]}{expiry:%d}" if weekly else f"{expiry:%y%b}"
    return f"{name}{when}{strike:.10g}{kind}".upper()


def _text(record: dict[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str) or not value.strip():
        raise KeyError(name)
    return value.strip()


def _positive(value: float) -> float | None:
    return value if value > 0 else None


def _records(path: Path) -> Iterator[object]:
    decoder = json.JSONDecoder()
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            with io.TextIOWrapper(gzip.open(raw) if packed else raw, encoding="utf-8-sig") as text:
                yield from _array(text, decoder, path)
    except (OSError, EOFError, UnicodeDecodeError) as exc:
        raise PermanentError(f"{path} can't be read as Upstox's instrument list: {exc}") from exc


def _array(text: io.TextIOWrapper, decoder: json.JSONDecoder, path: Path) -> Iterator[object]:
    """The elements of a JSON array, one at a time."""
    buffer = text.read(_PIECE).lstrip()
    if not buffer.startswith("["):
        raise PermanentError(f"{path} is not Upstox's instrument list: it should be an array in JSON")
    at = 1
    while True:
        while at < len(buffer) and buffer[at] in _BETWEEN:
            at += 1
        if buffer[at : at + 1] == "]":
            return
        try:
            record, end = decoder.raw_decode(buffer, at)
        except json.JSONDecodeError:
            more = text.read(_PIECE)
            if not more or len(buffer) - at > _LONGEST:
                raise PermanentError(f"{path}: Upstox's instrument list is damaged or cut off") from None
            buffer, at = buffer[at:] + more, 0
        else:
            yield record
            at = end
