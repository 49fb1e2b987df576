"""What several programs build out of a Config in the same way."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from mdingest import calendars
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.core.control import CandleSettings
from mdingest.errors import ConfigError
from mdingest.pipeline.lock import FileLock
from mdingest.providers import PROVIDERS
from mdingest.providers.base import FrameDecoder
from mdingest.store import open_store
from mdingest.store.base import Store
from mdingest.store.urls import dialect_of, sqlite_path

log = structlog.get_logger()


def make_decoder(feed: str) -> FrameDecoder:
    """A new decoder for a feed's frames."""
    return PROVIDERS[feed].decoder()


def settings_of(config: Config) -> CandleSettings:
    """What decides how packets become candles."""
    return CandleSettings(lateness_s=config.candles.lateness_s, revise_s=config.candles.revise_s)


def calendars_of(config: Config) -> Calendars:
    """The built-in trading hours with the corrections that the configuration asks for.

    A fetched list that was damaged on disk is ignored, with a warning: it comes again.
    """
    path = fetched_calendar(config)
    if path is None or not path.exists():
        return calendars.load(config.calendar.file)
    try:
        fetched = (str(path), path.read_text(encoding="utf-8"))
        calendars.check_rows(*fetched)
    except (OSError, UnicodeDecodeError, ConfigError) as exc:
        log.warning("calendar.fetched_list_ignored", file=str(path), error=str(exc))
        return calendars.load(config.calendar.file)
    return calendars.load(config.calendar.file, fetched=fetched)


def fetched_calendar(config: Config) -> Path | None:
    """Where the list of holidays is kept, if it is wanted."""
    return config.journal.dir.parent / "calendar" / "upstox.csv" if config.calendar.refresh else None


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
    """A migrated database for writing, closed at the end of the block. See `open_store`."""
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
