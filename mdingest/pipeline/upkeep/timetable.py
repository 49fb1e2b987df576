"""When something is due that runs at a time of day, on trading days only.

Pure: a zone, a calendar and an instant come in. Instants are UTC ns.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mdingest.core.session import SECOND_NS, TradeDay

_FAR = 15  # days: longer than any holiday


@dataclass(frozen=True, slots=True)
class Daily:
    """A time of day in a zone, on the days that trade, or may trade."""

    at: dt.time
    zone: dt.tzinfo
    day: Callable[[dt.date], TradeDay]

    def last(self, now_ns: int) -> int | None:
        """The latest instant not after now at which it was due; None if none is near."""
        found = (due for due in self._around(now_ns, range(1, -_FAR, -1)) if due <= now_ns)
        return next(found, None)

    def next(self, now_ns: int) -> int | None:
        """The first instant after now at which it is due; None if none is near."""
        found = (due for due in self._around(now_ns, range(-1, _FAR)) if due > now_ns)
        return next(found, None)

    def date_of(self, due_ns: int) -> dt.date:
        """The trade date on which it is due then."""
        return dt.datetime.fromtimestamp(due_ns // SECOND_NS, self.zone).date()

    def _around(self, now_ns: int, offsets: range) -> Iterator[int]:
        today = self.date_of(now_ns)
        for offset in offsets:
            date = today + dt.timedelta(days=offset)
            day = self.day(date)
            if day.windows or not day.known:
                yield int(dt.datetime.combine(date, self.at, self.zone).timestamp()) * SECOND_NS
