"""Candle lengths, and the grid of buckets that each length lays over a calendar.

Candles below a day hang on the first regular opening of the trade date, so NSE's hours
begin at 09:15 and not at 09:00, and no candle reaches across a window's edge: the last one
of a window is cut short, and the first one of a window that opens off the grid begins with
the window. Candles of a day or longer are named by their trade date at 00:00:00Z, weeks by
their Monday, whatever instants they cover.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.core.session import DAY_NS, NO_DATE, SECOND_NS, SessionTable

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SHAPE = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_THURSDAY = 3  # weekday of 1970-01-01, Monday being 0


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The length of a candle. Made by `parse`; equal lengths are equal (``60m`` is ``1h``)."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """``1s``, any ``Nm`` or ``Nh`` below a day, ``1d`` or ``1w``. Else ValueError."""
        shape = _SHAPE.fullmatch(text)
        if shape is not None:
            count, unit = int(shape[1]), shape[2]
            seconds = count * _SECONDS[unit]
            if count == 1 or (unit in "mh" and seconds < _SECONDS["d"]):
                return cls(seconds)
        raise ValueError(f"must be 1s, any Nm or Nh below a day like 1m, 15m or 4h, 1d or 1w, was {text!r}")

    @property
    def ns(self) -> int:
        """Length in nanoseconds. A day or a week by name may cover more or less."""
        return self.seconds * SECOND_NS

    @property
    def text(self) -> str:
        """The shortest name: ``1h`` for 60 minutes, ``90m`` for 90."""
        for unit in "wdhm":
            if self.seconds % _SECONDS[unit] == 0:
                return f"{self.seconds // _SECONDS[unit]}{unit}"
        return f"{self.seconds}s"

    @property
    def is_daily_or_longer(self) -> bool:
        """Whether candles are named by trade date and gather every session of it."""
        return self.seconds >= _SECONDS["d"]

    def __str__(self) -> str:
        return self.text


SECOND = Interval(1)
MINUTE = Interval(60)
DAY = Interval(86_400)
WEEK = Interval(604_800)
STORED = (SECOND, MINUTE)
"""What live feeds are built into; everything else is coarsened on read."""


class Buckets(NamedTuple):
    """Where instants fall, three ``(n,)`` int64 arrays of UTC ns.

    Below a day ``names`` and ``starts`` are the same. From a day up ``names`` are dates at
    00:00:00Z while ``[starts, ends)`` are the instants the candle covers.
    """

    names: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def buckets(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> Buckets:
    """The bucket of each instant, in any order. ``(n,)`` to three times ``(n,)``.

    The grid is counted from the day's `TradeDay.grid_anchor`, backwards too, so pre-open
    buckets lie on the same grid; what lies between windows is cut at the windows' edges
    alike. Pass a table that covers the instants: where it has no day, the grid is counted
    from 1970-01-01T00:00Z and dates are UTC dates, which is only right for UTC venues.
    """
    if interval.is_daily_or_longer:
        return _dated(ts, interval, table)
    edges, anchors = table.grid
    at = np.searchsorted(edges, ts, side="right") - 1
    anchor = anchors[at]
    grid = anchor + (ts - anchor) // interval.ns * interval.ns
    starts = np.maximum(grid, edges[at])
    ends = np.minimum(grid + interval.ns, np.append(edges, np.iinfo(np.int64).max)[at + 1])
    return Buckets(starts, starts, ends)


def bucket_starts(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> NDArray[np.int64]:
    """What the candle of each instant is called, its ``ts_utc``. ``(n,)`` to ``(n,)``."""
    return buckets(ts, interval, table).names


def _dated(ts: NDArray[np.int64], interval: Interval, table: SessionTable) -> Buckets:
    dates = table.trade_date_of(ts)
    dates = np.where(dates == NO_DATE, ts // DAY_NS, dates)
    if interval == WEEK:
        first = dates - (dates + _THURSDAY) % 7
        last = first + 6
    else:
        first = last = dates
    wanted, place = np.unique(np.concatenate([first, last]), return_inverse=True)
    days = [table.day(int(ordinal)) for ordinal in wanted]
    starts = np.array(
        [o * DAY_NS if d is None else d.start_ns for o, d in zip(wanted, days, strict=True)],
        dtype=np.int64,
    )
    ends = np.array(
        [(o + 1) * DAY_NS if d is None else d.end_ns for o, d in zip(wanted, days, strict=True)],
        dtype=np.int64,
    )
    return Buckets(first * DAY_NS, starts[place[: ts.size]], ends[place[ts.size :]])
