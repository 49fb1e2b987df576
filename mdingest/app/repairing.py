"""Which history fills the holes of which feed, and the repairer of a process."""

from collections.abc import Callable, Mapping, Sequence

from mdingest.api.prospects import Prospects
from mdingest.api.wanted import EARLIEST
from mdingest.app.histories import Histories
from mdingest.app.tokens import living_token
from mdingest.config import Config
from mdingest.core.interval import MINUTE, Interval
from mdingest.core.session import SECOND_NS
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.plan import earliest_of as earliest_instant
from mdingest.pipeline.upkeep.asking import Asked
from mdingest.pipeline.upkeep.repair import Repairer
from mdingest.providers import HISTORY, histories_of
from mdingest.providers.history import Reach
from mdingest.store.base import Store
from mdingest.telemetry.clock import Clock

_KEPT = 0.5
"""Of a provider's day: the scheduled backfill finds at least so much of it left."""


def repairer_of(
    config: Callable[[], Config], clock: Clock, store: Store, commit: Commit, histories: Histories
) -> Repairer:
    """``config`` gives the configuration in force; ``commit`` is the way into the store."""

    async def ready(names: Sequence[str], symbols: Sequence[str], way: Commit) -> Asked:
        return await histories.ready(names, symbols, MINUTE, way, kept=_KEPT)

    def providers(feed: str) -> Sequence[str]:
        return menders_of(config(), feed, clock.wall_ns())

    return Repairer(
        store,
        commit,
        ready=ready,
        providers=providers,
        hours=histories.hours_of,
        now_ns=clock.wall_ns,
        real_s=clock.real_s,
        enabled=lambda: config().repair.enabled,
    )


def menders_of(config: Config, feed: str, now_ns: int) -> Sequence[str]:
    """As ``repair.providers`` has it; else the feed's own broker, then those under ``backfill``.

    A broker whose history needs a token is left out while there is none.
    """
    if feed in config.repair.providers:
        return config.repair.providers[feed]
    others = [name for entry in config.backfill for name in entry.providers]
    return [name for name in dict.fromkeys([*histories_of(feed), *others]) if _can_ask(config, name, now_ns)]


def earliest_of(config: Config, clock: Clock) -> Callable[[int], int | None]:
    """How far back the providers go that this configuration may ask, by length of the candles."""
    names = [
        name for entry in config.realtime for name in menders_of(config, entry.provider, clock.wall_ns())
    ]
    names += [name for entry in config.backfill for name in entry.providers]
    reaches: list[Mapping[int, Reach]] = []
    for name in dict.fromkeys(names):
        provider, options = HISTORY.get(name), config.providers.get(name)
        if provider is not None and options is not None:
            reaches.append(provider.history(options).capabilities.intervals)

    def earliest(interval_s: int) -> int | None:
        now = clock.wall_ns()
        known = [earliest_instant(of[interval_s], now) for of in reaches if interval_s in of]
        return min(known, default=None)

    return earliest


def prospects_of(config: Callable[[], Config], clock: Clock) -> Prospects:
    """What the configuration in force says of holes; nothing if it has neither feeds nor history."""

    def filled_from(symbol: str, interval_s: int) -> int | None:
        now = config()
        if not (now.realtime or now.backfill):
            return EARLIEST
        periods_s = [
            entry.period_s
            for entry in now.backfill
            if interval_s % Interval.parse(entry.interval).seconds == 0 and symbol in now.symbols_of(entry)
        ]
        return clock.wall_ns() - round(max(periods_s) * SECOND_NS) if periods_s else None

    return Prospects(earliest_of(config(), clock), filled_from, lambda: config().repair.enabled)


def _can_ask(config: Config, name: str, now_ns: int) -> bool:
    """Whether it has minutes, and a token that is alive if it needs one."""
    provider, options = HISTORY.get(name), config.providers.get(name)
    if provider is None or options is None:
        return False
    if MINUTE.seconds not in provider.history(options).capabilities.intervals:
        return False
    return provider.access is None or living_token(provider, config, now_ns) is not None
