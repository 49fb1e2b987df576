"""``mdingest instruments``: a provider's list into the database, and out of it again."""

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Sequence

from mdingest.app.parts import url_of
from mdingest.config import Config
from mdingest.errors import ConfigError
from mdingest.pipeline.lists import instrument_list
from mdingest.providers.kite.instruments import Naming, read_rows, underlying
from mdingest.providers.kite.options import KiteOptions
from mdingest.store.listings import Listed, Listing, Synced, find_listings, similar_symbols, sync_listings
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock

_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
_KITE = ("kite", "kite_ws")


async def sync_instruments(config: Config, provider: str, source: str | None, clock: Clock) -> Synced:
    """Read a provider's list, from ``source`` or where the configuration says, into the database.

    Raises ConfigError for a provider without a list, TransientError or PermanentError if it
    can't be had, StoreUnavailable.
    """
    if provider not in _KITE:
        raise ConfigError(f"{provider}: has no list of instruments; there is: kite")
    options = config.providers.get("kite_ws")
    kite = options if isinstance(options, KiteOptions) else None
    where = source or (kite.instruments if kite is not None else _default_address())
    path = await instrument_list(where, config.journal.dir.parent / "instruments" / "kite_ws.csv")
    await migrate(url_of(config))
    problems: list[str] = []
    today = dt.datetime.fromtimestamp(clock.wall_ns() // 1_000_000_000, _IST).date().isoformat()
    with path.open(encoding="utf-8-sig", newline="") as lines:
        done = await sync_listings(url_of(config), "kite_ws", today, _listings(lines, Naming(kite), problems))
    done.problems[:0] = problems
    return done


async def find_instruments(
    config: Config, words: Sequence[str], *, limit: int, expired: bool
) -> tuple[list[Listed], int]:
    """See `find_listings`."""
    return await find_listings(url_of(config), words, limit=limit, expired=expired)


async def nearest_symbols(config: Config, text: str) -> list[str]:
    """Up to three symbols that look like this one."""
    candidates = await similar_symbols(url_of(config), text)
    near = difflib.get_close_matches(text.upper(), candidates, 3)
    if near or "." in text:
        return near
    stems = {symbol.rpartition(".")[0]: symbol for symbol in candidates}
    return [stems[stem] for stem in difflib.get_close_matches(text.upper(), list(stems), 3)]


def _default_address() -> str:
    address: str = KiteOptions.model_fields["instruments"].default
    return address


def _listings(lines: Iterable[str], naming: Naming, problems: list[str]) -> Iterator[Listing]:
    for row in read_rows(lines, problems):
        yield Listing(
            str(row.token),
            naming.symbol(row),
            row.exchange,
            row.tradingsymbol,
            row.name,
            underlying(row),
            row.instrument_type,
            row.segment,
            row.expiry or None,
            _number(row.strike) or None,
            _number(row.tick_size),
            _number(row.lot_size),
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
