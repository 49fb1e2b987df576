"""``GET /candles``: the last candles of a symbol, as JSON or CSV, with what is missing."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

import orjson
from aiohttp import web

from mdingest.api.catalog import Catalog
from mdingest.api.missing import Missing
from mdingest.api.problems import Problem
from mdingest.api.query import Query
from mdingest.api.reading import Found, Reading
from mdingest.api.rows import as_csv, as_objects
from mdingest.api.times import format_instant
from mdingest.api.wanted import Wanted
from mdingest.core.interval import MINUTE, Interval

_PARAMETERS = ("symbol", "interval", "limit", "start", "end", "session", "format", "forming")
_MAX_LIMIT = 10_000
_MAX_MISSING = 1_000


class CandleRoutes:
    """``now`` is the wall clock in UTC ns: the default of ``end``."""

    def __init__(self, catalog: Catalog, reading: Reading, now: Callable[[], int]) -> None:
        self._catalog = catalog
        self._reading = reading
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [web.get("/candles", self._candles)]

    async def _candles(self, request: web.Request) -> web.Response:
        query = Query.of(request, _PARAMETERS)
        wanted = await self._wanted(query)
        found = await self._reading.read(wanted)
        next_page = _next(query, found)
        headers = {"Link": f'<{next_page}>; rel="next"'} if next_page else {}
        if query.values.get("format") == "csv":
            headers["Missing-Ranges"] = str(len(found.missing))
            return web.Response(body=as_csv(found.candles), headers=headers, content_type="text/csv")
        body: dict[str, object] = {
            "symbol": wanted.instrument.symbol,
            "interval": wanted.interval.text,
            "candles": as_objects(found.candles),
            "missing": _ranges(found.missing[-_MAX_MISSING:]),
        }
        if next_page:
            body |= {"truncated": True, "next": next_page}
        if len(found.missing) > _MAX_MISSING:
            body["missing_truncated"] = True
        return web.Response(body=orjson.dumps(body), headers=headers, content_type="application/json")

    async def _wanted(self, query: Query) -> Wanted:
        """The question, checked. Raises Problem."""
        symbol = query.text("symbol", "RELIANCE.NS")
        interval = query.parsed("interval", Interval.parse, MINUTE)
        limit = query.number("limit", 1, _MAX_LIMIT, 50)
        query.choice("format", ("json", "csv"), "json")
        sessions = query.choice("session", ("regular", "all"), "regular")
        forming = query.choice("forming", ("true", "false"), "false")
        end = query.instant("end", self._now())
        start = query.instant("start", end) if "start" in query.values else None
        if start is not None and start >= end:
            said = "end" if "end" in query.values else f"now, {format_instant(end)}"
            raise Problem(400, f"start must be before {said}")
        instrument = await self._catalog.find(symbol)
        return Wanted(
            instrument,
            interval,
            start,
            end,
            limit,
            all_sessions=sessions == "all",
            forming=forming == "true",
        )


def _ranges(holes: Sequence[Missing]) -> list[tuple[str, str, str]]:
    return [(format_instant(hole.start), format_instant(hole.end), hole.cause) for hole in holes]


def _next(query: Query, found: Found) -> str:
    """Where the older candles are that were left out; empty if there are none."""
    if not found.cut or not len(found.candles):
        return ""
    first = format_instant(int(found.candles["ts"][0]))
    older = query.values | {"end": first}
    return "/candles?" + "&".join(f"{name}={quote(value, safe=':')}" for name, value in older.items())
