"""What the ``providers.kite_ws`` section may say."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from mdingest.calendars import UNKNOWN
from mdingest.providers.kite.segments import BY_NAME, DEFAULT_DIVISOR, segment_of
from mdingest.providers.options import ProviderOptions, WebsocketUrl

_MODES = ("full", "quote")


class KiteOptions(ProviderOptions):
    """Credentials, addresses, and corrections of what we believe about Kite's segments."""

    api_key: SecretStr
    access_token: SecretStr  # of today: it dies at 06:00 IST
    url: WebsocketUrl = "wss://ws.kite.trade"
    mode: str = "full"
    instruments: str = "https://api.kite.trade/instruments"  # or a local file
    default_session_class: str = UNKNOWN  # of exchanges whose hours nobody told us
    divisors: dict[str, Annotated[float, Field(gt=0, lt=1e12)]] = Field(default_factory=dict)
    """By segment (NSE, NFO, CDS, BSE, BFO, BCD, MCX, MCXSX, INDICES, NCO)."""

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

    @field_validator("api_key", "access_token")
    @classmethod
    def _not_empty(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value().strip():
            raise ValueError("is empty")
        return secret

    def divisor_of(self, token: int) -> float:
        """Wire price / divisor = price."""
        segment = segment_of(token)
        if segment is None:
            return DEFAULT_DIVISOR
        return self.divisors.get(segment.name, segment.divisor)
