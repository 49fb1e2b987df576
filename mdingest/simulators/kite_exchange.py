"""The simulated exchange and broker without their sockets: market, connections, faults, logs.

All happens in `KiteExchange.turn`, which moves it to an instant. Given the same turns and the
same clients it does the same again.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import structlog

from mdingest.simulators.faults import Due, Fault, Timetable, check_fault
from mdingest.simulators.instruments import SimInstrument
from mdingest.simulators.kite_line import Damage, KiteLine
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import EVERY_TRADE, Pace, Sampler
from mdingest.simulators.tape import Journal, Sent
from mdingest.simulators.trades import S

log = structlog.get_logger(__name__)

ORDER_UPDATE = '{"type":"order","data":{"order_id":"100000000000000","status":"COMPLETE"}}'

_MOST_BUFFERED = 64 << 20  # bytes waiting for one client
_LATE_SHARE = 3  # one instrument in so many is held back
_CORRECTED = 0.001  # of the day's volume


class Peer(Protocol):
    """The far end of a connection. Nothing here waits."""

    def write(self, message: bytes | str) -> None:
        """Send a binary or a text frame."""
        ...

    def buffered(self) -> int:
        """Bytes written that have not left this process."""
        ...

    def abort(self) -> None:
        """Cut the connection off; what is buffered is lost."""
        ...

    def close(self) -> None:
        """Say goodbye, then close."""
        ...


class KiteExchange:
    """A market and those who watch it.

    A turn that comes more than ``most_behind_ns`` late halts the market for that time, so that a
    stalled process does not deliver late data.
    """

    def __init__(
        self,
        instruments: Sequence[SimInstrument],
        market: Market,
        journal: Journal,
        faults: Sequence[Fault] = (),
        *,
        seed: int = 0,
        most_behind_ns: int = S,
        pace: Pace = EVERY_TRADE,
    ) -> None:
        self.lines: dict[KiteLine, Peer] = {}
        self.refuse_until_ns = 0
        self._market = market
        self._sampler = Sampler(market.universe, market.hours, market.last, pace)
        self._journal = journal
        self._seed = seed
        self._frame_packets = pace.frame_packets
        self._most_behind_ns = most_behind_ns
        self._rows = {one.token: row for row, one in enumerate(instruments)}
        self._numbers = itertools.count(1)
        self._timetable = Timetable(faults, start_ns=market.until_ns, seed=seed)
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []  # instant, order, what to do
        self._entries = itertools.count()

    @property
    def until_ns(self) -> int:
        """The instant up to which all has happened."""
        return self._market.until_ns

    def join(self, api_key: str, peer: Peer) -> KiteLine:
        """A client connects."""
        line = KiteLine(next(self._numbers), api_key, self._market.universe, self._rows, peer.write)
        self.lines[line] = peer
        return line

    def leave(self, line: KiteLine, cause: str) -> None:
        """A connection ended: its data is cut from here, and from earlier what did not get out.

        Nothing happens if it had ended before.
        """
        if self.lines.pop(line, None) is None:
            return
        for since_ns, tokens in line.lost_since(self.until_ns, self._sampler.waiting_since()).items():
            self._journal.cut(line.number, line.api_key, cause, since_ns, tokens)

    def turn(self, now_ns: int) -> None:
        """Let everything up to ``now_ns`` happen: trades, packets, faults."""
        if now_ns - self.until_ns > self._most_behind_ns:
            log.warning("simulator.halted", market_s=round((now_ns - self.until_ns) / S, 3))
            self._market.halt(now_ns)
            self._sampler.halt(self._market.last)
        for due in self._timetable.due(now_ns):
            self._plan(due.at_ns, partial(self._apply, due))
        while self._agenda and self._agenda[0][0] <= now_ns:
            at_ns, _, act = heapq.heappop(self._agenda)
            self._deliver(at_ns)
            act(at_ns)
        self._deliver(now_ns)
        for line, peer in list(self.lines.items()):
            buffered = peer.buffered()
            line.settle(buffered)
            if buffered > _MOST_BUFFERED:
                self._hang_up(line, "slow")
        self._journal.flush()

    def inject(self, kind: str, long_ns: int) -> None:
        """A fault that happens now. Raises ConfigError as `check_fault` does."""
        check_fault(kind, long_ns)
        self._apply(Due(self.until_ns, -1, kind, long_ns), self.until_ns)

    # --- data

    def _deliver(self, to_ns: int) -> None:
        from_ns = self.until_ns
        for line in self.lines:
            if line.asks:
                shown = self._sampler.shown(self._market.last)
                tokens = line.snapshots(shown, from_ns, self._frame_packets)
                self._journal.restored(line.api_key, from_ns, tokens)
        trades = self._market.advance(to_ns)
        if self.until_ns <= from_ns:
            return
        sending = self._sampler.take(trades, self._market.last, from_ns, self.until_ns)
        sent = []
        for line in self.lines if len(sending.packets) else ():
            became, damages = line.send(sending.packets, self._frame_packets)
            carried = sending.carrier
            sent.append(Sent(line.number, became.sent[carried], became.held[carried]))
            self._note(line, damages)
        if len(sending.trades):
            left_ns = sending.packets["sent"][sending.carrier]
            self._journal.trades(sending.trades, left_ns, sent)

    def _note(self, line: KiteLine, damages: Sequence[Damage]) -> None:
        tokens = self._market.universe.token
        for damage in damages:
            if len(damage.lost):
                span = (int(damage.lost["since"].min()), int(damage.lost["sent"].max()) + 1)
                rows = np.unique(damage.lost["row"])
                self._journal.lost(line.number, line.api_key, damage.cause, span, tokens[rows].tolist())
            else:
                span = (self.until_ns, self.until_ns)
                doubted = line.tokens() if damage.doubt else []
                self._journal.happened(line.number, line.api_key, damage.cause, span, doubted)

    # --- faults

    def _plan(self, at_ns: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (at_ns, next(self._entries), act))

    def _apply(self, due: Due, at_ns: int) -> None:
        log.info("simulator.fault", fault=due.kind)
        if due.kind == "403":
            self.refuse_until_ns = max(self.refuse_until_ns, at_ns + due.long_ns)
            return
        if due.kind == "correct":
            self._market.correct(_CORRECTED)
        for line, peer in list(self.lines.items()):
            match due.kind:
                case "correct":
                    span = (self.until_ns, self.until_ns)
                    self._journal.happened(line.number, line.api_key, due.kind, span, line.tokens())
                case "disconnect":
                    self._hang_up(line, due.kind)
                case "close":
                    line.settle(peer.buffered())
                    self.leave(line, due.kind)
                    peer.close()
                case "order":
                    peer.write(ORDER_UPDATE)
                case "mute" | "silent":
                    self._mute(line, due.kind, at_ns, at_ns + due.long_ns)
                case "late":
                    self._hold(line, at_ns, at_ns + due.long_ns)
                case _:
                    line.damages.append(due.kind)

    def _hang_up(self, line: KiteLine, cause: str) -> None:
        peer = self.lines[line]
        line.settle(peer.buffered())
        self.leave(line, cause)
        peer.abort()

    def _mute(self, line: KiteLine, kind: str, at_ns: int, until_ns: int) -> None:
        self._journal.cut(line.number, line.api_key, kind, at_ns, line.tokens())
        line.muted_until_ns = max(line.muted_until_ns, until_ns)
        line.muted = True
        line.silent |= kind == "silent"
        self._plan(until_ns, partial(self._unmute, line))

    def _unmute(self, line: KiteLine, at_ns: int) -> None:
        if line in self.lines and at_ns >= line.muted_until_ns:
            line.muted = line.silent = False
            self._journal.restored(line.api_key, at_ns, line.tokens())

    def _hold(self, line: KiteLine, at_ns: int, until_ns: int) -> None:
        rows = np.flatnonzero(line.flowing)
        count = -(-len(rows) // _LATE_SHARE)
        chosen = np.random.default_rng([self._seed, at_ns]).permutation(rows)[:count]
        tokens = line.hold(chosen)
        self._plan(until_ns, partial(self._release, line, at_ns, tokens))

    def _release(self, line: KiteLine, since_ns: int, tokens: Sequence[int], at_ns: int) -> None:
        if line in self.lines:
            self._note(line, line.release(self._frame_packets))
            self._journal.happened(line.number, line.api_key, "late", (since_ns, at_ns), tokens)
