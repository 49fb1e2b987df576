"""Which packets tell of the market's trades, and when: what a broker makes of an exchange.

Without conflation every trade is a packet. With it an instrument has at most one packet an
interval, at a phase of its own: the state after its last trade, so that what happened between
two packets shows only in the day's volume, high and low. Besides there may be packets that
tell of nothing but the order book, and, while orders are collected, of an indicated price.

A packet is a row of `TRADE_DTYPE` whose ``sent`` and ``since`` say when it left and how old
the oldest trade is that it is the first to include.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.hours import Hours, Phase
from mdingest.simulators.trades import Ints, Last, S, Trades, Universe, joined, no_trades

_BITS = 41  # of a key for an instant: spans of a bit more than half an hour
_WIDEST = 1 << _BITS
_INDICATED_TICKS = 10
_PHASE_NS = 7_919_000_077  # spreads the packets of different instruments over the interval
_NEVER = 1 << 62


class Pace(NamedTuple):
    """How a broker sends. An interval of 0 ns is none."""

    conflate_ns: int = 0  # an instrument has at most one packet in each
    depth_ns: int = 0  # an instrument has one of its order book alone in each
    frame_packets: int = 200  # the most in one frame


EVERY_TRADE = Pace()


@dataclass(frozen=True, slots=True, eq=False)
class Sending:
    """What goes out: packets by ``sent``, and the trades that they are the first to include."""

    packets: Trades
    trades: Trades
    carrier: NDArray[np.intp]  # of each trade: the index of its packet


class Sampler:
    """Turns trades into packets, the same in whatever steps."""

    def __init__(self, universe: Universe, hours: Hours, last: Last, pace: Pace) -> None:
        self._universe, self._hours = universe, hours
        self._conflate_ns, self._depth_ns = pace.conflate_ns, pace.depth_ns
        self._waiting = no_trades()  # by row and time
        self._before = Last(last.copy())  # the state after all that was told
        self._sent = last["sent"].copy()  # of each row's last packet

    def take(self, trades: Trades, last: Last, from_ns: int, to_ns: int) -> Sending:
        """The packets of ``[from_ns, to_ns)``. ``trades`` are those in it, ``last`` the state after it."""
        if not self._conflate_ns and not self._depth_ns:
            return Sending(trades, trades, np.arange(len(trades)))
        pool = joined([self._waiting, trades])
        pool = Trades(pool[np.lexsort((pool["ts"], pool["row"]))])
        row, ns = self._instants(from_ns, to_ns)
        if not len(pool) and not self._hours.at((to_ns - 1) // S).phase.any():
            return Sending(pool, pool, np.arange(0))
        base = min(from_ns, int(pool["ts"].min()) if len(pool) else from_ns)
        if to_ns - base >= _WIDEST:
            raise ValueError("a step of more than half an hour")
        happened = pool["row"] << _BITS | (pool["ts"] - base)
        asked = row << _BITS | (ns - base)
        if not self._conflate_ns:  # each trade leaves at once; the rest is order book
            row, ns, asked = self._with_trades(pool, row, ns, asked, happened)
        kept = self._kept(row, ns, asked, happened)
        row, ns, asked = row[kept], ns[kept], asked[kept]
        packets, fresh = self._packets(pool, last, row, ns, asked, happened)
        self._indicate(packets, fresh)
        carrier = np.searchsorted(asked, happened, side="right" if self._conflate_ns else "left")
        found = carrier < len(asked)
        found[found] = row[carrier[found]] == pool["row"][found]
        self._waiting = Trades(pool[~found])
        self._before = self._told(pool, found, last)
        order = np.argsort(ns, kind="stable")
        self._sent[packets["row"][order]] = packets["sent"][order]
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        return Sending(Trades(packets[order]), Trades(pool[found]), place[carrier[found]])

    def halt(self, last: Last) -> None:
        """Time was skipped: what waited is never told of by itself."""
        self._waiting = no_trades()
        self._before = Last(last.copy())

    def shown(self, last: Last) -> Last:
        """The last packet of each instrument, for who subscribes now; ``last`` is the state."""
        rows = Last(last.copy())
        rows["sent"] = np.maximum(self._sent, rows["ts"])
        return rows

    def waiting_since(self) -> Ints:
        """By row, the oldest trade that no packet has told of; far in the future if there is none."""
        since = np.full(len(self._universe.token), _NEVER)
        np.minimum.at(since, self._waiting["row"], self._waiting["ts"])
        return since

    def _instants(self, from_ns: int, to_ns: int) -> tuple[Ints, Ints]:
        """All instants at which a packet may leave, by row and time."""
        every = self._conflate_ns or self._depth_ns
        phase = self._universe.token * _PHASE_NS % every
        first = from_ns + (phase - from_ns) % every
        counts = np.maximum(-(-(to_ns - first) // every), 0)
        row = np.repeat(np.arange(len(counts)), counts)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return row, first[row] + nth * every

    def _with_trades(
        self, pool: Trades, row: Ints, ns: Ints, asked: Ints, happened: Ints
    ) -> tuple[Ints, Ints, Ints]:
        own = ~np.isin(asked, happened)
        row, ns = np.concatenate([row[own], pool["row"]]), np.concatenate([ns[own], pool["ts"]])
        asked = np.concatenate([asked[own], happened])
        order = np.argsort(asked, kind="stable")
        return row[order], ns[order], asked[order]

    def _kept(self, row: Ints, ns: Ints, asked: Ints, happened: Ints) -> NDArray[np.bool_]:
        """Instants with something to tell: a trade since the one before, or the order book."""
        includes, before, _ = self._included(row, asked, happened)
        told: NDArray[np.bool_] = includes > before
        if self._depth_ns:
            moves = ~self._universe.is_index[row] & (self._phase(row, ns) > Phase.CLOSED)
            if self._conflate_ns > 0:
                every = max(1, self._depth_ns // self._conflate_ns)
                moves &= (ns // self._conflate_ns + row) % every == 0
            told |= moves
        return told

    def _included(self, row: Ints, asked: Ints, happened: Ints) -> tuple[Ints, Ints, Ints]:
        """Up to which trade each instant tells, up to which the one before did, and the row's first."""
        includes = np.searchsorted(happened, asked, side="left" if self._conflate_ns else "right")
        begins = np.searchsorted(happened, row << _BITS)
        before = begins.copy()
        same = row[1:] == row[:-1]
        before[1:][same] = includes[:-1][same]
        return includes, before, begins

    def _packets(
        self, pool: Trades, last: Last, row: Ints, ns: Ints, asked: Ints, happened: Ints
    ) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """The state at each instant, and whether it includes a trade that no earlier one did."""
        includes, before, begins = self._included(row, asked, happened)
        fresh: NDArray[np.bool_] = includes > before
        traded = includes > begins
        quiet = np.ones(len(last), dtype=np.bool_)
        quiet[pool["row"]] = False
        packets = self._before[row]
        packets[quiet[row]] = last[row[quiet[row]]]
        packets[traded] = pool[includes[traded] - 1]
        packets["sent"] = packets["since"] = ns
        packets["since"][fresh] = pool["ts"][before[fresh]]
        return packets, fresh

    def _indicate(self, packets: NDArray[np.void], fresh: NDArray[np.bool_]) -> None:
        """The order book moves in every packet, and the price while orders are collected."""
        stale = ~fresh
        mixed = (packets["sent"][stale] // 1_000 * 2_654_435_761 + packets["row"][stale]) & (1 << 61) - 1
        packets["noise"][stale] = mixed ^ (mixed >> 17)
        call = stale & (self._phase(packets["row"], packets["sent"]) == Phase.CALL)
        rows = packets["row"][call]
        steps = packets["noise"][call] % (2 * _INDICATED_TICKS + 1) - _INDICATED_TICKS
        tick = self._universe.tick[rows]
        packets["price"][call] = np.maximum(packets["price"][call] + steps * tick, tick)

    def _phase(self, row: Ints, ns: Ints) -> Ints:
        if self._hours.always:
            return np.full(len(row), Phase.OPEN, dtype=np.int64)
        phases = np.empty(len(row), dtype=np.int64)
        seconds = ns // S
        if len(seconds) and seconds.min() == seconds.max():  # most turns are short
            return self._hours.at(int(seconds[0])).phase[row]
        for second in np.unique(seconds).tolist():
            mine = seconds == second
            phases[mine] = self._hours.at(second).phase[row[mine]]
        return phases

    def _told(self, pool: Trades, found: NDArray[np.bool_], last: Last) -> Last:
        """The state after all that was told: the newest told trade, or the newest state if none waits."""
        state = Last(last.copy())
        waits = np.zeros(len(last), dtype=np.bool_)
        waits[pool["row"][~found]] = True
        if waits.any():
            state[waits] = self._before[waits]
            told = pool[found]
            told = told[waits[told["row"]]]
            state[told["row"]] = told
        return state
