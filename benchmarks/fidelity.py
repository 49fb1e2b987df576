"""What conflation costs: candles built from one packet a second, against the trades themselves.

A seeded tape with bursts, pauses and auctions is conflated as a broker does it and goes through
decoder and machine in simulated time, once with the day's high and low that each packet carries
and once without them. Nothing is timed: it counts candles that are right to the last digit. A
candle is compared with all trades of its second or minute; a missing one is wrong in every field.

Volume is exact in sum. That of a single candle is exact unless an interval between two packets
had trades on both sides of its edge, since nobody can tell how they were shared out. Highs and
lows between two packets show only if they moved the day's.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from benchmarks.report import Row, main
from mdingest.simulators.hours import Hours
from mdingest.simulators.instruments import SimInstrument, named_instruments
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import Pace
from tests.support.broker_day import BrokerDay, S, ist, truth

TITLE = "fidelity: candles from one packet a second, exactly right, with and without the day's extremes"
FIELDS = ("open", "high", "low", "close", "volume")
CLASS = "NSE.EQ.cas"
SPANS = (("08:58", "09:50"), ("15:10", "16:02"))
RATE = 6.0  # trades a second and instrument
_LENGTHS = {"1s": 1, "1m": 60}
_AT_LEAST = 10.0
_SETTLED_S = 10  # at the end of a span: what trades in it may not be a candle yet


@dataclass
class Fidelity:
    """Counts over all instruments of one run; those by (interval, field) are of candles that are right."""

    candles: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    right: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    apart: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # no interval straddles an edge
    apart_wrong: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # of these: volume is wrong
    moved: dict[str, int] = field(
        default_factory=lambda: defaultdict(int)
    )  # 1m that moved the day's high, low
    moved_wrong: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    told: int = 0  # units traded, by all packets that were sent
    stored: float = 0.0

    def share(self, interval: str, name: str) -> float:
        """Of the candles that are right, in percent."""
        return 100 * self.right[interval, name] / max(1, self.candles[interval])


def measure(
    count: int, *, seed: int = 5, spans: tuple[tuple[str, str], ...] = SPANS, turn_s: int = 1
) -> tuple[Fidelity, Fidelity]:
    """Some instruments over some spans of a day, with the day's extremes and without them.

    ``turn_s``: every how many seconds packets arrive, which is not when they were sent.
    """
    instruments = named_instruments([f"FID{n:03d}.NS" for n in range(count)], date(2026, 11, 20))
    ours, blind = Fidelity(), Fidelity()
    for begin, end in spans:
        market = Market(
            instruments,
            start_ns=ist(begin),
            rate=RATE,
            seed=seed,
            hours=Hours(instruments, CLASS),
            lively=True,
        )
        opening = market.last.copy()
        options = {"session_class": CLASS}
        paced = {"pace": Pace(S, 5 * S), "turn_ns": turn_s * S}
        day = BrokerDay(instruments, market, options=options, blindly=True, **paced).connect()
        day.run_to(ist(end))
        for row, one in enumerate(instruments):
            _compare(ours, day, one, opening[row], ist(end) - _SETTLED_S * S)
            _compare(blind, day.blind(), one, opening[row], ist(end) - _SETTLED_S * S)
    return ours, blind


def _compare(found: Fidelity, day: BrokerDay, one: SimInstrument, opening: np.void, end: int) -> None:
    begin = min(start for (_, owner, start) in day.ledger.coverage if owner == day.ids[one.symbol])
    trades = [trade for trade in day.trades(one.symbol) if trade[0] >= begin]
    before = int(opening["volume"]) if opening["day"] == day.market.last["day"][0] else 0
    found.told += day.last_told(one.symbol) - before
    found.stored += sum(row["volume"] for row in day.candles(one.symbol, 1).values())
    found.stored += sum(row["volume"] for row in day.forming(one.symbol))
    for interval, length in _LENGTHS.items():
        whole = -(-begin // (length * S)) * length * S
        wanted = {at: row for at, row in truth(trades, length).items() if whole <= at <= end - length * S}
        ours = day.candles(one.symbol, length)
        torn = _torn(day, one, length)
        for at, row in wanted.items():
            candle = ours.get(at)
            values = zip(FIELDS, row, strict=True)
            right = {name: candle is not None and candle[name] == value for name, value in values}
            found.candles[interval] += 1
            for name, is_right in right.items():
                found.right[interval, name] += is_right
            if at not in torn and at + length * S not in torn:
                found.apart[interval] += 1
                found.apart_wrong[interval] += not right["volume"]
    _moved(found, day, one, opening, (begin, end - 60 * S))


def _torn(day: BrokerDay, one: SimInstrument, length: int) -> set[int]:
    """Edges with trades on both sides within one packet's interval."""
    ns, packets = day.told_by(one.symbol)
    bucket = ns // (length * S)
    torn = np.flatnonzero((bucket[1:] != bucket[:-1]) & (packets[1:] == packets[:-1])) + 1
    return set((bucket[torn] * length * S).tolist())


def _moved(
    found: Fidelity, day: BrokerDay, one: SimInstrument, opening: np.void, span: tuple[int, int]
) -> None:
    """Minutes in which the day's high or low moved."""
    high, low = (int(opening[name]) / one.divisor for name in ("high", "low"))
    if not high:
        low = float("inf")
    candles = day.candles(one.symbol, 60)
    for at, (_, top, bottom, _, _) in truth(day.trades(one.symbol), 60).items():
        candle = candles.get(at)
        if span[0] <= at <= span[1] and top > high:
            found.moved["high"] += 1
            found.moved_wrong["high"] += candle is None or candle["high"] != top
        if span[0] <= at <= span[1] and bottom < low:
            found.moved["low"] += 1
            found.moved_wrong["low"] += candle is None or candle["low"] != bottom
        high, low = max(high, top), min(low, bottom)


def run(*, full: bool) -> list[Row]:
    """The table. ``ours`` is with recovery, the reference without."""
    count = 100 if full else 40
    ours, blind = measure(count)
    rows = [
        Row(
            f"{interval} candles with the right {name}",
            f"{ours.share(interval, name):.1f} %",
            f"without {blind.share(interval, name):.1f} %",
        )
        for interval in _LENGTHS
        for name in FIELDS
    ]
    rows += [_recovered(name, ours, blind) for name in ("high", "low")]
    same = ours.stored == ours.told
    rows.append(Row("volume in all candles", f"{ours.stored:,.0f}", f"told {ours.told:,}", "", "same", same))
    rows += [_apart(interval, ours) for interval in _LENGTHS]
    return rows


def _recovered(name: str, ours: Fidelity, blind: Fidelity) -> Row:
    ratio = blind.moved_wrong[name] / max(1, ours.moved_wrong[name])
    return Row(
        f"wrong {name}s in {ours.moved[name]} minutes that moved the day's",
        f"{ours.moved_wrong[name]}",
        f"without {blind.moved_wrong[name]}",
        f"{ratio:.3g} x",
        f">= {_AT_LEAST:g} x",
        ratio >= _AT_LEAST,
    )


def _apart(interval: str, ours: Fidelity) -> Row:
    return Row(
        f"{interval} volumes wrong though no interval straddles an edge",
        f"{ours.apart_wrong[interval]}",
        f"of {ours.apart[interval]:,} ({ours.candles[interval]:,} in all)",
        "",
        "0",
        not ours.apart_wrong[interval],
    )


if __name__ == "__main__":
    main(TITLE, run)
