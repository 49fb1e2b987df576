"""HTTP under fire: every route of the router and every parameter it knows, with anything in them.

New routes and parameters are found by themselves: routes in the router, parameters in what a
route says when it is asked with an unknown one.
"""

import asyncio
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest import calendars
from mdingest.api import Changes, Served, create_app
from mdingest.api.server import serving
from mdingest.store import open_store
from mdingest.store.migrate import migrate
from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from tests.support.rows import NIFTY, RELIANCE, Database, candle, gap, ns, uptime

TOKEN = "a-token-of-the-config"
ANSWER_S = 30.0
HANGS_S = 0.1  # what is not a whole request is waited for; then we go
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "X" * 300]


@dataclass(frozen=True)
class Server:
    """The application over a real database, on a real socket, in a thread of its own."""

    port: int
    paths: list[str]
    names: dict[str, list[str]] = field(default_factory=dict)  # parameters by path

    def send(self, raw: bytes, *, patience_s: float = ANSWER_S) -> bytes:
        """All that comes back until the server hangs up, or we: after so long without a word."""
        parts = []
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=patience_s) as line,
            suppress(ConnectionError),  # it need not hear us out
        ):
            line.sendall(raw)
            try:
                while part := line.recv(1 << 16):
                    parts.append(part)
            except TimeoutError:
                line.shutdown(socket.SHUT_WR)
                line.settimeout(ANSWER_S)
                while part := line.recv(1 << 16):
                    parts.append(part)
        return b"".join(parts)

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and the rest."""
        head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close"
        said = self.send(f"{head}\r\n\r\n".encode())
        return int(said[9:12]), said

    def known(self, path: str) -> list[str]:
        """Parameters of a path, by its own account."""
        _, said = self.ask(f"{path}?no_such_parameter=1")
        found = re.search(rb"known: ([\w, ]+)", said)
        return found[1].decode().split(", ") if found else []


Started = tuple[int, list[str], asyncio.AbstractEventLoop, asyncio.Event]


async def _serve(folder: Path, ready: "Future[Started]") -> None:
    stop = asyncio.Event()
    url = f"sqlite:///{folder}/md.db"
    await migrate(url)
    store = await open_store(url)
    await store.ensure_instruments([RELIANCE, NIFTY])
    rows = [candle(60 * n, 100.0 + n, interval_s=60) for n in range(60)]
    rows += [candle(n, 100.0 + n) for n in range(100)]
    coverage = [uptime(-600, 1_200), uptime(1_320, 3_615, stream=2)]
    await Database(url, store).put(*rows, coverage=coverage, gaps=[gap(1_200, 1_320)])
    app = create_app(
        Served(
            reader=store,
            tables=calendars.load().table,
            now=lambda: ns(3_600),
            health=Health(started=True),
            metrics=Metrics(),
            changes=Changes(),
            tokens=[TOKEN],
        )
    )
    paths = sorted({route.resource.canonical for route in app.router.routes() if route.resource})
    async with serving(app, "127.0.0.1", 0) as port:
        ready.set_result((port, paths, asyncio.get_running_loop(), stop))
        await stop.wait()
    await store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ready: Future[Started] = Future()
    folder = tmp_path_factory.mktemp("served")

    def run() -> None:
        try:
            asyncio.run(_serve(folder, ready))
        except BaseException as exc:  # whoever waits for it gets it
            if not ready.done():
                ready.set_exception(exc)
            raise

    thread = threading.Thread(target=run, name="http")
    thread.start()
    port, paths, loop, stop = ready.result(timeout=60)
    server = Server(port, paths)
    server.names.update({path: server.known(path) for path in paths})
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    assert not thread.is_alive()


words = st.sampled_from(
    [
        *("RELIANCE.NS", "NIFTY 50", "reliance.ns", "1s", "1m", "5m", "1h", "1d", "1w", "7h", "999999999m"),
        *(
            "0m",
            "-1m",
            "1M",
            "0",
            "1",
            "50",
            "10000",
            "10001",
            "-1",
            "9" * 40,
            "1e999",
            "NaN",
            "null",
            "٣",
            "1_0",
        ),
        *("2026-11-20T03:45:00Z", "2026-11-20T09:15:00+05:30", "2026-11-20", "0001-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "1795147200", "-99999999999", "1795147200.5"),
        *(
            "all",
            "regular",
            "json",
            "csv",
            "true",
            "false",
            "",
            " ",
            "\0",
            "%00",
            "../../etc/passwd",
            "'--",
            '";',
        ),
        *("\r\nSet-Cookie: a=b", "<script>", "\udcff".encode(errors="surrogateescape").decode("latin-1")),
    ]
)
values = st.one_of(words, words, st.text(max_size=30), st.text(min_size=90, max_size=300))


@settings(max_examples=300)
@given(data=st.data())
def test_any_question_is_answered_and_none_with_500(server: Server, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(server.paths), label="route")
    path = re.sub(r"\{.*?\}", lambda _: quote(data.draw(values, label="part"), safe="/%"), route)
    names = [*server.names[route], "no_such"]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(names), values), max_size=6), label="query")
    method = data.draw(st.sampled_from(["GET"] * 20 + METHODS), label="method")

    status, said = server.ask(f"{path}?{urlencode(pairs)}" if pairs else path, method)

    assert 200 <= status < 500, said[:2000]
    assert b"Traceback" not in said


HEAD = f"GET /candles?symbol=RELIANCE.NS HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"
HEADERS = [
    *(
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\n",
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Expect: 100-continue",
        "Range: bytes=0-",
    ),
    *(
        "Connection: upgrade",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Host:",
        "Host: a\r\nHost: b",
        ": x",
        "a b: c",
    ),
    *(
        "Accept: " + "*/*," * 900,
        "X: " + "y" * 9_000,
        "Cookie: \x01\x02",
        "If-None-Match: *",
        "Content-Type: \0",
    ),
    *(
        "Accept: application/openmetrics-text; version=1.0.0; q=x",
        "Authorization: Basic \xff",
        "Authorization:",
    ),
    *("Accept-Encoding: gzip;q=", "Content-Encoding: gzip", "Content-Encoding: br", "Sec-WebSocket-Key: x"),
]
raw_requests = st.one_of(
    st.binary(max_size=600),
    st.lists(st.sampled_from(HEADERS), max_size=5).flatmap(
        lambda some: st.binary(max_size=60).map(
            lambda body: (HEAD + "".join(f"{one}\r\n" for one in some) + "\r\n").encode("latin-1") + body
        )
    ),
    st.tuples(st.integers(0, len(HEAD) + 2), st.integers(0, 8), st.binary(max_size=12)).map(
        lambda cut: (HEAD + "\r\n").encode()[: cut[0]] + cut[2] + (HEAD + "\r\n").encode()[cut[0] + cut[1] :]
    ),
)


def statuses(said: bytes) -> list[int]:
    """Of all replies on one connection."""
    return [int(code) for code in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", said, re.MULTILINE)]


@settings(max_examples=150)
@given(raw=raw_requests)
def test_any_bytes_leave_the_server_well(server: Server, raw: bytes) -> None:
    said = server.send(raw, patience_s=HANGS_S)

    assert all(status < 500 for status in statuses(said)), said[:2000]
    assert b"Traceback" not in said
    assert server.ask("/livez")[0] == 200


UPGRADE = (
    "GET /stream?symbol=RELIANCE.NS HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    f"Authorization: Bearer {TOKEN}\r\n\r\n"
).encode()


def masked(opcode: int, payload: bytes, *, fin: bool = True, claims: int | None = None) -> bytes:
    """A websocket frame of a client, which may lie about its length."""
    length = len(payload) if claims is None else claims
    head = bytes([opcode | (0x80 if fin else 0)])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0xFE]) + length.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


ws_frames = st.one_of(
    st.binary(max_size=80),
    st.builds(
        masked,
        st.integers(0, 15),
        st.one_of(
            st.binary(max_size=200), st.sampled_from([b'{"token": 1}', b"[" * 3_000, b"\xff\xfe", b"{}"])
        ),
        fin=st.booleans(),
        claims=st.one_of(st.none(), st.sampled_from([0, 125, 126, 70_000, 1 << 62, (1 << 64) - 1])),
    ),
)


@settings(max_examples=100)
@given(some=st.lists(ws_frames, max_size=6))
def test_any_frames_on_the_stream_leave_the_server_well(server: Server, some: list[bytes]) -> None:
    said = server.send(UPGRADE + b"".join(some) + masked(8, b""), patience_s=HANGS_S)

    assert said.startswith(b"HTTP/1.1 101"), said[:500]
    assert server.ask("/livez")[0] == 200


@pytest.mark.parametrize("raw", [UPGRADE, f"{HEAD}\r\n".encode()])
def test_who_hangs_up_before_the_answer_is_no_failure_of_ours(server: Server, raw: bytes) -> None:
    """Reset while the request is on its way, twenty times: some catch us in the middle of the answer."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=ANSWER_S) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.sendall(raw)
    assert server.ask("/livez")[0] == 200


@pytest.mark.parametrize(
    "header", [f"Authorization: Bearer {TOKEN}\x01", "X: " + TOKEN * 1_000, f"\x01{TOKEN}: x"]
)
def test_what_is_no_request_is_refused_and_its_words_stay_out_of_the_log(
    server: Server, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    said = server.send(f"GET /symbols HTTP/1.1\r\nHost: here\r\n{header}\r\n\r\n".encode(), patience_s=5)

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"application/problem+json" in head
    assert "this is no HTTP/1.1 request: " in json.loads(body)["detail"]
    assert TOKEN not in caplog.text
    assert "Traceback" not in caplog.text


def test_nothing_failed_that_nobody_was_told(server: Server) -> None:
    """All of the above in this module, counted by the server itself."""
    _, page = server.ask("/metrics")

    counted = dict(re.findall(r'mdingest_http_requests_total\{status="(\d+)"\} (\d+)', page.decode()))
    assert int(counted["200"]) > 0
    assert not [status for status in counted if status.startswith("5")], counted


def test_every_route_was_found(server: Server) -> None:
    assert {"/candles", "/stream", "/gaps", "/coverage", "/symbols", "/health", "/metrics", "/"} <= set(
        server.paths
    )
    assert "symbol" in server.names["/candles"]
