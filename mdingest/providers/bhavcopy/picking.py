"""Which row of a day file a symbol means, and what it says as a bar."""

import datetime as dt
import difflib
from collections.abc import Sequence

from mdingest.core.session import DAY_NS, date_ordinal
from mdingest.providers.bars import Row
from mdingest.providers.bhavcopy.contracts import Contract, readings
from mdingest.providers.bhavcopy.forms import DayFile, DayRow, units

_LONGEST_SERIES = 2


def picked(file: DayFile, name: str, series: Sequence[str]) -> DayRow | None:
    """The row of a symbol without its suffix; None if the file has none for it."""
    if file.market.endswith(".FO"):
        return _derivative(file, name)
    if file.market == "BSE.CM":
        return _of_bse(file, name)
    rows = [row for row in file.rows(name) if row.text(file.form.symbol) == name]
    found = {row.text(file.form.series): row for row in reversed(rows)}
    for one in series:
        if one in found:
            return found[one]
    short, _, own = name.rpartition("-")  # as Kite writes a series that is not EQ
    if not short or not 0 < len(own) <= _LONGEST_SERIES:
        return None
    rows = [row for row in file.rows(short) if row.text(file.form.symbol) == short]
    return next((row for row in rows if row.text(file.form.series) == own), None)


def bar_of(row: DayRow, date: dt.date) -> Row | None:
    """As a bar of its date; None if nothing traded."""
    form = row.form
    volume = units(row)
    if row.value(form.volume) == 0:
        return None
    o, h, l, c = (row.value(column) for column in (form.open, form.high, form.low, form.close))  # noqa: E741 - as they are called
    return date_ordinal(date) * DAY_NS, o, h, l, c, volume, _interest(row), row.line


def nearest(file: DayFile, name: str) -> list[str]:
    """Symbols of the file that look like a name."""
    column = file.form.symbol
    return difflib.get_close_matches(name, sorted({row.text(column) for row in file.rows("")}), 3)


def other_series(file: DayFile, name: str) -> list[str]:
    """In which series the file has a name."""
    rows = [row for row in file.rows(name) if row.text(file.form.symbol) == name]
    return sorted({row.text(file.form.series) for row in rows} - {""})


def _interest(row: DayRow) -> float:
    return row.value(row.form.oi) if row.is_derivative else float("nan")


def _of_bse(file: DayFile, name: str) -> DayRow | None:
    column = file.form.code if name.isdigit() else file.form.symbol
    return next((row for row in file.rows(name) if row.text(column) == name), None)


def _derivative(file: DayFile, name: str) -> DayRow | None:
    if file.form.full_name:
        for row in file.rows(name):
            if row.text(file.form.full_name) == name:
                return row
    for reading in readings(name):
        if (found := _contract(file, reading)) is not None:
            return found
    return None


def _contract(file: DayFile, reading: Contract) -> DayRow | None:
    rows = []
    for row in file.rows(reading.underlying):
        expiry = row.expiry
        if (
            row.text(file.form.symbol) == reading.underlying
            and (row.option != "") == (reading.strike is not None)
            and expiry is not None
            and reading.may_expire(expiry)
        ):
            rows.append((expiry, row))
    if not rows:
        return None
    expiry = max(found for found, _ in rows)  # of a weekly name there is one only
    for found, row in rows:
        same = reading.strike is None or row.value(file.form.strike) == reading.strike
        if found == expiry and same and row.option == reading.kind:
            return row
    return None
