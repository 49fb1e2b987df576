"""`mdingest status` asks the daemon how it is and the database what it holds."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from mdingest import calendars
from mdingest.api import Served, create_app, serving
from mdingest.cli import main
from mdingest.cli.beside import clock_beside
from mdingest.cli.gathering import gather
from mdingest.cli.screen import screen
from mdingest.cli.status import condense
from mdingest.config import load
from mdingest.core.units import NS
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock, parse_clock
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from tests.support.rows import NIFTY, RELIANCE, Database, candle, gap, ns

TOKEN = "a-long-token"
HOUR_S, DAY_S = 3_600, 86_400


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with three candles and a gap, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDINGEST_CONFIG", raising=False)
    url = "sqlite:///md.db"
    await migrate(url)
    database = Database(url, await open_store(url))
    await database.store.ensure_instruments([RELIANCE, NIFTY])
    await database.put(candle(0), candle(1), candle(0, interval_s=60), gaps=[gap(5, None)])
    await database.store.close()
    return url


async def test_a_daemon_that_runs_is_shown_beside_what_is_stored(url: str) -> None:
    store = await open_store(url, read_only=True)
    health = Health(started=True, facts={"time": lambda: "2026-11-20T03:46:00Z"})
    health.register("feeds", lambda: (False, {"kite_ws": {"state": "parked"}}))
    served = Served(store, calendars.load().table, lambda: ns(60), health, Metrics(), tokens=[TOKEN])
    async with serving(create_app(served), "127.0.0.1", 0) as port:
        overrides = {"database.url": url, "api.host": "0.0.0.0", "api.port": port, "api.tokens": [TOKEN]}
        found = await gather(load(None, {}, overrides))
    await store.close()

    assert found["daemon"]["status"] == "failing"
    assert found["daemon"]["parts"]["feeds"] == {"ok": False, "kite_ws": {"state": "parked"}}
    assert TOKEN not in json.dumps(found)
    assert found["stored"]["symbols"] == 2
    assert found["stored"]["last_candle"] == "2026-11-20T03:45:01Z"
    assert found["stored"]["lag_s"] == 59, "by the daemon's clock, which may be shifted"
    row = next(row for row in found["stored"]["last_candles"] if row["symbol"] == "RELIANCE.NS")
    assert (row["1s"], row["1m"]) == ("2026-11-20T03:45:01Z", "2026-11-20T03:45:00Z")
    assert row["open_gap"] == "disconnect"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, "", "something else answers there (HTTP 200)"),
        (404, "[]", "something else answers there (HTTP 404)"),
        (200, '{"parts": 1}', "something else answers there (HTTP 200)"),
        (500, "<p>oops", "something else answers there (HTTP 500)"),
        (401, '{"title": "Token needed", "detail": "send a header"}', "HTTP 401: send a header"),
    ],
)
async def test_whoever_else_answers_is_no_daemon(url: str, status: int, body: str, reason: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_get("/health", answer)
    async with serving(app, "127.0.0.1", 0) as port:
        found = await gather(load(None, {}, {"database.url": url, "api.port": port}))

    assert (found["daemon"]["status"], found["daemon"]["reason"]) == ("does not answer", reason)
    assert list(screen(condense(found)))


@pytest.mark.parametrize(
    ("said", "speed"),
    [("shifted, x10", 10), ("shifted, x0.5", 0.5), (None, None), ("shifted", None), ("shifted, x99", None)],
)
async def test_a_command_goes_by_the_shifted_clock_of_a_daemon_beside_it(
    url: str, said: str | None, speed: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"time": "2026-11-20T03:45:20Z"} | ({} if said is None else {"clock": said})
    own = Clock()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"parts": {}, **facts})

    app = web.Application()
    app.router.add_get("/health", answer)
    async with serving(app, "127.0.0.1", 0) as port:
        config = load(None, {}, {"database.url": url, "api.port": port})
        found = await clock_beside(config, own)
        given = parse_clock("2026-11-20T10:00:00Z")
        assert await clock_beside(config, given) is given
        await asyncio.to_thread(Path("c.yaml").write_text, f"api: {{port: {port}}}")
        told = await asyncio.to_thread(
            main, ["--config", "c.yaml", "gaps", "--database", url, "--all", "--json"]
        )

    assert told == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert ("has a shifted clock: going by it" in err) == (speed is not None)
    lost = [json.loads(line)["seconds"] for line in lines if line.startswith("{")]
    if speed is None:
        assert found is own
        assert not [seconds for seconds in lost if seconds < DAY_S]
    else:
        assert found.speed == speed
        assert 0 <= found.wall_ns() - ns(20) < HOUR_S * NS
        assert [seconds for seconds in lost if seconds < HOUR_S]


async def test_nobody_beside_leaves_the_clock_alone(url: str) -> None:
    own = Clock()

    assert await clock_beside(load(None, {}, {"database.url": url, "api.port": 1}), own) is own


def test_without_a_daemon_the_database_is_shown_all_the_same(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.yaml").write_text("api: {port: 1}")

    assert main(["--config", "c.yaml", "status", "--database", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["daemon"]["status"] == "does not answer"
    assert found["stored"]["symbols"] == 2

    assert main(["--config", "c.yaml", "status", "--database", url]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["RELIANCE.NS", "2026-11-20T03:45:01Z", "2026-11-20T03:45:00Z", "1", "disconnect"] in lines


def test_without_a_database_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["status", "--database", "sqlite:///gone.db"]) == 2
    assert "run `mdingest migrate` first" in capsys.readouterr().err
