"""``mdingest instruments``: a provider's list into the database, and out of it again."""

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mdingest.app.parts import url_of
from mdingest.config import Config, encrypted, for_simulators
from mdingest.core.units import NS
from mdingest.errors import ConfigError
from mdingest.pipeline.lists import cache_of, instrument_list
from mdingest.providers.kite.instruments import Naming, read_rows, underlying
from mdingest.providers.kite.options import KiteOptions
from mdingest.providers.upstox import instruments as upstox
from mdingest.providers.upstox.options import UpstoxOptions
from mdingest.store.listings import Listed, Listing, Synced, find_listings, similar_symbols, sync_listings
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock

_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
_KITE, _UPSTOX = ("kite", "kite_ws"), "upstox"


async def sync_instruments(config: Config, provider: str, source: str | None, clock: Clock) -> Synced:
    """Read a provider's list, from ``source`` or where the configuration says, into the database.

    Raises ConfigError for a provider without a list or a real address beside a shifted clock,
    TransientError or PermanentError if it can't be had, StoreUnavailable.
    """
    if provider not in (*_KITE, _UPSTOX):
        raise ConfigError(f"{provider}: has no list of instruments; there are: kite, upstox")
    folder = config.journal.dir.parent / "instruments"
    problems: list[str] = []
    if provider == _UPSTOX:
        told = config.providers.get(_UPSTOX)
        options = told if isinstance(told, UpstoxOptions) else UpstoxOptions()
        where = source or options.instruments
        for_simulators(clock, encrypted("the list", where))
        path = await instrument_list(where, cache_of(folder, "upstox.json.gz", where))
        return await _sync(config, _UPSTOX, clock, _of_upstox(path, options, problems), problems)
    account = config.providers.get("kite_ws")
    kite = account if isinstance(account, KiteOptions) else None
    where = source or (kite.instruments if kite is not None else _default_address())
    for_simulators(clock, encrypted("the list", where))
    path = await instrument_list(where, cache_of(folder, "kite_ws.csv", where))
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return await _sync(config, "kite_ws", clock, _listings(lines, Naming(kite), problems), problems)


async def _sync(
    config: Config, provider: str, clock: Clock, listings: Iterator[Listing], problems: list[str]
) -> Synced:
    await migrate(url_of(config))
    today = dt.datetime.fromtimestamp(clock.wall_ns() // NS, _IST).date().isoformat()
    done = await sync_listings(url_of(config), provider, today, listings)
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


def _of_upstox(path: Path, options: UpstoxOptions, problems: list[str]) -> Iterator[Listing]:
    own = {theirs: ours for ours, theirs in options.names.items()}
    for row in upstox.read_rows(path, problems):
        yield Listing(
            row.key,
            own.get(row.key, row.symbol),
            row.exchange,
            row.trading_symbol,
            row.name,
            row.underlying,
            row.kind,
            row.segment,
            row.expiry,
            row.strike,
            row.tick_size,
            row.lot_size,
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
