"""From the bytes of a file to bars, some ten thousand lines at a time.

Lines are cut, transposed and read column by column; only what is wrong is looked at row by
row. A row that is wrong is left out and named, and does not touch its neighbours.
"""

import datetime as dt
from collections.abc import Generator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mdingest.core.control import VolumeKind
from mdingest.core.rows import take
from mdingest.errors import ConfigError, PermanentError
from mdingest.providers.csvfile.dialect import cells_of, detect
from mdingest.providers.csvfile.numbers import ABSENT, WRONG, read_numbers
from mdingest.providers.csvfile.options import CsvOptions
from mdingest.providers.csvfile.order import (
    is_descending,
    listed,
    misplaced,
    names_the_close,
    repeated,
    whole_days,
)
from mdingest.providers.csvfile.periods import means
from mdingest.providers.csvfile.stamps import BAD, Stamps
from mdingest.providers.csvfile.texts import as_text, encoding_of
from mdingest.providers.history import BAR, FAULTS, NAMED_REJECTS, Ask, Bars, Parsed, dated, faults

HEAD_BYTES = 1 << 18  # what detection looks at
CHUNK_CHARS = 1 << 21  # some 30,000 rows: enough for columns to pay, 30 MB at most
_PRICES = ("open", "high", "low", "close")
_SKIPPED = -1  # neither a row nor wrong: blank, a comment, the header again, another symbol


class CsvReader:
    """Reads one file for one wish. Made for it, and used once."""

    def __init__(self, source: BinaryIO, ask: Ask, options: CsvOptions) -> None:
        """Looks at the head of the file. Raises PermanentError if it can't be understood."""
        self._source = source
        self._ask = ask
        self._options = options
        self._daily = ask.interval.is_daily_or_longer
        self._seen: set[str] = set()  # tickers of rows that were left out
        self._kept = False
        self._before = np.empty(0, np.int64)  # stamps of the last rows of the chunk before
        source.seek(0)
        head = source.read(HEAD_BYTES)
        self._encoding = encoding_of(head)
        lines = head.decode(self._encoding, errors="replace").splitlines()
        if len(head) == HEAD_BYTES:
            if len(lines) < 2:  # noqa: PLR2004 - a file of one line is not a table
                raise PermanentError(f"not a CSV file: no line ends within {HEAD_BYTES >> 10} KiB")
            lines.pop()
        try:
            with as_text(source, self._encoding) as more:
                self._dialect = detect(lines, options, ask.hours.zone, more=more, daily=self._daily)
        except ConfigError as exc:
            raise PermanentError(str(exc)) from exc
        self._stamps = Stamps(self._dialect.stamps, self._dialect.zone, daily=self._daily)
        self.notes = list(self._dialect.notes)
        self._shift, self._descending = self._look_at(lines)

    def parts(self) -> Generator[Parsed, None, None]:
        """The rows of the file, in parts."""
        line = 1
        with as_text(self._source, self._encoding) as text:
            while lines := text.readlines(CHUNK_CHARS):
                skip = max(0, self._dialect.skip + 1 - line)
                part = self._part(lines[skip:] if skip else lines, line + skip)
                line += len(lines)
                part.notes, self.notes = self.notes, []
                yield part
        if self._seen and not self._kept:
            name = self._options.name_of(self._ask.instrument.symbol)
            raise PermanentError(
                f"no row is about {name}; it has {listed(sorted(self._seen))}: say which with "
                f"providers.csv.ticker: {{{self._ask.instrument.symbol}: NAME}}"
            )

    # -- what the sample shows ----------------------------------------------------------

    def _look_at(self, lines: Sequence[str]) -> tuple[int, bool]:
        """What to take from each stamp, and whether the newest rows come first."""
        dialect = self._dialect
        rows = [cells_of(line, dialect.delimiter) for line in lines[dialect.skip :]]
        rows = [row for row in rows if len(row) >= dialect.columns.needed and not self._is_foreign(row)]
        self._seen.clear()
        if not rows:
            return 0, False
        ts = self._read_stamps(rows)
        good = ts[ts != BAD]
        if self._daily or not len(good):
            return 0, is_descending(good)
        interval, named = self._ask.interval, self._options.stamp
        if named is None:
            table = self._ask.hours.around(int(good.min()), int(good.max()))
            late, days = names_the_close(whole_days(good), interval, table)
            if 2 * late > days:
                named = "close"
                self.notes.append(
                    f"stamps name the close of their bars (on {late} of {days} days the first is {interval} "
                    "after the opening); providers.csv.stamp: open reads them otherwise"
                )
        return (interval.ns if named == "close" else 0), is_descending(good)

    def _read_stamps(self, rows: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        columns = self._dialect.columns
        second = None if columns.time is None else [row[columns.time] for row in rows]
        return self._stamps.read([row[columns.stamp] for row in rows], second)

    # -- one part ---------------------------------------------------------------------

    def _part(self, lines: list[str], first: int) -> Parsed:
        part = Parsed()
        numbers, rows, plain = self._rows(lines, first, part)
        if not rows:
            return part
        columns = list(zip(*rows, strict=False))  # cut to the shortest, which is long enough
        bars, wrong = self._bars(columns, rows, numbers, plain, part)
        keep = self._judge(bars, wrong, rows, part)
        bars = bars if keep.all() else Bars(take(bars, keep))
        ascending = (np.diff(bars["ts"]) > 0).all()
        part.bars = bars if ascending else Bars(take(bars, np.argsort(bars["ts"], kind="stable")))
        return part

    def _rows(
        self, lines: list[str], first: int, part: Parsed
    ) -> tuple[Sequence[int], list[list[str]], bool]:
        """Cells of the rows that are about us, their lines, and whether their text is plain."""
        dialect = self._dialect
        delimiter, width = dialect.delimiter, dialect.width
        text = "".join(lines)
        quoted = '"' in text
        rows = [cells_of(line, delimiter) if quoted else line.split(delimiter) for line in lines]
        numbers: Sequence[int] = range(first, first + len(lines))
        filtered = dialect.columns.symbol is not None or dialect.columns.period is not None
        if filtered or not {width}.issuperset(map(len, rows)):
            kept = [i for i, row in enumerate(rows) if self._is_ours(row, numbers[i], part)]
            rows, numbers = [rows[i] for i in kept], [numbers[i] for i in kept]
        self._kept = self._kept or bool(rows)
        return numbers, rows, text.isascii() and "_" not in text

    def _is_ours(self, row: list[str], number: int, part: Parsed) -> bool:
        dialect = self._dialect
        if len(row) != dialect.width:
            first = row[0].strip() if row else ""
            if (not first and len(row) <= 1) or first.startswith("#"):
                return False
            extra = any(cell.strip() for cell in row[dialect.width :])
            if extra or len(row) < dialect.columns.needed:
                part.reject(number, f"{len(row)} fields instead of {dialect.width}")
                return False
            row += [""] * (dialect.width - len(row))
        return not self._is_foreign(row)

    def _is_foreign(self, row: Sequence[str]) -> bool:
        """Whether a row is about another symbol or another interval."""
        columns = self._dialect.columns
        if columns.symbol is not None and len(row) > columns.symbol:
            symbol = self._ask.instrument.symbol
            name = self._options.name_of(symbol).casefold()
            found = row[columns.symbol].strip()
            if found.casefold() not in {name, name.rpartition(".")[0] or name}:
                if len(self._seen) < 100:  # noqa: PLR2004 - for an error's text
                    self._seen.add(found)
                return True
        if columns.period is not None and len(row) > columns.period:
            return not means(row[columns.period], self._ask.interval)
        return False

    def _bars(
        self,
        columns: Sequence[Sequence[str]],
        rows: Sequence[Sequence[str]],
        numbers: Sequence[int],
        plain: bool,  # noqa: FBT001 - of the text
        part: Parsed,
    ) -> tuple[Bars, NDArray[np.int8]]:
        """All rows as bars, and of each: 0, a number's place from 1 that is wrong, or `_SKIPPED`."""
        dialect, where = self._dialect, self._dialect.columns
        bars = Bars(np.empty(len(rows), BAR))
        wrong = np.zeros(len(rows), np.int8)
        absent = np.zeros(len(rows), np.int8)
        second = None if where.time is None else columns[where.time]
        ts = self._stamps.read(columns[where.stamp], second)
        good = ts != BAD
        for i in np.flatnonzero(~good).tolist():
            if rows[i][0].startswith("#") or self._is_header(rows[i]):
                wrong[i] = _SKIPPED
        ts[good] -= self._shift
        if self._daily:
            ts[good] = dated(
                ts[good], self._ask.interval, self._ask.hours.zone or self._dialect.zone or dt.UTC
            )
        bars["ts"], bars["line"] = ts, numbers
        zeros = np.ones(len(rows), np.bool_)
        for i, (name, place) in enumerate(zip(_PRICES, where.prices, strict=True), 1):
            values, codes = read_numbers(columns[place], dialect.decimal, dialect.thousands, plain=plain)
            bars[name] = values
            zeros &= values == 0
            if codes is not None:
                absent += codes == ABSENT
                wrong[(codes == WRONG) & (wrong == 0)] = i
        partly = (absent > 0) & (absent < 4) & (wrong == 0)  # noqa: PLR2004 - the four prices
        wrong[partly] = 7
        for i, (name, column) in enumerate((("volume", where.volume), ("oi", where.oi)), 5):
            bars[name] = np.nan
            if column is None or column >= len(columns) or (i == 5 and self._has_no_volume):  # noqa: PLR2004
                continue
            values, codes = read_numbers(columns[column], dialect.decimal, dialect.thousands, plain=plain)
            bars[name] = values
            if codes is not None:
                wrong[(codes == WRONG) & (wrong == 0)] = i
        if where.ticks is not None:
            ticks, _ = read_numbers(columns[where.ticks], dialect.decimal, dialect.thousands, plain=plain)
            bars["volume"][(bars["volume"] == 0) & (ticks > 0)] = np.nan
        nothing = (absent == 4) | (zeros & ~(bars["volume"] > 0))  # noqa: PLR2004 - as above
        part.empty += int((nothing & (wrong == 0) & good).sum())
        wrong[nothing & (wrong == 0) & good] = _SKIPPED
        return bars, wrong

    def _is_header(self, row: Sequence[str]) -> bool:
        header = self._dialect.header
        return bool(header) and [cell.strip() for cell in row] == [cell.strip() for cell in header]

    @property
    def _has_no_volume(self) -> bool:
        return self._ask.instrument.volume is VolumeKind.NONE

    def _judge(
        self, bars: Bars, wrong: NDArray[np.int8], rows: Sequence[Sequence[str]], part: Parsed
    ) -> NDArray[np.bool_]:
        """Which rows are good. The others are counted, and the first of them named."""
        ts = bars["ts"]
        unread = (ts == BAD) & (wrong != _SKIPPED)
        codes = faults(bars)
        keep = (wrong == 0) & ~unread & (codes == 0)
        at = np.flatnonzero(keep)
        odd = np.zeros(len(ts), np.bool_)
        again = np.zeros(len(ts), np.bool_)
        of = np.zeros(len(ts), np.int64)
        known = np.concatenate([self._before, ts[at]])
        if len(known) > 1 and not (np.diff(known) < 0 if self._descending else np.diff(known) > 0).all():
            if self._options.unordered == "reject":
                odd[at] = misplaced(known, descending=self._descending)[len(self._before) :] > 0
            at = at[~odd[at]]
            known = np.concatenate([self._before, ts[at]])
            same, first = repeated(known)
            skip = len(self._before)
            again[at] = same[skip:]
            of[at] = np.where(
                first[skip:] >= skip, at[np.maximum(first[skip:] - skip, 0)] if len(at) else 0, -1
            )
            keep &= ~(odd | again)
        self._before = ts[np.flatnonzero(keep)[-2:]] if keep.any() else self._before
        bad = np.flatnonzero(~keep & (wrong != _SKIPPED))
        for i in bad[:NAMED_REJECTS].tolist():
            again_of = int(of[i]) if again[i] else None
            why = self._why(i, bars, rows[i], int(wrong[i]), int(codes[i]), odd=bool(odd[i]), again=again_of)
            part.reject(int(bars["line"][i]), why)
        part.rejected += max(0, len(bad) - NAMED_REJECTS)
        stamped = bad[ts[bad] != BAD]
        part.holes = ts[stamped[~again[stamped]]]
        kept: NDArray[np.bool_] = keep
        return kept

    def _why(
        self, i: int, bars: Bars, row: Sequence[str], wrong: int, code: int, *, odd: bool, again: int | None
    ) -> str:
        where = self._dialect.columns
        if bars["ts"][i] == BAD:
            return self._stamps.why(row[where.stamp], None if where.time is None else row[where.time])
        if wrong == 7:  # noqa: PLR2004 - see _bars
            return "some of its prices are missing"
        if wrong:
            places = (*where.prices, where.volume or 0, where.oi or 0)
            name = (*_PRICES, "volume", "oi")[wrong - 1]
            return f"{name} is no number: {row[places[wrong - 1]].strip()[:40]!r}"
        if odd:
            return "out of order: its stamp lies before that of the row above"
        if again is not None:
            line = f"line {bars['line'][again]}" if again >= 0 else "a row above"
            return f"has the stamp of {line}"
        return FAULTS[code]
