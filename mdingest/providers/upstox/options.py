"""What the ``providers.upstox`` section may say."""

import re

from pydantic import Field, SecretStr, field_validator

from mdingest.providers.options import HttpUrl, ProviderOptions

_MASTER = "https://assets.upstox.com/market-quote/instruments/exchange/complete.json.gz"
_THEIRS = re.compile(r"[A-Z_]+\|.+")


class UpstoxOptions(ProviderOptions):
    """Candles need no token; one that is given is sent along (an analytics token lives for a year)."""

    url: HttpUrl = "https://api.upstox.com"
    access_token: SecretStr | None = None
    instruments: str = _MASTER  # or a local file, as it comes or unpacked
    names: dict[str, str] = Field(default_factory=dict)
    """Single symbols: ours to Upstox's instrument key, {NIFTY.NS: "NSE_INDEX|Nifty 50"}."""

    @field_validator("access_token")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().strip():
            raise ValueError("is empty")
        return secret

    @field_validator("names")
    @classmethod
    def _keys(cls, names: dict[str, str]) -> dict[str, str]:
        if not all(_THEIRS.fullmatch(theirs) for theirs in names.values()):
            raise ValueError('maps your symbol to an instrument key, like {NIFTY.NS: "NSE_INDEX|Nifty 50"}')
        if len(set(names.values())) < len(names):
            raise ValueError("gives two symbols to one instrument")
        return names
