"""``mdingest copy``: from SQLite to PostgreSQL."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

from mdingest.app.parts import ingest_mark
from mdingest.errors import ConfigError
from mdingest.store import open_store
from mdingest.store.migrate import migrate, status
from mdingest.store.moving import Series, copy_all
from mdingest.store.postgres import open_postgres
from mdingest.store.urls import dialect_of, sqlite_path


async def run_copy(
    source_url: str, target_url: str, progress: Callable[[str, int, int], None]
) -> AsyncGenerator[Series, None]:
    """Copy and verify; see `moving.copy_all`. No ingester may run on either side meanwhile.

    Raises ConfigError for other kinds of databases, AlreadyRunning, StoreUnavailable.
    """
    if (dialect_of(source_url), dialect_of(target_url)) != ("sqlite", "postgres"):
        raise ConfigError("copy goes --from sqlite:///path --to postgresql://user@host/name")
    path = sqlite_path(source_url)
    if not path.exists():
        raise ConfigError(f"there is no database at {path}")
    async with AsyncExitStack() as stack:
        if pending := (await status(source_url)).pending:
            raise ConfigError(
                f"{path} lacks {pending[0]}: run `mdingest migrate --database {source_url}` first"
            )
        stack.enter_context(ingest_mark(source_url, "mdingest copy"))
        source = await open_store(source_url, read_only=True)
        stack.push_async_callback(source.close)
        await migrate(target_url)
        target = await open_postgres(target_url)
        stack.push_async_callback(target.close)
        await target.claim("", "mdingest copy")
        async for series in copy_all(path, source, target, progress):
            yield series
