"""Every store of the program, each on an empty, migrated database."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mdingest.store import open_store
from mdingest.store.migrate import migrate
from tests.support.rows import NIFTY, RELIANCE, Database


def _sqlite(directory: Path) -> str:
    return f"sqlite:///{directory}/candles.db"


STORES: dict[str, Callable[[Path], str]] = {"sqlite": _sqlite}


@pytest.fixture(params=sorted(STORES))
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = STORES[request.param](tmp_path)
    await migrate(url)
    database = Database(url, await open_store(url, source_order=("yfinance", "alphavantage")))
    await database.store.ensure_instruments([RELIANCE, NIFTY])
    yield database
    await database.store.close()
