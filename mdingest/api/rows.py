"""Candles as JSON and CSV: whole columns are turned into Python values at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.api.times import format_instants
from mdingest.core.events import Candles, State
from mdingest.core.rank import BY_ID, MIXED, MIXED_ID
from mdingest.core.session import Session

FORMING = 2
"""Code of a candle that can still grow; only replies know it, it is never stored."""
KEYS = (
    "ts_utc", "open", "high", "low", "close", "volume", "oi", "trades",
    "source", "state", "session", "revision",
)  # fmt: skip
STATES = (*(state.text for state in State), "forming")
SESSIONS = tuple(session.text for session in Session)
SOURCES = {source.id: source.name for source in BY_ID.values()} | {MIXED_ID: MIXED}


def as_objects(candles: Candles) -> list[dict[str, Any]]:
    """A mapping a candle, keys in the order of `KEYS`; None where something is unknown."""
    return [
        {
            "ts_utc": ts, "open": open_, "high": high, "low": low, "close": close, "volume": volume,
            "oi": oi, "trades": trades, "source": source, "state": state, "session": session,
            "revision": revision,
        }
        for ts, open_, high, low, close, volume, oi, trades, source, state, session, revision
        in zip(*_columns(candles), strict=True)
    ]  # fmt: skip


def as_csv(candles: Candles) -> bytes:
    """A header line and a line a candle; empty where something is unknown."""
    return (",".join(KEYS) + "\n").encode() + csv_lines(candles)


def csv_lines(candles: Candles, prefix: str = "") -> bytes:
    """A line a candle, each with ``prefix`` before it."""
    lines = [
        prefix + ",".join("" if value is None else str(value) for value in row)
        for row in zip(*_columns(candles), strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _columns(candles: Candles) -> Sequence[list[Any]]:
    return (
        format_instants(candles["ts"]),
        candles["open"].tolist(),
        candles["high"].tolist(),
        candles["low"].tolist(),
        candles["close"].tolist(),
        _numbers(candles["volume"]),
        _numbers(candles["oi"]),
        [None if n < 0 else n for n in candles["trades"].tolist()],
        [SOURCES[code] for code in candles["source"].tolist()],
        [STATES[code] for code in candles["state"].tolist()],
        [SESSIONS[code] for code in candles["session"].tolist()],
        candles["revision"].tolist(),
    )


def _numbers(values: NDArray[np.float64]) -> list[float | int | None]:
    """NaN is None; whole numbers lose their ``.0``."""
    return [None if v != v else int(v) if v.is_integer() else v for v in values.tolist()]  # noqa: PLR0124
