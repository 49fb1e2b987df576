"""Health, metrics, and what guards the application."""

import asyncio
import socket

import pytest
from aiohttp import ClientSession, web

from mdingest.api import server
from mdingest.api.server import serving
from mdingest.core.instrument import Instrument
from mdingest.errors import PermanentError
from tests.support.fake_reader import FakeReader, at, candles
from tests.support.served import Api, MakeApi

PATHS = "/, /candles, /stream, /symbols, /gaps, /coverage, /health, /livez, /readyz, /metrics"
NOW = at("18:00:00")


async def test_health_is_200_or_503_with_each_part_by_itself(api: Api[FakeReader]) -> None:
    api.health.register("writer", lambda: (True, {"lag_s": 0.5}))
    assert await api.json("/health") == {"status": "ok", "parts": {"writer": {"ok": True, "lag_s": 0.5}}}

    api.health.register("feeds", lambda: (False, {"kite_ws": "parked"}))
    document = await api.json("/health", status=503)
    assert document["status"] == "failing"
    assert document["parts"]["feeds"] == {"ok": False, "kite_ws": "parked"}
    assert document["parts"]["writer"]["ok"] is True


async def test_alive_is_not_ready_is_not_healthy(api: Api[FakeReader]) -> None:
    api.health.started = False
    await api.json("/livez")
    await api.json("/readyz", status=503)
    await api.json("/health", status=503)

    api.health.started = True
    api.health.register("feeds", lambda: (False, {}))
    await api.json("/readyz")
    await api.json("/health", status=503)

    api.health.register("store", lambda: (False, {}), for_readers=True)
    assert (await api.json("/readyz", status=503))["failing"] == ["store"]
    await api.json("/livez")


async def test_metrics_are_for_prometheus_and_count_replies(api: Api[FakeReader]) -> None:
    api.metrics.ticks["kite_ws"].inc(7)
    await api.get("/nowhere")

    reply = await api.get("/metrics")
    page = await reply.text()

    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    assert 'mdingest_ticks_total{feed="kite_ws"} 7.0' in page
    assert 'mdingest_http_requests_total{status="404"} 1.0' in page


async def test_the_front_page_says_where_the_candles_are(api: Api[FakeReader]) -> None:
    reply = await api.get("/")

    assert reply.content_type == "text/html"
    assert "/candles" in await reply.text()


async def test_an_unknown_path_is_told_the_known_ones(api: Api[FakeReader]) -> None:
    reply = await api.get("/candels")

    assert reply.status == 404
    assert reply.content_type == "application/problem+json"
    assert await reply.json(content_type=None) == {
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": f"no such path; there are {PATHS}",
    }


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/", "/udf", "/udf/config"])
async def test_what_comes_later_says_so(api: Api[FakeReader], path: str) -> None:
    assert "is not available yet" in (await api.json(path, status=404))["detail"]


async def test_what_only_begins_like_it_does_not_come(api: Api[FakeReader]) -> None:
    assert "no such path" in (await api.json("/docsify", status=404))["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_only_reading_is_allowed(api: Api[FakeReader], method: str) -> None:
    reply = await api.client.request(method, "/candles")

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert reply.content_type == "application/problem+json"
    assert (await reply.json(content_type=None))["detail"] == f"{method} is not allowed here; use GET, HEAD"


async def test_head_is_get_without_a_body(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(at("09:15:00"), 3))

    reply = await api.client.head("/candles?symbol=RELIANCE.NS")

    assert reply.status == 200
    assert await reply.read() == b""


async def test_replies_are_not_kept_by_caches_and_name_no_library(api: Api[FakeReader]) -> None:
    for path in ("/livez", "/nowhere"):
        reply = await api.get(path)
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Server"] == "mdingest"


class TestWithTokens:
    @pytest.mark.parametrize(
        "path", ["/candles?symbol=RELIANCE.NS", "/health", "/metrics", "/symbols", "/nowhere"]
    )
    @pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic first-token", "first-token"])
    async def test_without_the_right_token_nothing_is_said(
        self, make_api: MakeApi, path: str, header: str | None
    ) -> None:
        api = await make_api(FakeReader(), now=NOW, tokens=["first-token", "second-token"])

        reply = await api.get(path, **({} if header is None else {"Authorization": header}))

        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert reply.content_type == "application/problem+json"

    @pytest.mark.parametrize("header", ["Bearer first-token", "bearer second-token"])
    async def test_each_token_opens(self, make_api: MakeApi, header: str) -> None:
        api = await make_api(FakeReader(), now=NOW, tokens=["first-token", "second-token"])

        assert (await api.get("/symbols", Authorization=header)).status == 200

    async def test_probes_and_the_page_without_its_data_need_none(self, make_api: MakeApi) -> None:
        api = await make_api(FakeReader(), now=NOW, tokens=["first-token"])

        assert (await api.get("/livez")).status == 200
        assert (await api.get("/readyz")).status == 200
        assert (await api.get("/")).status == 200


class StuckReader(FakeReader):
    """Never answers; `entered` counts who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Semaphore(0)

    async def instruments(self) -> list[Instrument]:
        """Until cancelled."""
        self.entered.release()
        await asyncio.Event().wait()
        return []


async def test_too_many_requests_at_once_are_turned_away_and_probes_are_not(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_IN_FLIGHT", 2)
    reader = StuckReader()
    api = await make_api(reader, now=NOW)
    async with asyncio.TaskGroup() as group:
        stuck = [group.create_task(api.get("/symbols")) for _ in range(2)]
        for _ in stuck:
            await reader.entered.acquire()

        reply = await api.get("/symbols")
        assert reply.status == 503
        assert reply.headers["Retry-After"] == "1"
        assert "more than 2 requests" in (await reply.json(content_type=None))["detail"]
        assert (await api.get("/livez")).status == 200
        for task in stuck:
            task.cancel()


async def test_a_request_that_takes_too_long_is_ended(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_TIMEOUT_S", 0.05)
    api = await make_api(StuckReader(), now=NOW)

    assert "not done within 0.05 s" in (await api.json("/symbols", status=503))["detail"]


class BrokenReader(FakeReader):
    """Has a bug."""

    async def instruments(self) -> list[Instrument]:
        """Not this way."""
        raise ZeroDivisionError("hunter22")


async def test_a_bug_is_500_without_details_and_is_logged(
    make_api: MakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api = await make_api(BrokenReader(), now=NOW)

    reply = await api.get("/symbols")
    text = await reply.text()

    assert reply.status == 500
    assert reply.content_type == "application/problem+json"
    assert "hunter22" not in text
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (await api.get("/livez")).status == 200


async def test_serving_binds_tells_the_port_and_lets_go() -> None:
    app = web.Application()
    async with serving(app, "127.0.0.1", 0) as port, ClientSession() as session:
        reply = await session.get(f"http://127.0.0.1:{port}/")
        assert reply.status == 404
    with socket.create_server(("127.0.0.1", port)):
        pass  # free again


async def test_a_port_that_is_taken_is_told_with_its_keys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PermanentError, match=rf"127\.0\.0\.1:{port} \(api\.host, api\.port\)"):
            async with serving(web.Application(), "127.0.0.1", port):
                pass
