"""Instants on the wire: RFC 3339 with an offset, or epoch seconds; UTC ns inside."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mdingest.core.units import NS

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|z|[-+ ]\d\d:\d\d)", re.ASCII
)
_EPOCH = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_LAST_S = 8_000_000_000  # year 2223, as 1716 before 1970; epoch times beyond were meant as milliseconds


def parse_instant(text: str) -> int:
    """UTC ns. Raises ValueError that says what would be right; a naive time is refused.

    A plus sign that arrived as a space (it was not percent-encoded) is read as a plus. A date
    that 64 bits can't hold, like one of the year 1 or 9999, is the nearest one they can.
    """
    if _EPOCH.fullmatch(text):
        seconds = Decimal(text)
        if abs(seconds) > _LAST_S:
            raise ValueError(f"epoch times are in seconds, {text} is too far away")
        return int(seconds * NS)
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(
            "must be RFC 3339 with an offset, like 2026-11-20T03:45:00Z or "
            f"2026-11-20T09:15:00+05:30, or epoch seconds, was {text!r}"
        )
    date, clock, fraction, offset = found.groups()
    try:
        whole = datetime.fromisoformat(f"{date}T{clock}{offset.upper().replace(' ', '+')}")
    except ValueError as exc:
        raise ValueError(f"no such instant: {text!r} ({exc})") from exc
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    whole_s = max(-_LAST_S, min(since.days * 86_400 + since.seconds, _LAST_S))
    return whole_s * NS + int((fraction or "").ljust(9, "0"))


def format_instant(ns: int) -> str:
    """RFC 3339 in UTC; a fraction only if there is one."""
    seconds, rest = divmod(ns, NS)
    text = str(np.datetime64(seconds, "s"))
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else f"{text}Z"


def format_instants(ns: NDArray[np.int64]) -> list[str]:
    """`format_instant` of whole seconds, ``(n,)`` to a list of ``n``."""
    return [f"{text}Z" for text in ns.view("M8[ns]").astype("M8[s]").astype("U19").tolist()]
