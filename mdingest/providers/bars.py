"""Bars of a source of history as columns, what can be wrong with them, and parts of a reply.

Times are UTC ns, ranges half-open.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from mdingest.core.interval import DAY, WEEK, Interval
from mdingest.core.rows import distinct
from mdingest.core.session import DAY_NS, date_ordinal
from mdingest.core.spans import Span

NAMED_REJECTS = 20
"""Of the wrong rows of one file or reply so many are named; the others are counted."""

YEARS = range(1900, 2100)
"""Of candles. A stamp of another year is a mistake, and one beyond 2261 does not fit 64 bits."""

BAR = np.dtype(
    [
        ("ts", np.int64),  # UTC ns, opening instant; 1d and longer: the date at 00:00Z, see `dated`
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),  # NaN: none was given
        ("oi", np.float64),  # NaN: none was given
        ("line", np.int64),  # of the file, or row of the reply, from 1: for people
    ]
)
Bars = NewType("Bars", NDArray[np.void])


@dataclass(frozen=True, slots=True)
class Reject:
    """A wrong row: where it stands, and why it was left out."""

    line: int
    why: str


@dataclass(slots=True, eq=False)
class Parsed:
    """A part of a reply: good bars, ascending, each stamp once; and what was wrong."""

    bars: Bars = field(default_factory=lambda: Bars(np.empty(0, BAR)))
    rejects: list[Reject] = field(default_factory=list)  # the first ones only
    rejected: int = 0  # all of them
    holes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Stamps of rejected rows, where they have one: something was there, and we do not know it."""
    empty: int = 0  # rows that say that nothing traded
    notes: list[str] = field(default_factory=list)  # what was guessed, for people
    answered: Span | None = None  # what the reply answers for, if less than it was asked for
    absent: bool = False  # the reply says that there is no such thing: it is not worth keeping
    unseen: str = ""  # that an answer for a whole market does not have the instrument, in a sentence
    wait_s: float = 0.0  # the provider wants no other request for so long

    def reject(self, line: int, why: str) -> None:
        """Count a wrong row, and name it if it is among the first."""
        self.rejected += 1
        if len(self.rejects) < NAMED_REJECTS:
            self.rejects.append(Reject(line, why))


def faults(bars: Bars) -> NDArray[np.uint8]:
    """What is wrong with each bar: 0, or an index into `FAULTS`. ``(n,)`` to ``(n,)``."""
    codes = np.zeros(len(bars), np.uint8)
    o, h, l, c = (bars[name] for name in ("open", "high", "low", "close"))  # noqa: E741 - as they are called
    codes[bars["volume"] < 0] = 5
    codes[(o > h) | (c > h) | (o < l) | (c < l)] = 4
    codes[h < l] = 3
    codes[(o <= 0) | (h <= 0) | (l <= 0) | (c <= 0)] = 2
    codes[~(np.isfinite(o) & np.isfinite(h) & np.isfinite(l) & np.isfinite(c))] = 1
    return codes


FAULTS = (
    "",
    "a price is not a number",
    "a price is not above zero",
    "high is below low",
    "open or close lies outside low and high",
    "volume is negative",
    "volume or open interest is not a number",
)


def dated(ts: NDArray[np.int64], interval: Interval, zone: dt.tzinfo | None) -> NDArray[np.int64]:
    """What bars of a day or a week are called: their date at 00:00Z, a week by its Monday.

    An instant that is midnight UTC names its date already; any other belongs to the date
    that the clocks of the exchange show then.
    """
    days = ts // DAY_NS
    moved = np.flatnonzero(ts % DAY_NS)
    if len(moved) and zone is not None:
        seconds = (ts[moved] // 1_000_000_000).tolist()
        local = (dt.datetime.fromtimestamp(second, zone).date() for second in seconds)
        days[moved] = np.fromiter((date_ordinal(date) for date in local), np.int64, len(moved))
    if interval == WEEK:
        days -= (days + 3) % 7  # 1970-01-01 was a Thursday
    return days * DAY_NS if interval >= DAY else ts


def joined(parts: Iterable[Bars]) -> Bars:
    """All bars, one part after another."""
    found = list(parts)
    return Bars(np.concatenate(found) if found else np.empty(0, BAR))


Row = tuple[int, float, float, float, float, float, float, int]
"""Of a reply, as `BAR` has it."""


def parsed_rows(
    rows: Sequence[Row],
    interval: Interval,
    zone: dt.tzinfo | None,
    *,
    volume: bool,
    bad: Parsed | None = None,
) -> Parsed:
    """Rows of a reply, in any order, as a part: ascending, each stamp once, only good ones.

    Stamps are instants; those of days and weeks become their dates in ``zone``, see `dated`.

    ``volume``: the instrument has one, so that a bar with none is a bar without a trade, which
    is counted and left out. ``bad`` holds what was rejected before. The first of two rows with
    one stamp is taken, unless they differ: then neither is.
    """
    out = Parsed() if bad is None else bad
    bars = np.array(rows, BAR) if rows else np.empty(0, BAR)
    bars["ts"] = dated(bars["ts"], interval, zone)
    bars = bars[np.argsort(bars["ts"], kind="stable")]
    codes = faults(Bars(bars))
    codes[np.isinf(bars["volume"]) | np.isinf(bars["oi"])] = 6
    wrong = codes > 0
    holes = [out.holes, bars["ts"][wrong]]
    for line, code in zip(bars["line"][wrong].tolist(), codes[wrong].tolist(), strict=True):
        out.reject(line, FAULTS[code])
    bars = bars[~wrong]
    first = _first_of_each(bars["ts"])
    unlike = _unlike(bars, bars[first])
    for at in np.flatnonzero(unlike).tolist():
        holes.append(bars["ts"][at : at + 1])
        out.reject(int(bars["line"][at]), "the same time twice, with other values: neither is taken")
    alone = first == np.arange(len(bars))
    bars = bars[alone & ~np.isin(first, first[unlike])]
    if volume:
        idle = bars["volume"] == 0
        out.empty += int(idle.sum())
        bars = bars[~idle]
    out.bars, out.holes = Bars(bars), distinct(np.concatenate(holes))
    return out


def _first_of_each(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each ascending stamp the place where it stands first. ``(n,)`` to ``(n,)``."""
    places = np.arange(len(ts))
    places[1:][ts[1:] == ts[:-1]] = 0
    return np.maximum.accumulate(places)


def _unlike(bars: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which bars say something else than the other in their place; two that have no volume agree."""
    unlike = np.zeros(len(bars), np.bool_)
    for name in ("open", "high", "low", "close", "volume"):
        a, b = bars[name], others[name]
        unlike |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    return unlike
