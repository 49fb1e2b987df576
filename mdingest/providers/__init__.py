"""Adapters: what brokers and exchanges say, in this project's words. One name each below."""

from types import MappingProxyType
from typing import Any

from mdingest.providers import binance, kite
from mdingest.providers.base import LiveProvider

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
