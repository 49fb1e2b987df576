"""What the ``providers.bhavcopy`` section may say."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ByteSize, Field, field_validator

from mdingest.providers.bhavcopy.markets import MARKETS
from mdingest.providers.bhavcopy.names import check_dated, check_pattern
from mdingest.providers.options import HttpUrl, ProviderOptions

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
_SERIES = ("EQ", "BE", "BZ", "SM", "ST", "SZ", "RR", "IV", "IT")
_DEFAULT_FOLDER = "bhavcopy"

Pattern = Annotated[str, AfterValidator(check_pattern)]


class BhavcopyOptions(ProviderOptions):
    """Where day files come from, and which of their rows a symbol means."""

    nse: HttpUrl = "https://nsearchives.nseindia.com"
    bse: HttpUrl = "https://www.bseindia.com"
    urls: dict[str, str] = Field(default_factory=dict)
    """By market (NSE.CM, NSE.FO, BSE.CM, BSE.FO): an address with ``{YYYY} {YY} {MM} {MON} {DD}``."""
    files: Pattern | list[Pattern] | None = None  # instead of addresses
    cash: Literal["bhavcopy", "full"] = "bhavcopy"  # full: NSE's sec_bhavdata_full
    series: tuple[str, ...] = _SERIES  # of NSE; the first that a day has counts
    names: dict[str, str] = Field(default_factory=dict)  # ours to theirs: {RELIANCE.BO: "500325"}
    user_agent: str | None = None  # None: a browser's, for NSE refuses those of libraries
    cache: Path | None = None  # None: bhavcopy/ beside the journal
    cache_max: ByteSize = ByteSize(1 << 30)

    @field_validator("urls")
    @classmethod
    def _dated(cls, urls: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(urls) - set(MARKETS)):
            raise ValueError(f"no market {', '.join(unknown)}; there are {', '.join(MARKETS)}")
        for url in urls.values():
            if not url.startswith(("http://", "https://")) or "@" in url:
                raise ValueError("must be addresses like https://host/cm{DD}{MON}{YYYY}bhav.csv.zip")
            check_dated(url)
        return urls

    @field_validator("series")
    @classmethod
    def _upper(cls, series: tuple[str, ...]) -> tuple[str, ...]:
        if not series:
            raise ValueError("at least one, like [EQ, BE]")
        return tuple(one.strip().upper() for one in series)

    @property
    def patterns(self) -> list[str] | None:
        """Of local files, None if files are downloaded."""
        return [self.files] if isinstance(self.files, str) else self.files

    @property
    def agent(self) -> str:
        """What we call ourselves."""
        return _BROWSER if self.user_agent is None else self.user_agent

    def beside(self, data: Path) -> Self:
        """With the place of kept files."""
        if self.cache is not None:
            return self
        return self.model_copy(update={"cache": data / _DEFAULT_FOLDER})
