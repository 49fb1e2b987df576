"""``/symbols``, ``/gaps`` and ``/coverage``: what is stored, and what is missing from it."""

from collections.abc import Callable

import numpy as np
import orjson
from aiohttp import web

from mdingest.api.catalog import Catalog
from mdingest.api.complete import Completeness, completeness, counted_fields
from mdingest.api.holes import holes_of
from mdingest.api.problems import Problem
from mdingest.api.prospects import UNKNOWN, Prospects
from mdingest.api.query import Query
from mdingest.api.times import format_instant
from mdingest.api.wanted import EARLIEST, Reader, Tables, Wanted
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE, Interval
from mdingest.store.base import Difference

_RANGE = ("symbol", "start", "end", "limit")
_MAX_LIMIT = 10_000
_DEFAULT_LIMIT = 1_000


class ListingRoutes:
    """``now`` is the wall clock in UTC ns: the default of ``end``."""

    def __init__(
        self,
        catalog: Catalog,
        reader: Reader,
        tables: Tables,
        now: Callable[[], int],
        prospects: Prospects = UNKNOWN,
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self._tables = tables
        self._now = now
        self._prospects = prospects

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [
            web.get("/symbols", self._symbols),
            web.get("/gaps", self._gaps),
            web.get("/coverage", self._coverage),
        ]

    async def _symbols(self, request: web.Request) -> web.Response:
        query = Query.of(request, ("q", "limit"))
        limit = query.number("limit", 1, _MAX_LIMIT, _MAX_LIMIT)
        part = query.values.get("q", "").upper()
        known = [i for i in await self._catalog.all() if part in i.symbol.upper() or part in i.name.upper()]
        last: dict[int, dict[str, str]] = {}
        for (instrument_id, interval_s), ns in sorted((await self._reader.last_candle_ns()).items()):
            last.setdefault(instrument_id, {})[Interval(interval_s).text] = format_instant(ns)
        rows = [
            {
                "symbol": instrument.symbol,
                "exchange": instrument.exchange,
                "name": instrument.name,
                "session_class": instrument.session_class,
                "last": last.get(instrument.id, {}),
            }
            for instrument in known[:limit]
        ]
        return _json({"symbols": rows, **_cut(len(known), limit)})

    async def _gaps(self, request: web.Request) -> web.Response:
        instrument, start, end, limit = await self._range(request)
        rows = await holes_of(
            self._reader, self._tables, instrument, start, end, self._now(), self._prospects
        )
        gaps = [
            {
                "source": row.source or None,
                "cause": row.cause,
                "start": format_instant(row.start_ns),
                "end": None if row.end_ns is None else format_instant(row.end_ns),
                "volume": row.volume,
                "repair": row.repair,
                "reason": row.reason,
                "attempts": row.attempts,
            }
            for row in rows[-limit:]
        ]
        return _json({"symbol": instrument.symbol, "gaps": gaps, **_cut(len(rows), limit)})

    async def _coverage(self, request: web.Request) -> web.Response:
        query = Query.of(request, (*_RANGE, "interval", "session"))
        interval = query.parsed("interval", Interval.parse, MINUTE)
        session = query.choice("session", ("regular", "all"), "regular")
        instrument, start, end, limit = await self._in_range(query)
        rows = await self._reader.coverage(instrument.id, start, end)
        spans = [
            {
                "source": row.source,
                "start": format_instant(row.start_ns),
                "end": format_instant(row.end_ns),
                **({"interval": Interval(row.interval_s).text} if row.interval_s else {}),  # history
            }
            for row in rows[-limit:]
        ]
        since = start if "start" in query.values else None
        wanted = Wanted(instrument, interval, since, end, limit, all_sessions=session == "all")
        found = await completeness(
            self._reader, self._tables, wanted, now_ns=self._now(), prospects=self._prospects
        )
        dates = (_date(max(found.start_ns, 0)), _date(found.end_ns))
        told = await self._reader.upkeep.differences(instrument.id, *dates)
        return _json(
            {
                "symbol": instrument.symbol,
                **_spelt(found, limit),
                "coverage": spans,
                **_cut(max(len(rows), len(found.lacks)), limit),
                "differences": [difference_fields(one) for one in told[-limit:]],
            }
        )

    async def _range(self, request: web.Request) -> tuple[Instrument, int, int, int]:
        return await self._in_range(Query.of(request, _RANGE))

    async def _in_range(self, query: Query) -> tuple[Instrument, int, int, int]:
        symbol = query.text("symbol", "RELIANCE.NS")
        start, end = query.instant("start", EARLIEST), query.instant("end", self._now())
        limit = query.number("limit", 1, _MAX_LIMIT, _DEFAULT_LIMIT)
        if start >= end:
            raise Problem(400, "start must be before end")
        return await self._catalog.find(symbol), start, end, limit


def _spelt(found: Completeness, limit: int) -> dict[str, object]:
    holes = [
        {
            "start": format_instant(lack.start_ns),
            "end": format_instant(lack.end_ns),
            "candles": lack.candles,
            "why": lack.why,
            "repair": lack.repair,
            "reason": lack.reason,
        }
        for lack in found.lacks[-limit:]
    ]
    return {**counted_fields(found), "holes": holes}


def difference_fields(one: Difference) -> dict[str, object]:
    """One field of one day, as replies and ``mdingest reconcile --json`` spell it."""
    return {
        "date": one.date,
        "interval": Interval(one.interval_s).text,
        "other": one.other,
        "field": one.field,
        "compared": one.compared,
        "differing": one.differing,
        "worst": None if one.worst_ns is None else format_instant(one.worst_ns),
        "ours": one.ours,
        "theirs": one.theirs,
    }


def _date(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[D]"))


def _cut(count: int, limit: int) -> dict[str, object]:
    """The last ``limit`` are shown; ask with an earlier ``end`` for the others."""
    return {"truncated": True} if count > limit else {}


def _json(body: dict[str, object]) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")
