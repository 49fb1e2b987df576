"""A seeded market: what trades happen, as columns.

The trades of one whole second are a pure function of (seed, second, what traded last), so it
does not matter in which steps a caller advances. Where nobody waits for them some seconds may be
drawn at once (`Market.draw_s`): another market, as reproducible. Prices are integers in wire
units (paise for most instruments), times UTC ns, sizes and volumes whole units. The price walks
in ticks and is pulled to a slow wave that depends on the seed and the time only: a market started
anew is near where it was. When its day rolls and what trades when is up to its `Hours`: by
default the market is always open and the day rolls at 00:00 UTC. A lively market has bursts and
pauses, and its price jumps about more than it drifts.

An index has no trades; its values come once a second at most, as the exchange computes them,
because their whole-second stamp is all that tells two of them apart.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.drawing import (
    AT_CLOSE_RATE,
    AUCTION_SHARE,
    BLOCK_S,
    MATCH_S,
    MEAN_SIZE,
    Draw,
    completed,
    mood,
    opening,
    opening_by_hours,
    random_of,
    seeded,
)
from mdingest.simulators.hours import Hours, Moment, Phase
from mdingest.simulators.instruments import SimInstrument
from mdingest.simulators.trades import (
    DAY_S,
    TRADE_DTYPE,
    Ints,
    Last,
    Ordered,
    S,
    Trades,
    Universe,
    joined,
    no_trades,
    universe_of,
)

__all__ = [
    "DAY_S",
    "TRADE_DTYPE",
    "Ints",
    "Last",
    "Market",
    "Ordered",
    "S",
    "Trades",
    "Universe",
    "no_trades",
    "universe_of",
]


_OF_THE_DAY = ("volume", "turnover", "size", "open", "high", "low")


class _Trade(NamedTuple):
    row: int
    ts: int
    price: int
    size: int


class Market:
    """The trades of a running market, handed out as its time passes.

    Advancing in any steps gives the same trades. `last` is the state after all that was
    handed out, `until_ns` the (exclusive) instant up to which it was. An instrument with a
    ``script`` trades by nothing else. ``least_volume`` is what each day begins with at least.
    `draw_s` whole seconds are made up at once, fewer where the hours or the mood may change.
    """

    def __init__(
        self,
        instruments: Sequence[SimInstrument],
        *,
        start_ns: int,
        rate: float = 2.0,
        seed: int = 0,
        hours: Hours | None = None,
        lively: bool = False,
        script: Sequence[Ordered] = (),
        least_volume: int = 0,
    ) -> None:
        self.universe = universe_of(instruments)
        self.hours = hours or Hours(instruments)
        self._rate, self._seed, self._lively, self._least_volume = rate, seed, lively, least_volume
        self.draw_s = 1
        self._second = -(-start_ns // S)  # the next one to make up
        self._ahead = no_trades()  # made up, not handed out
        self._moods: tuple[int, NDArray[np.float64]] | None = None  # of the block that we are in
        self.until_ns = self._second * S
        rows = {one.token: row for row, one in enumerate(instruments)}
        ordered = sorted(script, key=lambda one: one.ns)
        self._script = {at: list(some) for at, some in groupby(ordered, key=lambda one: one.ns // S)}
        self._rows = rows
        self._seeded = np.ones(len(rows))
        self._seeded[[rows[one.token] for one in ordered]] = 0.0
        if self.hours.always:
            self.last = opening(self.universe, self._second, rate=rate, seed=seed)
        else:
            self.last = opening_by_hours(self.universe, self.hours, self._second, rate=rate, seed=seed)
        traded = (self.last["volume"] > 0) | self.hours.always
        raised = traded & ~self.universe.is_index & (self._seeded > 0)
        self.last["volume"][raised] = np.maximum(self.last["volume"][raised], least_volume)

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
            end = self._end_of_draw(self._second)
            self._ahead = self._make_up(range(self._second, end))
            self._second = end
        self.until_ns = to_ns
        return joined(parts)

    def halt(self, to_ns: int) -> None:
        """Nothing trades until the first whole second from ``to_ns`` on; never goes back."""
        second = -(-to_ns // S)
        if second >= self._second:
            self._second = second
            self._ahead = no_trades()
            self.until_ns = second * S

    def correct(self, share: float) -> Ints:
        """The exchange takes back a share of each day's volume; how much, by row."""
        less: Ints = np.where(self._seeded > 0, np.ceil(self.last["volume"] * share), 0).astype(np.int64)
        self.last["volume"] -= less
        self._ahead["volume"] -= less[self._ahead["row"]]
        return less

    def reset(self) -> None:
        """The day's volumes begin again at nothing."""
        for name in ("volume", "turnover"):
            less = np.where(self._seeded > 0, self.last[name], 0)
            self.last[name] -= less
            self._ahead[name] -= less[self._ahead["row"]]

    def roll(self) -> None:
        """A new day begins at once: it shows nothing until its first trade."""
        rows = np.flatnonzero(self._seeded > 0)
        self.last["close"][rows] = self.last["price"][rows]
        for name in _OF_THE_DAY:
            self.last[name][rows] = 0
        self._ahead = Trades(self._ahead[self._seeded[self._ahead["row"]] == 0])

    def hurry(self, factor: float) -> None:
        """So many times as much trades, from the next second on that is not made up."""
        self._rate *= factor

    def _end_of_draw(self, second: int) -> int:
        """Up to where trades are made up at once; edges that do not depend on where we begin."""
        if self.draw_s == 1:
            return second + 1
        edges = [second // self.draw_s * self.draw_s + self.draw_s, self.hours.until(second)]
        if self._lively:
            edges.append(second // BLOCK_S * BLOCK_S + BLOCK_S)
        return min(edges)

    def _make_up(self, seconds: range) -> Trades:
        """All trades of some epoch seconds, one row each."""
        universe, last, second = self.universe, self.last, seconds.start
        rng = random_of(self._seed, second)
        moment = self.hours.at(second)
        if self.hours.always and not self._lively and not self._script:
            draw = seeded(universe, last, seconds, rng, self._rate, None, self._seed, lively=False)
            return completed(universe, last, draw, moment.day, rng)
        self._begin_days(moment)
        extra = [*self._matches(moment, seconds, rng), *self._ordered(seconds)]
        frozen = moment.phase == Phase.AT_CLOSE
        speed = self._rate * self._seeded * np.where(frozen, AT_CLOSE_RATE, moment.phase == Phase.OPEN)
        if self._lively:
            speed = speed * self._mood(second // BLOCK_S)
        if not extra and not speed.any():
            return no_trades()
        draw = seeded(universe, last, seconds, rng, speed, frozen, self._seed, lively=self._lively)
        if not extra and not len(draw.row):
            return no_trades()
        if extra:
            draw = Draw(*(np.concatenate(pair) for pair in zip(draw, _columns(extra), strict=True)))
            order = np.lexsort((draw.ts, draw.row))
            draw = Draw(*(column[order] for column in draw))
        return completed(universe, last, draw, moment.day, rng)

    def _mood(self, block: int) -> NDArray[np.float64]:
        if self._moods is None or self._moods[0] != block:
            self._moods = (block, mood(self.universe, block, self._seed))
        return self._moods[1]

    def _begin_days(self, moment: Moment) -> None:
        """A new day shows nothing until its first trade."""
        begins = (self.last["day"] < moment.day) & (not self.hours.always)
        if begins.any():
            rows = np.flatnonzero(begins)
            self.last["close"][rows] = self.last["price"][rows]
            self.last["day"][rows] = moment.day[rows]
            for name in _OF_THE_DAY:
                self.last[name][rows] = 0

    def _matches(self, moment: Moment, seconds: range, rng: np.random.Generator) -> list[_Trade]:
        """Those that are due, also if they should have been earlier (but the market was halted)."""
        if not moment.match_ns.any():
            return []
        due = (moment.match_ns > 0) & (moment.match_ns < seconds.stop * S) & (self._seeded > 0)
        due &= self.last["ts"] < moment.match_ns
        rows = np.flatnonzero(due)
        if not len(rows):
            return []
        universe = self.universe
        base = self.last["price"][rows]
        tick = universe.tick[rows]
        steps = np.rint(base * rng.uniform(-AUCTION_SHARE, AUCTION_SHARE, len(rows)) / tick)
        price = np.maximum(base + steps.astype(np.int64) * tick, tick)
        size = np.rint(MATCH_S * self._rate * MEAN_SIZE * rng.uniform(0.5, 1.5, len(rows)))
        size = np.maximum(size.astype(np.int64), 1) * universe.lot[rows]
        size = np.where(self.last["volume"][rows] == 0, np.maximum(size, self._least_volume), size)
        size[universe.is_index[rows]] = 0
        ts = np.maximum(moment.match_ns[rows], seconds.start * S)
        return [_Trade(*one) for one in zip(*(c.tolist() for c in (rows, ts, price, size)), strict=True)]

    def _ordered(self, seconds: range) -> list[_Trade]:
        return [
            _Trade(self._rows[one.token], one.ns, one.price, one.size)
            for at in seconds
            for one in self._script.get(at, ())
        ]


def _columns(trades: Sequence[_Trade]) -> tuple[Ints, ...]:
    return tuple(np.array(column, dtype=np.int64) for column in zip(*trades, strict=True))
