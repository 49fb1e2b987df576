"""Dates and instants that people type."""

import datetime as dt

from mdingest.core.session import SECOND_NS
from mdingest.errors import ConfigError

_FAR_S = 6_000_000_000  # 1779 and 2160; a century before that still is an instant in ns of 64 bits


def instant_of(text: str, zone: dt.tzinfo | None) -> int:
    """UTC ns of a date (its midnight by the exchange's clocks, UTC if unknown) or of an instant with offset.

    Raises ConfigError for anything else; a naive time is refused. What 64 bits can't hold is the
    nearest instant that they can.
    """
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(_wrong(text)) from exc
    if is_date(text):
        when = when.replace(tzinfo=zone or dt.UTC)
    elif when.tzinfo is None:
        raise ConfigError(_wrong(text))
    return max(-_FAR_S, min(round(when.timestamp()), _FAR_S)) * SECOND_NS


def is_date(text: str) -> bool:
    """Whether it can be a date only, whose instant depends on an exchange's clocks."""
    return len(text) <= len("2026-11-20")


def _wrong(text: str) -> str:
    return (
        "must be a date like 2026-11-20, or an instant with an offset like 2026-11-20T09:15:00+05:30, "
        f"was {text!r}"
    )
