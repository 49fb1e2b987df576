"""``/stream``: candles over a websocket, as they change.

One connection carries one series. What the server says is JSON text with a ``type``:

- ``hello``: symbol and interval as understood, how often to expect a sign of life;
- ``candles``: those that are new or changed, as in ``/candles``, the forming one among them;
  where ``missing_from`` is given, ``missing`` replaces all holes from that instant on;
- ``reload``: something older than what a stream follows changed, ask ``/candles`` again;
- ``health``: the document of ``/health``, when it changes and as a sign of life;
- ``problem``: why the connection ends, followed by the close; its code is 4000 + HTTP status.

Nothing is queued for a client: while one message is on its way, changes are merged into the
next. A client that has not taken a message after 10 s is disconnected, code 1013.
"""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from mdingest.api.access import Access
from mdingest.api.catalog import Catalog
from mdingest.api.problems import Problem
from mdingest.api.query import Query
from mdingest.api.reading import Reading
from mdingest.api.series import Changes, Series, spelt
from mdingest.api.times import format_instant
from mdingest.api.wanted import Wanted
from mdingest.core.events import Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE, Interval
from mdingest.errors import StoreUnavailable
from mdingest.telemetry.health import Health

log = structlog.get_logger()

MAX_CLIENTS = 64
_TICK_S = 1.0
_SIGN_OF_LIFE_S = 5.0
_PING_S = 15.0  # a client that does not answer within half of it is gone
_TOKEN_S = 5.0  # how long we wait for the token
_SLOW_S = 10.0
_CLOSE_S = 2.0
_DRAIN_LOOK_S = 0.05
_MAX_SAID_BYTES = 4_096
_CLOSE_BASE = 4_000

Key = tuple[int, int, bool]


class StreamRoutes:
    """``now`` is the wall clock in UTC ns; ``forming`` as in `Served`."""

    def __init__(
        self,
        catalog: Catalog,
        reading: Reading,
        health: Health,
        access: Access,
        *,
        now: Callable[[], int],
        forming: Callable[[int, int], Candles] | None = None,
        changes: Changes | None = None,
    ) -> None:
        self._catalog, self._reading, self._health, self._access = catalog, reading, health, access
        self._now, self._forming, self._changes = now, forming, changes
        self._series: dict[Key, Series] = {}
        self._clients: dict[web.WebSocketResponse, web.Request] = {}

    def routes(self) -> list[web.RouteDef]:
        """For `web.Application.add_routes`."""
        return [web.get("/stream", self._connect, allow_head=False)]

    async def close(self, _app: web.Application | None = None) -> None:
        """Tell every client that we are going away."""
        clients = list(self._clients.items())
        said = "mdingest stops"
        await asyncio.gather(*(_close(request, ws, WSCloseCode.GOING_AWAY, said) for ws, request in clients))

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        """Raises Problem before the upgrade; after it, problems are messages."""
        ws = web.WebSocketResponse(heartbeat=_PING_S, timeout=_CLOSE_S, max_msg_size=_MAX_SAID_BYTES)
        if not ws.can_prepare(request):
            raise Problem(426, "/stream is a websocket: connect with ws:// or wss://")
        _refuse_strangers(request)
        if len(self._clients) >= MAX_CLIENTS:
            raise Problem(503, f"{MAX_CLIENTS} streams are open, no more are served")
        self._clients[ws] = request
        try:
            await ws.prepare(request)
            await self._serve(request, ws)
        except Problem as problem:
            await _refuse(request, ws, problem)
        finally:
            del self._clients[ws]
        return ws

    async def _serve(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        if not self._access.allows(request):
            await self._token(ws)
        query = Query.of(request, ("symbol", "interval", "session"))
        interval = query.parsed("interval", Interval.parse, MINUTE)
        all_ = query.choice("session", ("regular", "all"), "regular") == "all"
        try:
            instrument = await self._catalog.find(query.text("symbol", "RELIANCE.NS"))
        except StoreUnavailable as exc:
            raise Problem(503, f"the database can't answer now: {exc}") from exc
        key = (instrument.id, interval.seconds, all_)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._make(instrument, interval, all_sessions=all_)
        series.readers += 1
        try:
            hello = {
                "type": "hello",
                "symbol": instrument.symbol,
                "interval": interval.text,
                "sign_of_life_s": _SIGN_OF_LIFE_S,
            }
            await self._talk(request, ws, series, hello)
        finally:
            series.readers -= 1
            if not series.readers:
                del self._series[key]
                series.close()

    def _make(self, instrument: Instrument, interval: Interval, *, all_sessions: bool) -> Series:
        return Series(
            Wanted(instrument, interval, None, 0, 1, all_sessions=all_sessions),
            self._reading,
            now=self._now,
            mono=time.monotonic_ns,
            forming=self._forming,
            changes=self._changes,
        )

    async def _token(self, ws: web.WebSocketResponse) -> None:
        """The first message must bring it. Raises Problem."""
        said = 'send {"token": "TOKEN"} as the first message, or a header `Authorization: Bearer TOKEN`'
        try:
            async with asyncio.timeout(_TOKEN_S):
                message = await ws.receive()
        except TimeoutError:
            raise Problem(401, said) from None
        if not self._access.knows(_token_in(message)):
            raise Problem(401, said)

    async def _talk(
        self, request: web.Request, ws: web.WebSocketResponse, series: Series, hello: dict[str, object]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speak(request, ws, series, hello), name="stream.speak")
            async for _ in ws:  # pings, pongs and the close are answered in here
                pass
            speaking.cancel()

    async def _speak(
        self, request: web.Request, ws: web.WebSocketResponse, series: Series, hello: dict[str, object]
    ) -> None:
        """Until the client is gone, or too slow."""
        try:
            await self._send(ws, hello)
            seen = 0
            told: object = None
            told_at = 0.0
            while not ws.closed:
                report = self._health.report()[1] | {"type": "health", "time": format_instant(self._now())}
                if (essence := _essence(report)) != told or time.monotonic() - told_at >= _SIGN_OF_LIFE_S:
                    await self._send(ws, report)
                    told, told_at = essence, time.monotonic()
                try:
                    news = await series.news(seen)
                except StoreUnavailable:
                    news = None  # the health report says so
                if news:
                    if news.older:
                        await self._send(ws, {"type": "reload"})
                    await self._send(ws, spelt(news))
                    seen = news.version
                await asyncio.sleep(_TICK_S)
        except TimeoutError:
            log.info("stream.slow_client", symbol=hello["symbol"], slow_s=_SLOW_S)
            said = f"too slow: a message waited {_SLOW_S:g} s; reconnect, ask /candles for the rest"
            await _close(request, ws, WSCloseCode.TRY_AGAIN_LATER, said)
        except ConnectionError:
            return  # the client has gone in the middle of a message

    async def _send(self, ws: web.WebSocketResponse, message: dict[str, object]) -> None:
        """Raises TimeoutError if the client does not take it."""
        async with asyncio.timeout(_SLOW_S):
            await ws.send_str(orjson.dumps(message, default=str).decode())


def _essence(report: dict[str, object]) -> object:
    """What of a health report is worth telling at once: states and reasons, not counters."""

    def keep(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            return {key: keep(inner, key) for key, inner in value.items()}
        return value if name in ("ok", "status", "state", "error") else None

    return keep(report)


def _token_in(message: WSMessage) -> str:
    if message.type is not WSMsgType.TEXT:
        return ""
    try:
        said = orjson.loads(message.data)
    except orjson.JSONDecodeError:
        return ""
    token = said.get("token") if isinstance(said, dict) else None
    return token if isinstance(token, str) else ""


def _refuse_strangers(request: web.Request) -> None:
    """A browser lets pages of other sites open websockets to this machine, and read what they say."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise Problem(403, "a page of another site may not open a stream here")


async def _refuse(request: web.Request, ws: web.WebSocketResponse, problem: Problem) -> None:
    document = {"type": "problem", "status": problem.status, "detail": problem.detail}
    if problem.nearest is not None:
        document["nearest"] = problem.nearest
    try:
        await ws.send_str(orjson.dumps(document).decode())
    except ConnectionError:
        return
    await _close(request, ws, _CLOSE_BASE + problem.status, problem.detail)


async def _close(request: web.Request, ws: web.WebSocketResponse, code: int, reason: str) -> None:
    """A close that no peer can hold up. A reason has room for 123 bytes."""
    cut = reason.encode()[:120].decode(errors="ignore").encode()
    transport = request.transport
    try:
        async with asyncio.timeout(_CLOSE_S):
            try:
                await ws.close(code=code, message=cut)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not ours: the wait for room that ended with the message that took too long.
            while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(_DRAIN_LOOK_S)
    except (TimeoutError, ConnectionError):
        return
    finally:
        # What the client did not take by now it never will; else its connection would linger.
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()
