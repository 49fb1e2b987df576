"""``reconcile``: by hand, and out of the daemon's schedule."""

from collections.abc import Callable, Sequence
from functools import partial

from mdingest.app.histories import Histories
from mdingest.app.parts import open_reading, open_writing, url_of
from mdingest.config import Config
from mdingest.config.model import Reconcile
from mdingest.core.interval import Interval
from mdingest.errors import ConfigError
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.upkeep.reconcile import Reconciled, Reconciler
from mdingest.pipeline.upkeep.schedule import Outcome
from mdingest.pipeline.writer import commit_in_pieces
from mdingest.store.base import Difference, Store
from mdingest.telemetry.clock import Clock

Told = tuple[str, Difference]
"""A symbol, and how one field of one of its days compares."""


async def run_reconcile(
    config: Config, clock: Clock, entries: Sequence[Reconcile], date: str, said: Callable[[str], None]
) -> list[Told]:
    """Compare a trade date (empty: the last that is over) as the entries say. ``said`` hears of problems.

    Raises ConfigError, StoreUnavailable.
    """
    told: list[Told] = []
    async with open_writing(url_of(config), config) as store, Fetcher() as fetcher:
        commit = partial(commit_in_pieces, store)
        histories = Histories(lambda: config, clock, store, fetcher, commit=commit)
        for entry in entries:
            symbols = config.symbols_of(entry)
            if not symbols:
                raise ConfigError("which symbols? give --symbols, or list them in the configuration")
            found = await reconcile(entry, symbols, histories, store, commit, clock, date)
            for symbol, why in found.problems.items():
                said(f"{symbol}: {why}")
            names = {one.id: one.symbol for one in await store.instruments()}
            told += [(names[one.instrument_id], one) for one in found.differences]
    return told


async def stored_differences(config: Config, symbols: Sequence[str], first: str, last: str) -> list[Told]:
    """What earlier comparisons of some trade dates found. Raises StoreUnavailable."""
    async with open_reading(url_of(config)) as store:
        return [
            (instrument.symbol, one)
            for instrument in await store.instruments()
            if not symbols or instrument.symbol in symbols
            for one in await store.upkeep.differences(instrument.id, first, last)
        ]


async def reconcile(
    entry: Reconcile,
    symbols: Sequence[str],
    histories: Histories,
    store: Store,
    commit: Commit,
    clock: Clock,
    date: str = "",
) -> Reconciled:
    """One entry. Raises MdingestError if it can't be done at all."""
    reconciler = Reconciler(store, commit, histories.hours_of)
    interval = Interval.parse(entry.interval)
    ready = await histories.ready([entry.provider], symbols, interval, reconciler.keep)
    return await reconciler.run(ready, ready.instruments, interval, clock.wall_ns(), date)


def outcome_of(found: Reconciled) -> Outcome:
    """What there is nothing to compare of is no failure: tomorrow is another day."""
    return Outcome(found.said, failed=bool(found.failures))
