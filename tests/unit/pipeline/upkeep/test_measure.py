"""Missing minutes: of trading hours, each once, by how their repair stands."""

import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Self, cast

from mdingest.core.control import VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.spans import Span
from mdingest.pipeline.upkeep.measure import Measure, Tally
from mdingest.providers.history import Hours
from mdingest.store.base import GapRow, Store
from mdingest.telemetry.metrics import Metrics
from tests.support.history import BOOK
from tests.support.rows import ns

CLASS = "NSE.EQ.cas"
TABLE = Hours(BOOK, CLASS).around(ns(0), ns(86_400))
SPAN = (ns(-86_400), ns(3_600))


def gap(start: float, end: float | None, repair: str = "open", instrument: int = 1) -> GapRow:
    last = None if end is None else ns(end)
    return GapRow(instrument, "kite_ws", "disconnect", ns(start), last, None, repair)


def minutes(gaps: Iterable[GapRow], known: Sequence[int] = (1,), span: Span = SPAN) -> dict[str, int]:
    tally = Tally([instrument(number) for number in known], lambda _: TABLE, span)
    for one in gaps:  # in whatever pieces they come
        tally.add([one])
    return tally.minutes()


def instrument(number: int) -> Instrument:
    return Instrument(f"SIM{number:04}.NS", "NSE", "", CLASS, VolumeKind.CUMULATIVE, number)


def test_each_touched_minute_counts_once_for_each_instrument_and_state() -> None:
    gaps = [
        gap(10, 130),
        gap(130, 140),
        gap(150, 170),
        gap(10, 130, instrument=2),
        gap(600, 660, "unfillable"),
    ]
    assert minutes(gaps, (1, 2)) == {"open": 6, "unfillable": 1}
    assert minutes(reversed(gaps), (1, 2)) == {"open": 6, "unfillable": 1}


def test_what_lasts_counts_up_to_now_and_nights_do_not_count() -> None:
    assert minutes([gap(3_000, None)]) == {"open": 10}
    assert minutes([gap(-60_000, -30_000)]) == {"open": 0}


def test_what_is_older_than_the_look_back_is_cut_off() -> None:
    long = gap(-90_000, 120)
    assert minutes([long], span=(ns(0), ns(3_600))) == {"open": 2}
    assert minutes([long], known=()) == {}


class ManyGaps:
    """As of a store: a bad day of a market, each gap made when it is asked for."""

    traded, outages = 500, 40

    @property
    def upkeep(self) -> Self:
        return self

    async def instruments(self) -> list[Instrument]:
        return [instrument(number) for number in range(1, self.traded + 1)]

    async def unrepaired(self, since_ns: int, limit: int, after: GapRow | None = None) -> list[GapRow]:
        del since_ns
        first = 0 if after is None else 1 + after.attempts
        return [self.gap(n) for n in range(first, min(first + limit, self.traded * self.outages))]

    def gap(self, n: int) -> GapRow:
        outage, number = divmod(n, self.traded)
        start, end = ns(60 * outage + 30 * (number % 2)), ns(60 * outage + 60)
        return GapRow(1 + number, "kite_ws", "disconnect", start, end, None, "open", "", n)


async def test_very_many_gaps_are_counted_in_little_memory() -> None:
    metrics, many = Metrics(), ManyGaps()
    measure = Measure(
        cast("Store", many), metrics, hours=lambda _: Hours(BOOK, CLASS), now_ns=lambda: ns(3_600)
    )
    tracemalloc.start()
    await measure.look()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    text = metrics.exposition("")[0].decode()
    assert f'mdingest_missing_minutes{{repair="open"}} {float(many.traded * many.outages)}' in text
    assert peak < 3 << 20
