"""The forms that day files come in, told apart by their header, and their rows in one shape.

=========================  =========================================================================
UDiFF, since 2024-07-08    ``TradDt,BizDt,Sgmt,Src,FinInstrmTp,...`` of both exchanges, cash and F&O
NSE cash, before           ``SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,...``
NSE F&O, before            ``INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,...``
NSE cash with deliveries   ``SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, ...`` padded with blanks
BSE cash, before           ``SC_CODE,SC_NAME,SC_GROUP,...``, mostly without a date
=========================  =========================================================================

F&O files count contracts. Volumes here are units, as brokers have them: the common format names
the lot; the old one does not, but turnover and price range leave one whole number possible, or the
volume stays unknown.
"""

import csv
import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mdingest.errors import TransientError
from mdingest.providers.bhavcopy.contracts import MONTHS

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Form:
    """Columns of one form, by what they are called there. Empty: it has none."""

    name: str
    market: str  # NSE.CM ...; empty: the columns Src and Sgmt say it
    symbol: str
    series: str = ""
    code: str = ""  # a number that stands for the security
    full_name: str = ""  # the whole trading symbol of a derivative
    date: str = ""
    kind: str = ""
    expiry: str = ""
    strike: str = ""
    option: str = ""
    open: str = "OPEN"
    high: str = "HIGH"
    low: str = "LOW"
    close: str = "CLOSE"
    volume: str = ""
    oi: str = ""
    lot: str = ""
    turnover: str = ""  # lakhs of rupees, where the lot has to be worked out


FORMS = (
    Form(
        "UDiFF",
        "",
        symbol="TckrSymb",
        series="SctySrs",
        code="FinInstrmId",
        full_name="FinInstrmNm",
        date="TradDt",
        kind="FinInstrmTp",
        expiry="XpryDt",
        strike="StrkPric",
        option="OptnTp",
        open="OpnPric",
        high="HghPric",
        low="LwPric",
        close="ClsPric",
        volume="TtlTradgVol",
        oi="OpnIntrst",
        lot="NewBrdLotQty",
    ),
    Form(
        "NSE F&O before 2024-07-08",
        "NSE.FO",
        symbol="SYMBOL",
        date="TIMESTAMP",
        kind="INSTRUMENT",
        expiry="EXPIRY_DT",
        strike="STRIKE_PR",
        option="OPTION_TYP",
        volume="CONTRACTS",
        oi="OPEN_INT",
        turnover="VAL_INLAKH",
    ),
    Form(
        "NSE cash before 2024-07-08",
        "NSE.CM",
        symbol="SYMBOL",
        series="SERIES",
        date="TIMESTAMP",
        volume="TOTTRDQTY",
    ),
    Form(
        "sec_bhavdata_full",
        "NSE.CM",
        symbol="SYMBOL",
        series="SERIES",
        date="DATE1",
        open="OPEN_PRICE",
        high="HIGH_PRICE",
        low="LOW_PRICE",
        close="CLOSE_PRICE",
        volume="TTL_TRD_QNTY",
    ),
    Form(
        "BSE cash before 2024-07-08",
        "BSE.CM",
        symbol="SC_NAME",
        code="SC_CODE",
        date="TRADING_DATE",
        volume="NO_OF_SHRS",
    ),
)


@dataclass(frozen=True, slots=True)
class DayRow:
    """One line of a day file, with the form's columns by name."""

    line: int  # of the file, from 1
    form: Form
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """What stands there; empty if the form has no such column."""
        return self.cells.get(column, "")

    def value(self, column: str) -> float:
        """The number there; NaN for none."""
        try:
            return float(self.cells.get(column, ""))
        except ValueError:
            return NAN

    @property
    def is_derivative(self) -> bool:
        """Whether it is a future or an option."""
        return bool(self.form.kind) and self.text(self.form.kind) != "STK"

    @property
    def option(self) -> str:
        """CE or PE; empty for everything else."""
        kind = self.text(self.form.option)
        return "" if kind == "XX" else kind

    @property
    def expiry(self) -> dt.date | None:
        """When the derivative expires."""
        return date_in(self.text(self.form.expiry))


class DayFile:
    """The text of a day file, its form and its date."""

    def __init__(self, text: str, source: str) -> None:
        """Raises TransientError for anything that is no whole day file: a web page, half of one."""
        self._lines = text.removeprefix("\ufeff").splitlines()
        self._source = source
        if text.lstrip()[:1] == "<":
            raise TransientError(f"{source} is a web page, not a day file")
        header = [cell.strip() for cell in self._lines[0].split(",")] if self._lines else []
        form = next((form for form in FORMS if _is(form, header)), None)
        if form is None:
            raise TransientError(f"{source} is no day file: its first line is {','.join(header)[:80]!r}")
        self.form = form
        self._header = header
        if len(self._lines) < 2:  # noqa: PLR2004 - a header and a row
            raise TransientError(f"{source} has no rows")
        last = self._row(len(self._lines))
        if last is None:
            raise TransientError(f"{source} ends in the middle of a row")
        self._last = last

    @property
    def date(self) -> dt.date | None:
        """The trade date its rows carry; None where the form has none."""
        return date_in(self._last.text(self.form.date))

    @property
    def market(self) -> str:
        """``NSE.CM`` and the like."""
        return self.form.market or f"{self._last.text('Src')}.{self._last.text('Sgmt')}"

    def rows(self, needle: str) -> Iterator[DayRow]:
        """The rows in whose line a text stands."""
        for number, line in enumerate(self._lines[1:], 2):
            if needle in line and (row := self._row(number)) is not None:
                yield row

    def _row(self, number: int) -> DayRow | None:
        """A line as cells; None if it has too few."""
        line = self._lines[number - 1]
        cells = next(csv.reader([line])) if '"' in line else line.split(",")
        if len(cells) < len(self._header):
            return None
        named = zip(self._header, (cell.strip() for cell in cells), strict=False)
        return DayRow(number, self.form, dict(named))


def _is(form: Form, header: list[str]) -> bool:
    wanted = {form.symbol, form.kind, form.open, form.close, form.volume, form.series, form.code} - {""}
    dated = not form.date or form.date in header or form.market == "BSE.CM"
    return wanted <= set(header) and dated


def date_in(text: str) -> dt.date | None:
    """``2024-07-08``, ``05-JUL-2024``, ``05-Jul-24`` or ``05/07/2024``; None for anything else."""
    parts = text.replace("/", "-").split("-")
    try:
        first, middle, last = parts
        if len(first) == 4:  # noqa: PLR2004 - a year
            return dt.date(int(first), int(middle), int(last))
        month = int(middle) if middle.isdigit() else MONTHS.index(middle.upper()) + 1
        year = int(last) if len(last) == 4 else 2000 + int(last)  # noqa: PLR2004 - as above
        return dt.date(year, month, int(first))
    except ValueError:
        return None


def units(row: DayRow) -> float:
    """The volume of a row in units; NaN if it can't be told."""
    form = row.form
    volume = row.value(form.volume)
    if not row.is_derivative:
        return volume
    if form.lot:
        return volume * row.value(form.lot)
    return volume * _lot(row)


_LAKH = 100_000.0
_ROUNDED = 0.01  # of a lakh: turnovers are given with two digits


def _lot(row: DayRow) -> float:
    """The only whole number of units that a contract can have, given turnover and prices."""
    form = row.form
    contracts, turnover = row.value(form.volume), row.value(form.turnover)
    strike = row.value(form.strike) if row.option else 0.0
    low, high = strike + row.value(form.low), strike + row.value(form.high)
    if not (contracts > 0 and low > 0 and high >= low and turnover > 0):
        return NAN
    least = math.ceil((turnover - _ROUNDED) * _LAKH / (contracts * high) - 1e-9)
    most = math.floor((turnover + _ROUNDED) * _LAKH / (contracts * low) + 1e-9)
    return float(least) if least == most and least > 0 else NAN
