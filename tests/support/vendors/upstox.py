"""Upstox's historical candles V3, from upstox.com/developer/api-documentation."""

import calendar
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.support.vendors.base import DAY, IST, MINUTE, SECOND, SECRET, Vendor

_LENGTHS = {
    "minutes/1": (MINUTE, 1),
    "minutes/5": (5 * MINUTE, 1),
    "minutes/15": (15 * MINUTE, 1),
    "minutes/30": (30 * MINUTE, 3),
    "hours/1": (60 * MINUTE, 3),
    "days/1": (DAY, 60),
}
"""And how many months of the calendar one request may span: a February is one, too."""
RELIANCE = "NSE_EQ|INE002A01018"
_FUTURE = {
    "weekly": False,
    "segment": "NSE_FO",
    "name": "NIFTY",
    "exchange": "NSE",
    "expiry": 1795544999000,  # 2026-11-24 23:59:59 IST
    "instrument_type": "FUT",
    "asset_symbol": "NIFTY",
    "underlying_symbol": "NIFTY",
    "instrument_key": "NSE_FO|51245",
    "lot_size": 75,
    "freeze_quantity": 1800.0,
    "exchange_token": "51245",
    "minimum_lot": 75,
    "asset_key": "NSE_INDEX|Nifty 50",
    "underlying_key": "NSE_INDEX|Nifty 50",
    "tick_size": 10.0,
    "asset_type": "INDEX",
    "underlying_type": "INDEX",
    "trading_symbol": "NIFTY FUT 24 NOV 26",
    "strike_price": 0.0,
    "qty_multiplier": 1.0,
}
_OPTION = {**_FUTURE, "instrument_type": "CE", "instrument_key": "NSE_FO|51300", "strike_price": 24000.0}
MASTER: list[dict[str, Any]] = [
    {
        "segment": "NSE_EQ",
        "name": "RELIANCE INDUSTRIES LTD",
        "exchange": "NSE",
        "isin": "INE002A01018",
        "instrument_type": "EQ",
        "instrument_key": RELIANCE,
        "lot_size": 1,
        "freeze_quantity": 100000.0,
        "exchange_token": "2885",
        "tick_size": 10.0,
        "trading_symbol": "RELIANCE",
        "short_name": "Reliance",
        "qty_multiplier": 1.0,
        "security_type": "NORMAL",
    },
    {
        "segment": "NSE_EQ",
        "name": "EMMBI INDUSTRIES",
        "exchange": "NSE",
        "isin": "INE753K01015",
        "instrument_type": "BL",
        "instrument_key": "NSE_EQ|INE753K01015",
        "lot_size": 1,
        "exchange_token": "99",
        "tick_size": 5.0,
        "trading_symbol": "EMMBI",
    },
    {
        "segment": "NSE_INDEX",
        "name": "Nifty 50",
        "exchange": "NSE",
        "instrument_type": "INDEX",
        "instrument_key": "NSE_INDEX|Nifty 50",
        "exchange_token": "26000",
        "trading_symbol": "NIFTY",
    },
    _FUTURE,
    {**_OPTION, "trading_symbol": "NIFTY 24000 CE 24 NOV 26"},
    {
        **_OPTION,
        "weekly": True,
        "instrument_key": "NSE_FO|51301",
        "expiry": 1792434599000,  # 2026-10-19 23:59:59 IST
        "strike_price": 23050.0,
        "instrument_type": "PE",
        "trading_symbol": "NIFTY 23050 PE 19 OCT 26",
    },
    {"segment": "GLOBAL_INDEX", "instrument_key": "GLOBAL_INDEX|Dow Jones", "trading_symbol": "DOW"},
]
_KEYS = {record["instrument_key"] for record in MASTER}


class UpstoxVendor(Vendor):
    provider = "upstox"
    symbol = "RELIANCE.NS"

    def options(self, folder: Path) -> dict[str, Any]:
        instruments = folder / "complete.json.gz"
        instruments.write_bytes(gzip.compress(json.dumps(MASTER).encode()))
        return {"url": self.url, "access_token": f"{SECRET}-token", "instruments": str(instruments)}

    async def answer(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - one a mistake
        parts = request.raw_path.strip("/").split("/")
        if parts[:2] != ["v3", "historical-candle"]:
            return _refused(404, "UDAPI100060", "Resource not Found.")
        if request.headers.get("Authorization", f"Bearer {SECRET}-token") != f"Bearer {SECRET}-token":
            return self.refused()
        if "|" in request.raw_path:
            return _refused(400, "UDAPI1021", "Instrument key is of invalid format")
        is_today = parts[2] == "intraday"
        key, unit, interval, *dates = parts[3:] if is_today else parts[2:]
        if unquote(key) not in _KEYS:
            return _refused(400, "UDAPI100011", "Invalid Instrument key")
        if f"{unit}/{interval}" not in _LENGTHS:
            return _refused(400, "UDAPI1147", "Invalid interval")
        length, months = _LENGTHS[f"{unit}/{interval}"]
        today = dt.datetime.fromtimestamp(self.now_ns // SECOND, IST).date()
        first = last = today
        if not is_today:
            last, first = (dt.date.fromisoformat(text) for text in dates)
            if last < first:
                return _refused(400, "UDAPI1015", "To date should be greater than or equal to from date")
            if last >= later(first, months):
                return _refused(400, "UDAPI1148", "Invalid date range")
            last = min(last, today - dt.timedelta(days=1))
        rows = [
            [dt.datetime.fromtimestamp(at // SECOND, IST).isoformat(), *bar[:4], int(bar.volume), int(bar.oi)]
            for at, bar in self.bars(_midnight(first), _midnight(last) + DAY, length).items()
        ]
        return web.json_response({"status": "success", "data": {"candles": rows[::-1]}})

    def throttled(self) -> web.Response:
        return _refused(429, "UDAPI10005", "Too Many Request Sent")

    def refused(self) -> web.Response:
        return _refused(401, "UDAPI100050", f"Invalid token used to access API: {SECRET}-token")


def later(date: dt.date, months: int) -> dt.date:
    """The same day of a later month, or its last one."""
    years, month = divmod(date.month - 1 + months, 12)
    last = calendar.monthrange(date.year + years, month + 1)[1]
    return dt.date(date.year + years, month + 1, min(date.day, last))


def _midnight(date: dt.date) -> int:
    return int(dt.datetime(date.year, date.month, date.day, tzinfo=IST).timestamp()) * SECOND


def _refused(status: int, code: str, message: str) -> web.Response:
    told = {"message": message, "propertyPath": None, "invalidValue": None}
    error = {"errorCode": code, **told, "error_code": code, "property_path": None, "invalid_value": None}
    return web.json_response({"status": "error", "errors": [error]}, status=status)
