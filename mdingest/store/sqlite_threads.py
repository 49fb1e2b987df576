"""Connections to SQLite, each owned by one thread, and what their errors mean.

Work is a function that gets the connection and runs in its thread from begin to end.
Cancelling the waiter therefore never cuts a transaction in two: it happens whole, or the
function was never run, or it failed and was rolled back.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from mdingest.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
BUSY_TIMEOUT_S = 5.0  # how long to wait for other processes' transactions
_OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError)

_LOCKED_OUT = (sqlite3.SQLITE_READONLY_CANTINIT, sqlite3.SQLITE_READONLY_DIRECTORY)
_NO_ROOM_BESIDE = (
    "where no daemon has the database open, its directory has to be writable even to read it: "
    "SQLite makes two files there"
)


class OwnedConnection(aiosqlite.Connection):
    """aiosqlite's thread and connection, given whole functions to run."""

    async def run(self, work: Work[T]) -> T:
        """What ``work`` returns. Raises StoreUnavailable if the database can't answer now."""
        with translated():
            return cast("T", await self._execute(work, self._conn))  # type: ignore[no-untyped-call]

    async def ended(self) -> None:
        """Return once its thread is gone, after it was told to end."""
        await asyncio.to_thread(self._thread.join)


async def connect(
    path: Path, *, read_only: bool, pragmas: Sequence[str] = (), busy_timeout_s: float = BUSY_TIMEOUT_S
) -> OwnedConnection:
    """Open an existing database. Raises StoreUnavailable."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"  # noqa: ASYNC240 - asks for no I/O

    def connector() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None)
        try:
            for pragma in pragmas:
                connection.execute(pragma).fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    opened = OwnedConnection(connector, iter_chunk_size=64)
    try:
        with translated():
            await opened
    except BaseException:
        # Its thread was told to end and answers our loop once more: that must be there till then.
        await opened.ended()
        raise
    return opened


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the world does to a database into StoreUnavailable; our own mistakes pass through."""
    try:
        yield
    except _OURS:
        raise
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_IOERR)
        if code & 0xFF == sqlite3.SQLITE_ERROR:  # wrong SQL
            raise
        said = _NO_ROOM_BESIDE if code in _LOCKED_OUT else str(exc)
        raise StoreUnavailable(f"SQLite: {said}") from exc
    except OSError as exc:  # what stands around the file was looked at
        raise StoreUnavailable(f"SQLite: {exc.strerror}: {exc.filename}") from exc


class Place:
    """Where a database is. SQLite itself goes on writing into a file that was moved or deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _identity(path)

    def check(self) -> None:
        """Raises StoreUnavailable if another file, or none, is there now."""
        if _identity(self._path) != self._file:
            what = "was moved, deleted or replaced while it was open: put it back, or restart"
            raise StoreUnavailable(f"SQLite: {self._path} {what}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Every query of the block sees what the first one saw."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


class Readers:
    """A few read-only connections, lent one query at a time; more callers wait their turn."""

    def __init__(self, connections: Sequence[OwnedConnection]) -> None:
        self._all = connections
        self._free: asyncio.LifoQueue[OwnedConnection] = asyncio.LifoQueue()
        for connection in connections:
            self._free.put_nowait(connection)

    async def run(self, work: Work[T]) -> T:
        """What ``work`` returns. Raises StoreUnavailable."""
        async with self._lent() as connection:
            return await connection.run(work)

    async def close(self) -> None:
        """Close all, after what they are doing."""
        for connection in self._all:
            await connection.close()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[OwnedConnection]:
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)
