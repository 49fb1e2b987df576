"""Who talks to HTTP without end gets nothing from it: memory stays what it was, and others are served."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import pytest

from tests.support.place import Place, fast_clock, place_of
from tests.support.processes import Process, until

MIB = 1 << 20
MOST_SENT = 96 * MIB  # by each
MOST_GROWN_MB = (
    96.0  # half of what is sent: all that is read in one turn of the loop may wait there for the next
)
LINE = b"GET /candles?symbol=RELIANCE.NS&interval=1s HTTP/1.1\r\nHost: here\r\n"
UPGRADE = (
    b"GET /stream?symbol=RELIANCE.NS HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PIECE = b"x" * 65_536


def endless_header() -> Iterator[bytes]:
    yield LINE + b"X-Long: "
    yield from repeat(PIECE)


def endless_headers() -> Iterator[bytes]:
    yield LINE
    yield from (b"".join(b"X-%d-%d: y\r\n" % (n, m) for m in range(2_000)) for n in range(10_000))


def endless_address() -> Iterator[bytes]:
    yield b"GET /candles?symbol="
    yield from repeat(PIECE)


def endless_body() -> Iterator[bytes]:
    yield LINE + b"Content-Length: 99999999999\r\n\r\n"
    yield from repeat(PIECE)


def endless_chunks() -> Iterator[bytes]:
    yield LINE + b"Transfer-Encoding: chunked\r\n\r\n"
    yield from repeat(b"10000\r\n" + PIECE + b"\r\n")


def one_request_after_another() -> Iterator[bytes]:
    yield from repeat((LINE + b"\r\n") * 500)


def an_endless_websocket_message() -> Iterator[bytes]:
    yield UPGRADE
    yield b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
    yield from repeat(PIECE)


def one_websocket_message_after_another() -> Iterator[bytes]:
    yield UPGRADE
    yield from repeat(b"\x89\x80\0\0\0\0" * 5_000)


FLOODS = [
    endless_header,
    endless_headers,
    endless_address,
    endless_body,
    endless_chunks,
    one_request_after_another,
    an_endless_websocket_message,
    one_websocket_message_after_another,
]


async def flood(port: int, pieces: Iterator[bytes], within_s: float) -> int:
    """Send and read nothing, until the other side has had enough; how many bytes it took."""
    sent = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(within_s):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                if sent > MOST_SENT:
                    break
    writer.transport.abort()
    del reader
    return sent


def resident_mb(process: Process) -> float:
    return int(Path(f"/proc/{process.inner.pid}/statm").read_text().split()[1]) * 4096 / MIB


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(tmp_path, fast_clock(4)) as one:
        yield one


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_floods_cost_no_memory_and_keep_nobody_from_an_answer(place: Place) -> None:
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 5, within_s=60)
        for _ in range(100):
            await place.get("/candles?symbol=RELIANCE.NS&interval=1s")  # what serving costs once
        before = resident_mb(daemon)
        for pieces in FLOODS:
            floods = [asyncio.create_task(flood(place.port, pieces(), 3.0)) for _ in range(2)]
            most = 0.0
            while not all(task.done() for task in floods):
                most = max(most, resident_mb(daemon))
                await asyncio.sleep(0.02)
            sent = [task.result() for task in floods]
            assert most - before < MOST_GROWN_MB, (
                f"{pieces.__name__}: {most - before:.0f} MiB after {sent} bytes"
            )

            async def answered() -> bool:
                return (await place.get("/livez"))[0] == 200

            await until(f"answer after {pieces.__name__}", answered, daemon, within_s=60)
        await place.until_more(daemon, 3)
        assert await daemon.stopped() == 0

    assert place.heard_without_a_gap()
