"""The calendars of every session class, put together from calendar files.

Later files outrank earlier ones, so that a user's file corrects the shipped data; within a
file the longer scope outranks the shorter (``NSE.EQ`` over ``NSE``).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from mdingest.calendars.rows import ClassRow, DayRow, Hours, KnownRow, read
from mdingest.core.session import SECOND_NS, Session, SessionTable, TradeDay, Window
from mdingest.errors import ConfigError

_SHIPPED = ("always.csv", "india.csv", "us.csv")
_ONE_DAY = dt.timedelta(days=1)
_TABLES = 4  # a backfill of hundreds of symbols asks for the same weeks again and again


@dataclass(slots=True)
class _Rule:
    """What the rows of one rank say about one date, or about ordinary days from a date on."""

    rank: tuple[int, int]  # file, length of the scope
    kind: str
    where: str
    hours: list[Hours] = field(default_factory=list)


@dataclass(slots=True)
class _Class:
    zone: ZoneInfo
    weekdays: range
    known: list[tuple[dt.date, dt.date]] = field(default_factory=list)
    ordinary: dict[dt.date, _Rule] = field(default_factory=dict)  # by the date they begin
    dates: dict[dt.date, _Rule] = field(default_factory=dict)
    eras: list[dt.date] = field(default_factory=list)  # keys of `ordinary`, ascending

    def ordinary_hours(self, date: dt.date) -> list[Hours] | None:
        """The ordinary day in force on a date; None before the first one."""
        at = bisect_right(self.eras, date)
        return self.ordinary[self.eras[at - 1]].hours if at else None


@dataclass(slots=True)
class _All:
    """What the files say: their rows with the rank of the file, and the classes made of them so far."""

    rows: list[tuple[int, KnownRow | DayRow]] = field(default_factory=list)
    declared: dict[str, ClassRow] = field(default_factory=dict)
    ranks: int = 0  # how many files
    classes: dict[str, _Class] = field(default_factory=dict)

    def built(self, name: str, problems: list[str]) -> _Class:
        """A class out of its rows; what is wrong with them is added to ``problems``."""
        declared = self.declared[name]
        of = _Class(declared.zone, declared.weekdays)
        for rank, row in self.rows:
            reach = max((len(scope) for scope in row.scopes if _reaches(scope, name)), default=0)
            if not reach:
                continue
            if isinstance(row, KnownRow):
                of.known.append((row.first, row.last))
            else:
                rules = of.ordinary if row.kind == "hours" else of.dates
                for date in row.dates:
                    problems += _add(rules, row, date, (rank, reach))
        of.eras = sorted(of.ordinary)
        problems += [
            f"{rule.where}: {name} has no ordinary hours on {date}"
            for date, rule in of.dates.items()
            if rule.kind == "normal" and of.ordinary_hours(date) is None
        ]
        return of


class Calendars:
    """Every session class with its hours, holidays and special days.

    They change as a whole only, see `become`. A class is put together when it is first asked
    for: a daemon has use for few of them.
    """

    def __init__(
        self, files: Iterable[tuple[str, str]], *, over: Calendars | None = None, trusted: bool = False
    ) -> None:
        """Put together from (name, CSV text) pairs, later ones outranking earlier ones, all of them ``over``.

        Raises `ConfigError` with a line ``name:line: reason`` for each bad row. What is wrong with
        good rows beside each other is not looked for in ``trusted`` files.
        """
        problems: list[str] = []
        self.version = 0  # how often they became others
        self._table = lru_cache(maxsize=_TABLES)(self._made)
        below = _All() if over is None else over._all  # noqa: SLF001 - another of these
        self._all: _All = _All(below.rows[:], dict(below.declared), below.ranks)
        for name, text in files:
            for row in read(text, name, problems):
                if isinstance(row, ClassRow):
                    self._all.declared[row.name] = row  # the later zone and weekdays
                else:
                    self._all.rows.append((self._all.ranks, row))
            self._all.ranks += 1
        if self._all.ranks == below.ranks:
            self._all.classes = below.classes  # of the same rows
        checked = [] if trusted else [row for _, row in self._all.rows[len(below.rows) :]]
        known = ", ".join(self.classes)
        for row in checked:
            problems += [
                f"{row.where}: no session class is or begins with {scope!r} of {known}"
                for scope in row.scopes
                if not any(_reaches(scope, name) for name in self._all.declared)
            ]
        for name in self._all.declared:
            if any(_reaches(scope, name) for row in checked for scope in row.scopes):
                self._all.classes[name] = self._all.built(name, problems)
        if problems:
            raise ConfigError("\n".join(sorted(dict.fromkeys(problems), key=_place)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the session classes, sorted."""
        return tuple(sorted(self._all.declared))

    def zone(self, session_class: str) -> ZoneInfo:
        """The zone whose midnights bound the trade dates of a class."""
        return self._class(session_class).zone

    def valid_through(self, session_class: str) -> dt.date | None:
        """The last date that is published; every later one is unknown. None: none is."""
        return max((last for _, last in self._class(session_class).known), default=None)

    def day(self, session_class: str, date: dt.date) -> TradeDay:
        """One trade date of a class. Raises `ConfigError` for an unknown class."""
        of = self._class(session_class)
        ordinary = of.ordinary_hours(date)
        rule = of.dates.get(date)
        if rule is not None:
            known = rule.kind != "unknown"
            hours = (ordinary or []) if rule.kind == "normal" else rule.hours
        else:
            known = ordinary is not None and any(first <= date <= last for first, last in of.known)
            hours = (ordinary or []) if known and date.weekday() in of.weekdays else []
        anchor = None
        if not any(h.session is Session.REGULAR for h in hours):
            openings = (h.start_s for h in ordinary or [] if h.session is Session.REGULAR)
            anchor = next((_instant(of.zone, date, start_s) for start_s in openings), None)
        return TradeDay(
            date=date,
            start_ns=_instant(of.zone, date, 0),
            end_ns=_instant(of.zone, date + _ONE_DAY, 0),
            known=known,
            windows=tuple(
                Window(h.session, _instant(of.zone, date, h.start_s), _instant(of.zone, date, h.end_s))
                for h in hours
            ),
            anchor_ns=anchor,
        )

    def ordinary(self, session_class: str) -> list[list[Hours]]:
        """The ordinary days that a class has had, from the first on."""
        of = self._class(session_class)
        return [of.ordinary[date].hours[:] for date in of.eras]

    def table(self, session_class: str, start: dt.date, end: dt.date) -> SessionTable:
        """Every trade date from ``start`` to before ``end``, about 25 us each. The last few are kept."""
        return self._table(session_class, start, end, self.version)

    def next_trade_date(self, session_class: str, after: dt.date) -> dt.date:
        """The first later date that has sessions, or may have: an unknown date counts."""
        date = after + _ONE_DAY
        while (day := self.day(session_class, date)).known and not day.windows:
            date += _ONE_DAY
        return date

    def become(self, other: Calendars) -> None:
        """Say from now on what the others say; whoever holds these need not hear of it."""
        self._all = other._all
        self.version += 1

    def _made(self, session_class: str, start: dt.date, end: dt.date, _version: int) -> SessionTable:
        days = range((end - start).days)
        return SessionTable([self.day(session_class, start + dt.timedelta(days=n)) for n in days])

    def _class(self, name: str) -> _Class:
        every = self._all  # these, should they become others meanwhile
        found = every.classes.get(name)
        if found is None:
            if name not in every.declared:
                known = ", ".join(self.classes)
                raise ConfigError(f"session class must be one of {known}, was {name!r}")
            found = every.classes[name] = every.built(name, [])
        return found


def load(overrides: Path | None = None, *, fetched: tuple[str, str] | None = None) -> Calendars:
    """The shipped calendars, corrected by a file of the user's in the same form.

    ``fetched`` is the name and text of another such file, which the user's outranks. The first call
    in a process reads the shipped files, about 30 kB, which takes some five milliseconds. Raises
    `ConfigError` with a line ``file:line: reason`` for each bad row, or if the user's file can't be read.
    """
    files = [fetched] if fetched is not None else []
    if overrides is not None:
        try:
            files.append((str(overrides), overrides.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{overrides}: can't be read as a calendar: {exc}") from exc
    return Calendars(files, over=_shipped())


def check_rows(name: str, text: str) -> None:
    """Raises `ConfigError`, with a line for each bad row, unless the text corrects the shipped calendars."""
    Calendars([(name, text)], over=_shipped())


@cache
def _shipped() -> Calendars:
    """The shipped files by themselves. Not given away: others are put together over them."""
    folder = Path(__file__).parent / "data"
    files = [(name, (folder / name).read_text(encoding="utf-8")) for name in _SHIPPED]
    return Calendars(files, trusted=True)


def _reaches(scope: str, name: str) -> bool:
    return name == scope or name.startswith(f"{scope}.")


def _add(rules: dict[dt.date, _Rule], row: DayRow, date: dt.date, rank: tuple[int, int]) -> list[str]:
    """Let a row take part in what a date is, if nothing outranks it. Returns what is wrong."""
    found = rules.get(date)
    if found is not None and found.rank > rank:
        return []
    if found is None or found.rank < rank:
        rules[date] = found = _Rule(rank, row.kind, row.where)
    elif found.kind != row.kind or row.hours is None:
        return [f"{row.where}: {date} is already {found.kind} by {found.where}"]
    if row.hours is not None:
        found.hours.append(row.hours)
        found.hours.sort()
        for one, two in zip(found.hours, found.hours[1:], strict=False):
            if two.start_s < one.end_s:
                return [f"{row.where}: a window of {date} overlaps another one"]
    return []


def _place(problem: str) -> tuple[str, int]:
    """Sorts problems by file and line."""
    name, line = problem.split(": ", 1)[0].rsplit(":", 1)
    return name, int(line)


def _instant(zone: ZoneInfo, date: dt.date, second: int) -> int:
    """UTC ns of a local clock time; 24:00 is the next midnight."""
    if second >= 86_400:  # noqa: PLR2004 - a day
        date, second = date + _ONE_DAY, second - 86_400
    local = dt.datetime(date.year, date.month, date.day, second // 3600, second // 60 % 60, tzinfo=zone)
    return int(local.timestamp()) * SECOND_NS
