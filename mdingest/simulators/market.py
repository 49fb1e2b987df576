"""A seeded market: what trades happen, as columns.

The trades of one whole second are a pure function of (seed, second, what traded last), so it
does not matter in which steps a caller advances. Prices are integers in wire units (paise for
most instruments), times UTC ns, sizes and volumes whole units. The price walks in ticks and is
pulled to a slow wave that depends on the seed and the time only: a market started anew is near
where it was. The day rolls at 00:00 UTC and the market is always open.

An index has no trades; its values come once a second at most, as the exchange computes them,
because their whole-second stamp is all that tells two of them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.instruments import SimInstrument

S = 1_000_000_000
DAY_S = 86_400

TRADE_DTYPE = np.dtype(
    [
        ("row", np.int64),  # of the instrument in its Universe
        ("ts", np.int64),  # UTC ns, exact; the wire carries ts // S
        ("price", np.int64),  # wire units
        ("size", np.int64),  # units traded; 0 for an index
        ("volume", np.int64),  # of the day, this trade included
        ("turnover", np.int64),  # of the day: sum of price * size
        ("open", np.int64),  # of the day, as high and low
        ("high", np.int64),
        ("low", np.int64),
        ("close", np.int64),  # of the day before
        ("oi", np.int64),  # contracts in units; 0 for what is no derivative
        ("oi_high", np.int64),
        ("oi_low", np.int64),
        ("noise", np.int64),  # from which the order book is made up
    ],
    align=True,
)
Trades = NewType("Trades", NDArray[np.void])
"""Shape ``(n,)`` of ``TRADE_DTYPE``, by time."""
Last = NewType("Last", NDArray[np.void])
"""Shape ``(instruments,)`` of ``TRADE_DTYPE``: the last trade of each, in order of rows."""

Ints = NDArray[np.int64]

_MEAN_SIZE = 20.0
_SLOPE = 1.25  # of opening volumes over traded ones: volume rarely falls when a market is started anew
_MOST_OPENING = 1 << 31  # the wire has 32 unsigned bits
_STALEST_S = 20
_WAVES = ((0.02, 5_400.0), (0.006, 317.0))  # share of the price, period in s
_DAY_POINTS = 49  # at which the day so far is looked at for its extremes
_OI = 100_000  # lots
_APART = 1 << 40  # more than any price: keeps running extremes of instruments apart


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """The instruments as columns; row numbers index all of them."""

    token: Ints
    base: Ints  # wire units
    tick: Ints
    lot: Ints
    divisor: Ints  # wire units per rupee
    is_index: NDArray[np.bool_]
    has_oi: NDArray[np.bool_]


def universe_of(instruments: Sequence[SimInstrument]) -> Universe:
    """Columns of a list."""

    def column(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return Universe(
        token=column([one.token for one in instruments]),
        base=column([one.price for one in instruments]),
        tick=column([one.tick for one in instruments]),
        lot=column([one.lot for one in instruments]),
        divisor=column([one.divisor for one in instruments]),
        is_index=np.array([one.is_index for one in instruments], dtype=np.bool_),
        has_oi=np.array([one.expiry is not None for one in instruments], dtype=np.bool_),
    )


def no_trades() -> Trades:
    """A batch of none."""
    return Trades(np.empty(0, dtype=TRADE_DTYPE))


def opening(universe: Universe, second: int, *, rate: float, seed: int) -> Last:
    """The state of the market as if it had traded since the start of its day."""
    n = len(universe.token)
    midnight = second - second % DAY_S
    rng = _random(seed, midnight)
    points = np.linspace(midnight, second, _DAY_POINTS)
    path = np.stack([_wave(universe, float(at), seed) for at in points])
    last = np.zeros(n, dtype=TRADE_DTYPE)
    last["row"] = np.arange(n)
    last["ts"] = np.maximum(second - rng.integers(1, _STALEST_S, n), midnight) * S
    last["price"], last["open"] = path[-1], path[0]
    last["high"] = path.max(axis=0) + universe.tick
    last["low"] = np.maximum(path.min(axis=0) - universe.tick, universe.tick)
    last["close"] = path[0] + universe.tick * rng.integers(-20, 21, n)
    traded = np.int64((second - midnight) * rate * _SLOPE * (1 + _MEAN_SIZE)) * universe.lot
    last["volume"] = np.where(universe.is_index, 0, np.minimum(traded, _MOST_OPENING))
    last["turnover"] = last["volume"] * last["price"]
    last["oi"] = np.where(universe.has_oi, _OI * universe.lot, 0)
    last["oi_high"] = last["oi_low"] = last["oi"]
    last["noise"] = rng.integers(0, 1 << 62, n)
    return Last(last)


def trades_of_second(universe: Universe, last: Last, second: int, *, rate: float, seed: int) -> Trades:
    """All trades of ``[second, second + 1)`` (epoch seconds), one row each.

    ``last`` is the state before; the last row of an instrument is its state after.
    """
    rng = _random(seed, second)
    n = len(universe.token)
    counts = rng.poisson(rate, n)
    counts[universe.is_index] = rng.random(int(universe.is_index.sum())) < rate
    row = np.repeat(np.arange(n), counts)
    total = len(row)
    groups = _Groups(row, counts)

    trades = np.empty(total, dtype=TRADE_DTYPE)
    trades["row"] = row
    within = np.sort(row + rng.random(total)) - row  # by instrument, then by time
    trades["ts"] = second * S + np.clip((within * S).astype(np.int64), 0, S - 1)
    tick = universe.tick[row]

    pull = (_wave(universe, float(second), seed) - last["price"]) / (2 * np.maximum(counts, 1))
    steps = rng.integers(-2, 3, total) + np.rint(pull[row] / tick).astype(np.int64)
    price = np.maximum(last["price"][row] + groups.running_sum(steps) * tick, tick)
    size = (1 + rng.exponential(_MEAN_SIZE, total).astype(np.int64)) * universe.lot[row]
    size[universe.is_index[row]] = 0
    trades["price"], trades["size"] = price, size

    new_day = (last["ts"] // S // DAY_S < second // DAY_S)[row]
    first = price[groups.first]
    trades["volume"] = np.where(new_day, 0, last["volume"][row]) + groups.running_sum(size)
    trades["turnover"] = np.where(new_day, 0, last["turnover"][row]) + groups.running_sum(price * size)
    trades["open"] = np.where(new_day, first, last["open"][row])
    trades["high"] = groups.running_max(price, np.where(new_day, first, last["high"][row]))
    trades["low"] = -groups.running_max(-price, -np.where(new_day, first, last["low"][row]))
    trades["close"] = np.where(new_day, last["price"][row], last["close"][row])

    moved = np.where(universe.has_oi[row], rng.integers(-1, 2, total) * universe.lot[row], 0)
    oi = np.maximum(last["oi"][row] + groups.running_sum(moved), 0)
    trades["oi"] = oi
    trades["oi_high"] = groups.running_max(oi, np.where(new_day, oi[groups.first], last["oi_high"][row]))
    trades["oi_low"] = -groups.running_max(-oi, -np.where(new_day, oi[groups.first], last["oi_low"][row]))
    trades["noise"] = rng.integers(0, 1 << 62, total)
    return Trades(trades[np.argsort(trades["ts"], kind="stable")])


class Market:
    """The trades of a running market, handed out as its time passes.

    Advancing in any steps gives the same trades. `last` is the state after all that was
    handed out, `until_ns` the (exclusive) instant up to which it was.
    """

    def __init__(
        self, instruments: Sequence[SimInstrument], *, start_ns: int, rate: float = 2.0, seed: int = 0
    ) -> None:
        self.universe = universe_of(instruments)
        self._rate = rate
        self._seed = seed
        self._second = -(-start_ns // S)  # the next one to make up
        self._ahead = no_trades()  # made up, not handed out
        self.until_ns = self._second * S
        self.last = opening(self.universe, self._second, rate=rate, seed=seed)

    def advance(self, to_ns: int) -> Trades:
        """Trades from `until_ns` up to and without ``to_ns``; none if that is in the past."""
        if to_ns <= self.until_ns:
            return no_trades()
        parts = []
        while True:
            cut = int(np.searchsorted(self._ahead["ts"], to_ns))
            parts.append(self._ahead[:cut])
            self.last[parts[-1]["row"]] = parts[-1]  # of several of one instrument the last stays
            self._ahead = Trades(self._ahead[cut:])
            if self._second * S >= to_ns:
                break
            self._ahead = trades_of_second(
                self.universe, self.last, self._second, rate=self._rate, seed=self._seed
            )
            self._second += 1
        self.until_ns = to_ns
        return Trades(np.concatenate(parts))

    def halt(self, to_ns: int) -> None:
        """Nothing trades until the first whole second from ``to_ns`` on; never goes back."""
        second = -(-to_ns // S)
        if second >= self._second:
            self._second = second
            self._ahead = no_trades()
            self.until_ns = second * S


class _Groups:
    """Running sums and maxima within consecutive rows of one instrument."""

    def __init__(self, row: Ints, counts: Ints) -> None:
        begins = np.cumsum(counts) - counts
        self.first = begins[row]  # of each row: where its instrument's rows begin
        self._apart = row * _APART

    def running_sum(self, values: Ints) -> Ints:
        sums: Ints = np.cumsum(values)
        before: Ints = sums[self.first] - values[self.first]
        inside: Ints = sums - before
        return inside

    def running_max(self, values: Ints, start: Ints) -> Ints:
        highest: Ints = np.maximum.accumulate(values + self._apart) - self._apart
        reached: Ints = np.maximum(highest, start)
        return reached


def _wave(universe: Universe, second: float, seed: int) -> Ints:
    """Where prices are pulled to, in wire units, on the tick."""
    swing = np.zeros(len(universe.token))
    for part, (share, period_s) in enumerate(_WAVES):
        phase = universe.token * (0.754_877 + part) + seed  # spread; any irrational step does
        swing += share * np.sin(2 * np.pi * second / period_s + phase)
    ticks = np.rint(universe.base * (1 + swing) / universe.tick).astype(np.int64)
    return np.maximum(ticks, 1) * universe.tick


def _random(seed: int, second: int) -> np.random.Generator:
    """Random numbers of one second; streams of different seconds and seeds are independent."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, second], dtype=np.uint64)))
