"""Derivatives by their symbols: ``NIFTY26OCTFUT``, ``NIFTY26OCT20750PE``, weekly ``NIFTY26O1923050PE``.

A monthly name leaves the day of its expiry open: it is the month's last one. Names of underlyings
may hold digits, so that a name can be read in more than one way; the rows of a day file decide.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKLY_MONTHS = "123456789OND"
_STRIKE = r"(?P<strike>\d+(?:\.\d+)?)(?P<kind>CE|PE)"
_MONTHLY = re.compile(rf"(?P<yy>\d\d)(?P<month>{'|'.join(MONTHS)})(?:FUT|{_STRIKE})", re.ASCII)
_WEEKLY = re.compile(rf"(?P<yy>\d\d)(?P<month>[{_WEEKLY_MONTHS}])(?P<dd>\d\d){_STRIKE}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Contract:
    """One reading of a name. ``day`` None: the last expiry of the month."""

    underlying: str
    year: int
    month: int
    day: int | None
    strike: float | None  # None: a future
    kind: str  # CE, PE, or empty

    def may_expire(self, date: dt.date) -> bool:
        """Whether an expiry can be this contract's."""
        return (date.year, date.month) == (self.year, self.month) and self.day in (None, date.day)


def readings(name: str) -> Iterator[Contract]:
    """Every way to read a derivative's trading symbol, the longest underlying first."""
    for cut in range(len(name) - 1, 0, -1):
        underlying, rest = name[:cut], name[cut:]
        if (found := _MONTHLY.fullmatch(rest)) is not None:
            month = MONTHS.index(found["month"]) + 1
            strike = None if found["strike"] is None else float(found["strike"])
            yield Contract(underlying, 2000 + int(found["yy"]), month, None, strike, found["kind"] or "")
        elif (found := _WEEKLY.fullmatch(rest)) is not None and 1 <= int(found["dd"]) <= 31:  # noqa: PLR2004 - days
            month = _WEEKLY_MONTHS.index(found["month"]) + 1
            year, day = 2000 + int(found["yy"]), int(found["dd"])
            yield Contract(underlying, year, month, day, float(found["strike"]), found["kind"])
