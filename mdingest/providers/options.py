"""What the options of several providers have in common. Knows no provider."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SessionClasses = str | dict[str, str]
"""One class for all, or a class by symbol; ``"*"`` then stands for all others."""


class ProviderOptions(BaseModel):
    """Frozen, strict about keys, and silent about values in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    session_class: SessionClasses = Field(default_factory=dict)

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
