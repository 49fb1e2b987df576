"""HTTP over a real database, while it is written to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mdingest.core.events import Cause
from mdingest.core.session import Session
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.migrate import migrate
from tests.support.rows import NIFTY, RELIANCE, Database, candle, gap, ns, uptime
from tests.support.served import Api, served

QUERY = "/candles?symbol=RELIANCE.NS"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """RELIANCE (1) and NIFTY (2), no candles."""
    url = f"sqlite:///{tmp_path}/md.db"
    await migrate(url)
    database = Database(url, await open_store(url))
    await database.store.ensure_instruments([RELIANCE, NIFTY])
    yield database
    await database.store.close()


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api[Store]]:
    """The application over it, an hour after the opening."""
    async with served(database.store, now=ns(3_600)) as api:
        yield api


async def test_committed_candles_are_served_at_once_with_what_is_missing(
    api: Api[Store], database: Database
) -> None:
    minutes = [candle(60 * n, 100.0 + n, interval_s=60) for n in range(60) if n not in (20, 21)]
    await database.put(
        *minutes,
        coverage=[uptime(-600, 1_200), uptime(1_320, 3_615, stream=2)],
        gaps=[gap(1_200, 1_320, cause=Cause.DISCONNECT)],
    )

    document = await api.json(f"{QUERY}&limit=3&start=2026-11-20T03:45:00Z")
    assert [row["ts_utc"][11:16] for row in document["candles"]] == ["04:42", "04:43", "04:44"]
    assert document["truncated"] is True

    document = await api.json(f"{QUERY}&limit=100&start=2026-11-20T03:45:00Z")
    assert len(document["candles"]) == 58
    assert document["missing"] == [["2026-11-20T04:05:00Z", "2026-11-20T04:07:00Z", "disconnect"]]

    api.clock[0] = ns(3_620)
    document = await api.json(f"{QUERY}&interval=15m")
    assert [row["state"] for row in document["candles"]] == ["final", "partial", "final", "final"]
    assert [row["volume"] for row in document["candles"]] == [75, 65, 75, 75]


async def test_a_candle_reads_back_as_it_was_written(api: Api[Store], database: Database) -> None:
    await database.put(
        candle(60, 2913.35, interval_s=60, volume=None, partial=True, revision=2, session=Session.UNKNOWN)
    )

    (row,) = (await api.json(QUERY))["candles"]

    assert row == {
        "ts_utc": "2026-11-20T03:46:00Z", "open": 2912.35, "high": 2914.35, "low": 2911.35,
        "close": 2913.35, "volume": None, "oi": None, "trades": 3, "source": "kite_ws",
        "state": "partial", "session": "unknown", "revision": 2,
    }  # fmt: skip


async def test_a_stream_that_is_open_covers_up_to_its_last_frame(api: Api[Store], database: Database) -> None:
    claim = await database.store.claim("0f1e2d3c-0000-4000-8000-000000000001", "test")
    await database.put(
        candle(0, interval_s=60),
        coverage=[uptime(0, None)],
        streams={1: ("kite_ws", ns(1_800))},
        lsn=10,
        epoch=claim.epoch,
    )

    api.clock[0] += 123_456_789

    document = await api.json(QUERY)

    assert document["missing"] == [["2026-11-20T04:15:00Z", "2026-11-20T04:44:40Z", "unrecorded"]]


async def test_seconds_and_symbols(api: Api[Store], database: Database) -> None:
    await database.put(*(candle(n, 100.0 + n) for n in range(200)))

    document = await api.json(f"{QUERY}&interval=1s")
    assert len(document["candles"]) == 50
    assert document["candles"][-1]["close"] == 299.0

    symbols = (await api.json("/symbols"))["symbols"]
    assert symbols[1]["symbol"] == "RELIANCE.NS"
    assert symbols[1]["last"] == {"1s": "2026-11-20T03:48:19Z"}


async def test_days_and_weeks_over_stored_days(api: Api[Store], database: Database) -> None:
    await database.put(
        candle(-33_300 + 2 * 86_400 - 7 * 86_400 + 19_800, 7.0, interval_s=86_400, source="bhavcopy"),
        coverage=[uptime(-10 * 86_400, 3_600, source="bhavcopy")],
    )

    days = (await api.json(f"{QUERY}&interval=1d"))["candles"]
    assert [row["ts_utc"] for row in days] == ["2026-11-15T00:00:00Z"]
    weeks = (await api.json(f"{QUERY}&interval=1w"))["candles"]
    assert [(row["ts_utc"], row["close"]) for row in weeks] == [("2026-11-09T00:00:00Z", 7.0)]


async def test_a_read_only_store_serves_the_same(api: Api[Store], database: Database) -> None:
    await database.put(*(candle(60 * n, interval_s=60) for n in range(5)))
    store = await open_store(database.url, read_only=True)

    async with served(store, now=ns(3_600)) as other:
        assert await other.json(QUERY) == await api.json(QUERY)
        await database.put(candle(300, interval_s=60))
        assert len((await other.json(QUERY))["candles"]) == 6
    await store.close()
