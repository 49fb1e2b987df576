"""Numbered SQL files, applied once and in order.

``migrations/<dialect>/NNNN_name.sql`` with dbmate's ``-- migrate:up`` and ``-- migrate:down``
markers. What was applied is kept, with a checksum, in the table ``mdingest_migrations``;
files that are missing, doubled or edited since, and a database that knows more than the
files, are refused before anything is changed. All pending files are one transaction, so that
a bad one leaves the database as it was.
"""

import asyncio
import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from mdingest.errors import ConfigError, PermanentError, StoreUnavailable
from mdingest.store.urls import dialect_of, sqlite_path

_FILE = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)
_UP, _DOWN = "-- migrate:up", "-- migrate:down"
_PATIENCE_S = 30.0  # for other processes that migrate at the same time
_NOT_THE_FILE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
_TABLE = """
CREATE TABLE IF NOT EXISTS mdingest_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``name`` is the file's own; ``up`` the part that is run."""

    version: int
    name: str
    up: str
    checksum: str  # sha256 of the whole file, hex


@dataclass(frozen=True, slots=True)
class Status:
    """File names, in order."""

    applied: list[str]
    pending: list[str]


async def migrate(url: str, directory: Path | None = None) -> list[str]:
    """Apply what is pending and say which; an empty list the second time.

    Creates a SQLite database if need be. Several processes may do this at once: one works, the
    others wait and find nothing to do. Raises PermanentError for files or a database that
    don't fit together, StoreUnavailable when the database stays locked. Cancelling does
    not stop what has begun.
    """
    migrations = load(dialect_of(url), directory)
    if dialect_of(url) == "postgres":
        from mdingest.store import postgres_migrate

        return await postgres_migrate.migrate(url, migrations)
    return await asyncio.to_thread(_migrate_sqlite, sqlite_path(url), migrations)


async def status(url: str, directory: Path | None = None) -> Status:
    """What is applied and what is pending. Creates nothing."""
    migrations = load(dialect_of(url), directory)
    if dialect_of(url) == "postgres":
        from mdingest.store import postgres_migrate

        return await postgres_migrate.status(url, migrations)
    return await asyncio.to_thread(_status_sqlite, sqlite_path(url), migrations)


def load(dialect: str, directory: Path | None = None) -> list[Migration]:
    """The migrations of a database kind, ascending. Raises PermanentError if they are not 1, 2, 3 ..."""
    folder = directory if directory is not None else _folder(dialect)
    found = sorted(
        (_read(file) for file in folder.iterdir() if file.name.endswith(".sql")),
        key=lambda migration: (migration.version, migration.name),
    )
    for number, migration in enumerate(found, 1):
        if migration.version != number:
            problem = "is there twice" if migration.version < number else f"has no {number:04d} before it"
            raise PermanentError(f"migration {migration.name} {problem}")
    return found


def pending_of(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Those not applied yet. Raises PermanentError if the database and the files disagree."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'mdingest_migrations'").fetchone()
    applied = (
        connection.execute(
            "SELECT version, name, checksum FROM mdingest_migrations ORDER BY version"
        ).fetchall()
        if known
        else []
    )
    return pending_after(applied, migrations)


def pending_after(
    applied: Sequence[tuple[int, str, str]], migrations: Sequence[Migration]
) -> list[Migration]:
    """Those that follow what was applied: version, name and checksum of each, ascending.

    Raises PermanentError if the database and the files disagree.
    """
    if len(applied) > len(migrations):
        raise PermanentError(
            f"the database is newer than this program: it has {applied[-1][1]}, "
            f"which this version of mdingest does not know"
        )
    for (version, name, checksum), migration in zip(applied, migrations, strict=False):
        if version != migration.version:
            raise PermanentError(f"the database lacks {migration.name} but has {name}")
        if checksum != migration.checksum:
            raise PermanentError(f"migration {migration.name} was changed after it was applied")
    return list(migrations[len(applied) :])


def statements(sql: str) -> Iterator[str]:
    """The single statements of a script; triggers stay whole. Raises ValueError if the last is cut off."""
    piece = ""
    for line in sql.splitlines(keepends=True):
        piece += line
        if ";" in line and sqlite3.complete_statement(piece):
            yield piece.strip()
            piece = ""
    if re.sub(r"--.*", "", piece).strip():
        raise ValueError("the last statement has no end")


def _folder(dialect: str) -> Traversable:
    packaged = resources.files("mdingest") / "_migrations" / dialect
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parents[2] / "migrations" / dialect
    if checkout.is_dir():
        return checkout
    raise ConfigError(f"the {dialect} migrations are missing from this installation")


def _read(file: Traversable) -> Migration:
    shape = _FILE.fullmatch(file.name)
    text = file.read_text(encoding="utf-8")
    head, up, rest = text.partition(_UP)
    if shape is None or not up or head.strip():
        raise PermanentError(f"migration {file.name} must be called NNNN_name.sql and begin with {_UP}")
    return Migration(
        version=int(shape[1]),
        name=file.name,
        up=rest.partition(_DOWN)[0],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )


def _migrate_sqlite(path: Path, migrations: Sequence[Migration]) -> list[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
                return _apply(connection, migrations)
        except sqlite3.OperationalError as exc:
            # Changing the journal mode does not wait for locks by itself.
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise StoreUnavailable(f"{path}: {exc}") from exc
            time.sleep(0.05)
        except sqlite3.DatabaseError as exc:
            raise PermanentError(f"{path}: {exc}") from exc


def _apply(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[str]:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by an empty database only
    connection.execute("BEGIN IMMEDIATE")
    try:
        pending = pending_of(connection, migrations)
        connection.execute(_TABLE)
        for migration in pending:
            _run(connection, migration)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.execute("PRAGMA journal_mode = WAL")  # outside of transactions only; stays with the file
    return [migration.name for migration in pending]


def _run(connection: sqlite3.Connection, migration: Migration) -> None:
    try:
        for statement in statements(migration.up):
            connection.execute(statement)
    except (sqlite3.Error, ValueError) as exc:
        if getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _NOT_THE_FILE:
            raise
        raise PermanentError(f"migration {migration.name} failed, nothing was changed: {exc}") from exc
    connection.execute(
        "INSERT INTO mdingest_migrations (version, name, checksum) VALUES (?, ?, ?)",
        (migration.version, migration.name, migration.checksum),
    )


def _status_sqlite(path: Path, migrations: Sequence[Migration]) -> Status:
    names = [migration.name for migration in migrations]
    if not path.exists():
        return Status([], names)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            pending = len(pending_of(connection, migrations))
    except sqlite3.DatabaseError as exc:
        raise StoreUnavailable(f"{path}: {exc}") from exc
    return status_of(names, pending)


def status_of(names: Sequence[str], pending: int) -> Status:
    """All files' names, of which the last ``pending`` are not applied."""
    applied = len(names) - pending
    return Status(list(names[:applied]), list(names[applied:]))
