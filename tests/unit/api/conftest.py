"""The application over a small reader in memory, with a clock turned by hand."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from mdingest import calendars
from mdingest.api import Served, create_app
from mdingest.core.events import Candles
from mdingest.core.session import SessionTable
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from tests.support.fake_reader import FakeReader, at
from tests.support.served import Api, MakeApi


@pytest.fixture
async def make_api() -> AsyncIterator[MakeApi]:
    """An application over a reader of one's own."""
    clients = []

    async def make(
        reader: FakeReader | None = None,
        now: int = at("18:00:00"),
        tokens: Iterable[str] = (),
        forming: Callable[[int, int], Candles] | None = None,
    ) -> Api:
        reader = reader or FakeReader()
        clock, health, metrics = [now], Health(started=True), Metrics()
        book = calendars.load()

        def tables(name: str, start: dt.date, end: dt.date) -> SessionTable:
            return book.table(name, start, end)

        app = create_app(
            Served(
                reader=reader,
                tables=tables,
                now=lambda: clock[0],
                health=health,
                metrics=metrics,
                forming=forming,
                tokens=list(tokens),
            )
        )
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return Api(client, reader, health, metrics, clock)

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
def reader() -> FakeReader:
    """Nothing stored."""
    return FakeReader()


@pytest.fixture
async def api(make_api: MakeApi, reader: FakeReader) -> Api:
    """The application over `reader`, at 18:00 Indian time."""
    return await make_api(reader)
