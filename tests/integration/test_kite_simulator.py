"""The simulator over real sockets: the broker's own client, and a plain one that looks closely."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import DataException, PermissionException
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from mdingest.errors import PermanentError
from mdingest.simulators import KiteMockOptions, KiteSimulator, SimInstrument, run_mock, synthetic_instruments
from mdingest.simulators.instruments import default_instruments, instruments_csv
from mdingest.telemetry.clock import Clock

RELIANCE, TCS, INFY, HDFCBANK, NIFTY = 738561, 2953217, 408065, 341249, 256265
BANK = SimInstrument(260105, "NSE", "NIFTY BANK", "NIFTY BANK", "INDICES", 5_900_000)
RUPEE = SimInstrument(256003, "CDS", "USDINR26NOVFUT", "USDINR", "CDS-FUT", 832_525_000, tick=25_000)
LISTED = (*default_instruments(date(2026, 11, 20)), BANK, RUPEE)
LENGTHS = {"ltp": 8, "quote": 44, "full": 184}
CLIENT = Path(__file__).with_name("kite_ticker_client.py")


async def official_client(**task: object) -> dict[str, list[Any]]:
    """What the broker's client saw."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CLIENT),
        json.dumps({"access_token": "good", "modes": {}, **task}),
        env={**os.environ, "TZ": "UTC"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen: dict[str, list[Any]] = json.loads(out.splitlines()[-1])
    return seen


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def client_of(sim: KiteSimulator, api_key: str = "key") -> connect:
    return connect(f"{sim.ws_url}/?api_key={api_key}&access_token=good&uid=1", compression=None)


async def subscribe(socket: ClientConnection, tokens: Sequence[int], mode: str = "full") -> None:
    await socket.send(json.dumps({"a": "subscribe", "v": list(tokens)}))
    await socket.send(json.dumps({"a": "mode", "v": [mode, list(tokens)]}))


async def read_on(socket: ClientConnection, packets: list[bytes]) -> None:
    """Collect packets until the connection ends."""
    while True:
        packets += packets_of(await data_frame(socket))


async def data_frame(socket: ClientConnection) -> bytes:
    """The next frame that is no heartbeat."""
    while True:
        frame = await socket.recv()
        if isinstance(frame, bytes) and len(frame) > 1:
            return frame


def packets_of(frame: bytes) -> list[bytes]:
    """Bodies of a sound frame."""
    found, at = [], 2
    while at < len(frame):
        size = int.from_bytes(frame[at : at + 2], "big")
        found.append(frame[at + 2 : at + 2 + size])
        assert len(found[-1]) == size
        at += 2 + size
    assert len(found) == int.from_bytes(frame[:2], "big")
    return found


def field(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "big")


def told_of(packet: bytes) -> tuple[int, int, int]:
    """Token, volume and stamp of a full packet of a share."""
    return field(packet, 0), field(packet, 16), field(packet, 44)


async def test_the_official_client_gets_what_the_tape_says_in_every_mode(tmp_path: Path) -> None:
    modes = {
        "full": [RELIANCE, LISTED[5].token, NIFTY, RUPEE.token],
        "quote": [INFY, BANK.token],
        "ltp": [TCS],
    }
    async with KiteSimulator(
        clock=Clock(), instruments=LISTED, rate=10, seed=3, tape=tmp_path / "tape"
    ) as sim:
        seen = await official_client(ws=sim.ws_url, modes=modes, want={"ticks": 4})

    made = defaultdict(list)
    for line in lines_of(tmp_path / "tape"):
        if line["sent"]:
            made[line["token"]].append(line)
    got = defaultdict(list)
    for tick in seen["ticks"]:
        got[tick["instrument_token"]].append(tick)
    assert set(got) == {token for tokens in modes.values() for token in tokens}
    for mode, tokens in modes.items():
        for token in tokens:
            snapshot, *ticks = got[token]
            assert snapshot["mode"] == mode
            assert len(ticks) >= 3
            for tick, line in zip(ticks, made[token], strict=False):
                check(tick, line, mode)


def check(tick: dict[str, Any], line: dict[str, Any], mode: str) -> None:
    assert tick["mode"] == mode
    assert tick["last_price"] == line["price"]
    if mode == "ltp":
        return
    assert (tick["ohlc"]["high"], tick["ohlc"]["low"]) == (line["high"], line["low"])
    assert line["low"] <= tick["ohlc"]["open"] <= line["high"]
    assert tick["change"] == pytest.approx((line["price"] / tick["ohlc"]["close"] - 1) * 100)
    if mode == "full":
        assert tick["exchange_timestamp"] == line["ts"]
    if line["volume"] is None:
        assert not tick["tradable"]
        return
    assert tick["tradable"]
    assert (tick["volume_traded"], tick["last_traded_quantity"]) == (line["volume"], line["size"])
    assert line["low"] <= tick["average_traded_price"] <= line["high"]
    if mode == "full":
        assert tick["last_trade_time"] == line["ts"]
        assert tick["oi_day_low"] <= tick["oi"] <= tick["oi_day_high"]
        assert bool(tick["oi"]) == (line["symbol"] == "NIFTY26NOVFUT.NFO")
        bids = [level["price"] for level in tick["depth"]["buy"]]
        offers = [level["price"] for level in tick["depth"]["sell"]]
        assert sorted(bids, reverse=True) == bids
        assert sorted(offers) == offers
        assert bids[0] <= line["price"] < offers[0]


async def test_the_official_client_is_told_of_too_many_tokens_and_of_orders() -> None:
    listed = synthetic_instruments(3001)
    async with KiteSimulator(clock=Clock(), instruments=listed, faults="order~300ms") as sim:
        seen = await official_client(
            ws=sim.ws_url,
            http=sim.http_url,
            modes={"quote": [one.token for one in listed]},
            want=["errors", "orders"],
        )

    ((code, text),) = seen["errors"]
    assert (code, "3000" in text) == (0, True)
    assert seen["orders"][0]["status"] == "COMPLETE"
    assert [row["instrument_token"] for row in seen["instruments"]] == [one.token for one in listed]
    assert seen["instruments"][0]["tick_size"] == 0.05


async def test_a_port_that_is_taken_is_named() -> None:
    async with KiteSimulator(clock=Clock()) as sim:
        with pytest.raises(
            PermanentError, match=f"can't listen on 127.0.0.1:{sim.port}: Address already in use"
        ):
            await KiteSimulator(clock=Clock(), port=sim.port).__aenter__()


async def test_the_official_client_sees_a_refused_token_as_403() -> None:
    async with KiteSimulator(clock=Clock()) as sim:
        seen = await official_client(ws=sim.ws_url, access_token="bad", want=["closes"])

    ((code, reason),) = seen["closes"]
    assert code == 1006
    assert "403 - Forbidden" in reason


async def test_a_window_of_403_refuses_new_connections_and_leaves_the_others() -> None:
    async with KiteSimulator(clock=Clock()) as sim, client_of(sim) as socket:
        sim.inject("403", 60)
        with pytest.raises(InvalidStatus, match="403"):
            await client_of(sim)
        await subscribe(socket, [INFY])
        assert len(packets_of(await data_frame(socket))) == 1


async def test_an_app_without_market_data_gets_no_candles_either_and_has_a_good_token() -> None:
    async with KiteSimulator(clock=Clock()) as sim:
        sim.inject("403", 60)
        client = KiteConnect("key", "good", root=sim.http_url)
        with pytest.raises(PermissionException):
            await asyncio.to_thread(client.historical_data, INFY, "2026-11-20", "2026-11-20", "minute")
        assert (await asyncio.to_thread(client.profile))["broker"] == "ZERODHA"


async def test_a_server_that_is_down_answers_everything_with_a_page_of_another() -> None:
    async with KiteSimulator(clock=Clock()) as sim:
        sim.inject("503", 60)
        with pytest.raises(InvalidStatus, match="503") as refused:
            await client_of(sim)
        client = KiteConnect("key", "good", root=sim.http_url)
        for call in (client.profile, client.instruments):
            with pytest.raises(DataException, match="text/html"):
                await asyncio.to_thread(call)
    assert bytes(refused.value.response.body or b"").startswith(b"<html>")


async def test_instruments_are_served_in_the_brokers_format() -> None:
    async with KiteSimulator(clock=Clock(), instruments=LISTED) as sim:
        with await asyncio.to_thread(urlopen, f"{sim.http_url}/instruments") as reply:
            text = reply.read().decode()
            assert reply.headers["Content-Type"] == "text/csv"
        with await asyncio.to_thread(urlopen, f"{sim.http_url}/instruments/NFO") as reply:
            assert reply.read().decode() == instruments_csv([LISTED[5]])

    assert text == sim.instruments_csv()


@pytest.mark.parametrize("mode", ["ltp", "quote", "full"])
async def test_a_snapshot_comes_first_in_the_mode_asked_for(mode: str) -> None:
    async with KiteSimulator(clock=Clock(), instruments=LISTED, rate=0.001) as sim, client_of(sim) as socket:
        await subscribe(socket, [INFY, NIFTY], mode)
        packets = packets_of(await data_frame(socket))

    index = {"ltp": 8, "quote": 28, "full": 32}
    assert {field(packet, 0): len(packet) for packet in packets} == {INFY: LENGTHS[mode], NIFTY: index[mode]}


async def test_a_bare_subscribe_means_quote_and_a_text_as_token_means_nothing() -> None:
    async with KiteSimulator(clock=Clock(), rate=0.001) as sim, client_of(sim) as socket:
        await socket.send('{"a": "subscribe", "v": ["738561", true]}')
        assert await socket.recv() == b"\x00"
        await socket.send('{"a": "subscribe", "v": [408065, 77]}')
        (packet,) = packets_of(await data_frame(socket))

    assert (field(packet, 0), len(packet)) == (INFY, 44)


async def test_a_heartbeat_comes_each_second_in_silence_and_nonsense_is_ignored() -> None:
    loop = asyncio.get_running_loop()
    async with KiteSimulator(clock=Clock()) as sim, client_of(sim) as socket:
        for nonsense in ("{", "[]", '{"a": "mode", "v": ["huge", [408065]]}', '{"a": "subscribe"}', b"\x01"):
            await socket.send(nonsense)
        assert await socket.recv() == b"\x00"
        first = loop.time()
        assert await socket.recv() == b"\x00"

    assert 0.9 < loop.time() - first < 3


async def test_unsubscribed_instruments_fall_silent() -> None:
    async with KiteSimulator(clock=Clock(), rate=50) as sim, client_of(sim) as socket:
        await subscribe(socket, [INFY, TCS])
        await data_frame(socket)
        await socket.send(json.dumps({"a": "unsubscribe", "v": [INFY]}))
        await subscribe(socket, [RELIANCE])
        tokens: set[int] = set()
        while RELIANCE not in tokens:
            tokens = {field(packet, 0) for packet in packets_of(await data_frame(socket))}
        for _ in range(5):
            tokens |= {field(packet, 0) for packet in packets_of(await data_frame(socket))}

    assert tokens == {TCS, RELIANCE}


@pytest.mark.parametrize(
    ("fault", "ending", "cause"),
    [("disconnect", ConnectionClosedError, "disconnect"), ("close", ConnectionClosedOK, "close")],
)
async def test_a_cut_ends_with_the_next_snapshot_and_what_it_holds_back_is_on_the_tape(
    tmp_path: Path, fault: str, ending: type[Exception], cause: str
) -> None:
    got: list[bytes] = []
    tape, cuts = tmp_path / "tape", tmp_path / "cuts"
    async with KiteSimulator(clock=Clock(), rate=20, tape=tape, cuts=cuts) as sim:
        async with client_of(sim) as socket:
            await subscribe(socket, [INFY])
            await data_frame(socket)
            sim.inject(fault)
            with pytest.raises(ending):
                await read_on(socket, got)
        async with client_of(sim, api_key="another") as witness:
            await subscribe(witness, [INFY])
            for _ in range(3):  # the market goes on without us
                await data_frame(witness)
        async with client_of(sim) as socket:
            await subscribe(socket, [INFY])
            snapshot = packets_of(await data_frame(socket))
            got += packets_of(await data_frame(socket))
    cut, *_ = lines_of(cuts)

    assert (cut["cause"], cut["tokens"], cut["connection"]) == (cause, [INFY], 1)
    made = [line for line in lines_of(tape) if line["token"] == INFY]
    lost = [line for line in made if cut["start_ns"] <= line["ns"] < cut["end_ns"]]
    assert lost
    assert not any({1, 3} & set(line["sent"]) for line in lost)
    assert told_of(snapshot[-1])[1] == lost[-1]["volume"]
    told = {told_of(packet) for packet in got}
    assert told <= {(INFY, line["volume"], line["ts"]) for line in made if line["sent"]}


async def test_the_death_of_a_client_is_noticed_and_is_a_cut(tmp_path: Path) -> None:
    async with KiteSimulator(clock=Clock(), rate=20, cuts=tmp_path / "cuts") as sim:
        socket = await client_of(sim)
        await subscribe(socket, [INFY, NIFTY])
        await data_frame(socket)
        socket.transport.abort()
        await socket.wait_closed()
        async with client_of(sim) as after:
            await subscribe(after, [INFY])
            await data_frame(after)
        lines = lines_of(tmp_path / "cuts")

    (cut,) = lines  # NIFTY was not subscribed again: its cut goes on
    assert (cut["cause"], cut["tokens"]) == ("peer_lost", [INFY])
    assert cut["start_ns"] <= cut["end_ns"]
    last = lines_of(tmp_path / "cuts")[1:]
    assert ("peer_lost", [NIFTY], None) in [(one["cause"], one["tokens"], one["end_ns"]) for one in last]


async def test_damaged_frames_come_between_sound_ones() -> None:
    async with KiteSimulator(clock=Clock(), rate=50) as sim, client_of(sim) as socket:
        await subscribe(socket, [INFY])
        await data_frame(socket)
        sim.inject("unknown")
        while (frame := await data_frame(socket)) and len(packets_of(frame)[0]) == 184:
            pass
        assert len(packets_of(frame)[0]) == 12

        sim.inject("lie")
        while len(frame := await data_frame(socket)) - 2 == 186 * int.from_bytes(frame[:2], "big"):
            pass
        assert (len(frame) - 2) // 186 == int.from_bytes(frame[:2], "big") - 3

        sim.inject("truncate")
        while len(frame := await data_frame(socket)) - 2 == 186 * int.from_bytes(frame[:2], "big"):
            pass
        assert len(frame) - 2 < 186 * int.from_bytes(frame[:2], "big")
        assert packets_of(await data_frame(socket))


async def test_a_mute_connection_has_heartbeats_only() -> None:
    async with KiteSimulator(clock=Clock(), rate=50) as sim, client_of(sim) as socket:
        await subscribe(socket, [INFY])
        await data_frame(socket)
        sim.inject("mute", 60)
        while await socket.recv() != b"\x00":  # what was on its way
            pass
        assert await socket.recv() == b"\x00"


async def test_the_mock_serves_the_symbols_it_was_told_until_it_is_stopped(tmp_path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    listed = tmp_path / "instruments.csv"
    options = KiteMockOptions(port=0, symbols=("SBIN.NS",), synthetic=2, instruments=listed)

    await run_mock(options, Clock(), stop)

    assert [row.split(",")[2] for row in listed.read_text().splitlines()[1:]] == [
        "SBIN",
        "SIM0001",
        "SIM0002",
    ]
