"""The schedule holds a session against the broker's bars and the exchange's file, and tells what differs.

The session takes three minutes. The broker's bars are the market's own but for one high; the exchange's
file has the day as it was but for its close, which is no trade in earnest either.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from mdingest import calendars
from mdingest.simulators import KiteSimulator
from mdingest.simulators.hours import AUTO
from mdingest.telemetry.clock import Clock, parse_clock
from tests.support.evidence import NS
from tests.support.postgres import database
from tests.support.processes import Process, free_port, get, started, until, write_config
from tests.support.rows import Database
from tests.support.vendors.base import Bar
from tests.support.vendors.bhavcopy import BhavcopyVendor

SPEED = 40  # a silence of three seconds is strange: 75 ms, which a busy machine must not stop for
HOURS = "kind,scope,date,until,what,start,end,note\nspecial,NSE.EQ,2026-11-20,,regular,18:00,18:03,short\n"
START = datetime(2026, 11, 20, 12, 24, tzinfo=UTC)  # 17:54 in India: nine seconds to connect in
SPOILT = "2026-11-20T12:31:00Z"
HEARD, ABSENT = "RELIANCE.NS", "INFY.NS"
LOADED = """
import pathlib, sys, time
import mdingest.app.daemon, mdingest.app.feeding
pathlib.Path("loaded").touch()
while not pathlib.Path("begin").exists():
    time.sleep(0.02)
sys.argv[1:4] = pathlib.Path("begin").read_text().split()
"""
"""Imports everything, which takes a busy machine minutes of a fast clock, then waits for that clock."""


class Exchange(BhavcopyVendor):
    """Its file has the day of RELIANCE as the tape tells it, and INFY not at all."""

    def __init__(self, tape: Path) -> None:
        super().__init__()
        self.tape = tape

    def bar(self, at: int) -> Bar:
        del at
        lines = [json.loads(line) for line in self.tape.read_text().splitlines()]
        prices = [line["price"] for line in lines if line["symbol"] == HEARD]
        volume = sum(line["size"] for line in lines if line["symbol"] == HEARD)
        return Bar(prices[0], max(prices), min(prices), prices[-1] - 0.5, volume, 0)

    def write(self, folder: Path) -> str:
        """The file of the day, unpacked; where it is."""
        response = self._file("bse", START.date(), "")  # of the same form, and plain
        text = str(response.text).replace(",BSE,", ",NSE,").replace(",A,", ",EQ,")
        (folder / "BhavCopy_NSE_CM_0_0_0_20261120_F_0000.csv").write_text(text)
        return str(folder / "BhavCopy_*")


async def _bars(simulator: KiteSimulator, request: web.Request) -> web.Response:
    """The broker's REST: the simulator's, and a high that it has shown to nobody."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{simulator.http_url}{request.path_qs}", headers=request.headers) as reply,
    ):
        body = await reply.json(content_type=None)
    for bar in body["data"]["candles"]:
        if "/738561/" in request.path and datetime.fromisoformat(bar[0]) == datetime.fromisoformat(SPOILT):
            bar[2] += 5
    return web.json_response(body, status=reply.status)


def clock_of(start: datetime) -> Clock:
    return parse_clock(f"{start.isoformat()}x{SPEED}")


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[tuple[KiteSimulator, str]]:
    """Its clock begins with it."""
    files = {"tape": folder / "tape.jsonl", "cuts": folder / "cuts.jsonl"}
    clock = clock_of(START)
    async with KiteSimulator(clock=clock, rate=2.0, seed=7, session=AUTO, **files) as simulator:
        app = web.Application()
        app.router.add_get("/{path:.*}", partial(_bars, simulator))
        async with TestServer(app) as rest:
            yield simulator, str(rest.make_url("")).rstrip("/")


def configure(path: Path, **others: Any) -> None:  # noqa: ANN401 - sections of the configuration
    content = yaml.safe_load(path.read_text())
    content["providers"] |= others.pop("providers")
    path.write_text(yaml.safe_dump(content | others))


def told(rows: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Differences by other side and field, summed over the symbols."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows:
        compared, differing = found.get((row["other"], row["field"]), (0, 0))
        found[row["other"], row["field"]] = (compared + row["compared"], differing + row["differing"])
    return found


@pytest.fixture(params=["sqlite", "postgres"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Its store is nobody's: only its address and its SQL are used."""
    if request.param == "sqlite":
        yield Database(f"sqlite:///{tmp_path / 'mdingest.db'}", store=None)  # type: ignore[arg-type]
        return
    async with database(request.getfixturevalue("postgres")) as url:
        yield Database(url, store=None)  # type: ignore[arg-type]


async def test_a_session_is_held_against_the_broker_and_the_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    hours = tmp_path / "calendar.csv"
    hours.write_text(HOURS)
    monkeypatch.setattr("mdingest.simulators.hours.load", partial(calendars.load, hours))
    exchange = Exchange(tmp_path / "tape.jsonl")
    port, path = free_port(), tmp_path / "config.yaml"
    run = partial(started, "--config", path, cwd=tmp_path)

    async def loaded() -> bool:
        return (tmp_path / "loaded").exists()

    async def ended(daemon: Process, name: str, due: str) -> dict[str, Any]:
        job: dict[str, Any] = {}

        async def has() -> bool:
            _, body = await get(f"http://127.0.0.1:{port}/health")
            for key, said in (body["parts"]["schedule"] if body else {}).items():
                if key.startswith(name):
                    job.update(said)
            return job.get("last") == due

        await until(name, has, daemon, within_s=60)
        return job

    async with AsyncExitStack() as stack:
        first = run("run", log=tmp_path / "first.log", clock=clock_of(START), prelude=LOADED)
        daemon = await stack.enter_async_context(first)
        await until("daemon", loaded, daemon, within_s=60)
        simulator, rest = await stack.enter_async_context(broker(tmp_path))
        await stack.enter_async_context(exchange.serve())
        (tmp_path / "instruments.csv").write_text(simulator.instruments_csv())
        addresses = {"simulator": simulator.ws_url, "instruments": tmp_path / "instruments.csv"}
        write_config(tmp_path, **addresses, symbols=[HEARD, ABSENT], port=port)
        kite = yaml.safe_load(path.read_text())["providers"]["kite_ws"]
        archive = {"nse": exchange.url, "bse": exchange.url}
        configure(
            path,
            providers={
                "kite_ws": kite | {"session_class": {}, "api": rest},
                "bhavcopy": archive,
            },
            database={"url": db.url},
            calendar={"file": str(hours)},
            reconcile=[
                {"provider": "kite", "interval": "1m", "at": "18:05"},
                {"provider": "bhavcopy", "interval": "1d", "at": "21:00"},
            ],
        )
        clock = simulator.clock
        (tmp_path / "soon").write_text(f"{clock.wall_origin_ns} {clock.origin_ns} {clock.speed}")
        (tmp_path / "soon").rename(tmp_path / "begin")
        minutes = await ended(daemon, "reconcile kite", "2026-11-20T12:35:00Z")
        assert await daemon.stopped() == 0, daemon.said()
        assert "nothing was built live on 2026-11-19" in daemon.said()  # what a first start missed
        assert '"how": "failed"' not in daemon.said()
        assert minutes["said"] == "2026-11-20: 2 symbols, 1 of 36 values differ"

        later = timedelta(hours=3).total_seconds() * NS / SPEED
        simulator.clock = replace(clock, origin_ns=clock.origin_ns - round(later))
        exchange.now_ns = simulator.clock.wall_ns()
        async with run("run", log=tmp_path / "second.log", clock=simulator.clock) as daemon:
            day = await ended(daemon, "reconcile bhavcopy", "2026-11-20T15:30:00Z")
            since = f"{round(START.timestamp())}"
            _, body = await get(f"http://127.0.0.1:{port}/coverage?symbol={HEARD}&start={since}")
            assert await daemon.stopped() == 0, daemon.said()
        absent = f"{ABSENT}: INFY is not in the file of NSE.CM of 2026-11-20"
        assert day["error"] == f"2026-11-20: 1 symbol, 1 of 6 values differ; {absent}"
        configure(path, providers={"bhavcopy": archive | {"files": exchange.write(tmp_path)}})
        arguments = ("reconcile", "--provider", "bhavcopy", "--interval", "1d", "--symbols", HEARD, "--json")
        async with run(*arguments, log=tmp_path / "third.log", clock=simulator.clock) as command:
            assert await command.ended(within_s=60) == 0, command.said()

    fields = dict.fromkeys(("open", "high", "low", "close", "volume", "candle"), 0)
    wanted = {("kite", field): (3, differing) for field, differing in (fields | {"high": 1}).items()}
    wanted |= {("bhavcopy", field): (1, differing) for field, differing in (fields | {"close": 1}).items()}
    assert told(body["differences"]) == wanted
    (high,) = [row for row in body["differences"] if row["other"] == "kite" and row["differing"]]
    assert (high["worst"], round(high["theirs"] - high["ours"], 2)) == (SPOILT, 5.0)
    again = [json.loads(line) for line in command.said().splitlines() if line.startswith('{"symbol"')]
    assert told(again) == {key: value for key, value in wanted.items() if key[0] == "bhavcopy"}
    assert body["missing"] == 0

    stored = "SELECT interval, source, count(*) FROM candles WHERE interval != '1s' GROUP BY 1, 2 ORDER BY 1"
    assert db.sql(stored) == [("1d", "bhavcopy", 1), ("1m", "kite", 6)]
    symbol = (
        "symbol = $1"
        if db.url.startswith("postgres")
        else ("instrument_id = (SELECT id FROM instruments WHERE symbol = ?)")
    )
    kept = f"SELECT count(*), max(high) FROM candle_revisions WHERE {symbol}"  # noqa: S608 - as above
    assert db.sql(kept, HEARD) == [(3, exchange.bar(0).high)]
