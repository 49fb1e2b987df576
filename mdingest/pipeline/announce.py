"""CALENDAR records: the machine learns trade dates and sessions from the log alone."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable, Iterable

from mdingest.core.records import Kind
from mdingest.core.session import SessionTable
from mdingest.core.units import NS
from mdingest.pipeline.intake import Intake

BEHIND = dt.timedelta(days=10)  # gaps reach back over a long weekend
AHEAD = dt.timedelta(days=10)
CHECK_S = 600.0  # real; far more often than a date changes


class Announcer:
    """Tells the log the calendar of every session class in use, again on each new UTC date.

    ``table`` gives the days of a class from a date to before another.
    """

    def __init__(self, intake: Intake, table: Callable[[str, dt.date, dt.date], SessionTable]) -> None:
        self.table = table
        self._intake = intake
        self._told: dict[str, dt.date] = {}

    def announce(self, classes: Iterable[str]) -> None:
        """Record what is not recorded yet; before the SUBSCRIBE that uses it."""
        today = dt.datetime.fromtimestamp(self._intake.clock.wall_ns() // NS, dt.UTC).date()
        due = sorted({name for name in classes if self._told.get(name) != today})
        if not due:
            return
        tables = {name: self.table(name, today - BEHIND, today + AHEAD).to_json() for name in due}
        self._intake.add(Kind.CALENDAR, 0, json.dumps(tables, separators=(",", ":")).encode())
        self._told |= dict.fromkeys(due, today)

    def renew(self) -> None:
        """The calendars have changed: record them again."""
        classes = list(self._told)
        self._told = {}
        self.announce(classes)

    async def run(self) -> None:
        """Announce again whenever the date has changed, until cancelled."""
        spacing_s = min(CHECK_S, max(1.0, self._intake.clock.real_s(CHECK_S)))
        while True:
            await asyncio.sleep(spacing_s)
            self.announce(list(self._told))
