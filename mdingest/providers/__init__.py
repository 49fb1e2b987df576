"""Adapters: what brokers and exchanges say, in this project's words. A function and a name each below.

An adapter is imported when it is first looked up: a daemon has use for one or two of them, and the
others would take more than a MiB of it for good.
"""

from typing import Any

from mdingest.providers.base import LiveProvider
from mdingest.providers.history import HistoryProvider
from mdingest.providers.registry import Registry


def _kite_ws() -> LiveProvider[Any]:
    from mdingest.providers.kite import PROVIDER

    return PROVIDER


def _binance_ws() -> LiveProvider[Any]:
    from mdingest.providers.binance import PROVIDER

    return PROVIDER


def _csv() -> HistoryProvider[Any]:
    from mdingest.providers.csvfile import PROVIDER

    return PROVIDER


def _bhavcopy() -> HistoryProvider[Any]:
    from mdingest.providers.bhavcopy import PROVIDER

    return PROVIDER


def _kite() -> HistoryProvider[Any]:
    from mdingest.providers.kite import HISTORY

    return HISTORY


def _binance() -> HistoryProvider[Any]:
    from mdingest.providers.binance import HISTORY

    return HISTORY


def _alphavantage() -> HistoryProvider[Any]:
    from mdingest.providers.alphavantage import PROVIDER

    return PROVIDER


def _yfinance() -> HistoryProvider[Any]:
    from mdingest.providers.yfinance import PROVIDER

    return PROVIDER


def _upstox() -> HistoryProvider[Any]:
    from mdingest.providers.upstox import HISTORY

    return HISTORY


PROVIDERS: Registry[LiveProvider[Any]] = Registry({"kite_ws": _kite_ws, "binance_ws": _binance_ws})
"""Live feeds by name."""

HISTORY: Registry[HistoryProvider[Any]] = Registry(
    {
        "csv": _csv,
        "bhavcopy": _bhavcopy,
        "kite": _kite,
        "binance": _binance,
        "alphavantage": _alphavantage,
        "yfinance": _yfinance,
        "upstox": _upstox,
    }
)
"""Sources of history by name."""


def histories_of(feed: str) -> list[str]:
    """The sources of history that belong to the broker of a live feed."""
    return [name for name in HISTORY if feed == f"{name}_ws"]
