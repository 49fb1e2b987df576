"""HTTP: candles and what is missing from them, and how the process is doing.

Reads through a small interface (`Reader`); knows neither the configuration nor who writes. A name
is imported when it is asked for: an export reads candles and has no use for a server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdingest.api.missing import Missing
    from mdingest.api.series import Changes
    from mdingest.api.server import Served, create_app, serving
    from mdingest.api.wanted import Reader

__all__ = ["Changes", "Missing", "Reader", "Served", "create_app", "serving"]

_HOMES = {
    "Changes": "series",
    "Missing": "missing",
    "Reader": "wanted",
    "Served": "server",
    "create_app": "server",
    "serving": "server",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever bears the name
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
