"""What the options of several providers have in common. Knows no provider."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SessionClasses = str | dict[str, str]
"""One class for all, or a class by symbol; ``"*"`` then stands for all others."""


class ProviderOptions(BaseModel):
    """Frozen, strict about keys, and silent about values in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    session_class: SessionClasses = Field(default_factory=dict)

    def beside(self, data: Path) -> Self:  # noqa: ARG002 - for those that keep files
        """Itself with the places of its own files filled in, below the directory ``data``."""
        return self

    def stand_in_of(self, key: str) -> Path | None:  # noqa: ARG002 - for those that have one
        """The file that makes up for a secret that is not set, if there is such a thing."""
        return None

    def session_class_of(self, symbol: str, default: str) -> str:
        """The class that the user gave a symbol, else ``default``."""
        if isinstance(self.session_class, str):
            return self.session_class
        return self.session_class.get(symbol) or self.session_class.get("*") or default


def _websocket(url: str) -> str:
    if not url.startswith(("ws://", "wss://")) or not url.split("://", 1)[1].strip("/"):
        raise ValueError("must look like wss://host or ws://host:port")
    if "?" in url or "#" in url or "@" in url:
        raise ValueError("must be an address only: credentials have keys of their own")
    return url.rstrip("/")


WebsocketUrl = Annotated[str, AfterValidator(_websocket)]
"""Base address of a feed, without a slash at its end."""


def _http(url: str) -> str:
    if not url.startswith(("http://", "https://")) or not url.split("://", 1)[1].strip("/"):
        raise ValueError("must look like https://host or http://host:port")
    if "?" in url or "#" in url or "@" in url:
        raise ValueError("must be an address only: credentials have keys of their own")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http)]
"""Base address of a web service, without a slash at its end."""
