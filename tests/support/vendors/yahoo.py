"""Yahoo Finance as its browsers see it: a cookie, a crumb, and one address for all bars.

From what yfinance 1.7.0 asks and accepts, and from answers that people have published.
"""

import datetime as dt
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.rows import ns
from tests.support.vendors.base import DAY, IST, MINUTE, SECOND, Bar, Vendor

_LENGTHS = {
    "1m": MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "1h": 60 * MINUTE,
    "60m": 60 * MINUTE,
    "1d": DAY,
}
_DEPTHS = {"1m": 30, "5m": 60, "15m": 60, "1h": 730, "60m": 730}
_OPENS, _CLOSES = 555 * MINUTE, 930 * MINUTE  # of the Indian day
_CHART = "/v8/finance/chart/"
_RANGES = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]


class YahooVendor(Vendor):
    provider = "yfinance"
    symbol = "RELIANCE.NS"
    names_secret = False

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = ns(5 * 86_400)  # minutes are sold for thirty days
        self.symbols = {self.symbol}
        self.visits: list[str] = []  # for the cookie, the crumb and the zone
        self.ends_ns: int | None = None  # what it has ends here: it is late

    def options(self, folder: Path) -> dict[str, Any]:
        del folder
        return {"url": self.url}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if "period1" in request.query:
            return await super()._handle(request)
        self.visits.append(request.path)
        if request.path == "/v1/test/getcrumb":
            return web.Response(text="a.crumb", headers={"Content-Type": "text/plain"})
        if request.path.startswith(_CHART):
            return await self.answer(request)
        return web.Response(
            status=404, text="<html>", headers={"Set-Cookie": "A3=d=1; Path=/; Max-Age=31536000"}
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if request.path.removeprefix(_CHART) not in self.symbols:
            return _refused(404, "Not Found", "No data found, symbol may be delisted")
        name = query.get("interval", "1d")
        if name not in _LENGTHS:
            return _refused(422, "Unprocessable Entity", f"Invalid input - interval={name} is not supported.")
        if "period1" in query:
            start, end = (int(query[key]) * SECOND for key in ("period1", "period2"))
        else:
            start, end = self.now_ns - DAY, self.now_ns
        if name in _DEPTHS and start < self.now_ns - _DEPTHS[name] * DAY:
            return _refused(
                422,
                "Unprocessable Entity",
                f"{name} data not available for startTime={start // SECOND} and endTime={end // SECOND}. "
                f"The requested range must be within the last {_DEPTHS[name]} days.",
            )
        if name == "1m" and end - start > 8 * DAY:
            return _refused(
                422,
                "Unprocessable Entity",
                "Only 8 days worth of 1m granularity data are allowed to be fetched per request.",
            )
        result = self._result(name, start, end)
        result["meta"]["symbol"] = request.path.removeprefix(_CHART)
        return web.json_response({"chart": {"result": [result], "error": None}})

    def _result(self, name: str, start: int, end: int) -> dict[str, Any]:
        length = _LENGTHS[name]
        last = self.now_ns if self.ends_ns is None else self.ends_ns
        first = start - DAY if name == "1d" else start
        bars: list[tuple[int, Bar | None]] = list(self.bars(first, min(end, last), length).items())
        if name == "1d":
            bars = [(at + _OPENS, bar) for at, bar in bars if start <= at + _OPENS < end]
        bars += [(at, None) for at in self.quiet if start <= at < min(end, last)]
        bars.sort(key=lambda pair: pair[0])
        if bars and bars[-1][1] is not None and self.now_ns < min(end, bars[-1][0] + length):
            bars.append((self.now_ns // SECOND * SECOND, bars[-1][1]))  # the live price, by itself
        result: dict[str, Any] = {"meta": self._meta(name, start, end), "indicators": {"quote": [{}]}}
        if not bars:
            return result
        columns = list(zip(*([None] * 5 if bar is None else _numbers(bar) for _, bar in bars), strict=True))
        keys = ("open", "high", "low", "close", "volume")
        result["timestamp"] = [at // SECOND for at, _ in bars]
        result["indicators"] = {"quote": [dict(zip(keys, map(list, columns), strict=True))]}
        if name == "1d":  # what a dividend took off, which nobody asked for
            adjusted = [close * 0.9 for close in columns[3] if close is not None]
            result["indicators"]["adjclose"] = [{"adjclose": adjusted}]
        return result

    def _meta(self, name: str, start: int, end: int) -> dict[str, Any]:
        period = _period(self.now_ns)
        meta: dict[str, Any] = {
            "currency": "INR",
            "symbol": self.symbol,
            "exchangeName": "NSI",
            "fullExchangeName": "NSE",
            "instrumentType": "EQUITY",
            "firstTradeDate": 820467900,
            "regularMarketTime": self.now_ns // SECOND,
            "hasPrePostMarketData": False,
            "gmtoffset": 19800,
            "timezone": "IST",
            "exchangeTimezoneName": "Asia/Kolkata",
            "regularMarketPrice": 103.5,
            "chartPreviousClose": 99.0,
            "previousClose": 99.0,
            "scale": 3,
            "priceHint": 2,
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            "dataGranularity": name,
            "range": "",
            "validRanges": _RANGES,
        }
        if name != "1d":
            meta["tradingPeriods"] = [[_period(at)] for at in range(start, end, DAY)]
        return meta

    def throttled(self) -> web.Response:
        return web.Response(status=429, text="Too Many Requests\r\n", headers={"Retry-After": "1"})

    def refused(self) -> web.Response:
        return self.throttled()


def _numbers(bar: Bar) -> list[float]:
    return [bar.open, bar.high, bar.low, bar.close, int(bar.volume)]


def _period(at: int) -> dict[str, Any]:
    """The regular session of the day of an instant."""
    local = dt.datetime.fromtimestamp(at // SECOND, IST).replace(hour=0, minute=0, second=0)
    midnight = int(local.timestamp()) * SECOND
    bounds = ((midnight + edge) // SECOND for edge in (_OPENS, _CLOSES))
    return {"timezone": "IST", "gmtoffset": 19800, **dict(zip(("start", "end"), bounds, strict=True))}


def _refused(status: int, code: str, description: str) -> web.Response:
    error = {"code": code, "description": description}
    return web.json_response({"chart": {"result": None, "error": error}}, status=status)
