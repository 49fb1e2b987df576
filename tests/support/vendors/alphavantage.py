"""AlphaVantage's one address, from alphavantage.co/documentation: HTTP 200, whatever happens."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from tests.support.vendors.base import DAY, IST, MINUTE, SECOND, SECRET, Vendor

_ZONE = ZoneInfo("US/Eastern")
_LENGTHS = {
    "1min": MINUTE,
    "5min": 5 * MINUTE,
    "15min": 15 * MINUTE,
    "30min": 30 * MINUTE,
    "60min": 60 * MINUTE,
}
TOO_FAST = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit "
    f"(25 requests per day). Your key: {SECRET}"
)
USED_UP = (
    f"We have detected your API key as {SECRET} and our standard API rate limit is 25 requests per day. "
    "Please subscribe to any of the premium plans to instantly remove all daily rate limits."
)
PREMIUM = (
    "Thank you for using Alpha Vantage! The outputsize=full parameter value is a premium feature. "
    "You may subscribe to any of the premium plans to instantly unlock all premium features"
)


class AlphaVantageVendor(Vendor):
    provider = "alphavantage"
    symbol = "RELIANCE.BO"

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, str] | None = None  # instead of an answer
        self.refreshed_ns: int | None = None  # what it has ends here

    def options(self, folder: Path) -> dict[str, Any]:
        del folder
        return {"url": self.url, "api_key": SECRET}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if request.path != "/query" or query.get("apikey") != SECRET:
            return self.refused()
        if self.says is not None:
            return web.json_response(self.says)
        if query.get("symbol") != "RELIANCE.BSE":
            return web.json_response(
                {"Error Message": "Invalid API call. Please retry or visit the documentation."}
            )
        if query["function"] == "TIME_SERIES_INTRADAY":
            return self._intraday(query["interval"], query["month"])
        if query.get("outputsize") == "full":
            return web.json_response({"Information": PREMIUM})
        return self._daily()

    def _intraday(self, interval: str, month: str) -> web.Response:
        first = dt.datetime.fromisoformat(f"{month}-01").replace(tzinfo=_ZONE)
        following = (first + dt.timedelta(days=32)).replace(day=1)
        start, end = (int(at.timestamp()) * SECOND for at in (first, following))
        bars = self.bars(start, min(end, self._end()), _LENGTHS[interval])
        named = {
            f"{dt.datetime.fromtimestamp(at // SECOND, _ZONE):%Y-%m-%d %H:%M:%S}": bar
            for at, bar in bars.items()
        }
        return self._series(f"Time Series ({interval})", named, "6. Time Zone")

    def _daily(self) -> web.Response:
        bars = self.bars(self._end() - 200 * DAY, self._end(), DAY)
        named = {f"{dt.datetime.fromtimestamp(at // SECOND, IST):%Y-%m-%d}": bar for at, bar in bars.items()}
        return self._series("Time Series (Daily)", dict(list(named.items())[-100:]), "5. Time Zone")

    def _end(self) -> int:
        return self.now_ns if self.refreshed_ns is None else self.refreshed_ns

    def _series(self, key: str, named: dict[str, Any], zone: str) -> web.Response:
        rows = {
            text: {
                "1. open": f"{bar.open:.4f}",
                "2. high": f"{bar.high:.4f}",
                "3. low": f"{bar.low:.4f}",
                "4. close": f"{bar.close:.4f}",
                "5. volume": str(int(bar.volume)),
            }
            for text, bar in reversed(named.items())
        }
        meta = {"2. Symbol": "RELIANCE.BSE", "3. Last Refreshed": next(iter(rows), ""), zone: "US/Eastern"}
        return web.json_response({"Meta Data": meta, key: rows})

    def throttled(self) -> web.Response:
        return web.json_response({"Information": TOO_FAST})

    def refused(self) -> web.Response:
        return web.json_response({"Error Message": f"the parameter apikey is invalid or missing. {SECRET}"})
