"""How the process is doing: ``/health``, ``/livez``, ``/readyz`` and ``/metrics``."""

import orjson
from aiohttp import web

from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics


class StatusRoutes:
    """Health and metrics of one process."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [
            web.get("/health", self._healthy),
            web.get("/livez", self._alive),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._exposition),
        ]

    async def _healthy(self, _request: web.Request) -> web.Response:
        return _verdict(*self._health.report())

    async def _alive(self, _request: web.Request) -> web.Response:
        return _verdict(True, {"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        return _verdict(*self._health.ready())

    async def _exposition(self, request: web.Request) -> web.Response:
        self._health.report()  # the parts bring their gauges up to date when they are asked
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _verdict(well: bool, document: dict[str, object]) -> web.Response:  # noqa: FBT001 - see callers
    body = orjson.dumps(document, default=str)
    return web.Response(status=200 if well else 503, body=body, content_type="application/json")
