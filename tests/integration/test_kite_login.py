"""A login at the simulator: the broker's own client, our command's path, and what a form may look like."""

import asyncio
import hashlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import TokenException
from websockets.asyncio.client import connect

from mdingest.app.login import log_in, login_address
from mdingest.config import load
from mdingest.errors import PermanentError
from mdingest.simulators import KiteSimulator
from mdingest.simulators.kite_session import NotGranted, Sessions
from mdingest.telemetry.clock import Clock

SECRET = "s3cret"


def simulator() -> KiteSimulator:
    return KiteSimulator(clock=Clock(), api_secret=SECRET)


async def landed_on(page: str) -> str:
    """Where a browser ends up after a login."""
    async with aiohttp.ClientSession() as session, session.get(page, allow_redirects=False) as reply:
        assert reply.status == 302
        return reply.headers["Location"]


async def request_token(sim: KiteSimulator, api_key: str = "key") -> str:
    address = await landed_on(f"{sim.http_url}/connect/login?v=3&api_key={api_key}")
    return parse_qs(urlsplit(address).query)["request_token"][0]


async def test_the_official_client_logs_in_and_out_and_a_new_session_ends_the_old_one() -> None:
    async with simulator() as sim:
        first = KiteConnect("key", root=sim.http_url)
        second = KiteConnect("key", root=sim.http_url)
        session = await asyncio.to_thread(first.generate_session, await request_token(sim), SECRET)
        assert session["login_time"].year >= 2026
        assert (await asyncio.to_thread(first.profile))["user_id"] == session["user_id"]

        await asyncio.to_thread(second.generate_session, await request_token(sim), SECRET)
        with pytest.raises(TokenException, match="Incorrect `api_key` or `access_token`"):
            await asyncio.to_thread(first.profile)
        await asyncio.to_thread(second.profile)
        await asyncio.to_thread(second.invalidate_access_token)
        with pytest.raises(TokenException):
            await asyncio.to_thread(second.profile)


async def test_a_request_token_works_once_for_its_app_and_signed_with_its_secret() -> None:
    async with simulator() as sim:
        kite, other = KiteConnect("key", root=sim.http_url), KiteConnect("other", root=sim.http_url)
        token = await request_token(sim)
        with pytest.raises(TokenException, match="invalid or has expired"):
            await asyncio.to_thread(other.generate_session, token, SECRET)
        with pytest.raises(TokenException, match="Invalid `checksum`"):
            await asyncio.to_thread(kite.generate_session, await request_token(sim), "wrong")
        token = await request_token(sim)
        await asyncio.to_thread(kite.generate_session, token, SECRET)
        with pytest.raises(TokenException, match="invalid or has expired"):
            await asyncio.to_thread(kite.generate_session, token, SECRET)


def test_a_request_token_is_too_old_after_minutes() -> None:
    now, ended = [0], list[str]()
    sessions = Sessions(SECRET, lambda: now[0], ended.append)

    def exchanged_after(seconds: int) -> str:
        now[0] = 0
        token = parse_qs(urlsplit(sessions.login("key")).query)["request_token"][0]
        now[0] = seconds * 10**9
        signed = hashlib.sha256(f"key{token}{SECRET}".encode()).hexdigest()
        granted: str = sessions.exchange({"api_key": "key", "request_token": token, "checksum": signed})[
            "access_token"
        ]
        return granted

    token = exchanged_after(299)
    with pytest.raises(NotGranted, match="has expired"):
        exchanged_after(300)
    assert ended == []
    exchanged_after(1)
    assert ended == [token]


async def test_our_login_brings_a_token_that_opens_the_feed(tmp_path: Path) -> None:
    async with simulator() as sim:
        path = tmp_path / "config.yaml"
        path.write_text(
            f"""\
journal: {{dir: {tmp_path}/journal}}
symbols: [RELIANCE.NS]
realtime: [{{provider: kite_ws, symbols: all}}]
providers:
  kite_ws: {{url: "{sim.ws_url}", api_key: key, api_secret: {SECRET}}}
"""
        )
        config = load(path)

        address = await landed_on(login_address(config, "kite"))
        token = await log_in(config, "kite", address, Clock())

        assert token.source == f"{tmp_path}/kite_token.json"
        query = f"api_key=key&access_token={token.secret.get_secret_value()}"
        async with connect(f"{sim.ws_url}/?{query}", compression=None) as socket:
            assert await socket.recv() == b"\x00"
        with pytest.raises(PermanentError, match="works once"):
            await log_in(config, "kite", address, Clock())


async def raw(sim: KiteSimulator, *pieces: bytes) -> bytes:
    """What comes back for bytes that arrive in pieces."""
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    writer.transport.set_write_buffer_limits(0)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def posted(body: bytes) -> bytes:
    return b"POST /session/token HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_form_may_arrive_in_any_pieces() -> None:
    async with simulator() as sim:
        token = await request_token(sim)
        signed = hashlib.sha256(f"key{token}{SECRET}".encode()).hexdigest()
        form = posted(f"api_key=key&request_token={token}&checksum={signed}".encode())
        reply = await raw(sim, *(form[at : at + 1] for at in range(len(form))))

    assert reply.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (posted(b"api_key=a\r\n\r\nGET / HTTP/1.1 b"), b"403 Forbidden"),
        (posted(b"\xff\x00"), b"403 Forbidden"),
        (b"POST /session/token HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"403 Forbidden"),
        (b"PUT /session/token HTTP/1.1\r\nX-HTTP-Method-Override: POST\r\n\r\n", b"404 Not Found"),
        (b"POST " + b"a" * 20_000, b""),
    ],
    ids=["lines in the form", "no text", "no length", "another method", "endless"],
)
async def test_what_is_no_form_gets_an_answer_or_is_cut_off(request_: bytes, says: bytes) -> None:
    async with simulator() as sim:
        reply = await raw(sim, request_)
        assert says in reply.split(b"\r\n")[0]
        assert bool(says) == bool(reply)
        await request_token(sim)
