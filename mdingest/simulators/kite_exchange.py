"""The simulated exchange and broker without their sockets: market, connections, logs.

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
from mdingest.simulators.kite_damage import Damage
from mdingest.simulators.kite_history import MinuteBars
from mdingest.simulators.kite_line import KiteLine
from mdingest.simulators.kite_troubles import Troubles
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import EVERY_TRADE, Pace, Sampler
from mdingest.simulators.tape import Journal, Sent
from mdingest.simulators.trades import Last, S

log = structlog.get_logger(__name__)

_MOST_BUFFERED = 64 << 20  # bytes waiting for one client


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

    def throttle(self, bytes_s: float | None) -> None:
        """Let out so many bytes a second. 0: neither send nor read any more; None: all at once."""
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
        self.market, self.journal = market, journal
        self.troubles = Troubles(self, seed)
        self.bars = MinuteBars(instruments)
        self._sampler = Sampler(market.universe, market.hours, market.last, pace)
        self.frame_packets = pace.frame_packets
        self._most_behind_ns = most_behind_ns
        self._rows = {one.token: row for row, one in enumerate(instruments)}
        self._numbers = itertools.count(1)
        self._timetable = Timetable(faults, start_ns=market.until_ns, seed=seed)
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []  # instant, order, what to do
        self._entries = itertools.count()

    @property
    def until_ns(self) -> int:
        """The instant up to which all has happened."""
        return self.market.until_ns

    def join(self, api_key: str, peer: Peer) -> KiteLine:
        """A client connects."""
        line = KiteLine(next(self._numbers), api_key, self.market.universe, self._rows, peer.write)
        self.lines[line] = peer
        return line

    def leave(self, line: KiteLine, cause: str) -> None:
        """A connection ended: its data is cut from here, and from earlier what did not get out.

        Nothing happens if it had ended before.
        """
        if self.lines.pop(line, None) is None:
            return
        for since_ns, tokens in line.lost_since(self.until_ns, self._sampler.waiting_since()).items():
            self.journal.cut(line.number, line.api_key, cause, since_ns, tokens)

    def turn(self, now_ns: int) -> None:
        """Let everything up to ``now_ns`` happen: trades, packets, faults."""
        if now_ns - self.until_ns > self._most_behind_ns:
            log.warning("simulator.halted", market_s=round((now_ns - self.until_ns) / S, 3))
            self.market.halt(now_ns)
            self._sampler.halt(self.market.last)
        for due in self._timetable.due(now_ns):
            self.plan(due.at_ns, partial(self.troubles.apply, due))
        while self._agenda and self._agenda[0][0] <= now_ns:
            at_ns, _, act = heapq.heappop(self._agenda)
            self._deliver(at_ns)
            act(at_ns)
        self._deliver(now_ns)
        for line, peer in list(self.lines.items()):
            buffered = peer.buffered()
            line.settle(buffered)
            if buffered > _MOST_BUFFERED:
                self.hang_up(line, "slow")
        self.journal.flush()

    def inject(self, kind: str, long_ns: int) -> None:
        """A fault that happens now. Raises ConfigError as `check_fault` does."""
        check_fault(kind, long_ns)
        self.troubles.apply(Due(self.until_ns, -1, kind, long_ns), self.until_ns)

    def plan(self, at_ns: int, act: Callable[[int], None]) -> None:
        """Let something happen at an instant, which it is told."""
        heapq.heappush(self._agenda, (at_ns, next(self._entries), act))

    def hang_up(self, line: KiteLine, cause: str) -> None:
        """Cut a connection off."""
        peer = self.lines[line]
        line.settle(peer.buffered())
        self.leave(line, cause)
        peer.abort()

    def note(self, line: KiteLine, damages: Sequence[Damage]) -> None:
        """Log what damaged frames cost."""
        tokens = self.market.universe.token
        for damage in damages:
            if len(damage.lost):
                span = (int(damage.lost["since"].min()), int(damage.lost["sent"].max()) + 1)
                rows = np.unique(damage.lost["row"])
                self.journal.lost(line.number, line.api_key, damage.cause, span, tokens[rows].tolist())
            else:
                span = (damage.since_ns or self.until_ns, self.until_ns)
                doubted = line.tokens() if damage.doubt else []
                self.journal.happened(line.number, line.api_key, damage.cause, span, doubted)

    def shown(self) -> Last:
        """What a new subscription is shown."""
        frozen = self.troubles.frozen
        return self._sampler.shown(self.market.last) if frozen is None else frozen

    # --- data

    def _deliver(self, to_ns: int) -> None:
        from_ns = self.until_ns
        for line in self.lines:
            if line.asks:
                tokens = line.snapshots(self.shown(), from_ns, self.frame_packets)
                self.journal.restored(line.api_key, from_ns, tokens)
        trades = self.market.advance(to_ns)
        self.bars.take(trades)
        if self.until_ns <= from_ns:
            return
        sending = self._sampler.take(trades, self.market.last, from_ns, self.until_ns)
        sent = []
        for line in self.lines if len(sending.packets) else ():
            became, damages = line.send(sending.packets, self.frame_packets)
            carried = sending.carrier
            sent.append(Sent(line.number, became.sent[carried], became.held[carried]))
            self.note(line, damages)
        if len(sending.trades):
            left_ns = sending.packets["sent"][sending.carrier]
            self.journal.trades(sending.trades, left_ns, sent)
