"""A feed against a real websocket server: what is in the log after each kind of ending."""

import asyncio
import email.utils
import errno
import itertools
import logging
import math
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.protocol import State
from websockets.sync.server import ServerConnection, serve

from mdingest.core import control
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.records import Batch, Kind, Record
from mdingest.errors import JournalError, MdingestError, PermanentError, TransientError
from mdingest.pipeline import connection
from mdingest.pipeline.connection import Connection, Wire, open_socket, trusted
from mdingest.pipeline.feed import Feed, FeedOptions, FeedState, FeedStatus, Guard
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.pulse import Pulse
from mdingest.providers.base import Heard
from mdingest.telemetry.clock import Clock
from tests.support.fake_exchange import DEAF, STAY, Close, FakeExchange, Heed, Refuse

SECRET = "s3cr3t"


def sub(key: str) -> Subscription:
    return Subscription(key, int(key), 100.0, "NSE.EQ", VolumeKind.CUMULATIVE)


class Plain:
    """The smallest protocol: one text message a subscription, frames as they are."""

    feed = "plain_ws"
    resolution_ns = 1
    answers = False
    spacing_s = 0.0
    max_instruments = 10
    max_connections = 2

    def __init__(self, url: str, silence_s: float = 30.0) -> None:
        self.silence_s = silence_s
        self._url = url

    def url(self, subs: Sequence[Subscription]) -> str:
        assert subs
        return f"{self._url}/?token={SECRET}"

    def headers(self) -> dict[str, str]:
        return {"Authorization": SECRET}

    def greeting(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        return [f"+{s.key}" for s in subs]

    def farewell(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        return [f"-{s.key}" for s in subs]

    def receive(self, frame: str | bytes) -> Heard:
        match frame:
            case "ping":
                return Heard(journal=False, replies=("pong",))
            case "leave":
                return Heard(reconnect="the peer shuts down")
            case "order":
                return Heard(journal=False, note="an order")
        return Heard()

    def stamp_ns(self, frame: str | bytes) -> int:
        return 0 if isinstance(frame, str) else int.from_bytes(frame[:8].ljust(8, b"\0"))

    def refused(self, status: int, body: str) -> MdingestError:
        if status == 403:
            return PermanentError(f"refused with {status}: {body}; log in again")
        return TransientError(f"refused with {status}")


class Scene:
    """A feed, its journal, and everything it ever said about itself."""

    def __init__(self, exchange: FakeExchange, url: str, journal: Journal) -> None:
        self.exchange = exchange
        self.url = url
        self.batches: list[Batch] = []
        self.states: list[FeedState] = []
        self.errors: list[str] = []
        self.waited: list[int] = []  # how many waits were drawn, for each fresh generator
        self.intake = Intake(journal, self.batches.append, Clock(), max_wait_s=0.001)
        self.task: asyncio.Task[None]
        self.feed: Feed
        self._changed = asyncio.Event()

    def waits(self) -> Iterator[float]:
        self.waited.append(0)
        while True:
            self.waited[-1] += 1
            yield 0.0

    def start(
        self,
        *keys: str,
        silence_s: float = 30.0,
        spacing_s: float = 0.0,
        healthy_s: float = 60.0,
        waits: Callable[[], Iterator[float]] | None = None,
        recheck: Callable[[], bool] | None = None,
    ) -> None:
        options = FeedOptions(
            wire=Wire(open_timeout_s=2.0, close_timeout_s=0.2, ping_s=0.1, max_frame_bytes=10_000),
            waits=waits or self.waits,
            healthy_s=healthy_s,
            recheck_s=0.01,
        )
        protocol = Plain(self.url, silence_s)
        protocol.spacing_s = spacing_s
        self.feed = Feed(
            "plain_ws",
            protocol,
            [sub(key) for key in keys],
            self.intake,
            stream_ids=itertools.count(1).__next__,
            options=options,
            guard=None if recheck is None else Guard(recheck=recheck),
        )
        self.feed.on_change = self._note
        self.task = asyncio.create_task(self.feed.run())

    def _note(self, status: FeedStatus) -> None:
        self.states.append(status.state)
        if status.state in {FeedState.BACKOFF, FeedState.PARKED}:
            self.errors.append(status.last_error)
        self._changed.set()

    async def reach(self, state: FeedState) -> None:
        while self.feed.status.state is not state:
            self._changed.clear()
            await self._changed.wait()

    async def records(self, kind: Kind, count: int) -> list[Record]:
        """Wait until so many records of a kind are in the log."""
        while True:
            found = [r for r in self.log() if r.kind is kind]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
        self.intake.flush()

    def log(self) -> list[Record]:
        return [r for b in self.batches for r in b.records() if r.kind is not Kind.TICK]

    def story(self) -> list[tuple[str, int, bytes]]:
        return [(r.kind.name, r.stream_id, r.payload) for r in self.log()]


@asynccontextmanager
async def scene(exchange: FakeExchange, tmp_path: Path) -> AsyncIterator[Scene]:
    with Journal.open(tmp_path / "journal")[0] as journal:
        async with asyncio.timeout(20), exchange.serve() as url:
            played = Scene(exchange, url, journal)
            intake = asyncio.create_task(played.intake.run())
            try:
                yield played
                await played.stop()
            finally:
                for task in (intake, played.task):
                    task.cancel()
                await asyncio.gather(intake, played.task, return_exceptions=True)


CONNECT = control.encode(control.Connect("plain_ws", 1))


def subscribe(*keys: str) -> bytes:
    return control.encode_subscribe([sub(key) for key in keys])


def cause(text: str) -> bytes:
    return control.encode(control.Disconnect(text))


class Unwilling:
    """A journal whose disk has failed."""

    def append(self, records: list[Record]) -> Batch:
        raise JournalError(f"{len(records)} records can't be written")


async def test_a_connection_that_the_journal_refuses_leaves_no_socket_open() -> None:
    told: list[Batch] = []
    intake = Intake(Unwilling(), told.append, Clock())  # type: ignore[arg-type] # all that an intake asks of one
    intake.add(Kind.FRAME, 0, b"earlier")
    with pytest.raises(JournalError):
        intake.flush()
    async with asyncio.timeout(20), FakeExchange([STAY]).serve() as url:
        socket = await open_socket(Plain(url), [sub("1")], Wire(close_timeout_s=0.2))
        stream = Connection(socket, 1, Plain(url), intake, Pulse(lambda: 0.0), lambda _, __: None)
        with pytest.raises(JournalError, match="1 records"):  # and no DISCONNECT without a CONNECT
            await stream.run([sub("1")])
        assert socket.state is State.CLOSED
    assert not told


@pytest.fixture
def unknown_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Key and certificate of 127.0.0.1 in one file, which no machine trusts; what is read is forgotten."""
    file = tmp_path / "server.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=made"
    where = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "/dev/stdout")
    done = subprocess.run([*made.split(), *where], check=True, capture_output=True)
    file.write_bytes(done.stdout)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    trusted.cache_clear()
    yield file
    trusted.cache_clear()


async def test_an_encrypted_address_is_verified_against_what_the_machine_trusts_read_once(
    unknown_authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(unknown_authority)
    async with asyncio.timeout(20), FakeExchange([STAY], [STAY]).serve(tls) as url:
        with pytest.raises(TransientError, match="certificate"):
            await open_socket(Plain(url), [sub("1")], Wire())
        monkeypatch.setenv("SSL_CERT_FILE", str(unknown_authority))
        made: list[ssl.SSLContext] = []
        really = ssl.create_default_context
        monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(really()) or made[-1])
        for _ in range(2):
            socket = await open_socket(Plain(url), [sub("1")], Wire(close_timeout_s=0.2))
            await socket.close()
    assert len(made) == 1


async def test_certificates_that_cannot_be_read_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> ssl.SSLContext:
        raise PermissionError(errno.EACCES, "Permission denied")  # say of SSLKEYLOGFILE

    monkeypatch.setattr(connection, "trusted", refused)
    with pytest.raises(TransientError, match="can't connect: Permission denied"):
        await open_socket(Plain("wss://127.0.0.1:9"), [sub("1")], Wire())


async def test_two_hang_ups_make_three_streams_and_each_subscribes_again(tmp_path: Path) -> None:
    exchange = FakeExchange([Heed(2), "a", b"b"], [Heed(2), "c", Close(1001, "bye")], [Heed(2), "d", STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", "2")
        await s.records(Kind.FRAME, 4)
    assert exchange.sessions == [["+1", "+2"]] * 3
    assert s.story() == [
        ("CONNECT", 1, CONNECT),
        ("SUBSCRIBE", 1, subscribe("1", "2")),
        ("FRAME", 1, b"a"),
        ("FRAME", 1, b"b"),
        ("DISCONNECT", 1, cause("disconnect")),
        ("CONNECT", 2, CONNECT),
        ("SUBSCRIBE", 2, subscribe("1", "2")),
        ("FRAME", 2, b"c"),
        ("DISCONNECT", 2, cause("disconnect")),
        ("CONNECT", 3, CONNECT),
        ("SUBSCRIBE", 3, subscribe("1", "2")),
        ("FRAME", 3, b"d"),
        ("DISCONNECT", 3, cause("stop")),
    ]
    status = s.feed.status
    assert (status.state, status.reconnects, status.frames, status.bytes) == (FeedState.STOPPED, 2, 4, 4)
    stamps = [r.mono_ns for r in s.log()]
    assert stamps == sorted(stamps)


async def test_a_socket_that_is_open_and_mute_is_left(tmp_path: Path) -> None:
    exchange = FakeExchange(["a", STAY], ["b", STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", silence_s=0.05)
        await s.records(Kind.DISCONNECT, 1)
        s.feed.protocol.silence_s = 30.0
        await s.records(Kind.FRAME, 2)
    assert s.story()[2:4] == [("FRAME", 1, b"a"), ("DISCONNECT", 1, cause("mute"))]


async def test_frames_that_come_in_time_keep_a_connection(tmp_path: Path) -> None:
    beats = [asyncio.Event() for _ in range(6)]
    exchange = FakeExchange([step for beat in beats for step in (beat, "beat")] + [STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", silence_s=0.5)
        for n, beat in enumerate(beats):
            await asyncio.sleep(0.2)  # real time is what this is about: 1.2 s in all
            beat.set()
            await s.records(Kind.FRAME, n + 1)
        assert len(exchange.requests) == 1


async def test_a_peer_that_may_say_nothing_is_pinged_and_kept_while_it_answers(tmp_path: Path) -> None:
    deaf = asyncio.Event()
    exchange = FakeExchange(["a", deaf, DEAF, STAY], ["b", STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", silence_s=math.inf)
        await s.records(Kind.FRAME, 1)
        await asyncio.sleep(0.4)  # real time is what this is about: four pings
        assert len(exchange.requests) == 1
        deaf.set()
        await s.records(Kind.FRAME, 2)
    assert s.story()[2:4] == [("FRAME", 1, b"a"), ("DISCONNECT", 1, cause("disconnect"))]


async def test_who_beats_by_itself_is_not_pinged(tmp_path: Path) -> None:
    """The broker's own clients never do: whether each of its servers answers nobody knows."""
    exchange = FakeExchange(["a", DEAF, STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", silence_s=30.0)
        await s.records(Kind.FRAME, 1)
        await asyncio.sleep(0.4)  # a ping and its patience would long be over
        assert s.feed.status.state is FeedState.LIVE


async def test_messages_keep_the_distance_that_the_peer_wants(tmp_path: Path) -> None:
    async with scene(FakeExchange([STAY]), tmp_path) as s:
        s.start("1", "2", spacing_s=0.1)
        came = []
        for count in range(1, 5):
            if count == 3:
                await s.feed.change([sub("3")], [sub("1")])
            await s.exchange.heard(0, count)
            came.append(time.monotonic())
    assert (await s.exchange.heard(0, 4)) == ["+1", "+2", "-1", "+3"]
    assert came[-1] - came[0] >= 0.25, "three distances, less what a loaded machine was late for the first"


@contextmanager
def server_in_a_thread(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """An exchange that goes on while this thread stands still."""
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def sleep_while(late: threading.Event, seconds: float) -> None:
    """Stop the whole process, as SIGSTOP would, while the peer goes on."""
    late.set()
    time.sleep(seconds)


async def test_what_waits_in_the_socket_counts_when_the_process_itself_slept(tmp_path: Path) -> None:
    late, done = threading.Event(), threading.Event()

    def play(client: ServerConnection) -> None:
        client.send("a")
        late.wait(20)
        client.send("b")
        done.wait(20)

    with server_in_a_thread(play) as url:
        async with scene(FakeExchange(), tmp_path) as s:
            s.url = url
            s.start("1", silence_s=0.3)
            await s.records(Kind.FRAME, 1)
            sleep_while(late, 0.6)
            await s.records(Kind.FRAME, 2)
            done.set()
            assert [k for k, *_ in s.story()] == ["CONNECT", "SUBSCRIBE", "FRAME", "FRAME"]


async def test_a_403_parks_the_feed_without_hammering_until_the_token_changes(tmp_path: Path) -> None:
    token_changed = [False]
    exchange = FakeExchange(Refuse(403, "no"), [Heed(1), "a", STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", recheck=lambda: token_changed[0])
        await s.reach(FeedState.PARKED)
        await asyncio.sleep(0.1)  # ten rechecks
        assert len(exchange.requests) == 1
        assert s.feed.status.last_error == "refused with 403: no; log in again"
        assert s.story() == []
        token_changed[0] = True
        await s.records(Kind.FRAME, 1)
        assert s.feed.status.last_error == ""
    assert s.states == [
        FeedState.CONNECTING, FeedState.PARKED, FeedState.CONNECTING, FeedState.LIVE, FeedState.STOPPED,
    ]  # fmt: skip


async def test_a_parked_feed_can_be_woken(tmp_path: Path) -> None:
    async with scene(FakeExchange(Refuse(403), Refuse(403), ["a", STAY]), tmp_path) as s:
        s.start("1")
        for asked in (1, 2):
            await s.exchange.asked(asked)
            await s.reach(FeedState.PARKED)
            s.feed.wake()
            await s.reach(FeedState.CONNECTING)
        await s.records(Kind.FRAME, 1)


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Refuse(500, "oops"), "refused with 500"),
        (Refuse(302, "", {"Location": "http://example.invalid/?token=other"}), "url"),
        (Refuse(302, "", {"Location": "ws://example.invalid:99999/?token=other"}), "url"),
        (Refuse(302, "", {"Location": "ws://a..b/?token=other"}), "url"),
        (Refuse(503, "", {"Retry-After": f"Mon, 20 Nov 1995 19:12:08 +{10**20}"}), "refused with 503"),
    ],
)
async def test_a_refusal_is_told_without_the_address_and_tried_again(
    tmp_path: Path, refusal: Refuse, says: str
) -> None:
    async with scene(FakeExchange(refusal, ["a", STAY]), tmp_path) as s:
        s.start("1")
        await s.records(Kind.FRAME, 1)
        (error,) = s.errors
        assert says in error
        assert "token" not in error


async def test_a_redirect_to_another_server_is_followed(tmp_path: Path) -> None:
    target = FakeExchange([Heed(1), "moved", STAY])
    async with target.serve() as elsewhere:
        exchange = FakeExchange(Refuse(302, "", {"Location": f"{elsewhere}/feed?code=once"}))
        async with scene(exchange, tmp_path) as s:
            s.start("1")
            (frame,) = await s.records(Kind.FRAME, 1)
    assert frame.payload == b"moved"
    assert target.requests == ["/feed?code=once"]


@pytest.mark.parametrize("form", ["seconds", "a date"])
async def test_retry_after_is_honoured_before_any_backoff(tmp_path: Path, form: str) -> None:
    wish = "1" if form == "seconds" else email.utils.formatdate(time.time() + 1.5, usegmt=True)
    exchange = FakeExchange(Refuse(429, "", {"Retry-After": wish}), ["a", STAY])
    async with scene(exchange, tmp_path) as s:
        s.start("1", waits=lambda: itertools.repeat(1e9))
        await s.records(Kind.FRAME, 1)
    assert len(exchange.requests) == 2


@pytest.mark.parametrize("wish", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_peer_that_asks_for_no_wait_is_not_asked_without_a_pause(tmp_path: Path, wish: str) -> None:
    async with scene(FakeExchange(Refuse(429, "", {"Retry-After": wish})), tmp_path) as s:
        with capture_logs() as said:
            s.start("1", waits=lambda: itertools.repeat(7e6))
            await s.reach(FeedState.BACKOFF)
            await asyncio.sleep(0)
    assert [line["delay_s"] for line in said if line["event"] == "feed.retry_scheduled"] == [7e6]


async def test_a_connection_that_was_healthy_resets_the_backoff(tmp_path: Path) -> None:
    async with scene(FakeExchange([], [], [], ["a", STAY]), tmp_path) as s:
        s.start("1", healthy_s=60.0)
        await s.records(Kind.FRAME, 1)
        assert s.waited == [3]
    async with scene(FakeExchange([], [], [], ["a", STAY]), tmp_path / "healthy") as s:
        s.start("1", healthy_s=0.0)
        await s.records(Kind.FRAME, 1)
        assert s.waited == [1, 1, 1]


async def test_an_announced_end_is_followed_at_once_by_a_new_connection(tmp_path: Path) -> None:
    async with scene(FakeExchange(["leave", STAY], ["a", STAY]), tmp_path) as s:
        s.start("1", healthy_s=0.0, waits=lambda: itertools.repeat(1e9))
        await s.records(Kind.FRAME, 2)
    assert ("DISCONNECT", 1, cause("disconnect")) in s.story()


async def test_a_machine_that_was_suspended_begins_a_new_stream(tmp_path: Path) -> None:
    """Frames may have been lost while the socket lived; what waits in it is not recorded as heard."""
    slept, resumed = [1000.0], asyncio.Event()

    class Laptop(Clock):
        def slept_s(self) -> float:
            return slept[0]

    async with scene(FakeExchange(["a", resumed, "b", STAY], ["c", STAY]), tmp_path) as s:
        s.intake.clock = Laptop()
        s.start("1", healthy_s=0.0, waits=lambda: itertools.repeat(1e9))
        await s.records(Kind.FRAME, 1)
        slept[0] += 600.0
        resumed.set()
        await s.records(Kind.FRAME, 2)
    frames = [told for told in s.story() if told[0] in {"FRAME", "DISCONNECT"}]
    assert frames[:3] == [("FRAME", 1, b"a"), ("DISCONNECT", 1, cause("disconnect")), ("FRAME", 2, b"c")]


async def test_a_server_that_is_not_there_is_a_matter_of_patience(tmp_path: Path) -> None:
    exchange = FakeExchange()
    async with exchange.serve() as gone:
        pass
    async with scene(FakeExchange(), tmp_path) as s:
        s.url = gone
        s.start("1")
        await s.reach(FeedState.BACKOFF)
        assert "can't connect" in s.feed.status.last_error


async def test_a_frame_beyond_the_limit_ends_the_connection_and_not_the_feed(tmp_path: Path) -> None:
    async with scene(FakeExchange(["x" * 10_001, STAY], ["a", STAY]), tmp_path) as s:
        s.start("1")
        (frame,) = await s.records(Kind.FRAME, 1)
    assert frame.payload == b"a"


async def test_answers_are_sent_and_messages_that_are_not_ours_are_counted_and_not_kept(
    tmp_path: Path,
) -> None:
    async with scene(FakeExchange(["ping", "order", "a", STAY]), tmp_path) as s:
        s.start("1")
        assert await s.exchange.heard(0, 2) == ["+1", "pong"]
        await s.records(Kind.FRAME, 1)
        assert (s.feed.status.frames, s.feed.status.withheld) == (3, 2)
    assert [p for k, _, p in s.story() if k == "FRAME"] == [b"a"]


async def test_subscriptions_change_on_the_live_connection(tmp_path: Path) -> None:
    hang_up = asyncio.Event()
    async with scene(FakeExchange([hang_up], [STAY]), tmp_path) as s:
        s.start("1", "2")
        await s.exchange.heard(0, 2)
        await s.feed.change([sub("3")], [sub("1")])
        assert await s.exchange.heard(0, 4) == ["+1", "+2", "-1", "+3"]
        assert s.feed.status.instruments == 2
        hang_up.set()
        assert await s.exchange.heard(1, 2) == ["+2", "+3"]
        await s.records(Kind.SUBSCRIBE, 3)
    assert s.story()[1:4] == [
        ("SUBSCRIBE", 1, subscribe("1", "2")),
        ("UNSUBSCRIBE", 1, control.encode_keys(["1"])),
        ("SUBSCRIBE", 1, subscribe("3")),
    ]


async def test_a_feed_without_instruments_waits_for_some(tmp_path: Path) -> None:
    async with scene(FakeExchange([STAY]), tmp_path) as s:
        s.start()
        await s.reach(FeedState.IDLE)
        assert s.exchange.requests == []
        await s.feed.change([sub("4")], [])
        assert await s.exchange.heard(0, 1) == ["+4"]


async def test_the_record_of_a_subscription_is_older_than_any_answer(tmp_path: Path) -> None:
    async with scene(FakeExchange([Heed(1), "answer", STAY]), tmp_path) as s:
        s.start("1")
        await s.records(Kind.FRAME, 1)
    assert [k for k, *_ in s.story()][:3] == ["CONNECT", "SUBSCRIBE", "FRAME"]


async def test_a_flood_of_small_frames_leaves_room_for_others(tmp_path: Path) -> None:
    async with scene(FakeExchange([b"x"] * 3_000 + [STAY]), tmp_path) as s:
        s.start("1")
        turns = 0
        while s.feed.status.frames < 3_000:
            turns += 1
            await asyncio.sleep(0)
        assert turns > 30
        await s.records(Kind.FRAME, 3_000)


async def test_no_secret_gets_into_log_journal_or_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as told:
        async with scene(
            FakeExchange(Refuse(500), Refuse(403), [Heed(1), "a", Close()], [STAY]), tmp_path
        ) as s:
            s.start("1", recheck=lambda: True)
            await s.records(Kind.CONNECT, 2)
    assert {e["event"] for e in told} >= {"feed.connected", "feed.retry_scheduled", "feed.parked"}
    assert SECRET in s.exchange.requests[0]  # it was used
    assert SECRET not in f"{told}{s.story()}{s.feed.status}"
    assert "websockets.server" in {r.name for r in caplog.records}  # debug lines would have shown
    assert not {r.name for r in caplog.records} & {"mdingest.wire", "websockets.client"}
