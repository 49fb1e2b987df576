"""For how long instruments have been in a regular session, by the calendar and the wall clock."""

import datetime as dt
from collections.abc import Callable, Iterable

from mdingest.core.session import Session, SessionTable
from mdingest.core.units import DAY_NS, NS
from mdingest.telemetry.clock import Clock

_DAY = dt.timedelta(days=1)
_REGULAR = frozenset({Session.REGULAR})


class OpenHours:
    """``table`` gives the days of a session class from a date to before another.

    It is asked each time: a calendar may change during the day.
    """

    def __init__(self, clock: Clock, table: Callable[[str, dt.date, dt.date], SessionTable]) -> None:
        self._clock = clock
        self._table = table

    def regular_s(self, classes: Iterable[str]) -> float:
        """Real seconds since the regular session began that any of these classes is in; 0: in none.

        A day that no calendar knows may trade at any instant, and counts wholly.
        """
        now = self._clock.wall_ns()
        date = dt.datetime.fromtimestamp(now // NS, dt.UTC).date()
        longest = 0
        for name in classes:
            table = self._table(name, date - _DAY, date + 2 * _DAY)
            spans = table.windows_between(now - DAY_NS, now + 1, _REGULAR)
            if spans and spans[-1][1] > now:
                longest = max(longest, now - spans[-1][0])
        return self._clock.real_s(longest / NS)
