"""What the ``providers.csv`` section may say: where files are, and what detection must not guess."""

import datetime as dt
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator

from mdingest.providers.csvfile.clocks import fixed_zone
from mdingest.providers.csvfile.columns import FIELDS
from mdingest.providers.options import ProviderOptions

_PLACES = ("{symbol}", "{interval}", "{name}")


def zone_of(text: str) -> dt.tzinfo:
    """``Asia/Kolkata``, ``UTC`` or ``+05:30``. Raises ValueError."""
    fixed = fixed_zone(text)
    if fixed is not None:
        return fixed
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("must be a time zone like Asia/Kolkata, UTC or +05:30") from exc


def _zone(text: str) -> str:
    zone_of(text)
    return text


def _pattern(text: str) -> str:
    if not text.strip() or ("{" in text and not any(place in text for place in _PLACES)):
        raise ValueError(f"must be a path, in which {', '.join(_PLACES)} and * may stand")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class CsvOptions(ProviderOptions):
    """Everything about the form of a file may be left out: it is then detected.

    ``files``: where a symbol's files are; ``{symbol}`` is RELIANCE.NS, ``{name}`` RELIANCE,
    ``{interval}`` 1m, and ``*`` anything. One pattern, several, or a mapping from symbols.
    """

    files: Pattern | tuple[Pattern, ...] | dict[str, Pattern | tuple[Pattern, ...]] = (
        "sample_data/{symbol}_{interval}.csv"
    )
    timezone: Annotated[str, AfterValidator(_zone)] | None = None  # of stamps without an offset
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    header: bool | None = None
    columns: dict[str, str | Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Field to the name in the header, or to the number from 1, of its column."""
    date_format: str | None = None  # strptime's, of the whole stamp
    dayfirst: bool | None = None
    epoch: Literal["s", "ms", "us", "ns"] | None = None
    stamp: Literal["open", "close"] | None = None  # which end of its bar a stamp names
    decimal: Literal[".", ","] | None = None
    thousands: str | None = Field(default=None, max_length=1)
    unordered: Literal["reject", "sort"] = "reject"
    ticker: dict[str, str] = Field(default_factory=dict)
    """Symbol to what a file with several calls it."""

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, columns: dict[str, str | int]) -> dict[str, str | int]:
        unknown = sorted(set(columns) - set(FIELDS))
        if unknown:
            raise ValueError(f"no field {', '.join(unknown)}; there are {', '.join(FIELDS)}")
        return columns

    def patterns_of(self, symbol: str) -> tuple[str, ...]:
        """Where the files of a symbol are; none if a mapping leaves it out."""
        found = self.files.get(symbol, ()) if isinstance(self.files, dict) else self.files
        return (found,) if isinstance(found, str) else found

    def name_of(self, symbol: str) -> str:
        """What a file with a column of tickers calls a symbol."""
        return self.ticker.get(symbol, symbol)
