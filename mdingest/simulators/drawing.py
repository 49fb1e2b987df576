"""Some seconds of the market, drawn at random, and the state that a market begins in."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.hours import Hours
from mdingest.simulators.trades import DAY_S, TRADE_DTYPE, Ints, Last, S, Trades, Universe

MEAN_SIZE = 20.0
_SLOPE = 1.25  # of opening volumes over traded ones: volume rarely falls when a market is started anew
_MOST_OPENING = 1 << 31  # the wire has 32 unsigned bits
_STALEST_S = 20
_WAVES = ((0.02, 5_400.0), (0.006, 317.0))  # share of the price, period in s
_DAY_POINTS = 49  # at which the day so far is looked at for its extremes
_OI = 100_000  # lots
_APART = 1 << 40  # more than any price: keeps running extremes of instruments apart
AT_CLOSE_RATE = 0.02  # of the rate in open trading
MATCH_S = 120  # of open trading: what a match moves
AUCTION_SHARE = 0.002  # of the price: how far a match is from it at most
_STEP, _LIVELY_STEP = 2, 8  # ticks from trade to trade, at most
_SLACK, _LIVELY_SLACK = 2, 16  # seconds that the price takes to follow the wave
BLOCK_S = 7  # bursts and pauses last so long
_MOODS = ((0.15, 0.0), (0.25, 5.0), (1.0, 0.6))  # share of blocks up to here, factor of the rate


def opening(universe: Universe, second: int, *, rate: float, seed: int) -> Last:
    """The state of an always open market as if it had traded since the start of its day."""
    n = len(universe.token)
    midnight = second - second % DAY_S
    rng = random_of(seed, midnight)
    path = _path(universe, midnight, second, seed)
    last = np.zeros(n, dtype=TRADE_DTYPE)
    last["row"] = np.arange(n)
    last["ts"] = np.maximum(second - rng.integers(1, _STALEST_S, n), midnight) * S
    last["day"] = second // DAY_S
    last["price"], last["open"] = path[-1], path[0]
    last["high"] = path.max(axis=0) + universe.tick
    last["low"] = np.maximum(path.min(axis=0) - universe.tick, universe.tick)
    last["close"] = path[0] + universe.tick * rng.integers(-20, 21, n)
    traded = np.int64((second - midnight) * rate * _SLOPE * (1 + MEAN_SIZE)) * universe.lot
    last["volume"] = np.where(universe.is_index, 0, np.minimum(traded, _MOST_OPENING))
    last["turnover"] = last["volume"] * last["price"]
    last["oi"] = np.where(universe.has_oi, _OI * universe.lot, 0)
    last["oi_high"] = last["oi_low"] = last["oi"]
    last["noise"] = rng.integers(0, 1 << 62, n)
    last["sent"] = last["since"] = last["ts"]
    return Last(last)


def opening_by_hours(universe: Universe, hours: Hours, second: int, *, rate: float, seed: int) -> Last:
    """The state of a market that keeps hours: of its last trade date, if the next has not begun."""
    open_s, last_ns = hours.so_far(second)
    moment = hours.at(second)
    last = opening(universe, second, rate=rate, seed=seed)
    traded = (open_s + MATCH_S) * rate * _SLOPE * (1 + MEAN_SIZE)
    begun = open_s + (moment.match_ns > 0) * (moment.match_ns <= last_ns) > 0
    last["volume"] = np.where(universe.is_index | ~begun, 0, traded.astype(np.int64) * universe.lot)
    last["turnover"] = last["volume"] * last["price"]
    for name in ("open", "high", "low"):
        last[name][~begun] = 0
    last["day"] = moment.day
    last["ts"] = last["sent"] = last["since"] = last_ns
    return Last(last)


class Draw(NamedTuple):
    """Columns of what trades in some seconds, by instrument and time."""

    row: Ints
    ts: Ints
    price: Ints
    size: Ints


def seeded(
    universe: Universe,
    last: Last,
    seconds: range,
    rng: np.random.Generator,
    speed: float | NDArray[np.float64],
    frozen: NDArray[np.bool_] | None,
    seed: int,
    *,
    lively: bool,
) -> Draw:
    """Random seconds. ``speed`` is trades per second, ``frozen`` rows keep their price."""
    n, second, span_s = len(universe.token), seconds.start, len(seconds)
    counts = rng.poisson(speed * span_s, n)
    index = universe.is_index
    often = speed[index, np.newaxis] if isinstance(speed, np.ndarray) else speed
    valued = rng.random((int(index.sum()), span_s)) < often  # an index: once in a second at most
    counts[index] = valued.sum(axis=1)
    row = np.repeat(np.arange(n), counts)
    total = len(row)
    if not total:
        return Draw(row, row, row, row)
    groups = _Groups(row, counts)
    within = span_s * (np.sort(row + rng.random(total)) - row)  # by instrument, then by time
    of_index = index[row]
    within[of_index] = np.nonzero(valued)[1] + within[of_index] / span_s
    ts = second * S + np.clip((within * S).astype(np.int64), 0, span_s * S - 1)
    tick = universe.tick[row]
    slack, step = (_LIVELY_SLACK, _LIVELY_STEP) if lively else (_SLACK, _STEP)
    away = _wave(universe, float(second), seed) - last["price"]
    pull = away * min(1.0, span_s / slack) / np.maximum(counts, 1)
    steps = rng.integers(-step, step + 1, total) + np.rint(pull[row] / tick).astype(np.int64)
    if frozen is not None:
        steps[frozen[row]] = 0
    price = np.maximum(last["price"][row] + groups.running_sum(steps) * tick, tick)
    size = (1 + rng.exponential(MEAN_SIZE, total).astype(np.int64)) * universe.lot[row]
    size[of_index] = 0
    return Draw(row, ts, price, size)


def completed(universe: Universe, last: Last, draw: Draw, day: Ints, rng: np.random.Generator) -> Trades:
    """What is drawn as trades that carry the day so far, by time."""
    row, ts, price, size = draw
    total = len(row)
    groups = _Groups(row, np.bincount(row, minlength=len(universe.token)))
    trades = np.empty(total, dtype=TRADE_DTYPE)
    trades["row"], trades["ts"], trades["sent"], trades["since"] = row, ts, ts, ts
    trades["day"] = day[row]
    trades["price"], trades["size"] = price, size

    new_day = (last["day"] < day)[row]
    untraded = new_day | (last["open"] == 0)[row]
    first = price[groups.first]
    trades["volume"] = np.where(new_day, 0, last["volume"][row]) + groups.running_sum(size)
    trades["turnover"] = np.where(new_day, 0, last["turnover"][row]) + groups.running_sum(price * size)
    trades["open"] = np.where(untraded, first, last["open"][row])
    trades["high"] = groups.running_max(price, np.where(untraded, first, last["high"][row]))
    trades["low"] = -groups.running_max(-price, -np.where(untraded, first, last["low"][row]))
    trades["close"] = np.where(new_day, last["price"][row], last["close"][row])

    moved = np.where(universe.has_oi[row], rng.integers(-1, 2, total) * universe.lot[row], 0)
    oi = np.maximum(last["oi"][row] + groups.running_sum(moved), 0)
    trades["oi"] = oi
    trades["oi_high"] = groups.running_max(oi, np.where(new_day, oi[groups.first], last["oi_high"][row]))
    trades["oi_low"] = -groups.running_max(-oi, -np.where(new_day, oi[groups.first], last["oi_low"][row]))
    trades["noise"] = rng.integers(0, 1 << 62, total)
    return Trades(trades[np.argsort(trades["ts"], kind="stable")])


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


def _path(universe: Universe, begin: int, end: int, seed: int) -> Ints:
    """The wave at some points between two seconds, ends included."""
    points = np.linspace(begin, end, _DAY_POINTS)
    return np.stack([_wave(universe, float(at), seed) for at in points])


def mood(universe: Universe, block: int, seed: int) -> NDArray[np.float64]:
    """Factors of the rate in a block of `BLOCK_S`: bursts, pauses and what is between them."""
    mixed = (universe.token * 2_654_435_761 + block * 40_503 + seed * 97) & 0xFFFF_FFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2_246_822_519) & 0xFFFF_FFFF
    drawn = (mixed ^ (mixed >> 13)) % 1_000 / 1_000
    return np.select([drawn < share for share, _ in _MOODS], [factor for _, factor in _MOODS])


def _wave(universe: Universe, second: float, seed: int) -> Ints:
    """Where prices are pulled to, in wire units, on the tick."""
    swing = np.zeros(len(universe.token))
    for part, (share, period_s) in enumerate(_WAVES):
        phase = universe.token * (0.754_877 + part) + seed  # spread; any irrational step does
        swing += share * np.sin(2 * np.pi * second / period_s + phase)
    ticks = np.rint(universe.base * (1 + swing) / universe.tick).astype(np.int64)
    return np.maximum(ticks, 1) * universe.tick


def random_of(seed: int, second: int) -> np.random.Generator:
    """Random numbers of one second; streams of different seconds and seeds are independent."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, second], dtype=np.uint64)))
