"""The HTTP application over any reader, with a clock turned by hand."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from mdingest import calendars
from mdingest.api import Changes, Reader, Served, create_app
from mdingest.core.events import Candles
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics

ReaderT = TypeVar("ReaderT", bound=Reader)


@dataclass
class Api(Generic[ReaderT]):
    """One application and what it is made of."""

    client: TestClient[Any, Any]
    reader: ReaderT
    health: Health
    metrics: Metrics
    clock: list[int]

    async def get(self, path: str, **headers: str) -> ClientResponse:
        """One request."""
        return await self.client.get(path, headers=headers)

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        """The document of one request, which must have this status."""
        reply = await self.get(path)
        assert reply.status == status, await reply.text()
        document: dict[str, Any] = await reply.json(content_type=None)
        return document


class MakeApi(Protocol):
    """A fixture that serves readers until the test ends."""

    async def __call__(
        self,
        reader: ReaderT,
        *,
        now: int,
        tokens: Iterable[str] = (),
        forming: Callable[[int, int], Candles] | None = None,
    ) -> Api[ReaderT]:
        """As `served`."""
        ...


@asynccontextmanager
async def served(
    reader: ReaderT,
    *,
    now: int,
    tokens: Iterable[str] = (),
    forming: Callable[[int, int], Candles] | None = None,
    changes: Changes | None = None,
) -> AsyncIterator[Api[ReaderT]]:
    """The application over ``reader``, with the shipped calendars."""
    clock, health, metrics = [now], Health(started=True), Metrics()
    app = create_app(
        Served(
            reader=reader,
            tables=calendars.load().table,
            now=lambda: clock[0],
            health=health,
            metrics=metrics,
            forming=forming,
            changes=changes,
            tokens=list(tokens),
        )
    )
    async with TestClient(TestServer(app)) as client:
        yield Api(client, reader, health, metrics, clock)
