"""A market that is the same each time, and an HTTP server that sells its bars and fails on request."""

import asyncio
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.rows import ns

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
SECOND = 1_000_000_000
MINUTE, DAY = 60 * SECOND, 86_400 * SECOND
_IST_NS = 19_800 * SECOND
_BUSY_DAY = ns(0) // DAY  # the others have fewer trades, so that long replies are quick to make
SECRET = "hush-hush-4711"
FAULTS = ("500", "html", "half", "cut", "nothing", "wrong", "slow", "throttle")
"""What a vendor may be told to do instead of answering; after each it answers again."""


class Bar(NamedTuple):
    open: float
    high: float
    low: float
    close: float
    volume: float
    oi: float


class Vendor(ABC):
    """One vendor. ``now_ns`` is its clock, ``faults`` what becomes of the next requests."""

    provider: ClassVar[str]
    symbol: ClassVar[str]
    always_open: ClassVar[bool] = False
    daily: ClassVar[bool] = False  # it has bars of whole days only
    names_secret: ClassVar[bool] = True  # its requests carry a secret

    def __init__(self) -> None:
        self.now_ns = ns(30 * 86_400)
        self.faults: list[str] = []
        self.asked: list[str] = []  # path and query of each request
        self.answered = 0
        self.factor = 1.0  # prices after an adjustment
        self.every_ns = MINUTE  # a trade in one of its bars of a minute, and in no other
        self.quiet: set[int] = set()  # openings of bars without a trade
        self.zeros: set[int] = set()  # openings of bars that claim a volume of 0
        self.wrong: set[int] = set()  # openings of bars whose high is below their low
        self.refuses_token = False
        self.url = ""

    @abstractmethod
    def options(self, folder: Path) -> dict[str, Any]:
        """What the provider's section says, beside this vendor's address."""

    @abstractmethod
    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As documented."""

    @abstractmethod
    def throttled(self) -> web.Response:
        """Too fast. Says that a second or so is enough, in this vendor's way."""

    def forget(self, folder: Path) -> None:
        """Remove what our side may have kept of its replies, below ``folder``."""
        del folder

    def refused(self) -> web.Response:
        """The token is not good any more."""
        return web.json_response({"error": SECRET}, status=401)

    def wrong_content(self) -> web.Response:
        """JSON of somebody else."""
        return web.json_response({"hello": "world"})

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Vendor"]:
        """On a free port, while the block runs."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _handle(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - one a fault
        self.asked.append(request.path_qs)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "hang up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "slow":
            with suppress(TimeoutError):  # `asyncio.sleep` is what tests take over
                await asyncio.wait_for(asyncio.Event().wait(), 2.0)
        if fault == "throttle":
            return self.throttled()
        if fault == "500":
            return web.Response(status=500, text=f"<html>{SECRET}</html>", content_type="text/html")
        if fault == "html":
            return web.Response(
                text="<html><body>Please log in to the Wi-Fi</body></html>", content_type="text/html"
            )
        if fault == "nothing":
            return web.Response(body=b"", content_type="application/json")
        if fault == "wrong":
            return self.wrong_content()
        if self.refuses_token:
            return self.refused()
        response = await self.answer(request)
        if fault in ("half", "cut"):
            assert isinstance(response, web.Response)
            assert isinstance(response.body, bytes)
            return await _broken(request, response.body, whole=fault == "half")
        self.answered += 1
        return response

    def bars(self, start_ns: int, end_ns: int, interval_ns: int = MINUTE) -> dict[int, Bar]:
        """Bars that open in ``[start, end)`` and have begun, the forming one with them."""
        end_ns = min(end_ns, self.now_ns + 1)
        found = {}
        first = -(-start_ns // MINUTE) * MINUTE
        if interval_ns == DAY:
            offset = 0 if self.always_open else _IST_NS
            first = -(-(start_ns + offset) // DAY) * DAY - offset
        at = first
        while at < end_ns:
            if interval_ns != DAY and not self.is_open(at):
                at += 15 * MINUTE if interval_ns == MINUTE and at % (15 * MINUTE) == 0 else interval_ns
                continue
            every = self.every_ns if at // DAY == _BUSY_DAY else max(self.every_ns, 15 * MINUTE)
            idle = at in self.quiet or (interval_ns == MINUTE and at % every)
            if not idle and self._trades(at):
                found[at] = self.bar(at)
            at += interval_ns
        return found

    def bar(self, at: int) -> Bar:
        """What the market did in the bar that opens then."""
        n = at // MINUTE
        close = 100 + n % 40 * 0.5
        low, high = close - 1, close + 1
        if at in self.wrong:
            low, high = high, low
        volume = 0 if at in self.zeros else 5 + n % 7
        o, h, l, c = (round(price * self.factor, 4) for price in (close - 0.5, high, low, close))  # noqa: E741
        return Bar(o, h, l, c, volume, 1_000 + n % 9)

    def is_open(self, at: int) -> bool:
        """09:15 to 15:30 in Mumbai, on working days."""
        if self.always_open:
            return True
        minute = (at + _IST_NS) % DAY // MINUTE
        return self._trades(at) and 555 <= minute < 930

    def _trades(self, at: int) -> bool:
        weekday = ((at + _IST_NS) // DAY + 3) % 7  # 1970-01-01 was a Thursday
        return self.always_open or weekday < 5


async def _broken(request: web.Request, body: bytes, *, whole: bool) -> web.StreamResponse:
    """Half of a body: as if it were all (``whole``), or short of what was announced."""
    half = body[: len(body) // 2]
    if whole:
        return web.Response(body=half, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(half)
    assert request.transport is not None
    request.transport.close()
    return response


def error(status: int, document: Mapping[str, Any], **headers: str) -> web.Response:
    """A JSON refusal."""
    return web.json_response(
        document, status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
