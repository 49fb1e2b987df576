"""Binance spot's own candles over REST. No key, always open.

``GET /api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=...&endTime=...&limit=1000``: both ends are
opening instants in ms and included, rows come oldest first::

    [1795150800000,"65000.1","65010.0","64990.0","65005.5","12.5",1795150859999,"812500.1",321,"6.1","396500.0","0"]

The last row may be the candle that still forms. A candle without trades is there too, with
volume 0 and the last price; what is left out is a time when the exchange stood still.
Facts from binance/binance-spot-api-docs a5e0bc3 (2026-07-21), rest-api.md, read 2026-11-22: weight
2 a call, of 6,000 a minute and address; 429 and 418 carry ``Retry-After``.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from mdingest.core.interval import Interval
from mdingest.errors import MdingestError, PermanentError, TransientError
from mdingest.providers.answers import (
    FORBIDDEN,
    OK,
    SERVER_ERROR,
    TOO_MANY,
    json_of,
    mapping,
    number,
    one_line,
    retry_after_s,
)
from mdingest.providers.bars import Row, parsed_rows
from mdingest.providers.history import (
    Ask,
    Capabilities,
    HistoryProvider,
    HttpRequest,
    Limits,
    Parsed,
    Reach,
    Reply,
)
from mdingest.providers.options import HttpUrl, ProviderOptions

_MS = 1_000_000
_MAX_MS = 1 << 43
_LIMIT = 1_000
_LENGTHS = ("1s", "1m", "5m", "15m", "30m", "1h", "1d", "1w")
_COLUMNS = 8
_SYMBOL = re.compile(r"([A-Z0-9]{2,30})\.BINANCE")
_BANNED, _NOT_HERE = 418, 451
_BANNED_S = 300.0  # the firewall says no time
_NO_SYMBOL = -1121
_USED = "x-mbx-used-weight-1m"
_MOST_USED = 5_000  # of 6,000: the rest is for whoever else has our address


class BinanceHistoryOptions(ProviderOptions):
    """``url`` may be the market-data-only host, ``https://data-api.binance.vision``."""

    url: HttpUrl = "https://api.binance.com"


class BinanceHistory:
    """Implements `History`."""

    capabilities = Capabilities(
        intervals={Interval.parse(text).seconds: Reach(rows=_LIMIT) for text in _LENGTHS},
        limits=Limits(per_second=20, per_minute=1_000),
        settle_s=5.0,
        running=True,
    )

    def __init__(self, options: BinanceHistoryOptions) -> None:
        self._options = options

    def requests(self, ask: Ask) -> Sequence[HttpRequest]:
        """One: the planner keeps the number of rows. Raises PermanentError for another market's symbol."""
        match = _SYMBOL.fullmatch(ask.instrument.symbol)
        if match is None:
            raise PermanentError(f"{ask.instrument.symbol}: must look like BTCUSDT.BINANCE")
        return [
            HttpRequest(
                f"{self._options.url}/api/v3/klines",
                (
                    ("symbol", match[1]),
                    ("interval", ask.interval.text),
                    ("startTime", str(-(-ask.start_ns // _MS))),
                    ("endTime", str((ask.end_ns - 1) // _MS)),
                    ("limit", str(_LIMIT)),
                ),
            )
        ]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        if reply.status != OK:
            raise _refusal(reply)
        document = json_of(reply, "Binance")
        if not isinstance(document, list):
            raise _told(reply, mapping(document))
        out = Parsed()
        rows: list[Row] = []
        for line, row in enumerate(document, 1):
            at = row[0] if isinstance(row, list) and len(row) >= _COLUMNS else None
            if type(at) is not int or not 0 < at < _MAX_MS:
                out.reject(line, "is no candle: twelve values that begin with a time in ms")
                continue
            o, h, l, c, v = (number(value) for value in row[1:6])  # noqa: E741 - as they are called
            rows.append((at * _MS, o, h, l, c, v, float("nan"), line))
        if len(document) >= _LIMIT and rows:  # there may be more behind the last one
            out.answered = (ask.start_ns, max(row[0] for row in rows) + ask.interval.ns)
        if number(reply.headers.get(_USED)) > _MOST_USED:
            out.wait_s = 60.0
        yield parsed_rows(rows, ask.interval, None, volume=True, bad=out)


def _refusal(reply: Reply) -> MdingestError:
    said = f"Binance answered HTTP {reply.status}"
    if reply.status == TOO_MANY or reply.status >= SERVER_ERROR:
        return TransientError(said, retry_after_s(reply))
    if reply.status in (_BANNED, FORBIDDEN):
        wait = retry_after_s(reply)
        return TransientError(
            f"{said}: too many requests from this address", _BANNED_S + 1 if wait is None else wait
        )
    if reply.status == _NOT_HERE:
        return PermanentError(
            f"{said}: it does not serve this country",
            "Set providers.binance.url, to https://data-api.binance.vision for one",
        )
    return _told(reply, mapping(json_of(reply, "Binance")))


def _told(reply: Reply, document: Mapping[str, Any]) -> MdingestError:
    words, code = one_line(document.get("msg")), document.get("code")
    said = f"Binance answered HTTP {reply.status} {code if type(code) is int else ''}".rstrip()
    said += f": {words}" if words else ""
    if code == _NO_SYMBOL:
        return PermanentError(said, "It has no such symbol")
    if reply.status == OK:
        return TransientError(f"{said} without candles")
    return PermanentError(said)


def _unknown(symbols: Sequence[str], options: object, interval: Interval) -> dict[str, str]:
    del options, interval
    return {s: "must look like BTCUSDT.BINANCE" for s in symbols if not _SYMBOL.fullmatch(s)}


HISTORY = HistoryProvider(
    name="binance", Options=BinanceHistoryOptions, history=BinanceHistory, unknown=_unknown
)
