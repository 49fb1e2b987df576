"""Providers of history, ready to be asked: options with today's token, names looked up, pace and quota."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mdingest.app.parts import calendars_of
from mdingest.app.tokens import living_token
from mdingest.calendars import Calendars
from mdingest.config import Config, addresses_of, for_simulators
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.errors import ConfigError, PermanentError, TransientError
from mdingest.pipeline.history.backfill import Backfill
from mdingest.pipeline.history.fallback import Chain, Listed
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Commit, Nothing
from mdingest.pipeline.history.limits import Pace, Sparing
from mdingest.pipeline.history.quota import Quota
from mdingest.pipeline.lists import cache_of, instrument_list, readable
from mdingest.providers import HISTORY
from mdingest.providers.base import Resolved
from mdingest.providers.history import Capabilities, HistoryProvider, Hours, instrument_of
from mdingest.providers.options import ProviderOptions
from mdingest.store.base import Store
from mdingest.telemetry.clock import Clock

_LIST_FRESH_S = 6 * 3600.0  # lists are made anew once a day


@dataclass(frozen=True, slots=True)
class Ready:
    """Providers that can be asked for some symbols."""

    chain: Chain
    instruments: Sequence[Instrument]  # in the order of the symbols; ids are 0 if nothing may be stored
    nowhere: Mapping[str, str]
    """Symbols that no provider has, and why: they have no instrument here."""


class Histories:
    """All providers of one process, which share their pace, whoever asks."""

    def __init__(
        self,
        config: Callable[[], Config],
        clock: Clock,
        store: Store | Nothing,
        fetcher: Fetcher,
        *,
        commit: Commit | None = None,
        read_only: bool = False,
        book: Calendars | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``config`` gives the configuration in force; ``commit`` is the way into a daemon's writer.

        ``read_only``: for dry runs, nothing is added to the store. ``book``: the daemon's calendars.
        """
        self._config = config
        self._clock = clock
        self._store = store
        self._fetcher = fetcher
        self._read_only = read_only
        self._now_s = now_s
        self._commit = commit
        self._book = calendars_of(config()) if book is None else book
        self._paces: dict[str, Pace] = {}
        self._fetching = asyncio.Lock()
        self._answers: dict[str, tuple[object, Mapping[str, Resolved], list[str]]] = {}  # the last of each

    async def ready(
        self,
        providers: Sequence[str],
        symbols: Sequence[str],
        interval: Interval,
        commit: Commit | None = None,
        *,
        kept: float = 0.0,
    ) -> Ready:
        """Look the symbols up at each provider. ``commit``: another way into the store, this time.

        ``kept``: so much of each provider's day is left to others.

        Raises ConfigError for a provider that does not exist or lacks options, or if no provider
        has any of the symbols; TransientError if none has, but not all could be asked; StoreUnavailable.
        """
        found: dict[str, Instrument] = {}
        why: dict[str, list[str]] = {symbol: [] for symbol in symbols}
        backfills, unasked = [], False
        known = {instrument.symbol: instrument for instrument in await self._store.instruments()}
        for name in dict.fromkeys(providers):
            provider, options = self._provider(name)
            resolved, absent, asked = await self._look_up(provider, options, symbols, interval)
            unasked |= not asked
            for symbol in symbols:
                if symbol in absent:
                    why[symbol].append(absent[symbol])
                elif symbol not in found:
                    row = resolved.get(symbol)
                    own = None if row is None else row.instrument
                    found[symbol] = _instrument(symbol, options, own, known.get(symbol))
            keys = {symbol: row.subscription.key for symbol, row in resolved.items()}
            backfills.append(self._backfill(provider, options, keys, absent, commit or self._commit, kept))
        nowhere = {symbol: "; ".join(why[symbol]) for symbol in symbols if symbol not in found}
        if len(nowhere) == len(why):
            said = "\n".join(f"{symbol}: {reason}" for symbol, reason in nowhere.items())
            raise TransientError(said) if unasked else ConfigError(said)
        wanted = [found[symbol] for symbol in dict.fromkeys(symbols) if symbol in found]
        if self._read_only:
            ids = {symbol: instrument.id for symbol, instrument in known.items()}
            wanted = [replace(one, id=ids.get(one.symbol, 0)) for one in wanted]
        else:
            wanted = await self._store.ensure_instruments(wanted)
        return Ready(Chain(backfills), wanted, nowhere)

    def hours_of(self, instrument: Instrument) -> Hours:
        """When an instrument trades."""
        return self.hours_in(instrument.session_class)

    @property
    def classes(self) -> Sequence[str]:
        """Session classes whose hours are known."""
        return self._book.classes

    def hours_in(self, session_class: str) -> Hours:
        """When instruments of a session class trade."""
        return Hours(self._book, session_class)

    def _provider(self, name: str) -> tuple[HistoryProvider[Any], BaseModel]:
        provider = HISTORY.get(name)
        if provider is None:
            raise ConfigError(f"backfill has {', '.join(HISTORY)}: {name} is not available yet")
        config = self._config()
        options = config.providers.get(name)
        if options is None:
            try:
                options = provider.Options()
            except ValidationError as exc:
                place = provider.account or name  # where a login looks, too
                raise ConfigError(f"providers.{place}: is missing: it says how {name} is asked") from exc
            for_simulators(self._clock, addresses_of(name, options))
        if provider.access is not None:
            token = living_token(provider, config, self._clock.wall_ns())
            if token is not None:
                return provider, provider.access.using(options, token.secret)
        return provider, options

    async def _look_up(
        self,
        provider: HistoryProvider[Any],
        options: BaseModel,
        symbols: Sequence[str],
        interval: Interval,
    ) -> tuple[Mapping[str, Resolved], dict[str, str], bool]:
        """What the symbols stand for there, which are not there, and whether it could be asked at all."""
        unknown = await asyncio.to_thread(provider.unknown, symbols, options, interval)
        listing = provider.listing
        if listing is None:
            return {}, unknown, True
        problems: list[str] = []
        try:
            source = listing.source(options)
            cache = cache_of(self._config().journal.dir.parent / "instruments", listing.file, source)
            path = await self._list(source, cache)
            question = (provider, options, tuple(symbols), path, problems)
            with readable(path):
                resolved = await asyncio.to_thread(self._found, *question)
        except (PermanentError, TransientError) as exc:  # its turn is over before it began
            return {}, dict.fromkeys(symbols, f"{provider.name}: {exc}"), False
        for symbol in symbols:
            if symbol not in resolved:
                said = next((text for text in problems if text.startswith(f"{symbol}:")), "")
                said = said.removeprefix(f"{symbol}:").strip() or f"not in the list of {provider.name}"
                unknown.setdefault(symbol, said)
        return resolved, unknown, True

    def _found(
        self,
        provider: HistoryProvider[Any],
        options: BaseModel,
        symbols: tuple[str, ...],
        path: Path,
        problems: list[str],
    ) -> Mapping[str, Resolved]:
        """What a list says of some symbols: it has 100,000 lines, and the same is asked again and again."""
        if provider.listing is None:
            raise AssertionError(provider.name)
        question = (symbols, options, path.stat().st_mtime_ns)
        asked, resolved, said = self._answers.get(provider.name, (None, {}, []))
        if asked != question:
            said = []
            resolved = provider.listing.find(symbols, options, path, said)
            self._answers[provider.name] = (question, resolved, said)
        problems += said
        return resolved

    async def _list(self, source: str, cache: Path) -> Path:
        async with self._fetching:  # jobs begin together, and the first one's list does for all
            if source.startswith(("http://", "https://")) and await asyncio.to_thread(_is_fresh, cache):
                return cache
            return await instrument_list(source, cache)

    def _backfill(
        self,
        provider: HistoryProvider[Any],
        options: BaseModel,
        keys: Mapping[str, str],
        absent: Mapping[str, str],
        commit: Commit | None,
        kept: float,
    ) -> Backfill:
        history = Listed(provider.history(options), keys, absent)
        pace = self._pace(provider.name, history.capabilities)
        return Backfill(
            provider.name,
            history,
            self._store,
            hours=self.hours_of,
            fetcher=self._fetcher,
            pace=Sparing(pace, kept) if kept else pace,
            now_ns=self._clock.wall_ns,
            commit=commit,
        )

    def _pace(self, name: str, capabilities: Capabilities) -> Pace:
        if name not in self._paces:
            limits = capabilities.limits
            quota = None
            if limits.per_day is not None:
                path = self._config().journal.dir.parent / "quota" / f"{name}.json"
                quota = Quota(path, limits.per_day, self._clock.wall_ns)
            self._paces[name] = Pace(limits, self._now_s, quota)
        return self._paces[name]


def _instrument(
    symbol: str, options: object, listed: Instrument | None, known: Instrument | None
) -> Instrument:
    """As the provider's list has it; else what the database knows, unless the options correct its hours."""
    if listed is not None:
        return listed
    told = options if isinstance(options, ProviderOptions) else ProviderOptions()
    if known is None:
        return instrument_of(symbol, told)
    return replace(known, session_class=told.session_class_of(symbol, known.session_class))


def _is_fresh(path: Path) -> bool:
    try:
        return path.stat().st_mtime > time.time() - _LIST_FRESH_S
    except OSError:
        return False
