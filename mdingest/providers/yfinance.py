"""Yahoo's candles through the package yfinance: free, without a key, delayed by some minutes.

The package runs in a process of its own (`mdingest.pipeline.history.yfinance_child`); here is what
to ask it and what its answers mean::

    {"bars": [[1795146300, 1500.0, 1501.5, 1499.0, 1500.5, 12345], ...]}      seconds since 1970, UTC
    {"bars": [["2026-11-20", 1500.0, 1512.5, 1495.1, 1510.25, 456789], ...]}  days, by their date
    {"error": "Refused", "status": 429, "text": "", "retry_after": "", "date": ""}

Prices are Yahoo's "raw" ones, which are adjusted for splits and not for dividends. A bar without
prices had no trade. A volume of 0 is often just a hole in Yahoo's data: such bars rank below all
others and carry the flag *volume suspect*. The last bar of a reply may still grow.

Limits, from the package 1.7.0 and its issues, read 2026-11-22: 1m reaches back 30 days, at most 8 a
request; 5m and 15m 60 days, 1h 730. There is no 30m here: the package makes it out of 15m on the
half hours of UTC, which are not those of a market that opens at 09:15 in Mumbai. Nobody documents
how often one may ask; Yahoo answers 429 when it is too often. Its terms allow personal use only.
"""

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SECOND_NS, Session
from mdingest.errors import MdingestError, PermanentError, TransientError
from mdingest.providers.answers import (
    SERVER_ERROR,
    TOO_MANY,
    json_of,
    mapping,
    number,
    one_line,
    retry_after_s,
)
from mdingest.providers.bars import YEARS, Row, parsed_rows
from mdingest.providers.history import (
    Adjustment,
    Ask,
    Capabilities,
    HistoryProvider,
    LibraryRequest,
    Limits,
    Parsed,
    Reach,
    Reply,
)
from mdingest.providers.options import HttpUrl, ProviderOptions

_YAHOO = "https://query2.finance.yahoo.com"
_DAY_S = 86_400
_MARGIN_S = 3_600.0  # before the edge of their depth: it moves while we ask
_NAMES = {60: "1m", 300: "5m", 900: "15m", 3_600: "1h", _DAY_S: "1d"}
_DAYS = {60: (30, 7), 300: (60, None), 900: (60, None), 3_600: (730, None)}
"""How far back, and how much in one request."""
_INDICES = {
    "NIFTY_50.INDEX": "^NSEI",
    "NIFTY_BANK.INDEX": "^NSEBANK",
    "INDIA_VIX.INDEX": "^INDIAVIX",
    "SENSEX.INDEX": "^BSESN",
}
_ELSEWHERE = frozenset({"NFO", "BFO", "CDS", "BCD", "MCX", "NCO", "BINANCE", "INDEX"})
_US = frozenset({"US", "NYSE", "NASDAQ", "AMEX", "ARCA"})
_THROTTLED_S = 60.0
_QUIET_END_NS, _CLOSED_NS = 1_800 * SECOND_NS, 3_600 * SECOND_NS
_COLUMNS = 6
_NOT_FOUND = 404
_NO_DATA = "no price data found"


class YfinanceOptions(ProviderOptions):
    """``url``: of Yahoo's data; anything else is asked in place of all of Yahoo's addresses."""

    url: HttpUrl = _YAHOO
    names: dict[str, str] = Field(default_factory=dict)
    """Single symbols: ours to Yahoo's, {NIFTY_IT.INDEX: ^CNXIT}."""


class YfinanceHistory:
    """Implements `History`."""

    capabilities = Capabilities(
        intervals={
            **{
                seconds: Reach(
                    depth_s=days * _DAY_S - _MARGIN_S,
                    span_s=None if span is None else float(span * _DAY_S),
                    adjustment=Adjustment.SPLIT,
                )
                for seconds, (days, span) in _DAYS.items()
            },
            _DAY_S: Reach(adjustment=Adjustment.SPLIT, settle_s=7_200.0),  # the closing price comes late
        },
        limits=Limits(per_second=2, per_minute=60),
        settle_s=1_800.0,  # up to a quarter of an hour late, and volumes later than prices
        running=True,
    )

    def __init__(self, options: YfinanceOptions) -> None:
        self._options = options

    def requests(self, ask: Ask) -> Sequence[LibraryRequest]:
        """One: the planner keeps the span. Raises PermanentError for what Yahoo does not have."""
        theirs = _theirs(ask.instrument.symbol, self._options)
        if theirs is None:
            raise PermanentError(f"{ask.instrument.symbol}: {_NOT_THERE}")
        name = _NAMES[ask.interval.seconds]
        start, end = -(-ask.start_ns // SECOND_NS), -(-ask.end_ns // SECOND_NS)
        job = (
            ("symbol", theirs),
            ("interval", name),
            ("start", start),
            ("end", end),
            ("url", "" if self._options.url == _YAHOO else self._options.url),
        )
        return [LibraryRequest("yfinance", job, f"{theirs} {name} {_instant(start)} to {_instant(end)}")]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        document = mapping(json_of(reply, "yfinance"))
        bars = document.get("bars")
        if not isinstance(bars, list):
            part = _refusal(reply, document)
            part.answered = (ask.start_ns, ask.start_ns)
            yield part
            return
        out = Parsed()
        rows: list[Row] = []
        for line, bar in enumerate(bars, 1):
            at = _stamp(bar[0]) if isinstance(bar, list) and len(bar) == _COLUMNS else None
            if at is None:
                out.reject(line, "is no candle: a time, four prices and a volume")
                continue
            o, h, l, c, v = (number(value) for value in bar[1:])  # noqa: E741 - as they are called
            if all(price is None for price in bar[1:5]):
                out.empty += 1
            else:
                rows.append((at, o, h, l, c, v, float("nan"), line))
        out.answered = _answered(ask, rows)
        yield parsed_rows(rows, ask.interval, None, volume=False, bad=out)


def _refusal(reply: Reply, document: Mapping[str, Any]) -> Parsed:
    """An empty part if Yahoo just has nothing there; all else is raised."""
    kind, words = one_line(document.get("error")), one_line(document.get("text"))
    status = document.get("status")
    if kind == "Refused" and type(status) is int:
        told = {key.replace("_", "-"): str(document.get(key) or "") for key in ("retry_after", "date")}
        raise _told(status, words, retry_after_s(replace(reply, headers=told)))
    if kind == "YFRateLimitError":
        raise TransientError(f"Yahoo: {words}", _THROTTLED_S)
    if kind == "YFPricesMissingError" and _NO_DATA in words:
        part = Parsed()
        part.notes.append("Yahoo has no candles there")
        return part
    raise TransientError(f"yfinance: {kind or 'an answer without candles'}{words and f': {words}'}")


def _told(status: int, words: str, wait_s: float | None) -> MdingestError:
    said = f"Yahoo answered HTTP {status}" + (f": {words}" if words else "")
    if status == TOO_MANY:
        return TransientError(said, _THROTTLED_S if wait_s is None else wait_s)
    if status >= SERVER_ERROR:
        return TransientError(said, wait_s)
    return PermanentError(said, "It has no such symbol" if status == _NOT_FOUND else "")


def _answered(ask: Ask, rows: Sequence[Row]) -> tuple[int, int] | None:
    """What is newer than the last bar may just not be there yet, for a day. None: all of the wish.

    A thin share's last trade may well be minutes before the close: an hour later that is the end.
    """
    if ask.end_ns + DAY_NS < ask.now_ns:
        return None
    if not rows:
        return ask.start_ns, ask.start_ns
    last = max(row[0] for row in rows)
    if not ask.interval.is_daily_or_longer:
        end = last + ask.interval.ns
        table = ask.hours.around(last, max(last, ask.end_ns))
        left = table.windows_between(end, max(end, ask.end_ns), {Session.REGULAR, Session.AUCTION})
        is_last = sum(stop - start for start, stop in left) <= _QUIET_END_NS
        if is_last and ask.end_ns + _CLOSED_NS <= ask.now_ns:
            return None
        return ask.start_ns, max(ask.start_ns, end)
    day = ask.hours.around(last, last + DAY_NS).day(last // DAY_NS)
    return ask.start_ns, max(ask.start_ns, last + DAY_NS if day is None else day.end_ns)


def _stamp(value: object) -> int | None:
    """UTC ns of an instant, or of a date at 00:00Z."""
    if type(value) is int:
        return value * SECOND_NS if abs(value) < 1 << 33 else None
    try:
        date = dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if date is None or date.year not in YEARS else (date - dt.date(1970, 1, 1)).days * DAY_NS


def _instant(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%MZ}"


def _theirs(symbol: str, options: YfinanceOptions) -> str | None:
    """Yahoo's name for a symbol; None if it can't have one. Most are called the same."""
    known = {**_INDICES, **options.names}
    if symbol in known:
        return known[symbol]
    name, _, suffix = symbol.rpartition(".")
    if not name or suffix.upper() not in _ELSEWHERE | _US:
        return symbol
    return name if suffix.upper() in _US else None


_NOT_THERE = (
    "Yahoo has shares of NSE (.NS), BSE (.BO) and the US; indices and others by its own names under "
    "providers.yfinance.names, {NIFTY_IT.INDEX: ^CNXIT}; no derivatives"
)


def _unknown(symbols: Sequence[str], options: object, interval: Interval) -> dict[str, str]:
    del interval
    told = options if isinstance(options, YfinanceOptions) else YfinanceOptions()
    return {symbol: _NOT_THERE for symbol in symbols if _theirs(symbol, told) is None}


PROVIDER = HistoryProvider(
    name="yfinance", Options=YfinanceOptions, history=YfinanceHistory, unknown=_unknown
)
