"""Bytes that somebody hostile might send, thrown at every decoder and parser that there is.

A *target* is one of them with the good input it starts from. ``check`` fails unless bad input is
refused in the words of `mdingest.errors` and what came through is sound. Tests choose inputs
with hypothesis, ``make soak ARGS=fuzz`` lets coverage choose a million.
"""

import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import numpy as np
from pydantic import ValidationError

from mdingest import calendars
from mdingest.core.interval import Interval
from mdingest.core.ticks import PACKET
from mdingest.errors import ConfigError, PermanentError, TransientError
from mdingest.pipeline.history.replies import Reading
from mdingest.pipeline.history.report import SymbolReport
from mdingest.providers import HISTORY, PROVIDERS
from mdingest.providers.bars import faults
from mdingest.providers.history import (
    Ask,
    FileRequest,
    History,
    Hours,
    HttpRequest,
    Reply,
    Request,
    instrument_of,
)
from tests.support.frames import FIRST_REC
from tests.support.recordings import SAMPLES, recording_of
from tests.support.rows import ns
from tests.support.vendors import VENDORS
from tests.support.vendors.base import DAY, Vendor

AMOUNTS = ("size", "volume", "day_high", "day_low", "oi")
LONGEST_SEED = 4_000
ENTRIES = 30
START, END = ns(0), ns(1_200)


@dataclass(frozen=True)
class Target:
    """``check`` raises AssertionError, or what escaped, if an input does harm; else how many rows it gave."""

    name: str
    seeds: list[bytes]
    check: Callable[[bytes], int]
    good: bool = True  # there are good ones among the seeds


def targets() -> dict[str, Target]:
    """Frames of every live feed, replies of every source of history. New ones are found."""
    made = [live_target(name) for name in PROVIDERS]
    made += [history_target(name, length) for name in HISTORY for length in ("1m", "1d")]
    return {target.name: target for target in made}


# --- live


def live_target(name: str) -> Target:
    """One frame between two good ones."""
    recording = recording_of(name)
    subs = recording.subs()
    ids = {sub.instrument_id for sub in subs}
    good = recording.decode([recording.messages[0], recording.messages[1]], subs).packets

    def check(data: bytes) -> int:
        decoded = recording.decode([recording.messages[0], data, recording.messages[1]], subs)
        inside = decoded.packets["rec"] == FIRST_REC + 1
        around, rows = decoded.packets[~inside], decoded.packets[inside]
        for column in PACKET.names or ():
            if column != "rec":
                nan = good[column].dtype.kind == "f"
                assert np.array_equal(around[column], good[column], equal_nan=nan), column
        assert set(rows["instrument_id"].tolist()) <= ids
        assert np.all(np.isnan(rows["price"]) | ((rows["price"] > 0) & np.isfinite(rows["price"])))
        assert np.all((rows["ts_exchange"] >= 0) & (rows["ts_trade"] >= 0))
        for column in AMOUNTS:
            assert np.all(np.isnan(rows[column]) | (np.isfinite(rows[column]) & (rows[column] >= 0))), column
        assert all(bad.rec == FIRST_REC + 1 and bad.error for bad in decoded.bad)
        protocol.receive(data)
        protocol.receive(data.decode(errors="replace"))
        return len(rows)

    protocol = recording.provider.live(recording.options)
    seeds = [one.encode() if isinstance(one, str) else one for one in recording.messages]
    return Target(f"live {name}", _by_length(seeds), check)


# --- history


def history_target(name: str, length: str) -> Target:
    """One reply to a wish for twenty minutes, or for a fortnight of days."""
    interval = Interval.parse(length)
    start, end = (ns(-10 * 86_400), ns(86_400)) if length == "1d" else (START, END)
    vendor = VENDORS[name]() if name in VENDORS else None
    if vendor:
        vendor.url = "http://127.0.0.1:1"  # until it serves
    with tempfile.TemporaryDirectory() as folder:
        history, options = _history(name, vendor, Path(folder))
        symbol = vendor.symbol if vendor else "RELIANCE.NS"
        instrument = instrument_of(symbol, options)
        hours = Hours(calendars.load(), instrument.session_class)
        key = {"kite": "738561", "binance": "BTCUSDT", "upstox": "NSE_EQ|INE002A01018"}.get(name, symbol)
        ask = Ask(instrument, interval, start, end, hours, key=key, now_ns=end + 30 * DAY)
        request = _request(history, ask)
        if request.span is not None:  # the reply answers for that much of the wish
            low, high = request.span
            ask = replace(ask, start_ns=max(ask.start_ns, low), end_ns=min(ask.end_ns, high))
        sold = _sold(vendor, history, ask) if vendor else []
        seeds = [b"", b"[]", b"{}", b"<html>", *sold]
    if isinstance(request, FileRequest):
        seeds += [path.read_bytes()[:LONGEST_SEED] for path in sorted(SAMPLES.glob("*.csv"))]

    def check(data: bytes) -> int:
        rows = 0
        reply = Reply(request, io.BytesIO(data))
        reading = Reading(ask, reply, history.capabilities, name, ask.now_ns, SymbolReport("", "", ""))
        before = -(1 << 63)
        try:
            with closing(history.parse(ask, reply)) as parts:
                for part in parts:
                    stamps = part.bars["ts"]
                    assert not faults(part.bars).any()
                    assert np.all(np.diff(stamps) > 0)
                    assert not len(stamps) or int(stamps[0]) > before
                    before = int(stamps[-1]) if len(stamps) else before
                    assert len(part.rejects) <= part.rejected
                    rows += len(stamps)
                    candles, _ = reading.candles(part)
                    assert np.all((candles["ts"] >= ask.start_ns) & (candles["ts"] < ask.end_ns))
            reading.end()
        except (TransientError, PermanentError):
            pass
        return rows

    return Target(f"history {name} {length}", seeds, check, good=bool(sold) or name == "csv")


def _history(name: str, vendor: Vendor | None, folder: Path) -> tuple[History, Any]:
    provider = HISTORY[name]
    section: dict[str, Any] = vendor.options(folder) if vendor else {}
    for one in (
        provider.Options,
        *(live.Options for live in PROVIDERS.values() if live.name == provider.account),
    ):
        try:
            options = one.model_validate({**section, "session_class": "NSE.EQ.noncas"})
            return provider.history(options), options
        except (ValidationError, ConfigError, AttributeError):
            continue
    raise AssertionError(f"no options make {name}")


def _request(history: History, ask: Ask) -> Request:
    try:
        return history.requests(ask)[0]
    except (ConfigError, PermanentError):  # a file that is not there, an interval it does not have
        return FileRequest(Path("made-up.csv"))


def _sold(vendor: Vendor, history: History, ask: Ask) -> list[bytes]:
    """What the vendor would answer, and how it refuses."""

    async def fetch() -> list[bytes]:
        async with vendor.serve(), aiohttp.ClientSession() as session:
            bodies = []
            for fault in ("", "wrong", "throttle"):
                request = _request(history, ask)
                if not isinstance(request, HttpRequest):
                    return [json.dumps(answer).encode() for answer in LIBRARY]
                vendor.faults = [fault] if fault else []
                url = vendor.url + "/" + request.url.partition("://")[2].partition("/")[2]
                params: Mapping[str, str] = dict((*request.params, *request.secret_params))
                async with session.get(url, params=params, headers=dict(request.secret_headers)) as reply:
                    bodies.append(_shortened(await reply.read()))
        return bodies

    return asyncio.run(fetch())


LIBRARY: tuple[dict[str, Any], ...] = (
    {"bars": [[1795146300 + 60 * n, 100.0, 101.5, 99.0, 100.5, 12345 * n] for n in range(20)]},
    {"bars": [[f"2026-11-{day}", 100.0, 101.5, 99.0, 100.5, 12345] for day in range(11, 21)]},
    {"bars": [[1795146300, None, None, None, None, 0]]},
    {"error": "Refused", "status": 429, "text": "", "retry_after": "7", "date": ""},
    {"error": "YFPricesMissingError", "text": "$X: possibly delisted; no price data found"},
)
"""What the program around yfinance answers."""


def _shortened(body: bytes) -> bytes:
    """JSON with no more than thirty entries in anything."""

    def cut(node: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(node, dict):
            return {key: cut(node[key]) for key in list(node)[:ENTRIES]}
        return [cut(one) for one in node[:ENTRIES]] if isinstance(node, list) else node

    try:
        return json.dumps(cut(json.loads(body))).encode()
    except ValueError:
        return body if body[:2] == b"PK" else body[:LONGEST_SEED]


# --- damage


HOSTILE: tuple[Any, ...] = (
    *(None, True, "", " ", "x", [], {}, [[]], [None], -1, 0, 0.5, -0.0, 1e308, 10**30, -(2**63), 2**64),
    *(
        "9" * 400,
        "NaN",
        "Infinity",
        "-0",
        "1e400",
        "٣",
        "2026-13-45T99:99:99+0530",
        "0001-01-01",
        "9999-12-31",
    ),
    *(
        "2026-11-20T09:15:00",
        "2026-11-20 09:15:00+05:30",
        "\ud800",
        "\0",
        "<b>",
        [[[[[[]]]]]],
        {"a": {"a": {}}},
    ),
)


def spoil(data: bytes, random: Random) -> bytes:
    """The same with some of it changed: as JSON where it is that, else byte by byte."""
    if random.random() < 0.5:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            return json.dumps(_spoil_json(document, random)).encode()
    raw = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(raw))
        match random.randrange(5):
            case 0:
                raw[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = random.randbytes(random.randint(1, 8))
            case 3:
                raw[at:at] = raw[max(0, at - random.randint(1, 40)) : at]
            case _:
                del raw[at : at + random.randint(1, 40)]
    return bytes(raw)


def _spoil_json(node: Any, random: Random) -> Any:  # noqa: ANN401 - any JSON
    """One value somewhere replaced, dropped or doubled."""
    inside = (
        list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    )
    if not inside or random.random() < 0.2:
        return random.choice(HOSTILE)
    key = random.choice(inside[:3] if random.random() < 0.7 else inside)
    match random.randrange(12):
        case 0:
            del node[key]
        case 1 if isinstance(node, list):
            node.insert(random.randint(0, len(node)), node[key])
        case 2 if isinstance(node, dict):
            node[random.choice(("", "x", "status", "data", "candles"))] = node.pop(key)
        case _:
            node[key] = _spoil_json(node[key], random)
    return node


def _by_length(seeds: list[bytes]) -> list[bytes]:
    """One of each length: more add nothing."""
    return list({len(seed): seed for seed in seeds if len(seed) <= LONGEST_SEED}.values())
