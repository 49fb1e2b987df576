"""How one file is written: what the options say, and what its first lines show for the rest.

Nothing is guessed where two readings are possible: the file is then refused, and the text says
which option decides.
"""

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mdingest.errors import ConfigError
from mdingest.providers.csvfile.clocks import parse_time
from mdingest.providers.csvfile.columns import Columns, by_name, by_place, is_header
from mdingest.providers.csvfile.dates import ambiguous, order_of, stamp_format
from mdingest.providers.csvfile.numbers import detect_decimal
from mdingest.providers.csvfile.options import CsvOptions, zone_of
from mdingest.providers.csvfile.stamps import StampFormat

_DELIMITERS = ",;\t|"
_MORE = "providers.csv."  # where the options that settle a doubt are


@dataclass(frozen=True, slots=True)
class Dialect:
    """Everything that reading a row needs."""

    delimiter: str
    skip: int  # lines before the first row
    width: int  # cells of an ordinary row
    columns: Columns
    stamps: StampFormat
    zone: dt.tzinfo | None
    decimal: str = "."
    thousands: str = ""
    header: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Sample:
    """The first lines of a file, as rows."""

    delimiter: str
    skip: int
    header: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)


def detect(
    head: Sequence[str], options: CsvOptions, zone: dt.tzinfo | None, *, more: Iterable[str] = (), daily: bool
) -> Dialect:
    """The dialect of a file whose first lines are ``head``. ``zone`` is the exchange's, if known.

    ``more`` are all lines of the file, read as far as needed to tell days from months. Raises
    ConfigError, without the name of the file.
    """
    sample = _sample(head, options)
    try:
        columns = _columns(sample, options)
        usable = _usable(sample, columns)
        decimal, thousands = _marks(usable, columns, sample.delimiter, options)
    except ValueError as exc:
        raise ConfigError(f"{exc} (see {_MORE[:-1]})") from exc
    stamps = [row[columns.stamp].strip() for row in usable]
    times = None if columns.time is None else [row[columns.time].strip() for row in usable]
    form = stamp_format(stamps, times, options, sample.header)
    if ambiguous(form, stamps, options, sample.header):
        dates = (
            row[columns.stamp].strip()
            for row in (line.split(sample.delimiter) for line in more)
            if len(row) >= columns.needed
        )
        form = order_of(form, dates, options)
    zone, notes = _zone(form, zone, options, sample.header, daily=daily)
    return Dialect(
        delimiter=sample.delimiter,
        skip=sample.skip,
        width=len(sample.header) or max(len(row) for row in usable),
        columns=columns,
        stamps=form,
        zone=zone,
        decimal=decimal,
        thousands=thousands,
        header=sample.header,
        notes=notes,
    )


def tells_symbols(head: Sequence[str], options: CsvOptions) -> bool:
    """Whether a column says whose the rows are. So it is if ``head`` begins no table."""
    try:
        return _columns(_sample(head, options), options).symbol is not None
    except (ConfigError, ValueError):
        return True


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of one line, quotes heeded."""
    if '"' not in line:
        return line.rstrip("\n").split(delimiter)
    return next(csv.reader([line], delimiter=delimiter), [])


def _sample(head: Sequence[str], options: CsvOptions) -> Sample:
    lines = [(i, line) for i, line in enumerate(head) if line.strip() and not line.startswith("#")]
    if not lines:
        raise ConfigError("the file has no rows")
    if lines[0][1].lstrip()[:1] in ("<", "{") and not lines[0][1].lstrip().upper().startswith(
        ("<DATE", "<TICKER")
    ):
        raise ConfigError(f"not a CSV file: it begins with {lines[0][1].strip()[:60]!r}")
    delimiter = options.delimiter or _delimiter([line for _, line in lines[:50]])
    first, *_ = lines
    cells = cells_of(first[1], delimiter)
    named = is_header(cells) if options.header is None else options.header
    rows = [cells_of(line, delimiter) for _, line in lines[1 if named else 0 :]]
    if not rows:
        raise ConfigError("the file has a header and no rows")
    skip = first[0] + 1 if named else first[0]
    return Sample(delimiter, skip, tuple(cells) if named else (), rows)


def _delimiter(lines: Sequence[str]) -> str:
    """The one that cuts the most lines into equally many, and at least five, cells."""
    best, most = "", (0, 0)
    for delimiter in _DELIMITERS:
        counts = [len(cells_of(line, delimiter)) for line in lines]
        usual = max(counts, key=counts.count)
        if usual >= 5 and (counts.count(usual), usual) > most:  # noqa: PLR2004 - a stamp and four prices
            best, most = delimiter, (counts.count(usual), usual)
    if not best:
        text = lines[0].strip()[:60]
        raise ConfigError(f"not a CSV file of candles: its first line is {text!r} (see {_MORE}delimiter)")
    return best


def _columns(sample: Sample, options: CsvOptions) -> Columns:
    if sample.header:
        return by_name(sample.header, options.columns)
    return by_place(sample.rows[0], options.columns, has_time=_is_time)


def _usable(sample: Sample, columns: Columns) -> list[list[str]]:
    usable = [row for row in sample.rows if len(row) >= columns.needed]
    if not usable:
        raise ValueError(f"no row has {columns.needed} fields separated by {_name(sample.delimiter)}")
    return usable


def _is_time(cell: str) -> bool:
    text = cell.strip()
    try:
        parse_time(text)
    except ValueError:
        return False
    return ":" in text or (text.isdigit() and len(text) in (4, 5, 6))


def _marks(
    rows: Sequence[Sequence[str]], columns: Columns, delimiter: str, options: CsvOptions
) -> tuple[str, str]:
    if options.decimal is not None:
        usual = {".": ",", ",": "."}[options.decimal]
        return options.decimal, usual if options.thousands is None else options.thousands
    cells = [row[place] for row in rows for place in columns.prices]
    decimal, thousands = detect_decimal(cells, delimiter)
    if decimal == "." and not thousands and columns.volume is not None:
        volumes = [row[columns.volume] for row in rows if len(row) > columns.volume]
        thousands = "," if any("," in volume for volume in volumes) else ""
    return decimal, thousands if options.thousands is None else options.thousands


def _zone(
    form: StampFormat, zone: dt.tzinfo | None, options: CsvOptions, header: Sequence[str], *, daily: bool
) -> tuple[dt.tzinfo | None, tuple[str, ...]]:
    if form.epoch or form.offsets:
        return zone, ()
    if options.timezone is not None:
        return zone_of(options.timezone), ()
    if any(cell.strip().casefold() in {"gmt time", "utc time"} for cell in header):
        return dt.UTC, ()
    if zone is None and not daily:
        raise ConfigError(
            "its stamps have no offset, and the zone of this symbol's exchange is not known: "
            f"set {_MORE}timezone "
            "(MetaTrader writes its broker's time, often EET; HistData writes UTC-5 all year)"
        )
    return zone, () if daily or zone is None else (f"stamps have no offset: read as {zone}",)


def _name(delimiter: str) -> str:
    return {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
