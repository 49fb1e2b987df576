"""Trade dates and session windows, as arrays one can look instants up in.

A venue's calendar reaches the rest of the program only in this form: a table of trade
dates, each a half-open span of UTC instants with the windows in which the venue trades.
Three answers are kept apart. A known day with windows says when it trades; a known day
without windows is a holiday; an unknown day lies beyond the published data and may trade
at any instant. Nothing here ever says "closed" about a day it does not know, and nothing
drops an instant: outside every window the session is ``UNKNOWN``.

All times are UTC ns (int64), whole seconds; all ranges are half-open.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mdingest.core.tradeday import (
    Session,
    TradeDay,
    Window,
    check_days,
    date_ordinal,
    day_from_json,
    day_to_json,
    ordinal_date,
)
from mdingest.core.units import DAY_NS
from mdingest.core.units import NS as SECOND_NS

__all__ = [
    "DAY_NS",
    "NO_DATE",
    "SECOND_NS",
    "Session",
    "SessionTable",
    "TradeDay",
    "Window",
    "always_open",
    "date_ordinal",
    "ordinal_date",
]

NO_DATE = -1
"""What `SessionTable.trade_date_of` answers where no day covers the instant."""


class SessionTable:
    """The trade dates of one session class, sorted, for looking instants up.

    Days and windows must not overlap, windows lie inside their day, and every bound is a
    whole second; anything else raises ValueError. Immutable; dates may be missing, and
    instants on a missing date are treated as unknown.
    """

    __slots__ = (
        "_by_ordinal",
        "_day_ends",
        "_day_ordinals",
        "_day_starts",
        "_days",
        "_grid",
        "_window_codes",
        "_window_ends",
        "_window_starts",
    )

    def __init__(self, days: Iterable[TradeDay]) -> None:
        self._days = tuple(sorted(days, key=lambda day: day.start_ns))
        check_days(self._days)
        windows = [w for day in self._days for w in day.windows]
        self._day_starts = _int64(day.start_ns for day in self._days)
        self._day_ends = _int64(day.end_ns for day in self._days)
        self._day_ordinals = _int64(day.ordinal for day in self._days)
        self._window_starts = _int64(w.start_ns for w in windows)
        self._window_ends = _int64(w.end_ns for w in windows)
        self._window_codes = np.array([w.session for w in windows], dtype=np.uint8)
        self._by_ordinal = {day.ordinal: day for day in self._days}
        self._grid: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def days(self) -> tuple[TradeDay, ...]:
        """Every day of the table, ascending."""
        return self._days

    @property
    def grid(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Instants no intraday bucket may cross, ascending, and the grid anchor from each to the next.

        The first edge lies before every instant, so that a lookup always finds a segment.
        """
        if self._grid is None:
            anchor_of = {int(np.iinfo(np.int64).min): 0}
            for day in self._days:
                anchor = day.grid_anchor
                for window in day.windows:
                    anchor_of[window.start_ns] = anchor_of[window.end_ns] = anchor
                anchor_of[day.start_ns] = anchor
                anchor_of[day.end_ns] = 0  # overwritten by the next day if that begins here
            edges = sorted(anchor_of)
            self._grid = _int64(edges), _int64(anchor_of[edge] for edge in edges)
        return self._grid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SessionTable) and self._days == other._days

    def __hash__(self) -> int:
        return hash(self._days)

    def __repr__(self) -> str:
        if not self._days:
            return "SessionTable(no days)"
        return f"SessionTable({self._days[0].date}..{self._days[-1].date})"

    def session_of(self, ts: NDArray[np.int64]) -> NDArray[np.uint8]:
        """`Session` codes of instants. ``(n,)`` in any order to ``(n,)``."""
        at, inside = _locate(self._window_starts, self._window_ends, ts)
        codes = np.zeros(ts.shape, dtype=np.uint8)
        codes[inside] = self._window_codes[at[inside]]
        return codes

    @overload
    def trade_date_of(self, ts: int) -> int: ...
    @overload
    def trade_date_of(self, ts: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def trade_date_of(self, ts: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
        """The trade date an instant belongs to, in days since 1970-01-01; else `NO_DATE`.

        Holidays and unknown days have a date too. ``(n,)`` to ``(n,)``, or one to one.
        """
        if not isinstance(ts, np.ndarray):
            day = self.day_of(ts)
            return NO_DATE if day is None else day.ordinal
        at, inside = _locate(self._day_starts, self._day_ends, ts)
        dates = np.full(ts.shape, NO_DATE, dtype=np.int64)
        dates[inside] = self._day_ordinals[at[inside]]
        return dates

    def day_of(self, ts: int) -> TradeDay | None:
        """The day that covers an instant, None if the table has none."""
        at = bisect_right(self._days, ts, key=lambda day: day.start_ns) - 1
        if at < 0 or ts >= self._days[at].end_ns:
            return None
        return self._days[at]

    def day(self, day: dt.date | int) -> TradeDay | None:
        """The day of a date, or of days since 1970-01-01; None if the table has none."""
        return self._by_ordinal.get(date_ordinal(day) if isinstance(day, dt.date) else int(day))

    def first_session_start(self, day: dt.date | int) -> int | None:
        """When the day's first window of any kind opens; None if nothing is known to open."""
        found = self.day(day)
        return found.windows[0].start_ns if found is not None and found.windows else None

    def windows_between(
        self, start_ns: int, end_ns: int, sessions: Collection[Session] | None = None
    ) -> list[tuple[int, int]]:
        """Where ``[start_ns, end_ns)`` may have trades: ascending, disjoint, touching ones joined.

        Windows of known days, of the given sessions only (default all), and wholly the
        days that are unknown or not in the table: what is not known may be open.
        """
        spans: list[tuple[int, int]] = []
        # Of one instant `bisect` is quicker than a numpy call, which wants an array of it.
        first = bisect_right(self._days, start_ns, key=lambda day: day.end_ns)
        last = bisect_left(self._days, end_ns, key=lambda day: day.start_ns)
        covered = start_ns  # everything before this instant has been looked at
        for day in self._days[first:last]:
            spans.append((covered, day.start_ns))  # empty unless dates are missing
            covered = day.end_ns
            if not day.known:
                spans.append((day.start_ns, day.end_ns))
            spans += [
                (w.start_ns, w.end_ns) for w in day.windows if sessions is None or w.session in sessions
            ]
        spans.append((covered, end_ns))
        joined: list[tuple[int, int]] = []
        for span in spans:
            low, high = max(span[0], start_ns), min(span[1], end_ns)
            if low >= high:
                continue
            if joined and joined[-1][1] == low:
                joined[-1] = (joined[-1][0], high)
            else:
                joined.append((low, high))
        return joined

    def merged(self, newer: SessionTable) -> SessionTable:
        """Both tables' days; where both have a date or an instant, the newer one's.

        A class whose zone was corrected has other midnights from then on.
        """
        kept = (day for day in self._days if day.ordinal not in newer._by_ordinal and not newer._meets(day))
        return SessionTable([*kept, *newer._days])

    def _meets(self, other: TradeDay) -> bool:
        """Whether any day of the table shares an instant with another table's day."""
        at = bisect_right(self._days, other.start_ns, key=lambda day: day.end_ns)
        return at < len(self._days) and self._days[at].start_ns < other.end_ns

    def to_json(self) -> list[Any]:
        """Lists of whole numbers for `json.dumps`; see `tradeday.day_to_json`."""
        return [day_to_json(day) for day in self._days]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> SessionTable:
        """The table that `to_json` described. Raises ValueError on anything else."""
        try:
            return cls([day_from_json(row) for row in value])
        except (TypeError, KeyError, IndexError, OverflowError) as exc:
            raise ValueError(f"not a session table: {exc}") from exc


def always_open(start: dt.date, end: dt.date) -> SessionTable:
    """A table for 24x7 trading: UTC days from ``start`` to before ``end``, all regular."""
    days = []
    for ordinal in range(date_ordinal(start), date_ordinal(end)):
        low, high = ordinal * DAY_NS, (ordinal + 1) * DAY_NS
        window = Window(Session.REGULAR, low, high)
        days.append(TradeDay(ordinal_date(ordinal), low, high, known=True, windows=(window,)))
    return SessionTable(days)


def _int64(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _locate(
    starts: NDArray[np.int64], ends: NDArray[np.int64], ts: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Index of the span that covers each instant, and whether one does."""
    if not starts.size:
        return np.zeros(ts.shape, dtype=np.intp), np.zeros(ts.shape, dtype=np.bool_)
    at = np.searchsorted(starts, ts, side="right") - 1
    return at, (at >= 0) & (ts < ends[at])
