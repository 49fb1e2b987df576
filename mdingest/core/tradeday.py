"""A trade date: when it begins and ends, and what the venue does in between.

Three kinds of day are kept apart. A known day with windows says when it trades; a known
day without windows is a holiday; an unknown day lies beyond the published data and may
trade at any instant.

All times are UTC ns (int64), whole seconds; all ranges are half-open.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mdingest.core.units import NS

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


def day_to_json(day: TradeDay) -> list[Any]:
    """A day as whole numbers, about 80 bytes of JSON.

    ``[days since 1970, start s, length s, known, [[session, offset s, length s], ...],
    anchor offset s or null]``; offsets count from the day's start.
    """
    return [
        day.ordinal,
        day.start_ns // NS,
        (day.end_ns - day.start_ns) // NS,
        int(day.known),
        [
            [
                int(w.session),
                (w.start_ns - day.start_ns) // NS,
                (w.end_ns - w.start_ns) // NS,
            ]
            for w in day.windows
        ],
        None if day.anchor_ns is None else (day.anchor_ns - day.start_ns) // NS,
    ]


def day_from_json(row: Sequence[Any]) -> TradeDay:
    """The day that `day_to_json` described. Raises ValueError or TypeError on anything else."""
    ordinal, start_s, length_s, known, windows, anchor_s = row
    start_ns = start_s * NS
    return TradeDay(
        date=ordinal_date(ordinal),
        start_ns=start_ns,
        end_ns=start_ns + length_s * NS,
        known=bool(known),
        windows=tuple(
            Window(
                Session(code),
                start_ns + offset_s * NS,
                start_ns + (offset_s + span_s) * NS,
            )
            for code, offset_s, span_s in windows
        ),
        anchor_ns=None if anchor_s is None else start_ns + anchor_s * NS,
    )


def check_days(days: Sequence[TradeDay]) -> None:
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
        if any(bound % NS for bound in (*bounds, *anchor)):
            raise ValueError(f"{day.date}: bounds must be whole seconds")
        previous_end, previous_date = day.end_ns, day.date
