"""What a daemon runs at a time of day, out of the configuration in force."""

import datetime as dt
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from mdingest.app.histories import Histories
from mdingest.calendars import UNKNOWN
from mdingest.config import Config
from mdingest.config.model import Backfill, Reconcile
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import SECOND_NS
from mdingest.errors import PermanentError
from mdingest.pipeline.history import Order
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.report import Quiet, Report, SymbolReport
from mdingest.pipeline.upkeep.schedule import Job, Outcome
from mdingest.pipeline.upkeep.timetable import Daily
from mdingest.providers.history import instrument_of
from mdingest.providers.options import ProviderOptions
from mdingest.store.base import Store
from mdingest.telemetry.clock import Clock

_NAMED = 3  # symbols; more are counted
_DAY_S = 86_400
_AGAIN_S = 300.0


def jobs_of(
    config: Callable[[], Config], clock: Clock, store: Store, commit: Commit, histories: Histories
) -> Callable[[], Awaitable[Sequence[Job]]]:
    """One job for each entry and each kind of trading day among its symbols.

    They are worked out again when the configuration changes, and now and then; always while an
    instrument is not stored yet, since only its symbol tells then when it trades.
    """
    made: list[Job] = []
    made_of: tuple[Config | None, float] = (None, 0.0)

    async def jobs() -> Sequence[Job]:
        nonlocal made_of
        now, then = config(), time.monotonic()
        if made_of[0] is now and then < made_of[1] + _AGAIN_S:
            return made
        entries: list[Backfill | Reconcile] = [*now.backfill, *now.reconcile]
        known = {one.symbol: one for one in await store.instruments()} if entries else {}
        made[:] = [
            _job(entry, name, session_class, symbols)
            for entry in entries
            for name, (session_class, symbols) in _by_day(
                now.symbols_of(entry), known, histories.classes
            ).items()
        ]
        stored = all(symbol in known for entry in entries for symbol in now.symbols_of(entry))
        made_of = (now if stored else None), then
        return made

    def _job(entry: Backfill | Reconcile, kind: str, session_class: str, symbols: Sequence[str]) -> Job:
        which = "all" if entry.symbols == "all" else _names(symbols)
        when = f"{entry.at} {kind} {which}"
        daily = daily_of(entry.at, session_class, histories)
        if isinstance(entry, Reconcile):
            name = f"reconcile {entry.provider} {entry.interval} {when}"
            return Job("reconcile", name, daily, partial(_reconcile, entry, symbols), [entry.provider])
        name = f"{','.join(entry.providers)} {entry.interval} {entry.period_s / _DAY_S:g}d {when}"
        run = partial(_backfill, entry, symbols, histories, clock)
        return Job("backfill", name, daily, run, entry.providers)

    async def _reconcile(entry: Reconcile, symbols: Sequence[str], _due_ns: int) -> Outcome:
        from mdingest.app.reconciling import outcome_of as compared
        from mdingest.app.reconciling import reconcile

        return compared(await reconcile(entry, symbols, histories, store, commit, clock))

    return jobs


def daily_of(at: str, session_class: str, histories: Histories) -> Daily:
    """A time of day as the exchange's clock shows it, on its trading days."""
    hour, minute = map(int, at.split(":"))
    hours = histories.hours_in(session_class)
    return Daily(dt.time(hour, minute), hours.zone or dt.UTC, partial(hours.book.day, session_class))


async def _backfill(
    entry: Backfill, symbols: Sequence[str], histories: Histories, clock: Clock, _due_ns: int
) -> Outcome:
    ready = await histories.ready(entry.providers, symbols, Interval.parse(entry.interval))
    start = clock.wall_ns() - round(entry.period_s * SECOND_NS)
    order = Order(ready.instruments, Interval.parse(entry.interval), start)
    report = await ready.chain.run(order, Quiet())
    report.symbols += [
        SymbolReport(symbol, entry.interval, entry.provider, failures=[why])
        for symbol, why in ready.nowhere.items()
    ]
    return outcome_of(report)


def outcome_of(report: Report) -> Outcome:
    """A sentence on what came of a backfill. Raises PermanentError if nothing did."""
    failed = [said for said in report.symbols if said.failures]
    reasons: dict[str, list[str]] = {}
    for one in failed:
        reasons.setdefault(one.failures[0], []).append(one.symbol)
    why = "; ".join(f"{_some(of)}: {reason}" for reason, of in list(reasons.items())[:_NAMED])
    if failed and len(failed) == len(report.symbols):
        raise PermanentError(next(iter(reasons)) if len(reasons) == 1 and len(failed) > 1 else why)
    symbols = len({said.symbol for said in report.symbols})
    changed = sum(said.changed for said in report.symbols)
    said = f"{symbols} symbol{'s' if symbols != 1 else ''}, {changed} candles are new or changed"
    if rejected := sum(one.rejected for one in report.symbols):
        said += f", {rejected} rows rejected"
    if failed:
        return Outcome(f"{said}; {len(failed)} failed: {why}", failed=True)
    return Outcome(said)


def _some(symbols: Sequence[str]) -> str:
    more = len(symbols) - _NAMED
    return ", ".join(symbols[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _by_day(
    symbols: Sequence[str], known: dict[str, Instrument], classes: Sequence[str]
) -> dict[str, tuple[str, list[str]]]:
    """Symbols that trade on the same days, by exchange and segment, with the class of one of them."""
    found: dict[str, tuple[str, list[str]]] = {}
    for symbol in symbols:
        instrument = known.get(symbol) or instrument_of(symbol, ProviderOptions())
        of = instrument.session_class
        of = of if of in classes else UNKNOWN  # it may be of an earlier configuration
        found.setdefault(".".join(of.split(".")[:2]), (of, []))[1].append(symbol)
    return found


def _names(symbols: Sequence[str]) -> str:
    if len(symbols) <= _NAMED:
        return " ".join(symbols)
    return f"{len(symbols)} symbols {zlib.crc32(' '.join(symbols).encode()):08x}"
