"""Dates in the names of day files: written into addresses, read out of local names."""

import datetime as dt
import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mdingest.providers.bhavcopy.contracts import MONTHS

_SHAPES = {
    "YYYY": r"(?P<YYYY>\d{4})",
    "YY": r"(?P<YY>\d{2})",
    "MM": r"(?P<MM>\d{2})",
    "MON": r"(?P<MON>[A-Za-z]{3})",
    "DD": r"(?P<DD>\d{2})",
}
_FIELD = re.compile(r"\{([A-Z]+)\}")
_KNOWN = [  # what the exchanges call them: market, or None if the name leaves it open
    (re.compile(rf"{shape}(?:\.csv)?(?:\.zip)?", re.IGNORECASE), market)
    for shape, market in (
        (r"BhavCopy_(?P<SRC>[NB]SE)_(?P<SEG>CM|FO)_0_0_0_(?P<YYYY>\d{4})(?P<MM>\d\d)(?P<DD>\d\d)_F_0000", ""),
        (r"cm(?P<DD>\d\d)(?P<MON>[a-z]{3})(?P<YYYY>\d{4})bhav", "NSE.CM"),
        (r"fo(?P<DD>\d\d)(?P<MON>[a-z]{3})(?P<YYYY>\d{4})bhav", "NSE.FO"),
        (r"sec_bhavdata_full_(?P<DD>\d\d)(?P<MM>\d\d)(?P<YYYY>\d{4})", "NSE.CM"),
        (r"EQ_ISINCODE_(?P<DD>\d\d)(?P<MM>\d\d)(?P<YY>\d\d)", "BSE.CM"),
        (r"EQ(?P<DD>\d\d)(?P<MM>\d\d)(?P<YY>\d\d)(?:_CSV)?", "BSE.CM"),
    )
]


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a file tells."""

    date: dt.date
    market: str | None  # None: any of them


def filled(template: str, date: dt.date) -> str:
    """A template with a date in it; other places stay."""
    values = {
        "YYYY": f"{date:%Y}",
        "YY": f"{date:%y}",
        "MM": f"{date:%m}",
        "MON": MONTHS[date.month - 1],
        "DD": f"{date:%d}",
    }
    return _FIELD.sub(lambda place: values.get(place[1], place[0]), template)


def named(name: str) -> Named | None:
    """What a file's base name tells, if it is one that an exchange gives."""
    for shape, market in _KNOWN:
        if (found := shape.fullmatch(name)) is not None and (date := _date(found.groupdict())) is not None:
            return Named(date, market or f"{found['SRC']}.{found['SEG']}".upper())
    return None


def files_in(patterns: Iterable[str]) -> Iterator[tuple[Path, Named]]:
    """The files behind patterns whose names tell a date, by name."""
    for pattern in patterns:
        own = _shape(pattern) if _FIELD.search(pattern) else None
        for name in sorted(glob.glob(_FIELD.sub("*", pattern))):  # noqa: PTH207 - patterns may be absolute
            told = named(Path(name).name)
            if told is None and own is not None and (found := own.fullmatch(name)) is not None:
                date = _date(found.groupdict())
                told = None if date is None else Named(date, None)
            if told is not None and Path(name).is_file():
                yield Path(name), told


def check_dated(template: str) -> str:
    """Raises ValueError unless the template's places make a date."""
    places = set(_FIELD.findall(template))
    if unknown := sorted(places - set(_SHAPES)):
        raise ValueError(f"has no place {{{unknown[0]}}}; there are {{{'} {'.join(_SHAPES)}}}")
    if "DD" not in places or not places & {"MM", "MON"} or not places & {"YYYY", "YY"}:
        raise ValueError("must hold {DD}, and {MM} or {MON}, and {YYYY} or {YY}")
    return template


def check_pattern(pattern: str) -> str:
    """Raises ValueError for a pattern whose places are no date; without places it is a glob."""
    return check_dated(pattern) if _FIELD.search(pattern) else pattern


def _shape(pattern: str) -> re.Pattern[str]:
    parts, seen, at = [], set[str](), 0
    for place in _FIELD.finditer(pattern):
        parts.append(_literal(pattern[at : place.start()]))
        name = place[1]
        parts.append(_SHAPES[name] if name not in seen else f"(?P={name})")
        seen.add(name)
        at = place.end()
    return re.compile("".join([*parts, _literal(pattern[at:])]))


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def _date(found: Mapping[str, str | None]) -> dt.date | None:
    year, month = found.get("YYYY"), found.get("MM")
    try:
        return dt.date(
            int(year) if year else 2000 + int(found["YY"] or ""),
            int(month) if month else MONTHS.index((found["MON"] or "").upper()) + 1,
            int(found["DD"] or ""),
        )
    except (KeyError, ValueError):
        return None
