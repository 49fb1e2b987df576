"""Which column is what: by the names that vendors use, by the user's word, or by position."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_NAMES = {
    "stamp": (
        *("timestamp", "datetime", "gmttime", "localtime", "tsutc", "ts", "opentime", "unix", "epoch"),
        *("candlestarttime", "starttime", "barstart", "dateandtime", "unixtimestamp"),
    ),
    "date": ("date", "day", "date1", "traddt", "tradedate", "tradingdate", "dt", "quotedate"),
    "time": ("time", "hour", "timeofday", "tradetime"),
    "open": ("open", "o", "openprice", "opnpric", "bidopen", "startprice"),
    "high": ("high", "h", "highprice", "hghpric", "bidhigh", "max"),
    "low": ("low", "l", "lowprice", "lwpric", "bidlow", "min"),
    "close": ("close", "c", "closeprice", "clspric", "bidclose"),
    "volume": (
        *("volume", "vol", "v", "tottrdqty", "ttltrdqnty", "ttltradgvol", "basevolume", "quantity", "qty"),
        *("sharestraded", "noofshares", "noofshrs", "tradedvolume", "totaltradedquantity", "contracts"),
    ),
    "oi": ("oi", "openinterest", "openint", "opnintrst"),
    "ticks": ("tickvol", "tickvolume"),  # price changes: no volume, but they show that 0 is none
    "symbol": ("symbol", "ticker", "instrument", "tckrsymb", "tradingsymbol", "scrip", "name"),
    "period": ("per", "period", "interval", "timeframe"),
}
FIELDS = tuple(_NAMES)
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}
PRICES = ("open", "high", "low", "close")
_BINANCE_COLUMNS = (11, 12)  # klines: open time, OHLC, volume, close time, ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of the columns in a row, from 0; None: there is no such column."""

    stamp: int
    time: int | None
    prices: tuple[int, int, int, int]
    volume: int | None = None
    oi: int | None = None
    ticks: int | None = None
    symbol: int | None = None
    period: int | None = None

    @property
    def needed(self) -> int:
        """How many cells a row must have at least."""
        return 1 + max(self.stamp, self.time or 0, *self.prices)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a line names columns: some prices, or nothing in it is a number."""
    fields = {_field(cell) for cell in cells}
    return len(fields & {*PRICES}) >= 2 or not any(cell[:1].isdigit() for cell in map(str.strip, cells))  # noqa: PLR2004


def by_name(header: Sequence[str], chosen: Mapping[str, str | int]) -> Columns:
    """Raises ValueError that lists the header if a column is missing."""
    found: dict[str, int] = {}
    for place in sorted(range(len(header)), key=lambda i: _preference(header[i])):
        if (field := _field(header[place])) is not None:
            found.setdefault(field, place)
    exact = {cell.strip().strip("<>").casefold(): place for place, cell in reversed(list(enumerate(header)))}
    for field, where in chosen.items():
        place = where - 1 if isinstance(where, int) else exact.get(where.strip().strip("<>").casefold(), -1)
        if not 0 <= place < len(header):
            raise ValueError(f"columns.{field}: there is no column {where!r} among {_listed(header)}")
        found[field] = place
    return _assembled(found, lambda field: f"no column for {field} among {_listed(header)}")


def by_place(
    cells: Sequence[str], chosen: Mapping[str, str | int], *, has_time: Callable[[str], bool]
) -> Columns:
    """Columns of a file without header, from its first row. ``has_time``: the cell is a time of day.

    Raises ValueError if the row is too short, or a column is chosen by a name.
    """
    width = len(cells)
    ticker = not cells[0].strip()[:1].isdigit()  # NIFTY,20261120,09:16,...
    split = width > ticker + 1 and has_time(cells[ticker + 1])
    first = ticker + split + 1
    names = ["symbol"] * ticker + (["date", "time"] if split else ["stamp"]) + [*PRICES, "volume", "oi"]
    if width in _BINANCE_COLUMNS and first == 1:
        names.pop()
    found = {name: place for place, name in enumerate(names) if place < width}
    for field, where in chosen.items():
        if not isinstance(where, int):
            raise ValueError(f"columns.{field}: the file has no header, so give the number of the column")  # noqa: TRY004
        found[field] = where - 1
    return _assembled(
        found, lambda field: f"no column for {field}: without a header {first + 4} columns are needed"
    )


def _assembled(found: Mapping[str, int], missing: Callable[[str], str]) -> Columns:
    if "stamp" in found:
        stamp, time = found["stamp"], None
    elif "date" in found:
        stamp, time = found["date"], found.get("time")
    elif "time" in found:
        stamp, time = found["time"], None  # TradingView's and Kite's `time` is a whole stamp
    else:
        raise ValueError(missing("the date"))
    for field in PRICES:
        if field not in found:
            raise ValueError(missing(field))
    o, h, l, c = (found[field] for field in PRICES)  # noqa: E741 - as they are called
    others = {field: found.get(field) for field in ("volume", "oi", "ticks", "symbol", "period")}
    return Columns(stamp, time, (o, h, l, c), **others)


def _field(cell: str) -> str | None:
    return _FIELD_OF.get(_plain(cell))


def _plain(cell: str) -> str:
    return "".join(letter for letter in cell.casefold() if letter.isalnum())


def _preference(cell: str) -> int:
    """Of two columns for a field the one that bears the earlier of its names."""
    field, plain = _field(cell), _plain(cell)
    return 0 if field is None else _NAMES[field].index(plain)


def _listed(header: Sequence[str]) -> str:
    return ", ".join(cell.strip() for cell in header)[:200]
