"""When each kind of instrument trades: effective-dated data, and the user's corrections to it.

The data are the CSV files in ``data/``, which carry their sources; `india.csv` explains the
form. Everything here is about expectation only. A date beyond what is published is
unknown, never closed, and no trade is refused because of a calendar.
"""

from mdingest.calendars.book import Calendars, check_rows, load
from mdingest.calendars.classes import ALWAYS, UNKNOWN, session_class_for

__all__ = ["ALWAYS", "UNKNOWN", "Calendars", "check_rows", "load", "session_class_for"]
