"""Kite's segments as data: the low byte of an instrument token.

Divisors are those of pykiteconnect 5.2.2 (the Go and JavaScript clients do not know NCO, and
the documentation's single divisor for currencies contradicts all of them), so they can be
overridden in the options.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. ``divisor``: wire price / divisor = rupees (or points)."""

    id: int
    name: str
    divisor: float
    derivative: bool  # an open interest of 0 is a fact here; elsewhere it means none


SEGMENTS = (
    Segment(1, "NSE", 100.0, derivative=False),
    Segment(2, "NFO", 100.0, derivative=True),
    Segment(3, "CDS", 10_000_000.0, derivative=True),
    Segment(4, "BSE", 100.0, derivative=False),
    Segment(5, "BFO", 100.0, derivative=True),
    Segment(6, "BCD", 10_000.0, derivative=True),
    Segment(7, "MCX", 100.0, derivative=True),
    Segment(8, "MCXSX", 100.0, derivative=True),
    Segment(9, "INDICES", 100.0, derivative=False),
    Segment(12, "NCO", 10_000.0, derivative=True),
)
BY_ID = MappingProxyType({segment.id: segment for segment in SEGMENTS})
BY_NAME = MappingProxyType({segment.name: segment for segment in SEGMENTS})
DEFAULT_DIVISOR = 100.0  # of a segment nobody has told us of yet, as all official clients do


def segment_of(token: int) -> Segment | None:
    """The segment of an instrument token."""
    return BY_ID.get(token & 0xFF)
