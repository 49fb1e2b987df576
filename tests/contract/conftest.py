"""Every store of the program, each on an empty, migrated database."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from mdingest.store import open_store
from mdingest.store.migrate import migrate
from tests.support.postgres import Server, database
from tests.support.rows import NIFTY, RELIANCE, Database

New = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def _sqlite(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    directory: Path = request.getfixturevalue("tmp_path")
    url = f"sqlite:///{directory}/candles.db"
    await migrate(url)
    yield url


@asynccontextmanager
async def _postgres(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    server: Server = request.getfixturevalue("postgres")
    async with database(server) as url:
        yield url


STORES: dict[str, New] = {"sqlite": _sqlite, "postgres": _postgres}


@pytest.fixture(params=sorted(STORES))
async def db(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    async with STORES[request.param](request) as url:
        db = Database(url, await open_store(url, source_order=("yfinance", "alphavantage")))
        await db.store.ensure_instruments([RELIANCE, NIFTY])
        yield db
        await db.store.close()
