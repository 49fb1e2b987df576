"""A daemon's calendars, renewed from a list that a small server publishes."""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from mdingest.api.wanted import Tables
from mdingest.app.parts import calendars_of
from mdingest.app.trading_days import trading_days_of
from mdingest.config import Config, load
from mdingest.core.records import Kind
from mdingest.core.session import DAY_NS
from mdingest.errors import TransientError
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.trading_days import TradingDays
from mdingest.telemetry.clock import Clock
from tests.support.rows import RELIANCE, ns
from tests.unit.calendars.test_timings import only
from tests.unit.calendars.test_upstox_list import ELECTION, KNOWN, entry, listed

NOON = int(dt.datetime(2026, 12, 2, 6, 30, tzinfo=dt.UTC).timestamp()) * 10**9


class Publisher:
    """Answers as upstox.com/developer/api-documentation says, or with what a test puts there."""

    def __init__(self) -> None:
        self.says: Any = listed(KNOWN)
        self.times: dict[str, Any] = {}  # by date; others have no session
        self.status = 200
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if isinstance(self.says, str):
            return web.Response(text=self.says, status=self.status)
        return web.json_response(self.says, status=self.status)

    async def answer_times(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        times = self.times.get(request.path.rpartition("/")[2], {"status": "success", "data": []})
        return web.json_response(times, status=404 if times is None else 200)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    publisher = Publisher()
    app = web.Application()
    app.router.add_get("/v2/market/holidays", publisher.answer)
    app.router.add_get("/v2/market/timings/{date}", publisher.answer_times)
    async with TestServer(app) as server:
        publisher.url = str(server.make_url("")).rstrip("/")
        yield publisher


class Log:
    """Takes records as an intake does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: list[tuple[Kind, bytes]] = []

    def add(self, kind: Kind, stream: int, payload: bytes) -> None:
        del stream
        self.records.append((kind, payload))


def configured(tmp_path: Path, publisher: Publisher) -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"journal: {{dir: {tmp_path}/data/journal}}\ncalendar: {{refresh: true, url: '{publisher.url}'}}\n"
    )
    return load(file, {})


async def test_a_late_holiday_is_in_force_at_once(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.says = listed(KNOWN, ELECTION)
    config = configured(tmp_path, publisher)
    clock = Clock(NOON, time.monotonic_ns(), shifted=True)
    book = calendars_of(config)
    journal = Log(clock)
    announcer = Announcer(journal, book.table)  # type: ignore[arg-type]
    announcer.announce(["NSE.EQ.cas"])
    tables = Tables(book.table, lambda: book.version)
    assert tables.around(RELIANCE, NOON, NOON).session_of(_array(NOON))[0] != 0

    done, renew = asyncio.Event(), announcer.renew

    def renewed() -> None:
        renew()
        done.set()

    monkeypatch.setattr(announcer, "renew", renewed)
    (task,) = trading_days_of(config, clock, book, announcer).values()
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(task())
        async with asyncio.timeout(20):
            await done.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert not book.day("NSE.EQ.cas", dt.date(2026, 12, 2)).windows
    assert tables.around(RELIANCE, NOON, NOON).session_of(_array(NOON))[0] == 0
    assert [kind for kind, _ in journal.records] == [Kind.CALENDAR, Kind.CALENDAR]
    assert journal.records[0][1] != journal.records[1][1]
    warned = [line for line in logs if line["event"] == "calendar.day_changed"]
    assert {line["log_level"] for line in warned if line["scope"] == "NSE.EQ"} == {"warning"}
    assert {(line["event"], line["scope"], line["was"], line["now"]) for line in warned} >= {
        ("calendar.day_changed", "NSE.EQ", "09:15-15:30", "closed")
    }
    assert not calendars_of(config).day("NSE.EQ.cas", dt.date(2026, 12, 2)).windows  # after a restart too
    assert "closed,NSE.EQ,2026-12-02" in (tmp_path / "data/calendar/upstox.csv").read_text()


def _array(instant: int) -> Any:  # noqa: ANN401 - an array
    import numpy as np

    return np.array([instant], np.int64)


def keeper(publisher: Publisher, path: Path, told: list[int], now_ns: int = ns(0)) -> TradingDays:
    from mdingest import calendars

    clock = Clock(now_ns, time.monotonic_ns(), shifted=True)
    return TradingDays(publisher.url, path, clock, known=calendars.load, changed=lambda: told.append(1))


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ("<html>Wi-Fi</html>", 200),
        ("", 200),
        (listed(ELECTION), 500),
        (listed(ELECTION), 404),
        (listed(ELECTION, entry("2026-12-01", ["NSE"], kind="PARTY")), 200),
        (listed(ELECTION, entry("2026-12-02", ["NSE"])), 200),  # the same date twice
        ({"status": "success", "data": []}, 200),
    ],
)
async def test_a_bad_reply_changes_nothing(
    tmp_path: Path, publisher: Publisher, says: object, status: int
) -> None:
    told: list[int] = []
    days = keeper(publisher, tmp_path / "calendar" / "upstox.csv", told)
    publisher.says = listed(KNOWN, entry("2026-12-04", ["NSE"]))
    await days.renew()
    before = (tmp_path / "calendar" / "upstox.csv").read_text()
    publisher.says, publisher.status = says, status

    with pytest.raises(TransientError):
        await days.renew()

    assert (tmp_path / "calendar" / "upstox.csv").read_text() == before
    assert (told, [path.name for path in (tmp_path / "calendar").iterdir()]) == ([1], ["upstox.csv"])


async def test_a_session_of_the_week_ahead_is_learnt_and_a_wrong_reply_takes_nothing_of_it_back(
    tmp_path: Path, publisher: Publisher
) -> None:
    saturday = dt.date(2026, 11, 21)
    told: list[int] = []
    path = tmp_path / "upstox.csv"
    days = keeper(publisher, path, told)
    publisher.times[str(saturday)] = only(saturday, NSE=("09:15", "12:00"))
    await days.renew()
    assert sorted(publisher.asked)[1:] == [f"/v2/market/timings/2026-11-{day}" for day in range(20, 27)]
    learnt = path.read_text().splitlines()[2:]
    assert "special,NSE.EQ,2026-11-21,,regular,09:15,12:00,as Upstox times it" in learnt

    for wrong in (None, {"status": "success"}, only(saturday, NSE=("12:00", "09:15"))):
        publisher.times[str(saturday)] = wrong
        with structlog.testing.capture_logs() as logs:
            await days.renew()
        assert [line["event"] for line in logs] == ["calendar.no_timings"]
        assert path.read_text().splitlines()[2:] == learnt

    publisher.times[str(saturday)] = only(saturday)  # it was called off
    await days.renew()
    assert not [row for row in path.read_text().splitlines()[2:] if "2026-11-21" in row]
    assert told == [1, 1]


async def test_nobody_is_told_of_a_list_that_says_the_same(tmp_path: Path, publisher: Publisher) -> None:
    told: list[int] = []
    days = keeper(publisher, tmp_path / "upstox.csv", told)
    publisher.says = listed(ELECTION)

    await days.renew()
    await days.renew()
    assert told == [1]

    publisher.says = listed(KNOWN)  # the election was called off
    await days.renew()
    assert told == [1, 1]


async def test_the_list_of_a_new_year_reopens_no_holiday_of_the_old_one(
    tmp_path: Path, publisher: Publisher
) -> None:
    told: list[int] = []
    path = tmp_path / "upstox.csv"
    publisher.says = listed(KNOWN, ELECTION)
    await keeper(publisher, path, told).renew()
    rows = path.read_text().splitlines()[2:]

    publisher.says = listed(entry("2027-03-05", ["CDS"]))
    (settlement,) = await keeper(publisher, path, told, now_ns=NOON + 40 * DAY_NS).renew()

    assert path.read_text().splitlines()[2:] == [settlement.row, *rows]


async def test_a_long_list_comes_in_pieces(tmp_path: Path, publisher: Publisher) -> None:
    publisher.says = listed(ELECTION | {"description": "x" * 1_000_000})

    assert await keeper(publisher, tmp_path / "upstox.csv", []).renew()


async def test_a_fresh_list_is_not_fetched_again(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = keeper(publisher, tmp_path / "upstox.csv", [])
    await days.renew()
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await days.run()

    assert (len(publisher.asked), waited) == (1 + 7, [pytest.approx(20 * 3_600, abs=60)])


async def test_a_list_that_was_damaged_on_disk_is_left_out(tmp_path: Path, publisher: Publisher) -> None:
    config = configured(tmp_path, publisher)
    path = tmp_path / "data" / "calendar" / "upstox.csv"
    path.parent.mkdir(parents=True)
    path.write_text("kind,scope\nclosed,everything")

    with structlog.testing.capture_logs() as logs:
        book = calendars_of(config)

    assert book.day("NSE.EQ.cas", dt.date(2026, 12, 2)).windows
    assert [line["event"] for line in logs] == ["calendar.fetched_list_ignored"]
