"""Spans of time and sizes as people write them: ``3d``, ``90s``, ``2GiB``."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d|w)", re.ASCII)
_SPAN_S = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST_S = 5_200 * 604_800
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[kKMGT]i?B)?", re.ASCII)
_SIZE_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}


def parse_span(value: object) -> float:
    """``3d``, ``12h``, ``90s`` to seconds. A bare number is refused: nobody knows its unit.

    So is more than a century: instants are ns in 64 bits, and such a span back from now is none.
    """
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or float(found[1]) == 0:
        raise ValueError("must be a span of time with a unit, like 90s, 15m, 12h, 3d or 2w")
    seconds = float(found[1]) * _SPAN_S[found[2]]
    if seconds > _LONGEST_S:
        raise ValueError("must be a span of time up to 5200w, a century")
    return seconds


def span_text(seconds: float) -> str:
    """The opposite of `parse_span`, in the largest unit that divides it."""
    for unit, size in _SPAN_S.items():
        if seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def parse_size(value: object) -> int:
    """``2GiB``, ``500MB`` or a bare number of bytes to bytes. ``k`` is 1,000, ``Ki`` is 1,024."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("must be a size like 500MB, 2GiB or a number of bytes")
    unit = found[2] or "B"
    power = _SIZE_POWER.get(unit[0].upper(), 0) if unit != "B" else 0
    scale: int = (1024 if "i" in unit else 1000) ** power
    return round(float(found[1]) * scale)


def size_text(size: int) -> str:
    """The opposite of `parse_size`, in the largest binary unit that divides it."""
    for prefix, power in (("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{prefix}"
    return str(size)


Span = Annotated[float, BeforeValidator(parse_span), PlainSerializer(span_text, when_used="json")]
"""Seconds; in YAML a number with a unit."""
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(size_text, when_used="json")]
"""Bytes; in YAML a number with or without a unit."""
