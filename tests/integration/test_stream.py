"""Candles over a websocket, from readers in memory and from a real database."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from mdingest.api import Changes, series, stream
from mdingest.api.times import format_instant
from mdingest.core.events import CANDLE, Candles, Cause
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from tests.support.fake_reader import FakeReader, at, candles
from tests.support.rows import NIFTY, Database, candle, gap, mark, ns, transaction, uptime
from tests.support.rows import RELIANCE as STORED
from tests.support.served import Api, served

MINUTES = "/stream?symbol=RELIANCE.NS&interval=1m"
NOW = at("12:00:00")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream's second passes in 10 ms; nobody writes behind our back unless a test says so."""
    monkeypatch.setattr(stream, "_TICK_S", 0.01)
    monkeypatch.setattr(series, "_EVERY_NS", 5_000_000)
    monkeypatch.setattr(series, "_DEEP_NS", 1 << 60)


@pytest.fixture
def reader() -> FakeReader:
    """Three hours of minutes, all heard."""
    reader = FakeReader()
    reader.add(candles(at("09:15:00"), 165))
    reader.hear(at("09:00:00"), NOW)
    return reader


class Listener:
    """One client of a stream."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self, kind: str = "candles") -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                message: dict[str, Any] = await self.socket.receive_json()
                if message["type"] == kind:
                    return message

    async def ended(self) -> tuple[int | None, str]:
        """Code and reason of the close."""
        async with asyncio.timeout(5):
            while True:
                message = await self.socket.receive()
                if message.type is WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                assert message.type is WSMsgType.TEXT, message

    async def silent(self, seconds: float = 0.2) -> bool:
        """Whether no candle arrives for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.next()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def listening(api: Api[Any], path: str = MINUTES, **options: Any) -> AsyncIterator[Listener]:  # noqa: ANN401
    """A client of the application."""
    async with api.client.ws_connect(path, **options) as socket:
        yield Listener(socket)


async def test_a_stream_begins_with_what_it_is_how_all_is_and_the_newest_candles(reader: FakeReader) -> None:
    async with served(reader, now=NOW) as api, listening(api) as client:
        hello = await client.next("hello")
        assert (hello["symbol"], hello["interval"]) == ("RELIANCE.NS", "1m")
        health = await client.next("health")
        assert (health["status"], health["time"]) == ("ok", format_instant(NOW))
        assert "now" not in health

        first = await client.next()

        asked = await api.json("/candles?symbol=RELIANCE.NS&interval=1m&limit=120&forming=true")
        assert first["candles"] == asked["candles"]
        assert first["missing_from"] == asked["candles"][0]["ts_utc"]
        assert first["missing"] == asked["missing"] == []


async def test_what_a_commit_brought_is_sent_and_nothing_else(reader: FakeReader) -> None:
    changes = Changes()
    async with served(reader, now=NOW, changes=changes) as api, listening(api) as client:
        await client.next()
        assert await client.silent()
        fresh = candles(at("12:00:00"), 1, close=111.5)

        reader.add(fresh)
        assert await client.silent()  # nobody said so
        api.clock[0] = at("12:01:05")
        changes.committed(transaction(candles=[tuple(fresh[0])]), 0.0)

        assert [(row["ts_utc"][11:16], row["close"]) for row in (await client.next())["candles"]] == [
            ("06:30", 111.5)
        ]
        other = np.array([tuple(fresh[0])], CANDLE)
        other["instrument_id"] = 2
        asked = reader.asked
        changes.committed(transaction(candles=[tuple(other[0])]), 0.0)
        assert await client.silent()
        assert reader.asked == asked  # not even looked


async def test_a_revised_candle_is_sent_again(reader: FakeReader) -> None:
    changes = Changes()
    async with served(reader, now=NOW, changes=changes) as api, listening(api) as client:
        await client.next()
        rows = reader.rows[1, 60]
        rows["close"][-1], rows["revision"][-1] = 250.0, 1

        changes.committed(transaction(candles=[tuple(rows[-1])]), 0.0)

        (row,) = (await client.next())["candles"]
        assert (row["close"], row["revision"]) == (250.0, 1)


async def test_what_is_being_built_comes_out_of_memory(reader: FakeReader) -> None:
    built = candles(at("12:00:00"), 1, close=101.0)

    async with (
        served(
            reader, now=at("12:00:30"), forming=lambda *_: Candles(built.copy()), changes=Changes()
        ) as api,
        listening(api) as client,
    ):
        assert (await client.next())["candles"][-1]["state"] == "forming"
        asked = reader.asked
        for close in (102.0, 103.0):
            built["close"] = close
            (row,) = (await client.next())["candles"]
            assert (row["close"], row["state"]) == (close, "forming")
        assert reader.asked == asked


async def test_a_stored_candle_is_not_overwritten_by_what_was_being_built(reader: FakeReader) -> None:
    stale = candles(at("11:59:00"), 1, close=1.0)

    async with (
        served(reader, now=NOW, forming=lambda *_: Candles(stale.copy()), changes=Changes()) as api,
        listening(api) as client,
    ):
        assert (await client.next())["candles"][-1]["close"] == 265.0
        assert await client.silent()


async def test_longer_candles_grow_as_their_minutes_do(reader: FakeReader) -> None:
    changes = Changes()
    built = candles(at("12:00:00"), 1, close=500.0, high=500.0)
    path = MINUTES.replace("1m", "15m")

    async with (
        served(reader, now=at("12:00:30"), forming=lambda *_: Candles(built.copy()), changes=changes) as api,
        listening(api, path) as client,
    ):
        row = (await client.next())["candles"][-1]
        assert (row["ts_utc"][11:16], row["state"], row["close"]) == ("06:30", "forming", 500.0)
        built["close"] = 499.0
        row = (await client.next())["candles"][-1]
        assert row["close"] == 499.0


async def test_without_a_writer_here_the_store_is_looked_at(reader: FakeReader) -> None:
    async with served(reader, now=NOW) as api, listening(api) as client:
        await client.next()

        reader.add(candles(at("12:00:00"), 1, close=111.5))
        api.clock[0] = at("12:01:05")

        (row,) = (await client.next())["candles"]
        assert row["close"] == 111.5


async def test_a_change_of_what_is_not_followed_says_so(reader: FakeReader) -> None:
    changes = Changes()
    async with served(reader, now=NOW, changes=changes) as api, listening(api) as client:
        await client.next()

        changes.committed(transaction(candles=[tuple(candles(at("09:15:00"), 1)[0])]), 0.0)

        assert await client.next("reload") == {"type": "reload"}


async def test_a_change_of_what_is_not_followed_outlasts_a_database_that_is_down(reader: FakeReader) -> None:
    changes = Changes()
    async with served(reader, now=NOW, changes=changes) as api, listening(api) as client:
        await client.next()

        reader.down = True
        changes.committed(transaction(candles=[tuple(candles(at("09:15:00"), 1)[0])]), 0.0)
        assert await client.silent()
        reader.down = False

        assert await client.next("reload") == {"type": "reload"}


async def test_those_who_look_at_the_same_share_one_look(
    reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "_EVERY_NS", 3_600 * 10**9)  # so that one look is enough for all
    async with served(reader, now=NOW) as api, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listening(api)) for _ in range(5)]
        for client in clients:
            assert len((await client.next())["candles"]) == 120
        asked = reader.asked
        assert asked < len(clients)
        await asyncio.sleep(0.1)  # a few ticks of each
        assert reader.asked == asked


async def test_nobody_reads_for_a_client_that_left(reader: FakeReader) -> None:
    async with served(reader, now=NOW) as api:
        async with listening(api) as client:
            await client.next()
        await asyncio.sleep(0.1)
        asked = reader.asked
        await asyncio.sleep(0.1)

        assert reader.asked == asked


async def test_a_feed_that_fails_is_told_at_once_and_again_when_it_is_back(reader: FakeReader) -> None:
    state = {"state": "live", "frames": 1}
    async with served(reader, now=NOW) as api:
        api.health.register("feeds", lambda: (state["state"] == "live", {"kite_ws": dict(state)}))
        async with listening(api) as client:
            assert (await client.next("health"))["status"] == "ok"

            state |= {"state": "backoff", "error": "Connection refused"}
            document = await client.next("health")
            assert document["parts"]["feeds"]["kite_ws"]["error"] == "Connection refused"
            state |= {"state": "live", "frames": 2}
            assert (await client.next("health"))["status"] == "ok"


async def test_a_database_that_does_not_answer_ends_no_stream(reader: FakeReader) -> None:
    changes = Changes()
    async with served(reader, now=NOW, changes=changes) as api, listening(api) as client:
        await client.next()
        fresh = candles(at("12:00:00"), 1)
        reader.add(fresh)
        api.clock[0] = at("12:01:05")

        reader.down = True
        changes.committed(transaction(candles=[tuple(fresh[0])]), 0.0)
        assert await client.silent()
        reader.down = False

        assert len((await client.next())["candles"]) == 1


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/stream?symbol=RELIANSE.NS&interval=1m", 4404, "RELIANCE.NS"),
        ("/stream?interval=1m", 4400, "symbol is missing"),
        ("/stream?symbol=RELIANCE.NS&interval=7x", 4400, "interval"),
        ("/stream?symbol=RELIANCE.NS&token=secret", 4400, "unknown parameter"),
    ],
)
async def test_what_cannot_be_streamed_is_said_in_words_and_by_the_code(
    reader: FakeReader, path: str, code: int, words: str
) -> None:
    async with served(reader, now=NOW) as api, listening(api, path) as client:
        problem = await client.next("problem")
        assert problem["status"] == code - 4000
        assert words in problem["detail"]

        assert (await client.ended())[0] == code


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 426), ({"Upgrade": "websocket", "Connection": "upgrade", "Origin": "https://evil.example"}, 403)],
)
async def test_what_is_no_websocket_of_ours_is_refused(
    reader: FakeReader, headers: dict[str, str], status: int
) -> None:
    async with served(reader, now=NOW) as api:
        if status == 426:
            assert "ws://" in (await api.json(MINUTES, status=426))["detail"]
            return
        with pytest.raises(WSServerHandshakeError) as refused:
            await api.client.ws_connect(MINUTES, origin=headers["Origin"])
        assert refused.value.status == status


async def test_a_page_of_ours_may_open_a_stream(reader: FakeReader) -> None:
    async with (
        served(reader, now=NOW) as api,
        listening(api, origin=str(api.client.make_url("/")).rstrip("/")) as client,
    ):
        await client.next("hello")


async def test_no_more_streams_than_are_bounded(reader: FakeReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_CLIENTS", 2)
    async with served(reader, now=NOW) as api, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listening(api)) for _ in range(2)]

        with pytest.raises(WSServerHandshakeError) as refused:
            await api.client.ws_connect(MINUTES)

        assert refused.value.status == 503
        await clients[0].socket.close()
        async with listening(api) as client:
            await client.next("hello")


class TestWithTokens:
    async def test_the_token_comes_in_a_header(self, reader: FakeReader) -> None:
        async with (
            served(reader, now=NOW, tokens=["sesame"]) as api,
            listening(api, headers={"Authorization": "Bearer sesame"}) as client,
        ):
            await client.next()

    async def test_or_in_the_first_message(self, reader: FakeReader) -> None:
        async with served(reader, now=NOW, tokens=["sesame"]) as api, listening(api) as client:
            await client.socket.send_json({"token": "sesame"})
            await client.next()

    @pytest.mark.parametrize("said", ['{"token": "open"}', '{"token": 7}', "[]", "sesame", "{"])
    async def test_else_nothing_is_told(self, reader: FakeReader, said: str) -> None:
        async with (
            served(reader, now=NOW, tokens=["sesame"]) as api,
            listening(api, "/stream?symbol=NOBODY") as client,
        ):
            await client.socket.send_str(said)

            message = await client.socket.receive_json()
            assert (message["type"], message["status"]) == ("problem", 401)
            assert (await client.ended())[0] == 4401

    async def test_who_keeps_silent_is_not_waited_for(
        self, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream, "_TOKEN_S", 0.05)
        async with served(reader, now=NOW, tokens=["sesame"]) as api, listening(api) as client:
            assert (await client.ended())[0] == 4401


class Restless(FakeReader):
    """Every candle is another one at every look."""

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        rows = (await super().candles(instrument_id, interval_s, start_ns, end_ns, limit)).copy()
        rows["close"] += self.asked
        return Candles(rows)


@pytest.mark.parametrize("patient", [True, False])
async def test_a_client_that_takes_nothing_is_cut_off_and_others_go_on(
    reader: FakeReader,
    monkeypatch: pytest.MonkeyPatch,
    patient: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr(stream, "_SLOW_S", 0.2)
    monkeypatch.setattr(stream, "_CLOSE_S", 5.0 if patient else 0.2)
    monkeypatch.setattr(series, "_NEWEST", 120)
    monkeypatch.setattr(stream, "_TICK_S", 0.0)
    restless = Restless(rows=reader.rows, heard=reader.heard)
    async with served(restless, now=NOW) as api, listening(api) as other:
        loop = asyncio.get_running_loop()
        with await lazy_client(api) as lazy:
            asleep = loop.time() + 2.0
            while loop.time() < asleep:
                await other.next()  # the lazy one holds nobody up
            heard = b""
            async with asyncio.timeout(40):
                while part := await loop.sock_recv(lazy, 1 << 20):
                    heard = (heard + part)[-200:]
        assert (b"too slow: a message waited" in heard) is patient
        assert len((await other.next())["candles"]) == 120


async def lazy_client(api: Api[Any]) -> socket.socket:
    """A websocket client that has said hello and reads nothing."""
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    lazy.setblocking(False)
    loop = asyncio.get_running_loop()
    url = api.client.make_url(MINUTES)
    await loop.sock_connect(lazy, (url.host, url.port))
    greeting = (
        f"GET {url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await loop.sock_sendall(lazy, greeting.encode())
    return lazy


async def test_a_stop_tells_every_client(reader: FakeReader) -> None:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(served(reader, now=NOW))
        client = Listener(await api.client.ws_connect(MINUTES))
        await client.next()

        closing = asyncio.create_task(api.client.server.close())
        assert await client.ended() == (1001, "mdingest stops")
        await closing


async def test_a_real_database_while_it_is_written_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/md.db"
    await migrate(url)
    database = Database(url, await open_store(url))
    await database.store.ensure_instruments([STORED, NIFTY])
    changes = Changes()

    async def commit(*rows: tuple[Any, ...], **others: Any) -> None:  # noqa: ANN401
        work = transaction(candles=rows, **others)
        await database.store.commit(work)
        changes.committed(work, 0.0)

    await commit(*(candle(60 * n, interval_s=60) for n in range(10)), coverage=[uptime(-600, 615)])
    reading = await open_store(url, read_only=True)
    async with (
        served(database.store, now=ns(605), changes=changes) as api,
        served(reading, now=ns(605)) as behind,
        listening(api) as client,
        listening(behind) as elsewhere,
    ):
        for listener in (client, elsewhere):
            assert len((await listener.next())["candles"]) == 10

        await commit(
            candle(540, 120.0, interval_s=60, revision=1),
            marks=[mark(550, 560)],
            gaps=[gap(550, 560, cause=Cause.UNDECODABLE)],
        )

        for listener in (client, elsewhere):
            news = await listener.next()
            (row,) = news["candles"]
            assert (row["close"], row["revision"], row["state"]) == (120.0, 1, "partial")
            assert news["missing"] == [["2026-11-20T03:54:10Z", "2026-11-20T03:54:20Z", "undecodable"]]
    await reading.close()
    await database.store.close()
