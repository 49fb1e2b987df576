"""How the stamps of a file are written, told from a sample of them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mdingest.errors import ConfigError
from mdingest.providers.csvfile.clocks import Order, month_of, parse_time
from mdingest.providers.csvfile.options import CsvOptions
from mdingest.providers.csvfile.stamps import UNITS, StampFormat

_NUMBER = re.compile(r"\d{9,19}(\.\d*)?", re.ASCII)
_COMPACT = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])(\d{4}|\d{6})", re.ASCII)
_YEAR_FIRST = re.compile(r"\d{4}([-/.]?)\d{1,2}\1\d{1,2}", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4}|\d{2})", re.ASCII)
_MONTH_NAME = re.compile(r"\d{1,2}[- /]([A-Za-z]{3,9})[- /,]*\d{2,4}", re.ASCII)
_MOST_MONTHS = 12
_DAY_FIRST_HEADERS = frozenset({"gmt time", "local time"})  # Dukascopy's, always dd.mm.yyyy


def stamp_format(
    stamps: Sequence[str], times: Sequence[str] | None, options: CsvOptions, header: Sequence[str]
) -> StampFormat:
    """The form most stamps of the sample have; ``order`` may still be open, see `ambiguous`.

    Raises ConfigError if most of them are nothing that is known.
    """
    if options.date_format is not None:
        return StampFormat(pattern=options.date_format, offsets="%z" in options.date_format)
    if options.epoch is not None:
        return StampFormat(epoch=True, unit_ns=UNITS[options.epoch])
    if times is None and _most(_is_epoch(stamp) for stamp in stamps):
        return StampFormat(epoch=True)
    separator = None if times is not None else _separator(stamps)
    pairs = [_cut(stamp, separator) for stamp in stamps]
    dates = [date for date, _ in pairs]
    clocks = [time for _, time in pairs] if times is None else times
    kinds = Counter(_kind(date) for date in dates)
    kind, _ = kinds.most_common(1)[0]
    if kind is None:
        raise ConfigError(
            f"stamps like {stamps[0]!r} are not understood: set providers.csv.date_format (as for strptime)"
        )
    order = Order.YMD if kind == "first" else Order.DMY
    if kind == "last" and not _day_first_by_header(header):
        order = _order(dates, options) or Order.DMY
    return StampFormat(
        order=order, offsets=_most(_has_offset(clock) for clock in clocks), separator=separator
    )


def ambiguous(form: StampFormat, stamps: Sequence[str], options: CsvOptions, header: Sequence[str]) -> bool:
    """Whether the sample allows both readings of dates like 03-11-2025."""
    if form.epoch or form.pattern is not None or form.order is not Order.DMY or _day_first_by_header(header):
        return False
    dates = [_cut(stamp, form.separator)[0] for stamp in stamps]
    return _most(_kind(date) == "last" for date in dates) and _order(dates, options) is None


def order_of(form: StampFormat, stamps: Iterable[str], options: CsvOptions) -> StampFormat:
    """The form with its order, from as many stamps as it takes. Raises ConfigError if none tells."""
    last = ""
    for stamp in stamps:
        date = _cut(stamp, form.separator)[0]
        order = _order([date], options)
        if order is not None:
            return replace(form, order=order)
        last = date if _YEAR_LAST.fullmatch(date) else last
    raise ConfigError(
        f"dates like {last} can be read two ways and no day in the file is above 12: "
        "set providers.csv.dayfirst to true (day, month, year) or false (month, day, year)"
    )


def _order(dates: Iterable[str], options: CsvOptions) -> Order | None:
    if options.dayfirst is not None:
        return Order.DMY if options.dayfirst else Order.MDY
    votes: Counter[Order] = Counter()
    for date in dates:
        found = _YEAR_LAST.fullmatch(date)
        if found is not None and int(found[1]) > _MOST_MONTHS:
            votes[Order.DMY] += 1
        elif found is not None and int(found[3]) > _MOST_MONTHS:
            votes[Order.MDY] += 1
    return votes.most_common(1)[0][0] if votes else None


def _day_first_by_header(header: Sequence[str]) -> bool:
    return any(cell.strip().casefold() in _DAY_FIRST_HEADERS for cell in header)


def _is_epoch(stamp: str) -> bool:
    return bool(_NUMBER.fullmatch(stamp)) and not _COMPACT.fullmatch(stamp)


def _separator(stamps: Sequence[str]) -> str | None:
    """What stands between date and time. Dates that hold blanks themselves need ``date_format``."""
    found = Counter(
        "" if _COMPACT.fullmatch(stamp) else "T" if _has_t(stamp) else " " if " " in stamp else None
        for stamp in stamps
    )
    return found.most_common(1)[0][0]


def _has_t(stamp: str) -> bool:
    date, found, time = stamp.partition("T")
    return bool(found) and date[-1:].isdigit() and time[:1].isdigit()


def _cut(stamp: str, separator: str | None) -> tuple[str, str]:
    if separator is None:
        return stamp, ""
    if separator == "":
        return stamp[:8], stamp[8:]
    date, _, time = stamp.partition(separator)
    return date, time.lstrip()


def _kind(date: str) -> str | None:
    if _YEAR_FIRST.fullmatch(date):
        return "first"
    if (found := _MONTH_NAME.fullmatch(date)) and month_of(found[1]):
        return "name"
    return "last" if _YEAR_LAST.fullmatch(date) else None


def _has_offset(time: str) -> bool:
    try:
        return parse_time(time)[1] is not None
    except ValueError:
        return False


def _most(answers: Iterable[bool]) -> bool:
    yes = no = 0
    for answer in answers:
        yes, no = yes + answer, no + (not answer)
    return yes > no
