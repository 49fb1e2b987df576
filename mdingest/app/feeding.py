"""The live feeds of a configuration, and what keeps them up to date while they run.

Three things may change: symbols and what providers are told (on SIGHUP), credentials (when
their file, ``.env`` or the YAML changes), and the provider's list of instruments (once a day).
"""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from mdingest.app.subscribing import wanted_of
from mdingest.app.tokens import credentials_of
from mdingest.config import Config, for_simulators, real_addresses
from mdingest.config.model import Realtime
from mdingest.core.units import NS
from mdingest.errors import ConfigError, MdingestError
from mdingest.pipeline.credentials import Credentials
from mdingest.pipeline.feed import FeedState, Guard
from mdingest.pipeline.feeds import Feeds, Resolve
from mdingest.pipeline.room import Room
from mdingest.pipeline.supervise import Ingest
from mdingest.providers import PROVIDERS
from mdingest.providers.base import LiveProtocol, LiveProvider
from mdingest.store.base import Store
from mdingest.telemetry.alerts import Condition
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Detail, Health

log = structlog.get_logger()

LOOK_S = 2.0  # real, between looks at files
_LIST_FRESH = dt.time(8, 35)  # IST; brokers make their lists anew at about 08:30
_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


class Feeding:
    """All feeds, and their `run` beside them. ``reload`` is set when somebody asks for it."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Store,
        ingest: Ingest,
        stream_ids: Iterator[int],
        reload: asyncio.Event | None = None,
    ) -> None:
        self.reload = reload or asyncio.Event()
        self._config = config
        self._clock = clock
        self._store = store
        self._credentials: dict[str, Credentials] = {}
        self._feeds: dict[str, Feeds] = {}
        for entry in config.realtime:
            self._credentials |= self._credentials_of(entry.provider)
            self._feeds[entry.provider] = Feeds(
                self._protocol(entry.provider),
                self._resolving(config, entry),
                ingest.intake,
                ingest.announcer,
                stream_ids=lambda: next(stream_ids),
                guard=_guard(ingest.room, self._credentials.get(entry.provider)),
            )
        for credentials in self._credentials.values():
            credentials.look()
        self._files = self._signature()
        self._listed = self._list_day()

    @property
    def config(self) -> Config:
        """The one in force."""
        return self._config

    @property
    def feeds(self) -> Sequence[Feeds]:
        """In the order of the configuration."""
        return list(self._feeds.values())

    def watch(self, health: Health) -> None:
        """Let credentials be part of what the process says of itself."""
        if self._credentials:
            health.register("tokens", self._check)

    def conditions(self) -> Iterator[Condition]:
        """For alerts: one a provider, however many connections it has."""
        for feeds in self._feeds.values():
            statuses = feeds.statuses
            parked = next((status for status in statuses if status.state is FeedState.PARKED), None)
            if parked is not None:
                todo = parked.todo or "mend it; a change of the configuration is taken with SIGHUP"
                yield Condition("feed", "parked", False, parked.last_error, todo, feeds.name, parked.since_ns)
            elif all(status.state is FeedState.LIVE for status in statuses):
                since_ns = max(status.since_ns for status in statuses)
                yield Condition("feed", "live", True, "data can flow again", "", feeds.name, since_ns)

    async def run(self) -> None:
        """Until cancelled. What goes wrong is logged, and what was in force stays so."""
        while True:
            asked = await self._asked()
            if asked:
                await self._reload()
            elif (files := self._signature()) != self._files:
                self._files = files
                self._take_secrets()
            for name, credentials in self._credentials.items():
                credentials.look()
                if (why := credentials.expired()) is not None:
                    self._feeds[name].park(why)
            await self._refresh_lists()

    async def _asked(self) -> bool:
        try:
            async with asyncio.timeout(LOOK_S):
                await self.reload.wait()
        except TimeoutError:
            return False
        self.reload.clear()
        return True

    # -- what changes -------------------------------------------------------------------

    async def _reload(self) -> None:
        try:
            new = self._config.reload()
            self._check_kept(new)
        except ConfigError as exc:
            log.error("config.refused", error=str(exc), note="the old one stays in force")  # noqa: TRY400
            return
        before, self._config = self._config, new
        self._files = self._signature()
        for entry in new.realtime:
            name, feeds = entry.provider, self._feeds[entry.provider]
            if credentials := self._credentials.get(name):
                credentials.forgive()
                credentials.look()
            if new.providers[name] != before.providers[name]:
                feeds.renew(self._protocol(name))
            feeds.wake()
            try:
                added, removed = await feeds.change(self._resolving(new, entry))
            except MdingestError as exc:
                log.error("symbols.refused", feed=name, error=str(exc), note="the old ones stay")  # noqa: TRY400
                self._config = _with_symbols_of(self._config, before)
            else:
                log.info("symbols.changed", feed=name, added=added, removed=removed)
        log.info("config.reloaded")

    def _check_kept(self, new: Config) -> None:
        """What can't change while we run: say so, or refuse it if it would not work."""
        if [entry.provider for entry in new.realtime] != list(self._feeds):
            raise ConfigError("realtime: other providers need a restart")
        for_simulators(self._clock, real_addresses(new))
        kept = ("database", "journal", "api", "candles", "alerts", "runtime", "calendar")
        changed = [key for key in kept if getattr(new, key) != getattr(self._config, key)]
        if changed:
            log.warning("config.needs_restart", keys=changed)

    def _take_secrets(self) -> None:
        """A file changed: take the credentials out of it and leave all else to SIGHUP."""
        try:
            new = self._config.reload()
        except ConfigError as exc:
            log.error("config.refused", error=str(exc), note="the old one stays in force")  # noqa: TRY400
            return
        merged = dict(self._config.providers)
        for name in self._credentials:
            access = PROVIDERS[name].access
            if access is not None and name in new.providers:
                fresh = {key: getattr(new.providers[name], key) for key in access.secrets}
                merged[name] = merged[name].model_copy(update=fresh)
                if merged[name] != self._config.providers[name]:
                    log.info("credentials.read_again", feed=name)
        changed = [name for name in self._credentials if merged[name] != self._config.providers[name]]
        self._config = self._config.model_copy(update={"providers": merged})
        for name in changed:
            self._credentials[name].look()
            self._feeds[name].renew(self._protocol(name))
            self._feeds[name].wake()

    async def _refresh_lists(self) -> None:
        """On each new day take the provider's new list: contracts expire and tokens are reused."""
        day = self._list_day()
        if day <= self._listed:
            return
        self._listed = day
        for name, feeds in self._feeds.items():
            if not PROVIDERS[name].needs_instruments:
                continue
            try:
                added, removed = await feeds.refresh()
            except MdingestError as exc:
                log.warning("instruments.not_renewed", feed=name, error=str(exc))
            else:
                log.info("instruments.renewed", feed=name, added=added, removed=removed)

    def _list_day(self) -> int:
        """Ordinal of the latest date whose list should be there by now."""
        now = dt.datetime.fromtimestamp(self._clock.wall_ns() // NS, _IST)
        return now.date().toordinal() - (now.time() < _LIST_FRESH)

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes when any of the files does that the configuration came from."""
        return tuple(_stamp(path) for path in self._config.read_from)

    # -- what is built of it --------------------------------------------------------------

    def _credentials_of(self, name: str) -> dict[str, Credentials]:
        if PROVIDERS[name].access is None:
            return {}
        return {
            name: credentials_of(
                PROVIDERS[name],
                lambda: self._config,
                self._clock,
                on_change=lambda _: self._renewed(name),
            )
        }

    def _renewed(self, name: str) -> None:
        """Another token is in force: the feeds take it from here."""
        self._feeds[name].renew(self._protocol(name))
        self._feeds[name].wake()

    def _protocol(self, name: str) -> LiveProtocol:
        provider: LiveProvider[Any] = PROVIDERS[name]
        options = self._config.providers[name]
        credentials = self._credentials.get(name)
        if provider.access is not None and credentials is not None and credentials.token is not None:
            options = provider.access.using(options, credentials.token.secret)
        return provider.live(options)

    def _resolving(self, config: Config, entry: Realtime) -> Resolve:
        return partial(wanted_of, config, PROVIDERS[entry.provider], config.symbols_of(entry), self._store)

    def _check(self) -> tuple[bool, Detail]:
        details = {name: credentials.detail() for name, credentials in self._credentials.items()}
        return all(well for well, _ in details.values()), {
            name: detail for name, (_, detail) in details.items()
        }


def _guard(room: Room, credentials: Credentials | None) -> Guard:
    if credentials is None:
        return Guard(room.unfit)
    return Guard(lambda: room.unfit() or credentials.unfit(), credentials.explain, credentials.look)


def _with_symbols_of(new: Config, old: Config) -> Config:
    return new.model_copy(update={"symbols": old.symbols, "realtime": old.realtime})


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
