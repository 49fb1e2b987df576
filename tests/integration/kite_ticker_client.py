"""Runs the broker's own client against an address and prints what it saw as one JSON line.

A process of its own for each scenario: the client's reactor can't be started twice. Started
with TZ=UTC, as the client makes naive local times. The argument is JSON: ``ws`` and ``http`` roots,
``access_token``, ``modes`` (mode to tokens), ``want``: ``{"ticks": per token}`` or the names
of the lists below that must get an entry.
"""

import json
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from kiteconnect import KiteConnect, KiteTicker

task = json.loads(sys.argv[1])
seen: dict[str, list[Any]] = {"ticks": [], "errors": [], "closes": [], "orders": [], "instruments": []}
enough = threading.Event()


def plain(value: object) -> object:
    """Stamps as epoch seconds, expiries as text."""
    if isinstance(value, datetime):
        return round(value.replace(tzinfo=UTC).timestamp())
    return str(value)


def done() -> bool:
    want = task["want"]
    if isinstance(want, list):
        return all(seen[name] for name in want)
    tokens = [token for tokens in task["modes"].values() for token in tokens]
    got = [tick["instrument_token"] for tick in seen["ticks"]]
    return all(got.count(token) >= want["ticks"] for token in tokens)


def note(kind: str, *values: object) -> None:
    seen[kind].extend(values)
    if done():
        enough.set()


def on_connect(ticker: KiteTicker, _response: object) -> None:
    for mode, tokens in task["modes"].items():
        ticker.subscribe(tokens)
        ticker.set_mode(mode, tokens)


ticker = KiteTicker("key", task["access_token"], root=task["ws"], reconnect=False)
ticker.on_connect = on_connect
ticker.on_ticks = lambda _ticker, ticks: note("ticks", *ticks)
ticker.on_error = lambda _ticker, code, reason: note("errors", [code, str(reason)])
ticker.on_close = lambda _ticker, code, reason: note("closes", [code, str(reason)])
ticker.on_order_update = lambda _ticker, order: note("orders", order)

if "http" in task:
    seen["instruments"] = KiteConnect("key", root=task["http"]).instruments()
ticker.connect(threaded=True)
enough.wait(timeout=20)
sys.stdout.write(json.dumps(seen, default=plain) + "\n")
sys.stdout.flush()
os._exit(0)
