"""Stamps of a text file to UTC instants, at the price of a few dictionary look-ups a row.

A file of a million minutes has a few thousand different dates and a few hundred different
times of day: each is understood once and remembered.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdingest.core.session import SECOND_NS
from mdingest.providers.bars import YEARS
from mdingest.providers.csvfile.clocks import DAY_NS, EPOCH, Order, days_of, parse_date, parse_time

BAD = np.iinfo(np.int64).min
_FIRST_NS, _END_NS = (
    (dt.date(year, 1, 1).toordinal() - EPOCH) * DAY_NS for year in (YEARS[0], YEARS[-1] + 1)
)
_REMEMBERED = 1 << 17  # then it is forgotten and begun anew: times may have microseconds
_SECONDS_BELOW = 10**11  # as seconds the year 5138; as milliseconds 1973
_MILLIS_BELOW = 10**14
_MICROS_BELOW = 10**17
UNITS = {"s": SECOND_NS, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(frozen=True, slots=True)
class StampFormat:
    """How the stamps of one file are written.

    ``unit_ns`` > 0: numbers since 1970 in that unit; 0: the unit follows from each number.
    """

    epoch: bool = False
    unit_ns: int = 0
    order: Order = Order.YMD
    pattern: str | None = None  # strptime's, given by the user
    offsets: bool = False  # stamps carry their offset: one without is wrong
    separator: str | None = " "  # between date and time; "" after eight digits; None: two columns, or no time


class _Remembered(dict[str, int]):
    """Text to a number; what can't be read is `BAD`, with the reason kept."""

    def __init__(self, read: Callable[[str], int]) -> None:
        super().__init__()
        self._read = read
        self.reasons: dict[str, str] = {}

    def __missing__(self, text: str) -> int:
        if len(self) >= _REMEMBERED:
            self.forget()
        try:
            value = self._read(text.strip())
        except (ValueError, OverflowError) as exc:
            self.reasons[text], value = str(exc), BAD
        self[text] = value
        return value

    def forget(self) -> None:
        """Begin anew."""
        self.clear()
        self.reasons.clear()


class Stamps:
    """Reads the stamps of one file. ``zone`` None: naive stamps are refused row by row."""

    def __init__(self, form: StampFormat, zone: dt.tzinfo | None, *, daily: bool) -> None:
        self._form = form
        self._zone = zone
        self._daily = daily
        self._dates = _Remembered(lambda text: parse_date(text, form.order))
        self._times = _Remembered(self._time)
        self._naive: set[str] = set()  # times without an offset
        self._shifted = False  # whether there were others
        self._patterned = _Remembered(self._by_pattern)
        self._of_day: dict[int, int | None] = {}

    def read(self, first: Sequence[str], second: Sequence[str] | None) -> NDArray[np.int64]:
        """UTC ns, `BAD` where a stamp can't be read; `why` then says why. ``n`` to ``(n,)``.

        For bars of a day or longer naive stamps become their date at 00:00Z.
        """
        form = self._form
        if form.epoch:
            return self._epochs(first)
        if len(self._naive) >= _REMEMBERED:
            self._times.forget()  # so that those of these stamps are found again
            self._naive.clear()
        whole = [f"{a.strip()} {b.strip()}" for a, b in zip(first, second, strict=True)] if second else first
        if form.pattern is not None:
            return np.fromiter(map(self._patterned.__getitem__, map(str.strip, whole)), np.int64, len(first))
        dates, times = self._split(first, second)
        days = np.fromiter(map(self._dates.__getitem__, dates), np.int64, len(dates))
        clock = np.fromiter(map(self._times.__getitem__, times), np.int64, len(dates))
        bad = (days == BAD) | (clock == BAD)
        days[bad] = clock[bad] = 0
        if not self._naive:
            out = days * DAY_NS + clock
        elif not self._shifted:
            out = self._utc(days, clock)
        else:
            naive = np.fromiter((text.strip() in self._naive for text in times), np.bool_, len(times))
            out = days * DAY_NS + clock
            out[naive] = self._utc(days[naive], clock[naive])
        out[bad] = BAD
        return out

    def why(self, first: str, second: str | None) -> str:
        """Why `read` called this stamp bad."""
        first = first.strip()
        if self._form.epoch:
            return f"{first!r} is no number of seconds since 1970, of the years {YEARS[0]} to {YEARS[-1]}"
        if self._form.pattern is not None:
            text = first if second is None else f"{first} {second.strip()}"
            return self._patterned.reasons.get(text, "no stamp")
        (date,), (time,) = self._split([first], None if second is None else [second])
        reason = self._dates.reasons.get(date) or self._times.reasons.get(time)
        if reason:
            return reason
        return f"{date} {time} does not exist, or exists twice, by the clocks of {self._zone}"

    def _split(self, first: Iterable[str], second: Iterable[str] | None) -> tuple[list[str], list[str]]:
        if second is not None:
            return list(map(str.strip, first)), list(map(str.strip, second))
        separator = self._form.separator
        cells = [cell.strip() for cell in first]
        if separator is None:
            return cells, [""] * len(cells)
        if separator == "":
            return [cell[:8] for cell in cells], [cell[8:] for cell in cells]
        parts = [cell.partition(separator) for cell in cells]
        return [part[0] for part in parts], [part[2] for part in parts]

    def _time(self, text: str) -> int:
        if not text:
            if self._daily:
                self._naive.add(text)
                return 0
            raise ValueError("the stamp has no time of day")
        ns, offset = parse_time(text)
        if offset is not None:
            self._shifted = True
            return ns - offset
        if self._form.offsets:
            raise ValueError(f"{text!r} has no offset, unlike the other stamps")
        if self._zone is None and not self._daily:
            raise ValueError("the stamp is naive, and no zone is known")
        self._naive.add(text)
        return ns

    def _utc(self, days: NDArray[np.int64], clock: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._daily:
            return days * DAY_NS
        if not len(days):
            return np.empty(0, np.int64)
        distinct, where = np.unique(days, return_inverse=True)
        known = [self._offset_of_day(int(day)) for day in distinct]
        shift = np.array([0 if offset is None else offset for offset in known], np.int64)[where]
        out = days * DAY_NS + clock - shift
        turning = np.array([offset is None for offset in known])
        for i in np.flatnonzero(turning[where]) if turning.any() else ():
            out[i] = self._turned(int(days[i]), int(clock[i]))
        return out

    def _offset_of_day(self, day: int) -> int | None:
        """The zone's offset on a whole day; None on a day on which the clocks are turned."""
        if day not in self._of_day:
            begin = dt.datetime.fromordinal(day + EPOCH).replace(tzinfo=self._zone)
            one, two = begin.utcoffset(), (begin + dt.timedelta(days=1)).utcoffset()
            self._of_day[day] = (
                int(one / dt.timedelta(seconds=1)) * SECOND_NS if one is not None and one == two else None
            )
        return self._of_day[day]

    def _turned(self, day: int, clock: int) -> int:
        local = dt.datetime.fromordinal(day + EPOCH) + dt.timedelta(microseconds=clock // 1000)
        one, two = (local.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        if one is None or one != two:
            return BAD
        return day * DAY_NS + clock - int(one / dt.timedelta(seconds=1)) * SECOND_NS

    def _by_pattern(self, text: str) -> int:
        when = dt.datetime.strptime(text, self._form.pattern or "")  # noqa: DTZ007 - may well be naive
        ordinal = days_of(when)
        clock = ((when.hour * 60 + when.minute) * 60 + when.second) * SECOND_NS + when.microsecond * 1000
        if (offset := when.utcoffset()) is not None:
            return ordinal * DAY_NS + clock - int(offset / dt.timedelta(seconds=1)) * SECOND_NS
        if self._zone is None and not self._daily:
            raise ValueError("the stamp is naive, and no zone is known")
        return int(self._utc(np.array([ordinal], np.int64), np.array([clock], np.int64))[0])

    def _epochs(self, cells: Sequence[str]) -> NDArray[np.int64]:
        try:
            values = np.fromiter(map(int, cells), np.int64, len(cells))
        except (ValueError, OverflowError):
            values = np.fromiter(map(_whole, cells), np.int64, len(cells))
        bad = values == BAD
        values[bad] = 0
        size = np.abs(values)
        unit = np.full(len(values), self._form.unit_ns, np.int64)
        if not self._form.unit_ns:
            unit = np.select(
                [size < _SECONDS_BELOW, size < _MILLIS_BELOW, size < _MICROS_BELOW],
                [UNITS["s"], UNITS["ms"], UNITS["us"]],
                UNITS["ns"],
            )
        bad |= (values < _FIRST_NS // unit) | (values >= _END_NS // unit)
        values[bad] = 0
        return np.where(bad, BAD, values * unit)


def _whole(text: str) -> int:
    """A number that may have been through a spreadsheet: ``1795146300.0``."""
    try:
        value = float(text)
    except ValueError:
        return BAD
    return round(value) if abs(value) < 2**62 and value == value else BAD  # noqa: PLR0124 - not NaN
