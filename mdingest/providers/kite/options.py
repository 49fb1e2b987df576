"""What the ``providers.kite_ws`` section may say."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator

from mdingest.calendars import UNKNOWN
from mdingest.providers.kite.segments import BY_NAME, DEFAULT_DIVISOR, segment_of
from mdingest.providers.options import HttpUrl, ProviderOptions, WebsocketUrl

_MODES = ("full", "quote")
_KITE, _KITE_API = "wss://ws.kite.trade", "https://api.kite.trade"
_LOGIN = "https://kite.zerodha.com/connect/login"
_DEFAULT_FILE = "kite_token.json"
_THEIRS = re.compile(r"[A-Z]+:.+")
_SUFFIX = re.compile(r"[A-Za-z0-9_]{1,16}")


class KiteOptions(ProviderOptions):
    """Credentials, addresses, and corrections of what we believe about Kite's segments."""

    api_key: SecretStr
    api_secret: SecretStr | None = None  # `mdingest login kite` signs with it; nothing else does
    access_token: SecretStr | None = None  # of today: it dies at 06:00 IST. None: from the file
    access_token_file: Path | None = None  # None: kite_token.json beside the journal
    url: WebsocketUrl = _KITE
    api: HttpUrl | None = None  # None: Kite's; where ``url`` is another's, that one's
    login: HttpUrl | None = (
        None  # the page for a browser; None: Kite's; where ``api`` is another's, that one's
    )
    mode: str = "full"
    instruments: str = "https://api.kite.trade/instruments"  # or a local file
    default_session_class: str = UNKNOWN  # of exchanges whose hours nobody told us
    divisors: dict[str, Annotated[float, Field(gt=0, lt=1e12)]] = Field(default_factory=dict)
    """By segment (NSE, NFO, CDS, BSE, BFO, BCD, MCX, MCXSX, INDICES, NCO)."""
    suffixes: dict[str, str] = Field(default_factory=dict)
    """What follows the trading symbol, by exchange, or INDICES: {NSE: NS, BSE: BO, INDICES: INDEX}."""
    names: dict[str, str] = Field(default_factory=dict)
    """Single symbols: ours to Kite's ``EXCHANGE:TRADINGSYMBOL``."""

    @field_validator("mode")
    @classmethod
    def _has_volume(cls, mode: str) -> str:
        if mode == "ltp":
            raise ValueError("ltp carries no volume and no time, so no candles: use full (or quote)")
        if mode not in _MODES:
            raise ValueError("must be full or quote")
        return mode

    @field_validator("divisors")
    @classmethod
    def _known_segments(cls, divisors: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(divisors) - set(BY_NAME))
        if unknown:
            raise ValueError(f"no segment {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
        return divisors

    @field_validator("suffixes")
    @classmethod
    def _plain_suffixes(cls, suffixes: dict[str, str]) -> dict[str, str]:
        if not all(_SUFFIX.fullmatch(suffix) for suffix in suffixes.values()):
            raise ValueError("a suffix has letters and digits only, like {NSE: NS}")
        return suffixes

    @field_validator("names")
    @classmethod
    def _exchange_and_symbol(cls, names: dict[str, str]) -> dict[str, str]:
        if not all(_THEIRS.fullmatch(theirs) for theirs in names.values()):
            raise ValueError('maps your symbol to Kite\'s, like {NIFTY.NS: "NSE:NIFTY 50"}')
        if len(set(names.values())) < len(names):
            raise ValueError("gives two symbols to one instrument")
        return names

    @field_validator("api_key", "api_secret", "access_token")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().strip():
            raise ValueError("is empty")
        return secret

    @property
    def rest(self) -> str:
        """Where the REST API is: a stub or simulator that serves the feed serves that too."""
        if self.api is not None:
            return self.api
        return _KITE_API if self.url == _KITE else self.url.replace("ws", "http", 1)

    @property
    def login_page(self) -> str:
        """Where a person logs in, without the query."""
        if self.login is not None:
            return self.login
        return _LOGIN if self.rest == _KITE_API else f"{self.rest}/connect/login"

    def beside(self, data: Path) -> Self:
        """With the token file's place."""
        if self.access_token_file is not None:
            return self
        return self.model_copy(update={"access_token_file": data / _DEFAULT_FILE})

    def stand_in_of(self, key: str) -> Path | None:
        """The token file makes up for a token that is not set."""
        return self.access_token_file if key == "access_token" else None

    def divisor_of(self, token: int) -> float:
        """Wire price / divisor = price."""
        segment = segment_of(token)
        if segment is None:
            return DEFAULT_DIVISOR
        return self.divisors.get(segment.name, segment.divisor)
