"""What is missing from a series, and why: trading hours less what was heard.

Coverage is the positive record; a hole needs nobody to have noticed it. The rows of ``gaps``
explain holes, and add those inside an uptime: trades that came too late, frames that could
not be read.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mdingest.core.events import Cause
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.store.base import CoverageRow, GapRow

UNRECORDED = "unrecorded"
"""Cause of a hole that no row explains: nobody was listening, or who listened died."""
_WITHIN_UPTIME = frozenset(
    cause.text for cause in (Cause.LATE, Cause.UNDECODABLE, Cause.SHED, Cause.QUARANTINE, Cause.TRADE_ID)
)
_FOR_EVER = 1 << 62


class Missing(NamedTuple):
    """One hole, UTC ns."""

    start: int
    end: int
    cause: str


def missing(
    windows: Sequence[Span],
    coverage: Iterable[CoverageRow],
    gaps: Iterable[GapRow],
    *,
    interval_s: int,
    settling: Span = (0, 0),
) -> list[Missing]:
    """Holes in ``windows`` (sorted, disjoint), ascending and disjoint, for one length of candle.

    History counts for its own length and what is made of it: minutes never fill seconds.
    Inside ``settling``, the last moments that may not be committed yet, only what a row
    explains is missing.
    """
    heard: dict[str, list[Span]] = {}
    for row in coverage:
        if row.interval_s == 0 or interval_s % row.interval_s == 0:
            heard.setdefault(row.source, []).append((row.start_ns, row.end_ns))
    by_source = {source: union(spans) for source, spans in heard.items()}
    uncovered = subtract(windows, union(span for spans in by_source.values() for span in spans))
    found: list[Missing] = []
    explained: list[Span] = []
    for gap in sorted(gaps, key=lambda gap: gap.start_ns):
        span = [(gap.start_ns, _FOR_EVER if gap.end_ns is None else gap.end_ns)]
        if gap.cause in _WITHIN_UPTIME:
            others = union(
                span for source, spans in by_source.items() if source != gap.source for span in spans
            )
            holes = subtract(intersect(windows, span), others)
        else:
            holes = intersect(uncovered, span)
        fresh = subtract(holes, explained)
        found += [Missing(*hole, gap.cause) for hole in fresh]
        explained = union([*explained, *fresh])
    rest = subtract(uncovered, union([*explained, settling]))
    found += [Missing(*hole, UNRECORDED) for hole in rest]
    return _joined(found)


def overlaps(holes: Sequence[Missing], start: int, end: int) -> bool:
    """Whether anything is missing in ``[start, end)``."""
    return any(hole.start < end and start < hole.end for hole in holes)


def clipped(holes: Iterable[Missing], start: int, end: int) -> list[Missing]:
    """The parts of holes inside ``[start, end)``."""
    inside = (Missing(max(hole.start, start), min(hole.end, end), hole.cause) for hole in holes)
    return [hole for hole in inside if hole.start < hole.end]


def _joined(holes: list[Missing]) -> list[Missing]:
    joined: list[Missing] = []
    for hole in sorted(holes):
        if joined and joined[-1].end == hole.start and joined[-1].cause == hole.cause:
            joined[-1] = joined[-1]._replace(end=hole.end)
        else:
            joined.append(hole)
    return joined
