"""Rows out of their order, rows that say a stamp again, and which end of its bar a stamp names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mdingest.core.interval import Interval
from mdingest.core.rows import distinct
from mdingest.core.session import DAY_NS, SECOND_NS, SessionTable

UNORDERED, DUPLICATE = 1, 2


def is_descending(ts: NDArray[np.int64]) -> bool:
    """Whether a file has its newest rows first, from a sample of its stamps."""
    steps = np.sign(np.diff(ts))
    return bool(steps.sum() < 0)


def misplaced(ts: NDArray[np.int64], *, descending: bool) -> NDArray[np.uint8]:
    """`UNORDERED` for each row that steps back in time, else 0. ``(n,)`` to ``(n,)``.

    If the row before is the odd one (what follows goes on from before it), that one is
    marked. Where a later part of the file lies before an earlier part (files put together in
    the wrong order) the rows are in order among themselves, and none is marked.
    """
    codes = np.zeros(len(ts), np.uint8)
    series = -ts if descending else ts
    for i in np.flatnonzero(np.diff(series) < 0) + 1:
        before = series[i - 2] if i > 1 else None
        after = series[i + 1] if i + 1 < len(series) else None
        goes_on = after is not None and series[i] <= after < series[i - 1]
        if goes_on and (before is None or series[i] > before):
            codes[i - 1] = UNORDERED
        elif not goes_on and not codes[i - 1]:
            codes[i] = UNORDERED
    return codes


def repeated(ts: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows say a stamp that an earlier row has said, and that row's place. ``(n,)`` twice."""
    order = np.argsort(ts, kind="stable")
    same = np.zeros(len(ts), np.bool_)
    same[1:] = ts[order][1:] == ts[order][:-1]
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(ts))))
    again = np.zeros(len(ts), np.bool_)
    of = np.zeros(len(ts), np.int64)
    again[order], of[order] = same, order[first]
    return again, of


def names_the_close(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> tuple[int, int]:
    """On how many days the first stamp is one interval after the opening, and how many days count.

    Days count on which the calendar, or the class's ordinary day, says when trading opens and
    the first stamp lies at that opening or up to one interval after it.
    """
    late = counted = 0
    dates = table.trade_date_of(ts)
    for ordinal in distinct(dates[dates >= 0]).tolist():
        day = table.day(ordinal)
        opening = None if day is None else day.regular_open if day.windows else day.anchor_ns
        if day is None or opening is None or opening == day.start_ns:
            continue
        mine = ts[(dates == ordinal) & (ts >= opening)]
        if not len(mine) or int(mine.min()) > opening + interval.ns:
            continue
        counted += 1
        late += int(mine.min()) == opening + interval.ns
    return late, counted


def whole_days(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """A sample without its last day in the order of the file, which may be cut; all if there is one."""
    days = (ts + 43_200 * SECOND_NS) // DAY_NS  # cut at noon UTC, when few markets open or close
    kept = ts[days != days[-1]]
    return kept if len(kept) else ts


def listed(places: Sequence[str], most: int = 5) -> str:
    """A few of many, for a sentence."""
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more
