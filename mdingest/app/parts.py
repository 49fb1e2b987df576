"""What several programs build out of a Config in the same way."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from mdingest.config import Config
from mdingest.core.control import CandleSettings
from mdingest.pipeline.lock import FileLock
from mdingest.providers import PROVIDERS
from mdingest.providers.base import FrameDecoder
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.urls import dialect_of, sqlite_path


def make_decoder(feed: str) -> FrameDecoder:
    """A new decoder for a feed's frames."""
    return PROVIDERS[feed].decoder()


def settings_of(config: Config) -> CandleSettings:
    """What decides how packets become candles."""
    return CandleSettings(lateness_s=config.candles.lateness_s, revise_s=config.candles.revise_s)


def url_of(config: Config) -> str:
    """The database's address; it may hold a password."""
    return config.database.url.get_secret_value()


@contextmanager
def ingest_mark(url: str, command: str) -> Iterator[None]:
    """Held by the one process that ingests into a database. Raises AlreadyRunning, naming the holder.

    SQLite: a lock file beside it. PostgreSQL keeps the mark itself, see `Store.claim`.
    """
    if dialect_of(url) == "postgres":
        yield
        return
    path = sqlite_path(url)
    with FileLock(path.with_name(f"{path.name}.ingest"), command):
        yield


@asynccontextmanager
async def open_writing(url: str, config: Config) -> AsyncIterator[Store]:
    """A migrated database for writing, closed at the end of the block."""
    order = [entry.provider for entry in config.realtime]
    order += [name for entry in config.backfill for name in entry.providers]
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
