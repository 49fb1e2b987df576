"""Requests of history over real sockets: replies as they come, and no secret in any text."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history import fetch, kept
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.providers.history import FileRequest, HttpRequest, Keep, Reply


async def _answer(request: web.Request) -> web.Response:
    if request.query.get("symbol") == "LONG":
        return web.Response(body=b"x" * 2_000)
    text = f"{request.query_string}|{request.headers.get('Authorization')}"
    return web.Response(
        text=text, status=int(request.query.get("status", "200")), headers={"Retry-After": "7"}
    )


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/klines", _answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/klines"))


async def test_parameters_and_secrets_reach_the_other_side(url: str) -> None:
    request = HttpRequest(url, (("symbol", "A&B"),), (("apikey", "k"),), (("Authorization", "token t"),))

    async with Fetcher() as fetcher, fetcher.reply(request) as reply:
        assert reply.body.read() == b"symbol=A%26B&apikey=k|token t"
        assert (reply.status, reply.headers["retry-after"]) == (200, "7")
        assert reply.place(3) == f"{url}?symbol=A&B row 3"


async def test_what_a_status_means_is_left_to_the_adapter(url: str) -> None:
    async with Fetcher() as fetcher, fetcher.reply(HttpRequest(url, (("status", "429"),))) as reply:
        assert reply.status == 429


async def test_nobody_there_is_a_reason_to_try_again_without_telling_the_secret(url: str) -> None:
    dead = url.replace("/klines", "").rsplit(":", 1)[0] + ":1/x"
    request = HttpRequest(dead, (("symbol", "A"),), (("apikey", "hunter2"),))

    async with Fetcher() as fetcher:
        with pytest.raises(TransientError) as caught:
            async with fetcher.reply(request):
                pass

    assert "hunter2" not in f"{caught.value}{request!r}"
    assert "symbol=A" in str(caught.value)


async def test_a_reply_without_end_is_cut_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_REPLY_BYTES", 1_000)

    async with Fetcher() as fetcher:
        with pytest.raises(PermanentError, match="longer than"):
            async with fetcher.reply(HttpRequest(url, (("symbol", "LONG"),))):
                pass


async def test_what_is_not_there_is_remembered_for_a_while_and_then_forgotten(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(fetch.time, "monotonic", lambda: now)
    keep = Keep(tmp_path / "day.csv", 1 << 20)
    requests = [HttpRequest(f"{url}?n={n}&status=404", keep=keep) for n in range(3)]

    async with Fetcher() as fetcher:
        for request in requests[:2]:
            async with fetcher.reply(request) as reply:
                assert reply.status == 404
        assert [fetcher.has(request) for request in requests] == [True, True, False]
        now += 700
        assert not fetcher.has(requests[0])
        async with fetcher.reply(requests[2]) as reply:
            assert reply.status == 404
        assert list(fetcher._absent) == [requests[2].url]


def test_two_may_keep_the_same_reply_at_once(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "day.csv", 1 << 20)

    class Meanwhile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if not keep.path.exists():
                kept.store(keep, Reply(FileRequest(keep.path), io.BytesIO(b"day")))
            return super().read(size)

    with structlog.testing.capture_logs() as said:
        kept.store(keep, Reply(FileRequest(keep.path), Meanwhile(b"day")))

    assert said == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"day.csv": b"day"}


async def test_a_file_is_a_reply_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")

    async with Fetcher() as fetcher:
        async with fetcher.reply(FileRequest(tmp_path / "a.csv")) as reply:
            assert (reply.body.read(), reply.place(2)) == (b"x", f"{tmp_path}/a.csv:2")
        with pytest.raises(PermanentError, match=r"none\.csv can't be read: No such file"):
            async with fetcher.reply(FileRequest(tmp_path / "none.csv")):
                pass
