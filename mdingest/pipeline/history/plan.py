"""Which ranges to ask a provider for: what trading hours promise, less what is covered.

Pure: instants come in, ranges go out. All ranges are half-open, UTC ns.
"""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from zoneinfo import ZoneInfo

import numpy as np

from mdingest.core.interval import Buckets, Interval, buckets
from mdingest.core.months import months_of
from mdingest.core.rank import BY_NAME
from mdingest.core.session import DAY_NS, SECOND_NS, Session, SessionTable
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.pipeline.history.candles import final_at
from mdingest.providers.history import Capabilities, Reach, dated
from mdingest.store.base import CoverageRow

_EVER = -(1 << 62)
OVERLAP_BARS = 5
"""Bars that are covered already and asked for again where that costs no request: a series that was
adjusted since shows itself in them. Between them and what is missing is nothing but closed time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``ranges`` in order; ``beyond`` is what is missing and out of the provider's depth."""

    ranges: tuple[Span, ...]
    beyond: tuple[Span, ...] = ()


def plan(
    wanted: Span,
    *,
    interval: Interval,
    table: SessionTable,
    coverage: Iterable[CoverageRow],
    capabilities: Capabilities,
    now_ns: int,
    force: bool = False,
    only: Iterable[Span] | None = None,
) -> Plan:
    """The fewest requests that bring what is missing of ``wanted``, or of ``only`` that.

    Each range keeps the span, the number of rows and the month that one request may have. Greedy
    from the left is optimal for pieces of one length. What has not settled at ``now_ns`` is left
    for later.
    """
    reach = capabilities.intervals[interval.seconds]
    settled = now_ns - round(capabilities.settle_of(interval) * SECOND_NS)
    earliest = earliest_of(reach, now_ns)
    windows = _grid(wanted, settled, interval, table)
    if windows and windows[0][0] < earliest < windows[-1][1]:  # of a bar in its midst comes nothing
        earliest = int(buckets(np.array([earliest - 1], np.int64), interval, table).ends[0])
    covered = union((row.start_ns, row.end_ns) for row in coverage if serves(row, interval))
    missing = windows if force else subtract(windows, covered)
    if only is not None:
        missing = intersect(missing, union(only))
    reachable = [(max(start, earliest), end) for start, end in missing if end > earliest]
    length = longest(reach, interval)
    regular = windows
    if not interval.is_daily_or_longer:  # before and after it there are rarely any bars
        regular = intersect(windows, table.windows_between(*wanted, {Session.REGULAR}))
    beside = _Beside(
        intersect(regular, covered),
        subtract(windows, covered),
        (max(earliest, wanted[0]), wanted[1]),
        interval,
        table,
    )
    if reach.months is not None:
        ranges = _monthly(reachable, beside, ZoneInfo(reach.months))
    else:
        ranges = [beside.overlapping(piece, length) for piece in _pieces(reachable, length)]
    beyond = [(start, min(end, earliest)) for start, end in missing if start < earliest]
    return Plan(tuple(ranges), tuple(union(beyond)))


def serves(row: CoverageRow, interval: Interval) -> bool:
    """Whether coverage says that candles of this length are there: history by length, live 1s and 1m."""
    if row.interval_s:
        return row.interval_s == interval.seconds
    return interval.seconds == 60 or (interval.seconds == 1 and BY_NAME[row.source].live)  # noqa: PLR2004 - a minute


def earliest_of(reach: Reach, now_ns: int) -> int:
    """The first instant that a provider has, UTC ns."""
    limits = [_EVER]
    if reach.depth_s is not None:
        limits.append(now_ns - round(reach.depth_s * SECOND_NS))
    if reach.since is not None:
        limits.append((reach.since - dt.date(1970, 1, 1)).days * DAY_NS)
    return max(limits)


def longest(reach: Reach, interval: Interval) -> int | None:
    """How long the range of one request may be, in ns; None: as long as one likes."""
    limits = []
    if reach.span_s is not None:
        limits.append(round(reach.span_s * SECOND_NS))
    if reach.rows is not None:
        limits.append(reach.rows * interval.ns)
    return min(limits) if limits else None


def _grid(wanted: Span, settled: int, interval: Interval, table: SessionTable) -> list[Span]:
    """Where candles that have settled may open; whole days for those of a day or longer."""
    if not interval.is_daily_or_longer:
        forming = int(buckets(np.array([settled], np.int64), interval, table).starts[0])
        return table.windows_between(wanted[0], min(wanted[1], forming))
    names = dated(np.array([day.ordinal * DAY_NS for day in table.days], np.int64), interval, None)
    ends = final_at(names, interval, table)
    traded = []
    for day, name, end in zip(table.days, names.tolist(), ends.tolist(), strict=True):
        first = (
            table.day(name // DAY_NS) or day
        )  # a week is its Monday's, and asked for with that or not at all
        if (
            end <= settled
            and day.start_ns < wanted[1]
            and wanted[0] < first.end_ns
            and (day.windows or not day.known)
        ):
            traded.append((first.start_ns, day.end_ns))
    return union(traded)


def _pieces(missing: Sequence[Span], length: int | None) -> list[Span]:
    if length is None:
        return [(missing[0][0], missing[-1][1])] if missing else []
    pieces: list[Span] = []
    for start, end in missing:
        at = start
        while at < end:
            if pieces and at < pieces[-1][0] + length:
                stop = min(end, pieces[-1][0] + length)
                pieces[-1] = (pieces[-1][0], stop)
            else:
                stop = min(end, at + length)
                pieces.append((at, stop))
            at = stop
    return pieces


@dataclass(frozen=True, slots=True)
class _Beside:
    """The bars beside a piece that are known; all spans ascending."""

    known: Sequence[Span]  # where bars are
    unknown: Sequence[Span]  # trading time that is not covered, asked for or not
    within: Span
    interval: Interval
    table: SessionTable

    def overlapping(self, piece: Span, length: int | None) -> Span:
        """A piece with the known bars before it, or where there are none, after it: if they fit."""
        start, end = piece
        if length is not None and end - start >= length:
            return piece
        if before := list(islice(self._before(start), OVERLAP_BARS)):
            start = before[-1]
        elif after := list(islice(self._after(end), OVERLAP_BARS)):
            end = after[-1]
        return (start, end) if length is None or end - start <= length else piece

    def _before(self, piece_ns: int) -> Iterator[int]:
        """Where whole bars open, the latest first."""
        here = bisect_left(self.unknown, piece_ns, key=lambda span: span[0])
        floor = max(self.within[0], min(piece_ns, self.unknown[here - 1][1]) if here else _EVER)
        at = piece_ns
        for low, high in reversed(self.known[: bisect_right(self.known, piece_ns, key=lambda span: span[1])]):
            at = min(at, high)
            while low < at:
                at = int(self._bar(at - 1).starts[0])
                if at < floor:
                    return
                yield at

    def _after(self, piece_ns: int) -> Iterator[int]:
        """Where whole bars end, the earliest first."""
        here = bisect_right(self.unknown, piece_ns, key=lambda span: span[1])
        unknown = self.unknown[here][0] if here < len(self.unknown) else self.within[1]
        ceiling = min(self.within[1], max(piece_ns, unknown))
        at = piece_ns
        for low, high in self.known[bisect_left(self.known, piece_ns, key=lambda span: span[0]) :]:
            at = max(at, low)
            while at < high:
                at = int(self._bar(at).ends[0])
                if at > ceiling:
                    return
                yield at

    def _bar(self, at: int) -> Buckets:
        return buckets(np.array([at], np.int64), self.interval, self.table)


def _monthly(missing: Sequence[Span], beside: _Beside, zone: ZoneInfo) -> list[Span]:
    """One range for each calendar month that lacks something; known bars of another would cost a request."""
    lacking: dict[Span, list[Span]] = {}
    for span in missing:
        for month in months_of(span, zone):
            lacking.setdefault(month, []).extend(intersect([span], [month]))
    pieces = [(month, (parts[0][0], parts[-1][1])) for month, parts in sorted(lacking.items())]
    low, high = beside.within
    return [
        replace(beside, within=(max(low, month[0]), min(high, month[1]))).overlapping(piece, None)
        for month, piece in pieces
    ]
