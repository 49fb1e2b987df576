"""Connections to PostgreSQL: how they are made, lent, given up, and what their errors mean.

Nothing here waits for ever: a connection whose other side has gone silent is given up after
a deadline of our own, on the server by settings the connection brings along. A connection
that failed in any way but an answer of the server is never used again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from urllib.parse import unquote

import asyncpg

from mdingest.errors import ConfigError, PermanentError, StoreUnavailable

T = TypeVar("T")
Prepare = Callable[[asyncpg.Connection], Awaitable[object]]

CONNECT_S = 5.0
CLOSE_S = 1.0  # all connections of a pool together
HOLD_S = 30.0  # how long the server waits for a client that fell silent inside a transaction
_SETTINGS = {
    "application_name": "mdingest",
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than any statement here
    "idle_in_transaction_session_timeout": str(round(HOLD_S * 1000)),
    "client_connection_check_interval": "5000",  # ms; a statement of a dead client ends
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_NO_WAY_IN = (
    asyncpg.InvalidAuthorizationSpecificationError,  # with it wrong passwords
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
# Classes of SQLSTATE that say something about the server and not about the statement: connection,
# rollback (deadlock), resources, operator intervention, system, internal; then: read-only, an idle
# transaction ended, an object in use, a lock not available.
_SERVERS_FAULT = ("08", "40", "53", "57", "58", "XX")
_SERVERS_STATE = ("25006", "25P03", "55006", "55P03")
_CLIENT_SIDE = (OSError, asyncpg.InternalClientError)  # TimeoutError is an OSError
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    ConnectionError,
)
# Not InterfaceError itself, under which asyncpg also reports wrong use; see `is_outage`.


def is_outage(exc: BaseException) -> bool:
    """Whether the world, and not the program, is why a statement failed."""
    if isinstance(exc, asyncpg.PostgresError):
        state = exc.sqlstate or ""
        return state[:2] in _SERVERS_FAULT or state in _SERVERS_STATE
    if isinstance(exc, asyncpg.InterfaceError):
        return "closed" in str(exc) or "connection" in str(exc)
    return isinstance(exc, _CLIENT_SIDE)


@contextmanager
def translated(url: str, entered: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turn what the world does to a database into errors of ours, without its password.

    A refusal after we had ``entered``, say to a database that was renamed or a password that was
    changed, is an outage like another: whoever runs waits until a person has mended it.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
        silent = isinstance(exc, TimeoutError) and not str(exc)
        text = "it does not answer in time" if silent else str(exc).strip() or type(exc).__name__
        text = f"PostgreSQL: {_without_password(text, url)}"
        refused = isinstance(exc, _NO_WAY_IN)
        if is_outage(exc) or (refused and entered()):
            raise StoreUnavailable(text) from exc
        if refused:
            raise PermanentError(text) from exc
        raise


async def connect(
    url: str, settings: Mapping[str, str], prepare: Prepare | None = None, *, timeout_s: float = CONNECT_S
) -> asyncpg.Connection:
    """A new connection.

    ``sslmode`` and its kin are taken from the address, a missing password from the
    environment (``PGPASSWORD``) or ``.pgpass``. Raises what asyncpg raises, and ConfigError
    for an address it can't read.
    """
    try:
        connection = await asyncpg.connect(
            url, timeout=timeout_s, command_timeout=HOLD_S, server_settings={**_SETTINGS, **settings}
        )
    except asyncpg.exceptions.ClientConfigurationError as exc:
        raise ConfigError(f"database url: {_without_password(str(exc), url)}") from None
    except OSError:  # some of which, about certificates, are ValueErrors too
        raise
    except ValueError:  # whose text may repeat any part of the address
        raise ConfigError(
            "database url: can't be read; it looks like postgresql://user:password@host:5432/name, "
            "with characters such as / : @ # ? in the password written %2F %3A %40 %23 %3F"
        ) from None
    try:
        # Instants as whole microseconds since 2000: exact, and no object a row.
        await connection.set_type_codec(
            "timestamptz", schema="pg_catalog", format="tuple", encoder=_to_tuple, decoder=_of_tuple
        )
        if prepare is not None:
            await prepare(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


class Pool:
    """A few connections, lent one at a time, made when they are first wanted; more callers wait.

    Every loan ends in time: ``deadline_s`` covers waiting, connecting and the work. A loan
    that ends with anything but an answer of the server costs its connection. Cancelling does
    too, and leaves it to the server to undo what was begun.
    """

    def __init__(
        self,
        url: str,
        size: int,
        settings: Mapping[str, str],
        *,
        prepare: Prepare | None = None,
        deadline_s: float,
    ) -> None:
        self.url = url
        self.size = size
        self.entered = False
        """Set by who has seen that the database lets us in; see `translated`."""
        self._settings = settings
        self._prepare = prepare
        self._deadline_s = deadline_s
        self._closed = False
        self._given_up = False  # nobody waits for what is still lent
        self._slots: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._slots.put_nowait(None)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[asyncpg.Connection]:
        """One connection, as good as can be told. Raises StoreUnavailable."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        with translated(self.url, lambda: self.entered):
            async with asyncio.timeout(self._deadline_s):
                connection = await self._slots.get()
                try:
                    if connection is None or connection.is_closed():
                        connection = None
                        connection = await connect(self.url, self._settings, self._prepare)
                    yield connection
                except BaseException as exc:
                    if connection is not None and not _is_answer(exc):
                        connection.terminate()
                        connection = None
                    raise
                finally:
                    if connection is not None and self._given_up:
                        connection.terminate()
                    self._slots.put_nowait(connection)

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """What ``work`` returns. Work that found its connection dead is done once more on a new one."""
        try:
            async with self.lent() as connection:
                return await work(connection)
        except StoreUnavailable as exc:
            if not isinstance(exc.__cause__, _LOST):
                raise
            async with self.lent() as connection:
                return await work(connection)

    async def close(self, timeout_s: float = CLOSE_S) -> None:
        """Let go of all connections, after what they are doing; twice is once.

        One whose other side is silent is cut off, or left to whoever still waits for it.
        """
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(self._close_one(timeout_s) for _ in range(self.size)))
        self._given_up = True

    async def _close_one(self, timeout_s: float) -> None:
        connection = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._slots.get()
                if connection is not None and not connection.is_closed():
                    await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if connection is not None:
                connection.terminate()


def _is_answer(exc: BaseException) -> bool:
    """Whether the server answered, and the connection lives on."""
    return not is_outage(exc) and isinstance(exc, Exception)


def _without_password(text: str, url: str) -> str:
    """``text``; a password of the address that stands in it is masked."""
    user_info = url.partition("://")[2].rpartition("@")[0].partition("/")[0]
    password = user_info.partition(":")[2]
    for form in {password, unquote(password)} - {""}:
        text = text.replace(form, "***")
    return text


def _to_tuple(us: int) -> tuple[int]:
    return (us,)


def _of_tuple(value: tuple[int]) -> int:
    return value[0]
