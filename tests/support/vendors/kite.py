"""Kite Connect's REST API, from kite.trade/docs/connect/v3/historical and .../exceptions."""

import datetime as dt
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.vendors.base import DAY, IST, MINUTE, SECOND, SECRET, Vendor, error

_SPANS = {
    "minute": (MINUTE, 60),
    "5minute": (5 * MINUTE, 100),
    "15minute": (15 * MINUTE, 200),
    "30minute": (30 * MINUTE, 200),
    "60minute": (60 * MINUTE, 400),
    "day": (DAY, 2_000),
}
_HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,"
    "tick_size,lot_size,instrument_type,segment,exchange"
)
TOKENS = {"738561": False, "13845762": True, "256265": False}  # and whether it has open interest


class KiteVendor(Vendor):
    provider = "kite"
    symbol = "RELIANCE.NS"

    def options(self, folder: Path) -> dict[str, Any]:
        instruments = folder / "instruments.csv"
        instruments.write_text(
            f"{_HEADER}\n"
            "738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,NSE,NSE\n"
            "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\n"
            "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE\n"
            "13845762,54085,NIFTY26NOVFUT,NIFTY,0,2026-11-24,0,0.05,75,FUT,NFO-FUT,NFO\n"
        )
        return {
            "api": self.url,
            "api_key": f"{SECRET}-key",
            "access_token": f"{SECRET}-token",
            "instruments": str(instruments),
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - one a mistake
        parts = request.path.strip("/").split("/")
        if parts[:2] != ["instruments", "historical"] or len(parts) != 4:
            return error(
                404, {"status": "error", "message": "Route not found", "error_type": "GeneralException"}
            )
        if request.headers.get("Authorization") != f"token {SECRET}-key:{SECRET}-token":
            return self.refused()
        token, name = parts[2:]
        if name not in _SPANS:
            return _input("invalid interval")
        if token not in TOKENS:
            return _input("invalid token")
        length, days = _SPANS[name]
        try:
            start, end = (_ns(request.query[key]) for key in ("from", "to"))
        except (KeyError, ValueError):
            return _input("invalid from date")
        if end - start > days * DAY:
            return _input(f"interval exceeds max limit: {days} days")
        with_oi = request.query.get("oi") == "1" and TOKENS[token]
        rows = []
        for at, bar in self.bars(start, end + 1, length).items():
            stamp = dt.datetime.fromtimestamp(at // SECOND, IST).strftime("%Y-%m-%dT%H:%M:%S%z")
            row: list[Any] = [stamp, *(int(x) if x == int(x) else x for x in bar[:4]), int(bar.volume)]
            rows.append([*row, int(bar.oi)] if with_oi else row)
        return web.json_response({"status": "success", "data": {"candles": rows}})

    def throttled(self) -> web.Response:
        return error(
            429, {"status": "error", "message": "Too many requests", "error_type": "NetworkException"}
        )

    def refused(self) -> web.Response:
        message = f"Incorrect `api_key` or `access_token`. {SECRET}-token"
        return error(403, {"status": "error", "message": message, "error_type": "TokenException"})


def _input(message: str) -> web.Response:
    return error(400, {"status": "error", "message": message, "error_type": "InputException", "data": None})


def _ns(text: str) -> int:
    local = dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST)
    return int(local.timestamp()) * SECOND
