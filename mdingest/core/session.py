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
import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
NO_DATE = -1  # what `SessionTable.trade_date_of` answers where no day covers the instant

_EPOCH = dt.date(1970, 1, 1).toordinal()


class Session(enum.IntEnum):
    """The session of a candle's opening instant; the codes are stored and journalled."""

    UNKNOWN = 0  # outside every window, or on a day that the data does not reach
    PREOPEN = 1
    REGULAR = 2
    AUCTION = 3
    POSTCLOSE = 4

    @property
    def text(self) -> str:
        """The lower-case word that SQL rows and HTTP replies carry."""
        return self.name.lower()

    @classmethod
    def from_text(cls, text: str) -> Session:
        """The session a word names. Raises ValueError that lists the words."""
        for session in cls:
            if session.text == text:
                return session
        known = ", ".join(session.text for session in cls)
        raise ValueError(f"session must be one of {known}, was {text!r}")


def date_ordinal(date: dt.date) -> int:
    """Days since 1970-01-01, the number that stands for a trade date in arrays."""
    return date.toordinal() - _EPOCH


def ordinal_date(ordinal: int) -> dt.date:
    """The date behind `date_ordinal`."""
    return dt.date.fromordinal(ordinal + _EPOCH)


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch ``[start_ns, end_ns)`` of a trade date and what happens in it."""

    session: Session
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class TradeDay:
    """A trade date of one session class.

    ``[start_ns, end_ns)`` is the whole date, midnight to midnight in the venue's zone (UTC
    if always open). No windows means a holiday if ``known``; an unknown day never has any.
    ``anchor_ns`` is where the grid of coarser candles hangs on a day without a regular
    window: the opening of the class's ordinary day, so that an hour does not move from
    09:15 to 09:00 because the calendar ran out. None: the day's start.
    """

    date: dt.date
    start_ns: int
    end_ns: int
    known: bool
    windows: tuple[Window, ...] = ()
    anchor_ns: int | None = None

    @property
    def ordinal(self) -> int:
        """Days since 1970-01-01."""
        return date_ordinal(self.date)

    @property
    def regular_open(self) -> int | None:
        """Start of the first regular window, None on a holiday or an unknown day."""
        starts = (w.start_ns for w in self.windows if w.session is Session.REGULAR)
        return next(starts, None)

    @property
    def grid_anchor(self) -> int:
        """Where the buckets of coarser intraday candles are counted from."""
        first = self.regular_open
        if first is not None:
            return first
        return self.start_ns if self.anchor_ns is None else self.anchor_ns


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
        "_window_codes",
        "_window_ends",
        "_window_starts",
    )

    def __init__(self, days: Iterable[TradeDay]) -> None:
        self._days = tuple(sorted(days, key=lambda day: day.start_ns))
        _check(self._days)
        windows = [w for day in self._days for w in day.windows]
        self._day_starts = _int64(day.start_ns for day in self._days)
        self._day_ends = _int64(day.end_ns for day in self._days)
        self._day_ordinals = _int64(day.ordinal for day in self._days)
        self._window_starts = _int64(w.start_ns for w in windows)
        self._window_ends = _int64(w.end_ns for w in windows)
        self._window_codes = np.array([w.session for w in windows], dtype=np.uint8)
        self._by_ordinal = {day.ordinal: day for day in self._days}

    @property
    def days(self) -> tuple[TradeDay, ...]:
        """Every day of the table, ascending."""
        return self._days

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
        at = int(np.searchsorted(self._day_starts, ts, side="right")) - 1
        if at < 0 or ts >= self._days[at].end_ns:
            return None
        return self._days[at]

    def day(self, day: dt.date | int) -> TradeDay | None:
        """The day of a date, or of days since 1970-01-01; None if the table has none."""
        return self._by_ordinal.get(day if isinstance(day, int) else date_ordinal(day))

    def first_session_start(self, day: dt.date | int) -> int | None:
        """When the day's first window of any kind opens; None if nothing is known to open."""
        found = self.day(day)
        return found.windows[0].start_ns if found is not None and found.windows else None

    def regular_open(self, day: dt.date | int) -> int | None:
        """When the day's first regular window opens; None if nothing is known to open."""
        found = self.day(day)
        return None if found is None else found.regular_open

    def windows_between(
        self, start_ns: int, end_ns: int, sessions: Collection[Session] | None = None
    ) -> list[tuple[int, int]]:
        """Where ``[start_ns, end_ns)`` may have trades: ascending, disjoint, touching ones joined.

        Windows of known days, of the given sessions only (default all), and wholly the
        days that are unknown or not in the table: what is not known may be open.
        """
        spans: list[tuple[int, int]] = []
        first = int(np.searchsorted(self._day_ends, start_ns, side="right"))
        last = int(np.searchsorted(self._day_starts, end_ns, side="left"))
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
        """Both tables' days; where both have a date, the newer one's."""
        return SessionTable((self._by_ordinal | newer._by_ordinal).values())

    def to_json(self) -> list[Any]:
        """Lists of whole numbers for `json.dumps`, about 60 bytes a day.

        ``[days since 1970, start s, length s, known, [[session, offset s, length s], ...],
        anchor offset s or null]`` a day; offsets count from the day's start.
        """
        return [
            [
                day.ordinal,
                day.start_ns // SECOND_NS,
                (day.end_ns - day.start_ns) // SECOND_NS,
                int(day.known),
                [
                    [
                        int(w.session),
                        (w.start_ns - day.start_ns) // SECOND_NS,
                        (w.end_ns - w.start_ns) // SECOND_NS,
                    ]
                    for w in day.windows
                ],
                None if day.anchor_ns is None else (day.anchor_ns - day.start_ns) // SECOND_NS,
            ]
            for day in self._days
        ]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> SessionTable:
        """The table that `to_json` described. Raises ValueError on anything else."""
        try:
            return cls([_day_from_json(row) for row in value])
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


def _day_from_json(row: Sequence[Any]) -> TradeDay:
    ordinal, start_s, length_s, known, windows, anchor_s = row
    start_ns = start_s * SECOND_NS
    return TradeDay(
        date=ordinal_date(ordinal),
        start_ns=start_ns,
        end_ns=start_ns + length_s * SECOND_NS,
        known=bool(known),
        windows=tuple(
            Window(
                Session(code),
                start_ns + offset_s * SECOND_NS,
                start_ns + (offset_s + span_s) * SECOND_NS,
            )
            for code, offset_s, span_s in windows
        ),
        anchor_ns=None if anchor_s is None else start_ns + anchor_s * SECOND_NS,
    )


def _check(days: Sequence[TradeDay]) -> None:
    """Raise ValueError, naming the date, unless days and windows are sorted and disjoint."""
    previous_end, previous_date = None, None
    for day in days:
        if previous_end is not None and day.start_ns < previous_end:
            raise ValueError(f"{day.date}: begins before {previous_date} ends")
        if previous_date is not None and day.date <= previous_date:
            raise ValueError(f"{day.date}: comes after {previous_date} in time, not in date")
        if day.windows and not day.known:
            raise ValueError(f"{day.date}: an unknown day has no windows")
        bounds = [day.start_ns]
        for window in day.windows:
            if window.start_ns >= window.end_ns:
                raise ValueError(f"{day.date}: a {window.session.text} window is empty")
            if window.session is Session.UNKNOWN:
                raise ValueError(f"{day.date}: a window has a session, unknown is the lack of one")
            bounds += [window.start_ns, window.end_ns]
        bounds.append(day.end_ns)
        if bounds != sorted(bounds) or day.start_ns >= day.end_ns:
            raise ValueError(f"{day.date}: windows overlap, are unsorted or leave the day")
        anchor = [] if day.anchor_ns is None else [day.anchor_ns]
        if any(bound % SECOND_NS for bound in (*bounds, *anchor)):
            raise ValueError(f"{day.date}: bounds must be whole seconds")
        previous_end, previous_date = day.end_ns, day.date
