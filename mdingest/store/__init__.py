"""Where candles are kept: one contract, several databases."""

from collections.abc import Sequence

from mdingest.store.base import Store
from mdingest.store.sqlite import open_sqlite
from mdingest.store.urls import dialect_of, sqlite_path

__all__ = ["open_store"]


async def open_store(url: str, *, read_only: bool = False, source_order: Sequence[str] = ()) -> Store:
    """The store behind ``database.url``, already migrated.

    ``source_order`` decides between sources of equal rank, earlier names first. Raises
    ConfigError for an address that names no database, PermanentError for a schema that is
    not this program's, StoreUnavailable if the database can't be reached now.
    """
    if dialect_of(url) == "postgres":
        from mdingest.store.postgres import open_postgres  # asyncpg is not loaded where nobody uses it

        return await open_postgres(url, read_only=read_only, source_order=source_order)
    return await open_sqlite(sqlite_path(url), read_only=read_only, source_order=source_order)
