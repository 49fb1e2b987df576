"""Adapters: what brokers and exchanges say, in this project's words. One name each below."""

from types import MappingProxyType
from typing import Any

from mdingest.providers import alphavantage, bhavcopy, binance, csvfile, kite, upstox, yfinance
from mdingest.providers.base import LiveProvider
from mdingest.providers.history import HistoryProvider

PROVIDERS: MappingProxyType[str, LiveProvider[Any]] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            kite.PROVIDER,
            binance.PROVIDER,
        )
    }
)
"""Live feeds by name."""

HISTORY: MappingProxyType[str, HistoryProvider[Any]] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            csvfile.PROVIDER,
            bhavcopy.PROVIDER,
            kite.HISTORY,
            binance.HISTORY,
            alphavantage.PROVIDER,
            yfinance.PROVIDER,
            upstox.HISTORY,
        )
    }
)
"""Sources of history by name."""
