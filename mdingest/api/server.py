"""The HTTP application, what guards it, and serving it for a while.

Whatever goes wrong the client gets a problem document: that is the job of one middleware,
which also bounds how long and how many requests run and asks for a token where tokens are
configured.
"""

import asyncio
import datetime as dt
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from mdingest.api.access import Access
from mdingest.api.candles import CandleRoutes
from mdingest.api.catalog import Catalog
from mdingest.api.listings import ListingRoutes
from mdingest.api.page import PREFIX, PageRoutes
from mdingest.api.problems import Problem, problem_response
from mdingest.api.prospects import UNKNOWN, Prospects
from mdingest.api.reading import Reading
from mdingest.api.series import Changes
from mdingest.api.status import StatusRoutes
from mdingest.api.stream import StreamRoutes
from mdingest.api.wanted import Reader, Tables
from mdingest.core.events import Candles
from mdingest.core.session import SessionTable
from mdingest.errors import PermanentError, StoreUnavailable
from mdingest.telemetry.health import Health
from mdingest.telemetry.inflight import InFlight
from mdingest.telemetry.metrics import Metrics

log = structlog.get_logger()

_PATHS = "/, /candles, /stream, /symbols, /gaps, /coverage, /health, /livez, /readyz, /metrics"
_LATER = re.compile(r"/(docs|openapi\.json|udf)(/.*)?")
_OPEN_TO_ALL = ("/livez", "/readyz", "/")  # whoever restarts us has no token; a page brings it later
_STREAM = "/stream"  # asks for its token itself, and is as long as somebody looks
_TIMEOUT_S = 10.0
_IN_FLIGHT = 64
_MAX_BODY_BYTES = 65_536
_HUNG_UP = 499  # as proxies count it: the client did not wait for the answer
_KEEPALIVE_S = 30.0
_BACKLOG = 128
_SHUTDOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """What HTTP is served from.

    ``tables`` gives the calendar of a session class for dates ``[a, b)`` (ConfigError:
    no such class), ``tables_version`` changes when they do; ``now`` is the wall clock in UTC
    ns; ``forming`` gives the candles that are being built of (instrument id, interval in
    seconds), and must not wait; ``changes`` hears of commits, where this process writes;
    ``prospects`` tell whom of history the configuration has; ``in_flight`` counts requests.
    """

    reader: Reader
    tables: Callable[[str, dt.date, dt.date], SessionTable]
    now: Callable[[], int]
    health: Health
    metrics: Metrics
    forming: Callable[[int, int], Candles] | None = None
    changes: Changes | None = None
    tokens: Sequence[str] = ()
    prospects: Prospects = UNKNOWN
    tables_version: Callable[[], int] = lambda: 0
    in_flight: InFlight = field(default_factory=InFlight)


def create_app(served: Served) -> web.Application:
    """Every path of this version; tokens, where given, are needed for all but the probes."""
    catalog = Catalog(served.reader.instruments, time.monotonic_ns)
    tables = Tables(served.tables, served.tables_version)
    reading = Reading(served.reader, tables, served.now, served.forming)
    access = Access(served.tokens)
    stream = StreamRoutes(
        catalog,
        reading,
        served.health,
        access,
        now=served.now,
        forming=served.forming,
        changes=served.changes,
    )
    app = web.Application(middlewares=[_guard(served, access)], client_max_size=_MAX_BODY_BYTES)
    app.add_routes(CandleRoutes(catalog, reading, served.now).routes())
    listings = ListingRoutes(catalog, served.reader, tables, served.now, served.prospects)
    app.add_routes(listings.routes())
    app.add_routes(StatusRoutes(served.health, served.metrics).routes())
    app.add_routes(PageRoutes().routes())
    app.add_routes(stream.routes())
    app.on_shutdown.append(stream.close)
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port, chosen by the system if ``port`` is 0.

    Raises PermanentError if the address can't be bound. Leaving waits 2 s at most for
    requests that run.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    if runner.server is None:
        raise AssertionError("set up without a server")
    connection = partial(
        _Connection,
        runner.server,
        loop=loop,
        logger=logging.getLogger("mdingest.http"),
        access_log=None,  # type: ignore[arg-type]  # none, as `web.AppRunner` may be told
        keepalive_timeout=_KEEPALIVE_S,
    )
    try:
        try:
            listening = await loop.create_server(connection, host, port, backlog=_BACKLOG)
        except OSError as exc:
            number = exc.errno or 0  # negative for a name that nobody knows
            said = os.strerror(number) if number > 0 else exc
            raise PermanentError(
                f"HTTP can't be served on {host}:{port} (api.host, api.port): {said}"
            ) from exc
        bound: int = listening.sockets[0].getsockname()[1]
        log.info("api.listening", host=host, port=bound)
        try:
            yield bound
        finally:
            listening.close()
    finally:
        await runner.cleanup()


class _Connection(web.RequestHandler):
    """One client. What is no HTTP is answered like any mistake, and not logged: it may hold a token."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The last reply on this connection."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        why = (message or "not understood").splitlines()[0].partition(" when reading")[0].rstrip(":")
        response = problem_response(status, f"this is no HTTP/1.1 request: {why}", {"Server": "mdingest"})
        response.force_close()
        return response


def _guard(served: Served, access: Access) -> Middleware:
    requests, seconds = served.metrics.http_requests, served.metrics.http_seconds
    in_flight = served.in_flight

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        if request.path == _STREAM:
            response = await _answered(request, handler, None)
        else:
            with in_flight.one():
                response = _refusal(request, access, in_flight.count) or await _answered(
                    request, handler, _TIMEOUT_S
                )
            seconds.observe(time.perf_counter() - started)
        requests[str(response.status)].inc()
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Server"] = "mdingest"
        return response

    return guard


def _refusal(request: web.Request, access: Access, in_flight: int) -> web.Response | None:
    """What is said to those who may not ask, or not now."""
    if request.path in _OPEN_TO_ALL or request.path.startswith(PREFIX):
        return None
    if not access.allows(request):
        said = "send a header `Authorization: Bearer TOKEN`"
        return problem_response(401, said, {"WWW-Authenticate": "Bearer"})
    if in_flight > _IN_FLIGHT:
        return problem_response(503, f"more than {_IN_FLIGHT} requests at once", {"Retry-After": "1"})
    return None


async def _answered(request: web.Request, handler: Handler, timeout_s: float | None) -> web.StreamResponse:
    """The handler's reply, or the document of what went wrong."""
    try:
        async with asyncio.timeout(timeout_s):
            return await handler(request)
    except Problem as problem:
        return problem_response(problem.status, problem.detail, nearest=problem.nearest)
    except web.HTTPException as exc:
        return _routing(request, exc)
    except (StoreUnavailable, TimeoutError) as exc:
        known = isinstance(exc, StoreUnavailable)
        said = (
            f"the database can't answer now: {exc}"
            if known
            else f"not done within {_TIMEOUT_S:g} s: ask for less"
        )
        return problem_response(503, said, {"Retry-After": "1"})
    except ClientConnectionResetError:  # nobody is left to be told
        return web.Response(status=_HUNG_UP)
    except Exception:  # a bug in a reply must not end the recording
        log.exception("api.failed", path=request.path)
        return problem_response(500, "this is a bug; the log has the details")


def _routing(request: web.Request, exc: web.HTTPException) -> web.Response:
    """What aiohttp refused by itself."""
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        return problem_response(
            405, f"{request.method} is not allowed here; use {allowed}", {"Allow": allowed}
        )
    if isinstance(exc, web.HTTPNotFound):
        if _LATER.fullmatch(request.path):
            return problem_response(404, f"{request.path} is not available yet; there are {_PATHS}")
        return problem_response(404, f"no such path; there are {_PATHS}")
    return problem_response(exc.status, exc.reason)
