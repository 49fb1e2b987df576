"""Calendar months of a zone as spans, for vendors that sell by the month."""

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from mdingest.core.session import SECOND_NS
from mdingest.core.spans import Span


def months_of(span: Span, zone: ZoneInfo) -> Iterator[Span]:
    """The months that a span touches, whole, UTC ns."""
    local = dt.datetime.fromtimestamp(span[0] // SECOND_NS, zone)
    year, month = local.year, local.month
    while (start := _first_of(year, month, zone)) < span[1]:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)  # noqa: PLR2004 - December
        yield start, _first_of(year, month, zone)


def _first_of(year: int, month: int, zone: ZoneInfo) -> int:
    return int(dt.datetime(year, month, 1, tzinfo=zone).timestamp()) * SECOND_NS
