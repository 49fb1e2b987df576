"""The text of one date, time of day or zone to numbers, in the ways files write them."""

import datetime as dt
import re
from enum import Enum

from mdingest.core.session import SECOND_NS
from mdingest.providers.bars import YEARS

DAY_NS = 86_400 * SECOND_NS
EPOCH = dt.date(1970, 1, 1).toordinal()

_YMD = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4}|\d{2})", re.ASCII)
_MONTH_NAME = re.compile(r"(\d{1,2})[- /]([A-Za-z]{3,9})[- /,]*(\d{4}|\d{2})", re.ASCII)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_TIME = re.compile(
    r"(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9})\d*)?)?(?:\s*([AaPp])\.?[Mm]\.?)?"
    r"\s*(?:(Z|UTC|GMT)?(?:([+-])(\d{1,2}):?(\d{2})?)?)",
    re.ASCII,
)
_FIXED_ZONE = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?", re.ASCII)


class Order(Enum):
    """In which order a date names its parts."""

    YMD = "ymd"
    DMY = "dmy"
    MDY = "mdy"


def month_of(text: str) -> int:
    """1 to 12, 0 for no month's name."""
    return _MONTHS.get(text[:3].lower(), 0)


def parse_date(text: str, order: Order) -> int:
    """Days since 1970-01-01. Raises ValueError that says what is wrong."""
    if (found := _MONTH_NAME.fullmatch(text)) and month_of(found[2]):
        day, month, year = int(found[1]), month_of(found[2]), found[3]
    elif order is Order.YMD:
        if (found := _YMD.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is no date like 2026-11-20")
        year, month, day = found[1], int(found[3]), int(found[4])
    else:
        if (found := _YEAR_LAST.fullmatch(text)) is None:
            example = "20-11-2026" if order is Order.DMY else "11-20-2026"
            raise ValueError(f"{text!r} is no date like {example}")
        day, month, year = int(found[1]), int(found[3]), found[4]
        if order is Order.MDY:
            day, month = month, day
    whole = int(year) if len(year) > 2 else 2000 + int(year) - 100 * (int(year) >= 70)  # noqa: PLR2004
    try:
        return days_of(dt.date(whole, month, day))
    except ValueError as exc:
        raise ValueError(f"{text!r} is no date: {exc}") from exc


def days_of(date: dt.date) -> int:
    """Days since 1970-01-01. Raises ValueError for a year no bar is of."""
    if date.year not in YEARS:
        raise ValueError(f"year must be in {YEARS[0]}..{YEARS[-1]}")
    return date.toordinal() - EPOCH


def parse_time(text: str) -> tuple[int, int | None]:
    """Nanoseconds after midnight, and the offset in ns if there is one. Raises ValueError."""
    digits = text
    if text.isdigit() and len(text) in (3, 5):
        digits = f"0{text}"  # a time written as a number loses its zero
    found = _TIME.fullmatch(digits)
    if found is None:
        raise ValueError(f"{text!r} is no time of day")
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if found[5]:
        if not 1 <= hour <= 12:  # noqa: PLR2004 - a clock's face
            raise ValueError(f"{text!r} is no time of day")
        hour = hour % 12 + 12 * (found[5] in "Pp")
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - a day
        raise ValueError(f"{text!r} is no time of day")
    ns = ((hour * 60 + minute) * 60 + second) * SECOND_NS + int((found[4] or "0").ljust(9, "0"))
    if found[7]:
        return ns, _offset(found[7], found[8], found[9])
    return ns, 0 if found[6] else None


def fixed_zone(text: str) -> dt.timezone | None:
    """``UTC``, ``+05:30`` or ``UTC-5``; None for anything else."""
    if text.upper() in {"UTC", "GMT", "Z"}:
        return dt.UTC
    found = _FIXED_ZONE.fullmatch(text)
    if found is None:
        return None
    return dt.timezone(dt.timedelta(seconds=_offset(*found.groups()) / SECOND_NS))


def _offset(sign: str, hours: str, minutes: str | None) -> int:
    ns = (int(hours) * 60 + int(minutes or 0)) * 60 * SECOND_NS
    if ns >= DAY_NS:
        raise ValueError("an offset is less than a day")
    return -ns if sign == "-" else ns
