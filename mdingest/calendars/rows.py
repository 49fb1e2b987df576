"""Rows of a calendar file, checked one by one. What they mean together is `book`'s business."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mdingest.core.tradeday import Session

HEADER = ("kind", "scope", "date", "until", "what", "start", "end", "note")
KINDS = {  # the fields each kind fills; the others of it stay empty
    "class": ("scope", "what", "start", "end"),
    "known": ("scope", "date", "until"),
    "hours": ("scope", "date", "what", "start", "end"),
    "closed": ("scope", "date"),
    "normal": ("scope", "date"),
    "special": ("scope", "date", "what", "start", "end"),
    "unknown": ("scope", "date"),
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_MIDNIGHT_S = 86_400

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Hours:
    """A window of a day by the local clock, seconds after midnight, half-open."""

    start_s: int
    end_s: int
    session: Session


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A session class: its zone and its ordinary weekdays, Monday being 0."""

    where: str
    name: str
    zone: ZoneInfo
    weekdays: range


@dataclass(frozen=True, slots=True)
class KnownRow:
    """Dates from ``first`` to ``last``, both included, are published."""

    where: str
    scopes: tuple[str, ...]
    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class DayRow:
    """A window of the ordinary day from a date on, or what some dates are."""

    where: str
    scopes: tuple[str, ...]
    kind: str
    dates: tuple[dt.date, ...]  # one for the kind hours
    hours: Hours | None  # for the kinds hours and special


Row = ClassRow | KnownRow | DayRow


def read(text: str, name: str, problems: list[str]) -> Iterator[Row]:
    """The rows of a file's text in order. A bad one is left out and described in ``problems``."""
    header_seen = False
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{name}:{number}"
        try:
            quoted = '"' in line
            split = next(csv.reader([line], strict=True)) if quoted else line.split(",")
            cells = [cell.strip() for cell in split]
            if header_seen:
                yield _row(cells, where)
            elif tuple(cells) != HEADER:
                problems.append(f"{where}: the first row must be {','.join(HEADER)}")
                return
            header_seen = True
        except (ValueError, csv.Error) as exc:
            problems.append(f"{where}: {exc}")


def _row(cells: list[str], where: str) -> Row:
    if len(cells) != len(HEADER):
        raise ValueError(f"a row has {len(HEADER)} fields, this one {len(cells)}")
    fields = dict(zip(HEADER, cells, strict=True))
    kind = fields["kind"]
    _check_filled(kind, fields)
    scopes = tuple(fields["scope"].split())
    for scope in scopes:
        if not _NAME.fullmatch(scope):
            raise ValueError(f"scope must look like NSE or NSE.EQ.cas, was {scope!r}")
    if kind == "class":
        return _class(fields, scopes, where)
    if kind == "known":
        date = _field(fields, "date", _date)
        until = _field(fields, "until", _date)
        if until < date:
            raise ValueError(f"until must not lie before date, was {until}")
        return KnownRow(where, scopes, date, until)
    dates = (_field(fields, "date", _date),) if kind == "hours" else _field(fields, "date", _dates)
    return DayRow(where, scopes, kind, dates, _hours(fields) if fields["what"] else None)


def _check_filled(kind: str, fields: dict[str, str]) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, was {kind!r}")
    for field in HEADER[1:-1]:
        if field in KINDS[kind] and not fields[field]:
            raise ValueError(f"a {kind} row needs {field}")
        if field not in KINDS[kind] and fields[field]:
            raise ValueError(f"a {kind} row has no {field}, was {fields[field]!r}")


def _class(fields: dict[str, str], scopes: tuple[str, ...], where: str) -> ClassRow:
    if len(scopes) != 1:
        raise ValueError("a class row declares one class")
    try:
        zone = ZoneInfo(fields["what"])
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:  # OSError: the name of a directory
        raise ValueError(f"what must be a time zone like Asia/Kolkata, was {fields['what']!r}") from exc
    first, last = _field(fields, "start", _weekday), _field(fields, "end", _weekday)
    if last < first:
        raise ValueError(f"end must not be a weekday before start, was {fields['end']}")
    return ClassRow(where, scopes[0], zone, range(first, last + 1))


def _hours(fields: dict[str, str]) -> Hours:
    start, end = _field(fields, "start", _time), _field(fields, "end", _time)
    if end <= start:
        raise ValueError(f"end must lie after start on the same day, was {fields['end']}")
    session = Session.from_text(fields["what"])
    if session is Session.UNKNOWN:
        raise ValueError("what must be a session; a date of unknown hours is a row of kind unknown")
    return Hours(start, end, session)


def _field(fields: dict[str, str], name: str, read_as: Callable[[str], T]) -> T:
    try:
        return read_as(fields[name])
    except ValueError as exc:
        raise ValueError(f"{name} must be {exc}, was {fields[name]!r}") from exc


def _date(text: str) -> dt.date:
    if _DATE.fullmatch(text):
        try:
            return dt.date.fromisoformat(text)
        except ValueError as exc:
            raise ValueError("a date that exists") from exc
    raise ValueError("a date like 2026-11-08")


def _dates(text: str) -> tuple[dt.date, ...]:
    return tuple(map(_date, text.split()))


def _time(text: str) -> int:
    shape = _TIME.fullmatch(text)
    seconds = _MIDNIGHT_S + 1 if shape is None else int(shape[1]) * 3600 + int(shape[2]) * 60
    if seconds > _MIDNIGHT_S:
        raise ValueError("a time from 00:00 to 24:00")
    return seconds


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        raise ValueError(f"one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(text)
