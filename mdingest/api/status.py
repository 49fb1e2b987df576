"""How the process is doing: ``/health``, ``/livez``, ``/readyz``, ``/metrics``, and ``/``."""

import orjson
from aiohttp import web

from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics

_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mdingest</title>
<link rel="icon" href="data:,"></head>
<body><h1>mdingest</h1>
<p>It runs. The chart comes later; until then:</p>
<ul>
<li><a href="/symbols">/symbols</a>: what is stored</li>
<li>/candles?symbol=SYMBOL&amp;interval=1m&amp;limit=50: the last candles of a symbol</li>
<li>/gaps?symbol=SYMBOL and /coverage?symbol=SYMBOL: what is missing, and what was heard</li>
<li><a href="/health">/health</a>: each part by itself</li>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
</ul></body></html>
"""


class StatusRoutes:
    """Health and metrics of one process."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [
            web.get("/", self._page),
            web.get("/health", self._healthy),
            web.get("/livez", self._alive),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._exposition),
        ]

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=_PAGE, content_type="text/html", charset="utf-8")

    async def _healthy(self, _request: web.Request) -> web.Response:
        return _verdict(*self._health.report())

    async def _alive(self, _request: web.Request) -> web.Response:
        return _verdict(True, {"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        return _verdict(*self._health.ready())

    async def _exposition(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _verdict(well: bool, document: dict[str, object]) -> web.Response:  # noqa: FBT001 - see callers
    body = orjson.dumps(document, default=str)
    return web.Response(status=200 if well else 503, body=body, content_type="application/json")
