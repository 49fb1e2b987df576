"""How complete one series is: what a whole record would hold, what is known, what is missing and why.

A candle is known if it was heard or fetched, whether or not anything traded in it: a minute without
a trade is no hole. Spans are half-open, UTC ns.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from mdingest.api.missing import RETENTION, UNRECORDED, UNSETTLED_NS, Missing, missing
from mdingest.api.prospects import UNKNOWN, Prospects
from mdingest.api.times import format_instant
from mdingest.api.wanted import EARLIEST, Reader, Tables, Wanted
from mdingest.core.interval import MINUTE, WEEK, Interval
from mdingest.core.session import DAY_NS, SECOND_NS, Session, SessionTable
from mdingest.core.spans import Span, intersect, union
from mdingest.store.base import CoverageRow, GapRow

NEVER_FETCHED, BEYOND_DEPTH = "never_fetched", "beyond_depth"
SECONDS_STAY = "no broker has seconds"
DROPPED = "older than candles.retention keeps"
_OPEN, _UNFILLABLE = "open", "unfillable"
_WEEKDAYS = 7
_FIRST_MONDAY = 4  # 1970-01-05, in days since 1970


@dataclass(frozen=True, slots=True)
class Lack:
    """Candles that nobody has, in a row, and why."""

    start_ns: int
    end_ns: int
    candles: int
    why: str  # a cause of gaps, unrecorded, retention, never_fetched or beyond_depth
    repair: str  # open, repairing, unfillable
    reason: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """Of the candles that open in ``[start_ns, end_ns)`` and are over."""

    interval: Interval
    start_ns: int
    end_ns: int
    expected: int
    missing: int
    lacks: Sequence[Lack]


def counted_fields(found: Completeness) -> dict[str, str | int]:
    """As replies and ``mdingest gaps --json`` spell it, without the reasons."""
    return {
        "interval": found.interval.text,
        "start": format_instant(found.start_ns),
        "end": format_instant(found.end_ns),
        "expected": found.expected,
        "known": found.expected - found.missing,
        "missing": found.missing,
    }


async def completeness(
    reader: Reader, tables: Tables, wanted: Wanted, *, now_ns: int, prospects: Prospects = UNKNOWN
) -> Completeness:
    """A start of None: since the trade date of the first that was ever heard or fetched, and is kept.

    Raises StoreUnavailable.
    """
    coverage = await reader.coverage(wanted.instrument.id, EARLIEST, wanted.end_ns)
    low = wanted.start_ns
    if low is None:  # the day of the first begins before it
        low = _first(coverage, wanted.interval, wanted.end_ns) - DAY_NS
    gaps = await reader.gaps(wanted.instrument.id, low, wanted.end_ns)
    forgotten = await reader.upkeep.forgotten()
    return completeness_of(
        coverage, gaps, tables, wanted, now_ns=now_ns, prospects=prospects, forgotten=forgotten
    )


def completeness_of(
    coverage: Sequence[CoverageRow],
    gaps: Sequence[GapRow],
    tables: Tables,
    wanted: Wanted,
    *,
    now_ns: int,
    prospects: Prospects = UNKNOWN,
    since_ns: int = EARLIEST,
    forgotten: Mapping[int, int] | None = None,
) -> Completeness:
    """The same of rows of the instrument, all of its coverage before the end among them.

    ``since_ns``: the earliest start where ``wanted`` has none. ``forgotten`` as in `missing`.
    """
    instrument, interval = wanted.instrument, wanted.interval
    end_ns = min(wanted.end_ns, now_ns - UNSETTLED_NS) // SECOND_NS * SECOND_NS
    coverage = [row for row in coverage if row.interval_s <= interval.seconds and row.start_ns < end_ns]
    first = _first(coverage, interval, end_ns)
    low = max(first, min(since_ns, end_ns)) if wanted.start_ns is None else wanted.start_ns
    table = tables.around(instrument, low, end_ns)
    if wanted.start_ns is None:
        day = table.day_of(low)
        kept_from = (forgotten or {}).get(interval.seconds, EARLIEST)
        low = max(kept_from, low if day is None else day.start_ns)
    windows = _over(table, interval, (low, end_ns), all_sessions=wanted.all_sessions)
    holes = missing(windows, coverage, gaps, interval_s=interval.seconds, forgotten=forgotten)
    reach = prospects.earliest(interval.seconds)
    reach = EARLIEST if reach is None else reach
    parts = [_named(hole, first, reach) for hole in _split(holes, sorted((first, reach)))]
    lacks = [
        _lack(hole, row, wanted, table, windows, prospects)
        for hole, row in zip(parts, _rows_of(parts, gaps), strict=True)
    ]
    return Completeness(
        interval,
        low,
        end_ns,
        count(windows, windows, interval, table),
        count(windows, union((hole.start, hole.end) for hole in holes), interval, table),
        lacks,
    )


def _first(coverage: Iterable[CoverageRow], interval: Interval, end_ns: int) -> int:
    """When the first was heard or fetched that says something of the interval."""
    return min((row.start_ns for row in coverage if row.interval_s <= interval.seconds), default=end_ns)


def count(windows: Sequence[Span], spans: Sequence[Span], interval: Interval, table: SessionTable) -> int:
    """How many candles of ``windows`` (sorted, disjoint) any of ``spans`` (the same) touches."""
    if not spans:
        return 0
    first = bisect_right(windows, spans[0][0], key=itemgetter(1))
    windows = windows[first : bisect_left(windows, spans[-1][1], key=itemgetter(0))]
    if interval.is_daily_or_longer:
        days = {
            day
            for low, high in intersect(windows, spans)
            for day in range(table.trade_date_of(low), table.trade_date_of(high - 1) + 1)
        }
        if interval == WEEK:
            return len({(day - _FIRST_MONDAY) // _WEEKDAYS for day in days})
        return len(days)
    total = at = 0
    for start, end in windows:
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        counted, here = start, at  # of this window, up to where
        while here < len(spans) and spans[here][0] < end:
            low, high = max(spans[here][0], start), min(spans[here][1], end)
            first_ns = max(counted, start + (low - start) // interval.ns * interval.ns)
            counted = max(counted, start + _up(high - start, interval))
            total += (counted - first_ns) // interval.ns
            here += 1
    return total


def _over(table: SessionTable, interval: Interval, span: Span, *, all_sessions: bool) -> list[Span]:
    """Trading hours whose candles are over; of a day that is not, nothing is."""
    if not interval.is_daily_or_longer:
        sessions = None if all_sessions else (Session.REGULAR,)
        windows = table.windows_between(*span, sessions)
        last = windows[-1][1] if windows else 0
        if last == span[1]:  # cut short by now
            start = windows[-1][0]
            windows[-1] = (start, start + (last - start) // interval.ns * interval.ns)
        return [window for window in windows if window[0] < window[1]]
    over = [
        (max(day.start_ns, span[0]), day.end_ns)
        for day in table.days
        if day.start_ns < span[1]
        and span[0] < day.end_ns
        and (day.windows[-1].end_ns if day.windows else day.end_ns) <= span[1]
    ]
    return intersect(table.windows_between(span[0], span[1] + DAY_NS), over)


def _split(holes: Iterable[Missing], bounds: Sequence[int]) -> list[Missing]:
    """What no row explains may have another reason on either side of an instant."""
    found = []
    for hole in holes:
        cuts = [at for at in bounds if hole.start < at < hole.end] if hole.cause == UNRECORDED else []
        edges = [hole.start, *cuts, hole.end]
        found += [Missing(*span, hole.cause) for span in pairwise(edges)]
    return found


def _named(hole: Missing, first: int, reach: int) -> Missing:
    """With the reason for which nobody was there, where no row has one."""
    if hole.cause != UNRECORDED:
        return hole
    why = BEYOND_DEPTH if hole.end <= reach else NEVER_FETCHED if hole.end <= first else UNRECORDED
    return hole._replace(cause=why)


def _rows_of(holes: Iterable[Missing], gaps: Sequence[GapRow]) -> Iterator[GapRow | None]:
    """For each hole (ascending, disjoint) the first row of its cause that touches it."""
    rows: dict[str, list[GapRow]] = {}
    for gap in reversed(sorted(gaps, key=lambda gap: gap.start_ns)):  # noqa: C413 - of equals the first last
        rows.setdefault(gap.cause, []).append(gap)
    for hole in holes:
        left = rows.get(hole.cause, [])
        while left and left[-1].end_ns is not None and left[-1].end_ns <= hole.start:
            left.pop()  # over before this hole, so before all that follow
        yield left[-1] if left and left[-1].start_ns < hole.end else None


def _lack(
    hole: Missing,
    row: GapRow | None,
    wanted: Wanted,
    table: SessionTable,
    windows: Sequence[Span],
    prospects: Prospects,
) -> Lack:
    span, why, interval = (hole.start, hole.end), hole.cause, wanted.interval
    repair, reason = (_OPEN, "") if row is None else (row.repair, prospects.told(row))
    if why == BEYOND_DEPTH:
        repair = _UNFILLABLE
    if why == RETENTION:
        repair, reason = _UNFILLABLE, DROPPED
    elif interval < MINUTE:
        repair, reason = _UNFILLABLE, SECONDS_STAY
    elif why in (UNRECORDED, NEVER_FETCHED):
        reason = prospects.idle(wanted.instrument.symbol, interval.seconds, why, hole.end)
    return Lack(*span, count(windows, [span], interval, table), why, repair, reason)


def _up(length: int, interval: Interval) -> int:
    return -(-length // interval.ns) * interval.ns
