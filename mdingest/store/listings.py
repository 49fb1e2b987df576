"""What brokers list: a hundred thousand instruments, of which a database records a few.

Kept apart from ``instruments``, which holds what is recorded. An instrument is known by its
canonical symbol and keeps its id for ever; which broker's token meant it, and on which dates,
is a history of its own, because tokens are given away again after an expiry.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mdingest.errors import PermanentError
from mdingest.store.urls import dialect_of, sqlite_path

MOST_NAMED = 20


class Listing(NamedTuple):
    """One row of a broker's list. Instants are dates as yyyy-mm-dd; empty texts: there is none."""

    token: str
    symbol: str  # canonical
    exchange: str
    tradingsymbol: str
    name: str
    underlying: str
    kind: str
    segment: str
    expiry: str | None
    strike: float | None
    tick_size: float | None
    lot_size: float | None


class Listed(NamedTuple):
    """An instrument as it is found: ``token`` is the newest, None ``valid_to`` means today's."""

    id: int
    symbol: str
    name: str
    underlying: str
    kind: str
    segment: str
    expiry: str | None
    strike: float | None
    tick_size: float | None
    lot_size: float | None
    provider: str
    token: str
    valid_from: str
    valid_to: str | None


@dataclass(slots=True)
class Synced:
    """What a list changed. ``problems``: lines for people; something was left out or kept."""

    rows: int = 0
    added: int = 0  # instruments never seen before
    changed: int = 0  # name, lot size ... of known ones
    opened: int = 0  # tokens that mean something from today on
    closed: int = 0  # tokens that no longer do
    problems: list[str] = field(default_factory=list)

    def twice(self, symbol: str, count: int) -> None:
        """A symbol was there more than once; the first was taken."""
        if count <= MOST_NAMED:
            self.problems.append(f"{symbol}: listed twice; the first is taken (providers.kite_ws.names)")

    def shrunk(self, exchange: str, seen: int, before: int) -> None:
        """So much less than yesterday is a broken list, not an expiry."""
        self.problems.append(
            f"{exchange}: {seen} instruments where {before} were known: nothing of it was closed "
            "(is the list whole?)"
        )


async def sync_listings(url: str, provider: str, today: str, rows: Iterable[Listing]) -> Synced:
    """Bring the listings up to date with one provider's list of this date (yyyy-mm-dd).

    ``rows`` is read once, in a thread. Exchanges that it does not mention are left alone.
    The work is a few short transactions, so that a daemon can write between them. Raises
    StoreUnavailable; what was done until then is right, and the rest is done the next time.
    """
    if dialect_of(url) == "postgres":
        from mdingest.store import postgres_listings

        return await postgres_listings.sync(url, provider, today, rows)
    from mdingest.store import sqlite_listings

    return await sqlite_listings.sync(sqlite_path(url), provider, today, rows)


async def find_listings(
    url: str, words: Sequence[str], *, limit: int, expired: bool = False
) -> tuple[list[Listed], int]:
    """Those that have every word in symbol, name, underlying or expiry; best first; and how many.

    ``expired``: also those that no list has any more. Raises PermanentError if there is no
    listing at all, StoreUnavailable.
    """
    if dialect_of(url) == "postgres":
        from mdingest.store import postgres_listings

        found, total, known = await postgres_listings.find(url, words, limit=limit, expired=expired)
    else:
        from mdingest.store import sqlite_listings

        found, total, known = await sqlite_listings.find(
            sqlite_path(url), words, limit=limit, expired=expired
        )
    if not known:
        raise PermanentError("no instruments are known", "Run `mdingest instruments sync --provider kite`")
    return found, total


async def similar_symbols(url: str, text: str) -> list[str]:
    """Symbols to compare a misspelt one with: those of its first letter and about its length."""
    if dialect_of(url) == "postgres":
        from mdingest.store import postgres_listings

        return await postgres_listings.similar(url, text)
    from mdingest.store import sqlite_listings

    return await sqlite_listings.similar(sqlite_path(url), text)
