"""What several programs build out of a Config in the same way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mdingest.config import Config
from mdingest.core.control import CandleSettings
from mdingest.providers import PROVIDERS
from mdingest.providers.base import FrameDecoder
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.urls import sqlite_path


def make_decoder(feed: str) -> FrameDecoder:
    """A new decoder for a feed's frames."""
    return PROVIDERS[feed].decoder()


def settings_of(config: Config) -> CandleSettings:
    """What decides how packets become candles."""
    return CandleSettings(lateness_s=config.candles.lateness_s, revise_s=config.candles.revise_s)


def url_of(config: Config) -> str:
    """The database's address; it may hold a password."""
    return config.database.url.get_secret_value()


def lock_path(url: str) -> Path:
    """Where the one process that ingests into a database leaves its mark."""
    path = sqlite_path(url)
    return path.with_name(f"{path.name}.ingest")


@asynccontextmanager
async def open_writing(url: str, config: Config) -> AsyncIterator[Store]:
    """A migrated database for writing, closed at the end of the block."""
    order = [entry.provider for entry in config.realtime] + [entry.provider for entry in config.backfill]
    store = await open_store(url, source_order=list(dict.fromkeys(order)))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_reading(url: str) -> AsyncIterator[Store]:
    """A database for reading only, closed at the end of the block."""
    store = await open_store(url, read_only=True)
    try:
        yield store
    finally:
        await store.close()
