"""Upstox's public timings of single dates: special sessions and changed hours that no list has yet.

``GET /v2/market/timings/2026-11-20`` needs no key. An entry of its ``data``, for each exchange that
opens on that date (none on a holiday)::

    {"exchange": "NSE", "start_time": 1795146300000, "end_time": 1795168800000}

Times are epoch ms. From the documentation at upstox.com/developer/api-documentation, read 2026-11-28.

The word of one reply weighs less than a published calendar: it may open a date that is closed or
unknown and change the hours of an open one, but closes none. Hours that were the ordinary ones
once are an old table, and hours of a Saturday and of the Sunday after it are those of any date: both
are doubts, and change nothing.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mdingest.calendars.book import Calendars
from mdingest.calendars.upstox import EXAMPLE, SCOPES, Change, minute_of, spelt
from mdingest.core.session import TradeDay
from mdingest.errors import TransientError

NOTE = "as Upstox times it"
"""Marks what was learnt here: it is kept when its date is over, since nobody asks for that again."""
_SATURDAY = 5
_MOST_ENTRIES = 50
_MINUTE_NS, _MINUTE_S = 60_000_000_000, 60
_Minutes = tuple[int, int]


def learnt(
    documents: Mapping[dt.date, object], known: Calendars, spoken: Collection[tuple[str, dt.date]] = ()
) -> tuple[list[Change], list[str]]:
    """What the timings of some dates say that the calendars do not, and what is doubtful in them.

    ``spoken``: scopes and dates of which the list of holidays speaks, which holds for them. Raises
    TransientError if anything is not as documented.
    """
    opens = {date: _entries(document, date) for date, document in documents.items()}
    if any(_same_weekend(opens, date) for date in opens):
        return [], ["a Saturday and its Sunday have hours: it says the same of any date"]
    found: list[Change] = []
    doubts: list[str] = []
    for date, hours in sorted(opens.items()):
        for exchange, scopes in SCOPES.items():
            for scope in (scope for scope in scopes if (scope, date) not in spoken):
                day = known.day(EXAMPLE.get(scope, scope), date)
                if exchange not in hours:
                    if day.windows:
                        doubts.append(f"{scope} on {date} is {spelt(day)} here, and not open there")
                elif not _agree(hours[exchange], date, exchange, known):
                    change = _change(scope, day, hours[exchange], known)
                    if day.windows and hours[exchange] in set(_once(scope, known)):
                        said = f"is {change.was} here, and {change.now} there, as it was once"
                        doubts.append(f"{scope} on {date} {said}")
                    else:
                        found.append(change)
    return found, doubts


def kept(
    rows: Iterable[str],
    since: dt.date,
    today: dt.date,
    asked: Collection[dt.date],
    spoken: Collection[tuple[str, dt.date]],
) -> list[str]:
    """Rows of an earlier file that still hold, from a date on.

    Timings that were not asked for this time; and what a list said of dates that are over, where
    this time's is of other years. What it speaks of is left to it, what it took back of a year as well.
    """
    found, years = [], {day.year for _, day in spoken}
    for row in rows:
        kind, scope, date, until, *_, note = row.split(",")
        try:
            day = dt.date.fromisoformat(until if kind == "known" else date)
        except ValueError:  # of somebody else, in a file that is made anew each day
            continue
        holds = day not in asked if note == NOTE else day < today and day.year not in years
        if holds and day >= since and (scope, day) not in spoken:
            found.append(row)
    return found


def _change(scope: str, day: TradeDay, hours: _Minutes, known: Calendars) -> Change:
    start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in hours)
    row = f"special,{scope},{day.date},,regular,{start},{end},{NOTE}"
    if hours in set(_once(scope, known, newest=True)):  # with pre-open and auction, which it does not tell
        row = f"normal,{scope},{day.date},,,,,{NOTE}"
    return Change(scope, day.date, spelt(day), f"{start}-{end}", row)


def _agree(hours: _Minutes, date: dt.date, exchange: str, known: Calendars) -> bool:
    """Whether they name an opening and a close of that day, of whichever kind and class."""
    days = [known.day(name, date) for scope in SCOPES[exchange] for name in _classes(scope, known)]
    starts = {(one.start_ns - day.start_ns) // _MINUTE_NS for day in days for one in day.windows}
    ends = {(one.end_ns - day.start_ns) // _MINUTE_NS for day in days for one in day.windows}
    return hours[0] in starts and hours[1] in ends


def _classes(scope: str, known: Calendars) -> list[str]:
    return [name for name in known.classes if name == scope or name.startswith(f"{scope}.")]


def _once(scope: str, known: Calendars, *, newest: bool = False) -> Iterator[_Minutes]:
    """From each opening to each close of the ordinary days that there ever were, or are now."""
    for name in _classes(scope, known):
        for hours in known.ordinary(name)[-1 if newest else 0 :]:
            for one in hours:
                yield from ((one.start_s // _MINUTE_S, other.end_s // _MINUTE_S) for other in hours)


def _same_weekend(opens: Mapping[dt.date, Mapping[str, _Minutes]], date: dt.date) -> bool:
    after = opens.get(date + dt.timedelta(days=1), {})
    return date.weekday() == _SATURDAY and bool(opens[date].keys() & after.keys() & SCOPES.keys())


def _entries(document: object, date: dt.date) -> dict[str, _Minutes]:
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("status") != "success" or not isinstance(data, list):
        raise TransientError("it has no timings")
    if len(data) > _MOST_ENTRIES:
        raise TransientError(f"it has timings of {len(data)} exchanges")
    found: dict[str, _Minutes] = {}
    for number, entry in enumerate(data, 1):
        try:
            exchange, hours = _entry(entry, date)
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise TransientError(f"entry {number} is not as documented ({exc!r})") from exc
        if exchange in found:
            raise TransientError(f"{exchange} is there twice")
        found[exchange] = hours
    return found


def _entry(entry: Mapping[str, Any], date: dt.date) -> tuple[str, _Minutes]:
    exchange = entry["exchange"]
    hours = minute_of(entry["start_time"], date), minute_of(entry["end_time"], date)
    if not isinstance(exchange, str) or hours[0] >= hours[1]:
        raise ValueError(f"{exchange!r} opens after it closes")
    return exchange, hours
