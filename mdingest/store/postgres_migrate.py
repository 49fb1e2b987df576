"""Migrations on PostgreSQL: one process at a time, all pending files in one transaction."""

from collections.abc import Sequence

import asyncpg

from mdingest.errors import PermanentError
from mdingest.store.migrate import Migration, Status, pending_after, status_of
from mdingest.store.postgres_connections import connect, is_outage, translated

_PATIENCE_MS = 30_000  # for other processes that migrate at the same time
_LOCK = "SELECT pg_advisory_lock(hashtext('mdingest.migrations'), hashtext(current_schema()))"
_TABLE = """
CREATE TABLE mdingest_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_APPLIED = "SELECT version, name, checksum FROM mdingest_migrations ORDER BY version"
_ADD = "INSERT INTO mdingest_migrations (version, name, checksum) VALUES ($1, $2, $3)"


async def migrate(url: str, migrations: Sequence[Migration]) -> list[str]:
    """See `migrate.migrate`. With nothing to do it needs no right but to read."""
    with translated(url):
        connection = await connect(url, {"lock_timeout": str(_PATIENCE_MS)})
        try:
            if not await pending_of(connection, migrations):
                return []
            await connection.execute(_LOCK)  # until the connection ends
            pending = await pending_of(connection, migrations)
            try:
                await _apply(connection, pending)
            except asyncpg.InsufficientPrivilegeError as exc:
                raise PermanentError(
                    f"the database lacks {pending[0].name}, and this role may not change tables: "
                    f"run `mdingest migrate` as their owner first ({exc})"
                ) from exc
            return [migration.name for migration in pending]
        finally:
            connection.terminate()


async def status(url: str, migrations: Sequence[Migration]) -> Status:
    """See `migrate.status`."""
    with translated(url):
        connection = await connect(url, {})
        try:
            pending = await pending_of(connection, migrations)
        finally:
            connection.terminate()
    return status_of([migration.name for migration in migrations], len(pending))


async def pending_of(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Those not applied yet. Raises PermanentError if the database and the files disagree."""
    applied = await connection.fetch(_APPLIED) if await _is_known(connection) else []
    return pending_after([(row[0], row[1], row[2]) for row in applied], migrations)


async def _is_known(connection: asyncpg.Connection) -> bool:
    return await connection.fetchval("SELECT to_regclass('mdingest_migrations')") is not None


async def _apply(connection: asyncpg.Connection, pending: Sequence[Migration]) -> None:
    async with connection.transaction():
        if not await _is_known(connection):
            await connection.execute(_TABLE)
        for migration in pending:
            await _run(connection, migration)


async def _run(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.up)
    except asyncpg.PostgresError as exc:
        if is_outage(exc) or isinstance(exc, asyncpg.InsufficientPrivilegeError):
            raise
        raise PermanentError(f"migration {migration.name} failed, nothing was changed: {exc}") from exc
    await connection.execute(_ADD, migration.version, migration.name, migration.checksum)
