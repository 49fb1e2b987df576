"""A token dies, the feed parks and says so; a new login is enough, and nobody restarts anything."""

import hashlib
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock
from tests.support.processes import free_port, get, started, until, write_config

SECRET, DEAD, FRESH = "s3cret-of-the-app", "dead-token-1", "fresh-token-2"


class Broker:
    """Kite's REST API as far as a login needs it, and the webhook of the user."""

    def __init__(self) -> None:
        self.good = {FRESH}
        self.posted: list[dict[str, str]] = []
        self.alerts: list[dict[str, Any]] = []
        self.refusing_alerts = 0
        self.url = ""

    async def session(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.posted.append({key: str(value) for key, value in form.items()})
        signed = hashlib.sha256(f"key{form['request_token']!s}{SECRET}".encode()).hexdigest()
        if form["checksum"] != signed or form["request_token"] != "reqtok123":
            document = {"status": "error", "message": "Token is invalid", "error_type": "TokenException"}
            return web.json_response(document, status=403)
        return web.json_response({"status": "success", "data": {"access_token": FRESH, "user_id": "AB1234"}})

    async def profile(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("token key:")
        return web.json_response({"status": "success"}, status=200 if token in self.good else 403)

    async def alert(self, request: web.Request) -> web.Response:
        if self.refusing_alerts:
            self.refusing_alerts -= 1
            return web.Response(status=503)
        self.alerts.append(await request.json())
        return web.Response()


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    one, app = Broker(), web.Application()
    app.router.add_post("/session/token", one.session)
    app.router.add_get("/user/profile", one.profile)
    app.router.add_post("/hook/secret-path", one.alert)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield one
    finally:
        await runner.cleanup()


def configured(folder: Path, simulator: KiteSimulator, api: str, port: int) -> Path:
    path = write_config(
        folder,
        simulator=simulator.ws_url,
        instruments=f"{simulator.http_url}/instruments",
        symbols=["RELIANCE.NS"],
        port=port,
    )
    content = yaml.safe_load(path.read_text())
    kite = content["providers"]["kite_ws"]
    del kite["access_token"]
    kite |= {"api": api, "api_secret": SECRET}
    content["alerts"] = {"webhook": f"{api}/hook/secret-path"}
    path.write_text(yaml.safe_dump(content))
    return path


def kite_of(health: dict[str, Any], part: str) -> dict[str, Any]:
    found: dict[str, Any] = health["parts"][part].get("kite_ws", {})
    return found


def when(port: int, holds: Callable[[dict[str, Any]], bool]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        status, health = await get(f"http://127.0.0.1:{port}/health")
        return status in (200, 503) and holds(health)

    return look


def token_file(folder: Path, token: str, made: datetime) -> None:
    (folder / "kite_token.json").write_text(
        json.dumps({"api_key": "key", "access_token": token, "made_at": made.isoformat()})
    )


@pytest.mark.timeout(240)
async def test_a_refused_token_parks_the_feed_and_a_login_sets_it_going_again(tmp_path: Path) -> None:
    port = free_port()
    async with (
        broker() as api,
        KiteSimulator(clock=Clock(), rate=20, refused_tokens=frozenset({DEAD})) as simulator,
    ):
        config = configured(tmp_path, simulator, api.url, port)
        api.refusing_alerts = 1
        token_file(tmp_path, DEAD, datetime.now(UTC))
        log = tmp_path / "log"
        async with started("--config", config, "run", log=log, cwd=tmp_path) as daemon:
            parked = when(port, lambda health: kite_of(health, "feeds").get("state") == "parked")
            await until("parked feed", parked, daemon)
            _, health = await get(f"http://127.0.0.1:{port}/health")
            assert kite_of(health, "tokens")["state"] == "refused"
            assert "mdingest login kite" in kite_of(health, "tokens")["what_to_do"]
            assert "was replaced by a later login" in kite_of(health, "feeds")["error"]

            async def told_once() -> bool:
                return len(api.alerts) == 1

            await until("first alert", told_once, daemon)
            login_log = tmp_path / "login"
            async with started(
                "--config", config, "login", "kite", "reqtok123", log=login_log, cwd=tmp_path
            ) as login:
                assert await login.ended() == 0, login.said()
            live = when(port, lambda health: kite_of(health, "feeds").get("frames", 0) > 5)
            await until("live feed", live, daemon)
            _, health = await get(f"http://127.0.0.1:{port}/health")

            async def told() -> bool:
                return len(api.alerts) == 2

            await until("two alerts", told, daemon)
            assert await daemon.stopped() == 0
    assert stat.S_IMODE((tmp_path / "kite_token.json").stat().st_mode) == 0o600
    assert api.posted[0]["api_key"] == "key"
    assert kite_of(health, "tokens")["state"] == "valid"
    assert kite_of(health, "tokens")["expires_at"].endswith("T00:30:00Z")  # 06:00 IST
    assert [(one["what"], one["feed"], one["state"]) for one in api.alerts] == [
        ("feed", "kite_ws", "parked"),
        ("feed", "kite_ws", "live"),
    ]
    assert "mdingest login kite" in api.alerts[0]["what_to_do"]
    for shown in (daemon.said(), login.said(), json.dumps(health), json.dumps(api.alerts)):
        for secret in (SECRET, DEAD, FRESH, "secret-path", "reqtok123"):
            assert secret not in shown
    assert f"{simulator.http_url}" not in login.said()
    assert f"{api.url}/connect/login?v=3&api_key=key" in login.said(), "whose api it is, that one's page"


@pytest.mark.timeout(240)
async def test_a_403_of_a_good_token_is_told_as_an_app_without_market_data(tmp_path: Path) -> None:
    port = free_port()
    async with (
        broker() as api,
        KiteSimulator(clock=Clock(), refused_tokens=frozenset({DEAD})) as simulator,
    ):
        api.good = {DEAD}
        config = configured(tmp_path, simulator, api.url, port)
        token_file(tmp_path, DEAD, datetime.now(UTC))
        async with started("--config", config, "run", log=tmp_path / "log", cwd=tmp_path) as daemon:
            parked = when(port, lambda health: kite_of(health, "feeds").get("state") == "parked")
            await until("parked feed", parked, daemon)
            _, health = await get(f"http://127.0.0.1:{port}/health")
            assert await daemon.stopped() == 0
    assert "the app has no market data" in kite_of(health, "feeds")["error"]


@pytest.mark.timeout(240)
async def test_a_feed_parks_when_its_token_dies_though_the_socket_still_talks(tmp_path: Path) -> None:
    port = free_port()
    async with broker() as api, KiteSimulator(clock=Clock(), rate=20) as simulator:
        config = configured(tmp_path, simulator, api.url, port)
        soon = datetime.now(UTC) + timedelta(seconds=12)  # a busy machine starts it in eight
        (tmp_path / "kite_token.json").write_text(
            json.dumps(
                {
                    "access_token": DEAD,
                    "made_at": (soon - timedelta(hours=8)).isoformat(),
                    "expires_at": soon.isoformat(),
                }
            )
        )
        async with started("--config", config, "run", log=tmp_path / "log", cwd=tmp_path) as daemon:
            await until("live feed", when(port, lambda h: kite_of(h, "feeds").get("state") == "live"), daemon)
            await until(
                "parked feed", when(port, lambda h: kite_of(h, "feeds").get("state") == "parked"), daemon
            )
            _, health = await get(f"http://127.0.0.1:{port}/health")
            assert kite_of(health, "tokens")["state"] == "expired"
            assert "expired at" in kite_of(health, "feeds")["error"]
            token_file(tmp_path, FRESH, datetime.now(UTC))
            await until("live feed", when(port, lambda h: kite_of(h, "feeds").get("state") == "live"), daemon)
            assert await daemon.stopped() == 0


@pytest.mark.timeout(240)
async def test_a_token_in_dotenv_is_read_again_when_it_changes(tmp_path: Path) -> None:
    port = free_port()
    async with (
        broker() as api,
        KiteSimulator(clock=Clock(), rate=20, refused_tokens=frozenset({DEAD})) as simulator,
    ):
        config = configured(tmp_path, simulator, api.url, port)
        content = yaml.safe_load(config.read_text())
        content["providers"]["kite_ws"]["access_token"] = "${A_KITE_TOKEN}"
        config.write_text(yaml.safe_dump(content))
        (tmp_path / ".env").write_text(f"A_KITE_TOKEN={DEAD}\n")
        async with started("--config", config, "run", log=tmp_path / "log", cwd=tmp_path) as daemon:
            await until(
                "parked feed", when(port, lambda h: kite_of(h, "feeds").get("state") == "parked"), daemon
            )
            (tmp_path / ".env").write_text(f"A_KITE_TOKEN={FRESH}\n")
            await until("live feed", when(port, lambda h: kite_of(h, "feeds").get("state") == "live"), daemon)
            assert await daemon.stopped() == 0
    assert DEAD not in daemon.said()
