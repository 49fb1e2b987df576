"""Several providers for one order: what the first can't bring is asked of the next."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.spans import Span, intersect, union
from mdingest.errors import ConfigError, PermanentError
from mdingest.pipeline.history.backfill import Backfill
from mdingest.pipeline.history.order import Order
from mdingest.pipeline.history.report import Progress, Report, SymbolReport
from mdingest.providers.history import Ask, Capabilities, History, Parsed, Reply, Request


class Chain:
    """Backfills in the order in which they are asked. Each symbol goes its own way through them.

    A provider is followed by the next for what it failed to bring and for what lies beyond its
    depth, and for nothing else. One that wants us to wait is not waited for while there is a next; it
    is asked again, with patience, for what nobody brought, and at once for the next symbol if it is
    ready by then. Failures are notes where somebody follows: only what nobody brought has failed.
    """

    def __init__(self, backfills: Sequence[Backfill]) -> None:
        self._backfills = backfills

    def settle_s(self, interval: Interval) -> float:
        """After how many seconds a bar of this length stands, of who is quickest; 0 if nobody has any."""
        able = [one.settle_s(interval) for one in self._backfills if not one.lacks(interval)]
        return min(able, default=0.0)

    async def run(self, order: Order, progress: Progress) -> Report:
        """One report a symbol and provider that was asked for it, in that order.

        Raises ConfigError if no provider can take the order, StoreUnavailable if the database
        stays away. Cancelling leaves what was committed, which is whole.
        """
        able = [backfill for backfill in self._backfills if not backfill.lacks(order.interval)]
        if not able:
            raise ConfigError("; ".join(backfill.lacks(order.interval) for backfill in self._backfills))
        for backfill in able:
            backfill.check(order)
        report = Report()
        for instrument in order.instruments:
            report.symbols += await self._symbol(able, instrument, order, progress)
        return report

    async def _symbol(
        self, able: Sequence[Backfill], instrument: Instrument, order: Order, progress: Progress
    ) -> list[SymbolReport]:
        reports: list[SymbolReport] = []
        failed: list[tuple[Span, str]] = []  # by an earlier provider, and why
        turns = list(able)
        for at, backfill in enumerate(turns):  # it grows by those that are asked again
            said = await backfill.one(instrument, order, progress, hurried=at + 1 < len(able))
            reports.append(said)
            left = union([*said.left, *said.beyond])
            if said.postponed:
                turns.append(backfill)
            if left and at + 1 < len(turns):
                why = "; ".join(said.failures)
                failed += [(span, f"{backfill.name}: {why}") for span in said.left]
                taken_over = f"{turns[at + 1].name} is asked for the rest"
                said.notes += [f"{backfill.name}: {text}; {taken_over}" for text in said.failures]
                said.failures, said.out_of_reach = [], ""
                order = replace(order, start_ns=left[0][0], end_ns=left[-1][1], only=left)
                progress.finished(said)
                continue
            nobody = [why for span, why in failed if intersect([span], left)]
            said.failures += list(dict.fromkeys(nobody))
            progress.finished(said)
            break
        return reports


@dataclass(frozen=True, slots=True)
class Listed:
    """A provider that knows instruments by names of its own. Implements `History`."""

    history: History
    keys: Mapping[str, str]
    """Symbol to what the provider calls it."""
    absent: Mapping[str, str]
    """Symbol to why the provider does not have it."""

    @property
    def capabilities(self) -> Capabilities:
        """The provider's."""
        return self.history.capabilities

    def requests(self, ask: Ask) -> Sequence[Request]:
        """Those of the provider. Raises PermanentError for a symbol that it does not have."""
        symbol = ask.instrument.symbol
        if symbol in self.absent:
            raise PermanentError(self.absent[symbol])
        return self.history.requests(replace(ask, key=self.keys.get(symbol, "")))

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        symbol = ask.instrument.symbol
        return self.history.parse(replace(ask, key=self.keys.get(symbol, "")), reply)
