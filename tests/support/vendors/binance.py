"""Binance's klines, from binance-spot-api-docs/rest-api.md."""

from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.vendors.base import DAY, MINUTE, Vendor, error

_MS = 1_000_000
_LENGTHS = {"1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": 60 * MINUTE, "1d": DAY}


class BinanceVendor(Vendor):
    provider = "binance"
    symbol = "BTCUSDT.BINANCE"
    always_open = True
    names_secret = False

    def options(self, folder: Path) -> dict[str, Any]:
        del folder
        return {"url": self.url}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if request.path != "/api/v3/klines":
            return web.Response(status=404, text="<html>nginx</html>")
        if query.get("symbol") != "BTCUSDT":
            return error(400, {"code": -1121, "msg": "Invalid symbol."})
        if query.get("interval") not in _LENGTHS:
            return error(400, {"code": -1120, "msg": "Invalid interval."})
        limit, length = int(query.get("limit", "500")), _LENGTHS[query["interval"]]
        if not 0 < limit <= 1_000:
            return error(400, {"code": -1130, "msg": "Data sent for parameter 'limit' is not valid."})
        start, end = int(query["startTime"]) * _MS, int(query["endTime"]) * _MS
        rows = []
        for at, bar in list(self.bars(start, end + 1, length).items())[:limit]:
            prices = [f"{price:.8f}" for price in bar[:4]]
            closes = (at + length) // _MS - 1
            rows.append([at // _MS, *prices, f"{bar.volume:.8f}", closes, "0.0", 3, "0.0", "0.0", "0"])
        return web.json_response(rows, headers={"X-MBX-USED-WEIGHT-1M": str(2 * len(self.asked))})

    def throttled(self) -> web.Response:
        return error(429, {"code": -1003, "msg": "Too much request weight used."}, Retry_After="1")
