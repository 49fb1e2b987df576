"""``mdingest gaps --repair``: what a daemon does about its holes, once and now, beside one or without one."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mdingest.api.holes import Hole
from mdingest.api.missing import UNRECORDED
from mdingest.app.gaps import Instant, list_gaps
from mdingest.app.histories import Histories
from mdingest.app.parts import open_writing, url_of
from mdingest.app.repairing import repairer_of
from mdingest.config import Config
from mdingest.core.events import Cause
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.upkeep.repair import SETTLE_NS
from mdingest.pipeline.writer import commit_in_pieces
from mdingest.providers import PROVIDERS
from mdingest.store.base import GapRow
from mdingest.store.upkeep import OPEN, REPAIRED
from mdingest.telemetry.clock import Clock

TOO_EARLY = "too early: its minutes have not settled"

Mended = tuple[str, Hole]
"""A symbol, and a hole of it as it stands after an attempt."""


async def mend_gaps(
    config: Config,
    clock: Clock,
    symbols: Sequence[str],
    *,
    start: Instant | None = None,
    end: Instant | None = None,
) -> tuple[list[Mended], list[str]]:
    """Try what `list_gaps` lists now, whatever was tried before; one that lasts is filled up to now.

    Also symbols under which nothing is stored.

    Raises ConfigError, StoreUnavailable.
    """
    listed = [one async for one in list_gaps(config, clock, symbols, start=start, end=end)]
    async with open_writing(url_of(config), config) as store, Fetcher() as fetcher:
        commit = partial(commit_in_pieces, store)
        histories = Histories(lambda: config, clock, store, fetcher, commit=commit)
        repairer = repairer_of(lambda: config, clock, store, commit, histories)
        ids = {instrument.symbol: instrument.id for instrument in await store.instruments()}
        until = (clock.wall_ns() - SETTLE_NS) // MINUTE.ns * MINUTE.ns
        lateness_ns = round(config.candles.lateness_s * SECOND_NS)
        holes = {
            (
                ids[one.symbol],
                hole.source or feed_of(config, one.symbol),
                _cause(hole),
                begin(hole, lateness_ns),
            ): (one.symbol, hole)
            for one in listed
            for hole in one.holes
            if hole.in_hours and hole.repair != REPAIRED
        }
        gaps = [
            GapRow(*key, _end(hole, until), hole.volume, OPEN)
            for key, (_, hole) in holes.items()
            if hole.start_ns < until
        ]
        done = {_key(gap): gap for gap in await repairer.fill(gaps)}
        mended = [_mended(of, done.get(key)) for key, of in holes.items()]
    return mended, [one.symbol for one in listed if not one.known]


def feed_of(config: Config, symbol: str) -> str:
    """The feed that carries a symbol: it is asked for what nobody recorded. Else the first one."""
    carry = [entry.provider for entry in config.realtime if symbol in config.symbols_of(entry)]
    return [*carry, *(entry.provider for entry in config.realtime), *PROVIDERS][0]


def begin(hole: Hole, lateness_ns: int) -> int:
    """From where a hole is filled, UTC ns.

    Who died just after a minute had heard all of it and stored none: candles wait ``lateness_ns``
    for late trades. That minute is in the journal, and nobody may ever start from it again.
    """
    return hole.start_ns - lateness_ns if hole.cause == UNRECORDED else hole.start_ns


def _end(hole: Hole, until: int) -> int:
    """What nobody recorded reaches up to now, and is filled as far as it has settled."""
    if hole.end_ns is None or hole.cause == UNRECORDED:
        return min(until, hole.end_ns or until)
    return hole.end_ns


def _mended(of: Mended, gap: GapRow | None) -> Mended:
    symbol, hole = of
    if gap is None:
        return symbol, replace(hole, reason=TOO_EARLY)
    reason = gap.reason
    if hole.end_ns is None:
        reason = f"{reason}; up to now, it still lasts".removeprefix("; ")
    return symbol, replace(hole, repair=gap.repair, reason=reason, attempts=gap.attempts)


def _cause(hole: Hole) -> str:
    """What nobody was there to record ended like a crash."""
    return Cause.CRASH.text if hole.cause == UNRECORDED else hole.cause


def _key(gap: GapRow) -> tuple[int, str, str, int]:
    return gap.instrument_id, gap.source, gap.cause, gap.start_ns
