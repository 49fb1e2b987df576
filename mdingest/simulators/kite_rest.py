"""The broker's plain HTTP: login, session, profile, instruments, candles; and who may open a websocket.

One place answers whatever is no websocket, at the door of the websocket server.
"""

import asyncio
import json
import math
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from mdingest.simulators.instruments import SimInstrument, instruments_csv
from mdingest.simulators.kite_door import METHOD
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.kite_session import NotGranted, Sessions, profile
from mdingest.simulators.kite_troubles import HANG
from mdingest.simulators.trades import S
from mdingest.telemetry.clock import Clock

_REFUSALS = {
    "403": (HTTPStatus.FORBIDDEN, "Incorrect `api_key` or `access_token`.", "TokenException"),
    "429": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "NetworkException"),
}
_NO_DATA = (HTTPStatus.FORBIDDEN, "Insufficient permission for that call.", "PermissionException")
_DOWN = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"  # of who stands before it


class KiteRest:
    """Of one exchange. ``now_ns`` is the exchange's clock."""

    def __init__(
        self,
        exchange: KiteExchange,
        instruments: Sequence[SimInstrument],
        refused_tokens: Collection[str],
        api_secret: str,
        clock: Clock,
        now_ns: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._instruments = instruments
        self._refused_tokens = refused_tokens
        self._clock = clock
        self._now_ns = now_ns
        self._sessions = Sessions(api_secret, now_ns, exchange.troubles.dead_tokens.add)

    async def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """Plain HTTP, or None to go on with the upgrade."""
        url = urlsplit(request.path)
        query = {name: given[0] for name, given in parse_qs(url.query).items()}
        method, path = request.headers.get(METHOD, "GET"), url.path.strip("/")
        if (method, path) == ("GET", ""):
            return await self._admit(query)
        return self._reply(method, path.split("/"), query, request.headers)

    def _reply(self, method: str, path: list[str], query: dict[str, str], headers: Headers) -> Response:
        if self._exchange.troubles.lasts("503", self._now_ns()):
            return _down()
        match method, *path:
            case "GET", "connect", "login":
                reply = self._login(query)
            case "POST", "session", "token":
                reply = self._session(query)
            case "DELETE", "session", "token":
                self._sessions.logout(query.get("api_key", ""), query.get("access_token", ""))
                reply = _success(data=True)
            case "GET", "user", "profile":
                reply = _success(profile()) if self._knows(headers) else _error(*_REFUSALS["403"])
            case "GET", "instruments":
                reply = _csv(instruments_csv(self._instruments))
            case "GET", "instruments", exchange:
                reply = _csv(instruments_csv([one for one in self._instruments if one.exchange == exchange]))
            case "GET", "instruments", "historical", token, interval:
                reply = self._historical(headers, token, interval, query)
            case _:
                reply = _error(HTTPStatus.NOT_FOUND, "Route not found", "GeneralException")
        return reply

    async def _admit(self, query: dict[str, str]) -> Response | None:
        troubles, token = self._exchange.troubles, query.get("access_token", "")
        if "api_key" not in query or not self._is_good(token):
            return _error(*_REFUSALS["403"])
        while (refusal := troubles.refusal(self._now_ns())) is not None:
            kind, left_ns = refusal
            left_s = self._clock.real_s(left_ns / S)
            if kind == "503":
                return _down()
            if kind != HANG:
                return _error(*_REFUSALS[kind], retry_s=left_s if kind == "429" else None)
            await asyncio.sleep(left_s)  # the client has long given up
        troubles.admit(token)
        return None

    def _login(self, query: dict[str, str]) -> Response:
        if "api_key" not in query:
            return _error(HTTPStatus.BAD_REQUEST, "Missing `api_key`.", "InputException")
        reply = _response(HTTPStatus.FOUND, "text/plain", "")
        reply.headers["Location"] = self._sessions.login(query["api_key"])
        return reply

    def _session(self, form: dict[str, str]) -> Response:
        try:
            return _success(self._sessions.exchange(form))
        except NotGranted as exc:
            return _error(HTTPStatus.FORBIDDEN, str(exc), "TokenException")

    def _historical(self, headers: Headers, token: str, interval: str, asked: dict[str, str]) -> Response:
        if not self._knows(headers):
            return _error(*_REFUSALS["403"])
        if self._exchange.troubles.lasts("403", self._now_ns()):
            return _error(*_NO_DATA)
        self._exchange.turn(self._now_ns())
        try:
            return _success(self._exchange.bars.answer(token, interval, asked))
        except ValueError as exc:
            return _error(HTTPStatus.BAD_REQUEST, str(exc), "InputException")

    def _knows(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        key, _, access_token = credentials.partition(":")
        return scheme == "token" and bool(key) and self._is_good(access_token)

    def _is_good(self, access_token: str) -> bool:
        dead = self._exchange.troubles.dead_tokens
        return bool(access_token) and access_token not in dead and access_token not in self._refused_tokens


def _success(data: object) -> Response:
    return _response(HTTPStatus.OK, "application/json", json.dumps({"status": "success", "data": data}))


def _csv(text: str) -> Response:
    return _response(HTTPStatus.OK, "text/csv", text)


def _down() -> Response:
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, "text/html", _DOWN)


def _error(status: HTTPStatus, why: str, kind: str, *, retry_s: float | None = None) -> Response:
    body = {"status": "error", "message": why, "data": None, "error_type": kind}
    reply = _response(status, "application/json", json.dumps(body))
    if retry_s is not None:
        reply.headers["Retry-After"] = str(math.ceil(retry_s))
    return reply


def _response(status: HTTPStatus, content_type: str, text: str) -> Response:
    body = text.encode()
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
