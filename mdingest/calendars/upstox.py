"""Upstox's public list of holidays, as corrections to what is known.

``GET /v2/market/holidays`` needs no key. An entry of its ``data``::

    {"date": "2026-11-10", "description": "Diwali Balipratipada", "holiday_type": "TRADING_HOLIDAY",
     "closed_exchanges": ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD"],
     "open_exchanges": [{"exchange": "MCX", "start_time": 1794310200000, "end_time": 1794335100000}]}

SPECIAL_TIMING has the hours of Muhurat and the like; a SETTLEMENT_HOLIDAY trades as ever. Times are
epoch ms. From the documentation at upstox.com/developer/api-documentation, read 2026-11-22.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from mdingest.calendars.book import Calendars
from mdingest.calendars.rows import HEADER
from mdingest.core.session import Session, TradeDay
from mdingest.errors import TransientError

SCOPES = {
    "NSE": ("NSE.EQ", "NSE.IDX"),
    "BSE": ("BSE.EQ", "BSE.IDX"),
    "NFO": ("NSE.FO",),
    "BFO": ("BSE.FO",),
    "CDS": ("NSE.CDS",),
    "BCD": ("BSE.CDS",),
    "MCX": ("MCX.FO",),
}
EXAMPLE = {"NSE.EQ": "NSE.EQ.noncas", "BSE.EQ": "BSE.EQ.noncas"}  # a class that a scope reaches
_KINDS = ("TRADING_HOLIDAY", "SPECIAL_TIMING", "SETTLEMENT_HOLIDAY")
_IST = ZoneInfo("Asia/Kolkata")
_MOST_ENTRIES = 200
_WHOLE_YEAR = 8  # holidays on weekdays: with so many a list is that of its whole year
_MINUTE_MS = 60_000
_DAY_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class Change:
    """A date of a scope that was something else before. ``row`` says what it is now."""

    scope: str
    date: dt.date
    was: str
    now: str
    row: str

    @property
    def closes(self) -> bool:
        """Whether a day that had sessions loses them."""
        return self.now == "closed" and self.was not in ("closed", "unknown")


@dataclass(frozen=True, slots=True)
class _Said:
    """What the list says of an exchange on a date: minutes after midnight, or None for closed."""

    date: dt.date
    exchange: str
    hours: tuple[int, int] | None
    note: str


def changes(document: object, known: Calendars) -> list[Change]:
    """What the list says that the calendars do not, by date.

    Raises TransientError if anything in it is not as documented: then nothing of it is taken.
    """
    said = list(_entries(document))
    found = [change for one in said for change in _changed(one, known)]
    years = sorted({one.date.year for one in said})
    found += [change for year in years for change in _published(year, said, known)]
    return sorted(found, key=lambda change: (change.date, change.scope))


def spoken_of(document: object) -> set[tuple[str, dt.date]]:
    """Scopes and dates of which the list says something. Raises as `changes` does."""
    return {(scope, one.date) for one in _entries(document) for scope in SCOPES[one.exchange]}


def as_file(rows: Iterable[str], source: str, now: dt.datetime) -> str:
    """A calendar file of rows."""
    head = f"# What {source} says that is not built in; made anew each day, last at {now:%Y-%m-%dT%H:%M:%SZ}."
    return "\n".join([head, ",".join(HEADER), *rows]) + "\n"


def _changed(said: _Said, known: Calendars) -> Iterator[Change]:
    for scope in SCOPES[said.exchange]:
        day = known.day(EXAMPLE.get(scope, scope), said.date)
        was = spelt(day)
        if said.hours is None:
            now, row = "closed", f"closed,{scope},{said.date},,,,,{said.note}"
        else:
            start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in said.hours)
            now, row = f"{start}-{end}", f"special,{scope},{said.date},,regular,{start},{end},{said.note}"
        if was != now:
            yield Change(scope, said.date, was, now, row)


def _published(year: int, said: list[_Said], known: Calendars) -> Iterator[Change]:
    """Years that were unknown and of which the list has all holidays."""
    last = dt.date(year, 12, 31)
    for exchange, scopes in SCOPES.items():
        listed = {
            one.date
            for one in said
            if one.exchange == exchange and one.date.year == year and one.date.weekday() < 5  # noqa: PLR2004 - Saturday
        }
        for scope in scopes:
            until = known.valid_through(EXAMPLE.get(scope, scope))
            if len(listed) >= _WHOLE_YEAR and until is not None and until < dt.date(year, 1, 1):
                row = f"known,{scope},{year}-01-01,{last},,,,"
                yield Change(scope, dt.date(year, 1, 1), "unknown", f"published to {last}", row)


def spelt(day: TradeDay) -> str:
    """``closed``, ``unknown``, or from the first regular opening to the last close."""
    if not day.known:
        return "unknown"
    regular = [w for w in day.windows if w.session in (Session.REGULAR, Session.AUCTION)]
    if not regular:
        return "closed"
    ends = (regular[0].start_ns, regular[-1].end_ns)
    start, end = ((ns - day.start_ns) // 60_000_000_000 for ns in ends)
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def _entries(document: object) -> Iterator[_Said]:
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("status") != "success" or not isinstance(data, list):
        raise TransientError("it is no list of holidays")
    if not 0 < len(data) <= _MOST_ENTRIES:
        raise TransientError(f"it lists {len(data)} holidays")
    for number, entry in enumerate(data, 1):
        try:
            yield from _entry(entry)
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise TransientError(f"entry {number} is not as documented ({exc!r})") from exc


def _entry(entry: Mapping[str, Any]) -> Iterator[_Said]:
    date, kind = dt.date.fromisoformat(entry["date"]), entry["holiday_type"]
    if kind not in _KINDS:
        raise ValueError(f"holiday_type {kind!r}")
    closed, opened = entry["closed_exchanges"], entry["open_exchanges"]
    if not isinstance(closed, list) or not isinstance(opened, list):
        raise TypeError("exchanges are no lists")
    note = "".join(c for c in str(entry.get("description", "")) if c.isalnum() or c in " -./()")[:60]
    if not all(isinstance(exchange, str) for exchange in closed):
        raise TypeError("closed_exchanges")
    for one in opened:
        exchange, hours = (
            one["exchange"],
            (minute_of(one["start_time"], date), minute_of(one["end_time"], date)),
        )
        if hours[0] >= hours[1] or exchange in closed:
            raise ValueError(f"{exchange} opens after it closes, or is closed too")
        if exchange in SCOPES and kind != "SETTLEMENT_HOLIDAY":
            yield _Said(date, exchange, hours, note)
    for exchange in closed:
        if exchange in SCOPES and kind != "SETTLEMENT_HOLIDAY":
            yield _Said(date, exchange, None, note)


def minute_of(ms: object, date: dt.date) -> int:
    """Minutes after the date's midnight in Mumbai."""
    if type(ms) is not int:
        raise TypeError(f"a time is {ms!r}")
    midnight = dt.datetime(date.year, date.month, date.day, tzinfo=_IST)
    minutes, rest = divmod(ms - int(midnight.timestamp()) * 1_000, _MINUTE_MS)
    if rest or not 0 <= minutes <= _DAY_MINUTES:
        raise ValueError(f"{ms} is no minute of {date}")
    return minutes
