"""What a backfill tells about itself, while it runs and at its end."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mdingest.core.interval import Interval
from mdingest.core.session import SECOND_NS
from mdingest.core.spans import Span
from mdingest.errors import Adjusted
from mdingest.providers.history import Hours


@dataclass(slots=True)
class SymbolReport:
    """One symbol of one backfill."""

    symbol: str
    interval: str
    provider: str
    requests: list[str] = field(default_factory=list)  # done, or with --dry-run planned
    planned: list[Span] = field(default_factory=list)  # ranges, UTC ns
    beyond: list[Span] = field(default_factory=list)  # missing, and further back than the provider goes
    out_of_reach: str = ""  # that of ``beyond``, in words, if nobody else is asked for it
    at_edge: bool = False  # and that is only what the moving edge of its depth takes: told, no failure
    rows: int = 0  # good ones that were read
    changed: int = 0  # candles that are new or say something else now
    rejected: int = 0
    rejects: list[str] = field(default_factory=list)  # the first of each file: place and reason
    empty: int = 0  # rows that say that nothing traded
    unfinished: int = 0  # candles that may still change, and were left for later
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # requests or the whole symbol
    unseen: list[tuple[str, list[Span]]] = field(default_factory=list)
    """Answers for a whole market without the instrument: in words, and for which ranges."""
    adjusted: bool = False  # some of it was refused, being the stored series times a constant
    left: list[Span] = field(default_factory=list)  # ranges that failed, UTC ns
    postponed: bool = False  # it wanted us to wait, and somebody else could be asked

    @property
    def failed(self) -> bool:
        """Whether anything that was asked for is not stored."""
        return bool(self.failures or self.rejected or (self.out_of_reach and not self.at_edge))

    def fail(self, request: str, exc: Exception, *, asked: bool) -> None:
        """A request came to nothing; ``asked`` False: for what an earlier one met, of any symbol."""
        text = str(exc)
        self.adjusted |= isinstance(exc, Adjusted)
        if not asked:
            text = f"{request}: not asked, since {text}"
        self.failures.append(text if text.startswith(f"{request}: ") else f"{request}: {text}")


EDGE_NS = 7_200 * SECOND_NS
"""An hour that providers keep before the edge of their depth, which moves while we ask, and one for us."""


def too_old(name: str, interval: Interval, beyond: Sequence[Span], earliest_ns: int, hours: Hours) -> str:
    """What a provider no longer has, in words, on the exchange's clock."""
    instants = (beyond[0][0], beyond[-1][1] - 1, earliest_ns)
    zone = hours.zone or dt.UTC
    first, last, back = (dt.datetime.fromtimestamp(ns // SECOND_NS, zone) for ns in instants)
    of = f"{first.date()} to {last.date()}"
    if first.date() == last.date():
        of = f"{first.date()}" if interval.is_daily_or_longer else f"{first:%Y-%m-%d %H:%M} to {last:%H:%M}"
    return (
        f"{interval} of {of} is missing, and {name} goes back to {back.date()} only: "
        "another provider may have it"
    )


@dataclass(slots=True)
class Report:
    """All symbols, in order."""

    symbols: list[SymbolReport] = field(default_factory=list)


class Progress(Protocol):
    """Hears how far a symbol is; called from the event loop."""

    def advanced(self, symbol: str, share: float, rows: int) -> None:
        """``share`` 0 to 1 of its requests is done; ``rows`` were read so far."""
        ...

    def finished(self, report: SymbolReport) -> None:
        """Nothing more will come of this symbol."""
        ...


class Quiet:
    """Nobody looks at the progress. Implements `Progress`."""

    def advanced(self, symbol: str, share: float, rows: int) -> None:
        """Nothing to show."""

    def finished(self, report: SymbolReport) -> None:
        """Nothing to show."""
