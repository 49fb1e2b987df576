"""What is missing from a series, and why: trading hours less what was heard.

Coverage is the positive record; a hole needs nobody to have noticed it. The rows of ``gaps``
explain holes, and add those inside an uptime: trades that came too late, frames that could
not be read.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from mdingest.core.events import Cause
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.store.base import CoverageRow, GapRow

UNRECORDED = "unrecorded"
"""Cause of a hole that no row explains: nobody was listening, or who listened died."""
RETENTION = "retention"
"""Cause of a hole that was none: what was heard or fetched there was kept for a while, then dropped."""
UNSETTLED_NS = 20 * SECOND_NS
"""What happened this lately may not be committed: commits may take 10 s, and 2 s to close."""
_WITHIN_UPTIME = frozenset(
    cause.text for cause in (Cause.LATE, Cause.UNDECODABLE, Cause.SHED, Cause.QUARANTINE, Cause.TRADE_ID)
)
_FOR_EVER = 1 << 62
_END = attrgetter("end")


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
    forgotten: Mapping[int, int] | None = None,
) -> list[Missing]:
    """Holes in ``windows`` (sorted, disjoint), ascending and disjoint, for one length of candle.

    History counts for its own length and what is made of it: minutes never fill seconds.
    Inside ``settling``, the last moments that may not be committed yet, only what a row
    explains is missing. ``forgotten``: interval in seconds to the instant before which its
    candles were dropped.
    """
    heard: dict[str, list[Span]] = {}
    dropped: list[Span] = []
    for row in coverage:
        if row.interval_s == 0 or interval_s % row.interval_s == 0:
            kept_from = (forgotten or {}).get(_kept_as(row, interval_s), row.start_ns)
            heard.setdefault(row.source, []).append((max(row.start_ns, kept_from), row.end_ns))
            dropped.append((row.start_ns, min(row.end_ns, kept_from)))
    by_source = {source: union(_forward(spans)) for source, spans in heard.items()}
    uncovered = subtract(windows, union(span for spans in by_source.values() for span in spans))
    retained = intersect(uncovered, union(_forward(dropped)))
    found = [Missing(*hole, RETENTION) for hole in retained]
    gaps = sorted(gaps, key=lambda gap: gap.start_ns)
    told = _told(subtract(uncovered, retained), gaps)
    found += told
    for source, spans in by_source.items():
        others = union(span for name, of in by_source.items() if name != source for span in of)
        alone = intersect(windows, subtract(spans, others))
        found += _told(alone, [gap for gap in gaps if gap.source == source and gap.cause in _WITHIN_UPTIME])
    explained = union([*retained, *((hole.start, hole.end) for hole in told), settling])
    found += [Missing(*hole, UNRECORDED) for hole in subtract(uncovered, explained)]
    return joined(found)


def _told(spans: Sequence[Span], gaps: Iterable[GapRow]) -> list[Missing]:
    """The parts of ``spans`` that gaps (by start) explain; where several do, the one that began first."""
    causes: list[Missing] = []
    reach = -_FOR_EVER  # the one that began first and lasts is in force up to here
    for gap in gaps:
        start, end = max(gap.start_ns, reach), _FOR_EVER if gap.end_ns is None else gap.end_ns
        if start < end:
            causes.append(Missing(start, end, gap.cause))
            reach = end
    found, at = [], 0
    for start, end in spans:
        while at < len(causes) and causes[at].end <= start:
            at += 1
        here = at
        while here < len(causes) and causes[here].start < end:
            cause = causes[here]
            found.append(Missing(max(start, cause.start), min(end, cause.end), cause.cause))
            here += 1
    return found


def _forward(spans: Iterable[Span]) -> list[Span]:
    """Without those of which nothing is left."""
    return [span for span in spans if span[0] < span[1]]


def _kept_as(row: CoverageRow, interval_s: int) -> int:
    """The length of the stored candles through which coverage serves an interval. Live ones have two."""
    if row.interval_s == 0:
        return MINUTE.seconds if interval_s >= MINUTE.seconds else 1
    return row.interval_s


def overlaps(holes: Sequence[Missing], start: int, end: int) -> bool:
    """Whether anything of ``holes`` (ascending, disjoint) is missing in ``[start, end)``."""
    first = bisect_right(holes, start, key=_END)
    return first < len(holes) and holes[first].start < end


def lost_ns(holes: Sequence[Missing], start: int, end: int) -> int:
    """How much of ``[start, end)`` is in ``holes`` (ascending, disjoint)."""
    return sum(hole.end - hole.start for hole in within(holes, [(start, end)]))


def clipped(holes: Iterable[Missing], start: int, end: int) -> list[Missing]:
    """The parts of holes inside ``[start, end)``."""
    inside = (Missing(max(hole.start, start), min(hole.end, end), hole.cause) for hole in holes)
    return [hole for hole in inside if hole.start < hole.end]


def within(holes: Sequence[Missing], spans: Iterable[Span]) -> list[Missing]:
    """The parts of holes (ascending, disjoint) inside ``spans`` (the same)."""
    found: list[Missing] = []
    for start, end in spans:
        for at in range(bisect_right(holes, start, key=_END), len(holes)):
            if holes[at].start >= end:
                break
            found.append(Missing(max(holes[at].start, start), min(holes[at].end, end), holes[at].cause))
    return found


def joined(holes: Iterable[Missing]) -> list[Missing]:
    """Sorted, touching ones of one cause joined."""
    whole: list[Missing] = []
    for hole in sorted(holes):
        if whole and whole[-1].end == hole.start and whole[-1].cause == hole.cause:
            whole[-1] = whole[-1]._replace(end=hole.end)
        else:
            whole.append(hole)
    return whole
