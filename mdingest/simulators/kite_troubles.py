"""What each kind of fault does to the simulated broker and those who are connected."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import structlog

from mdingest.simulators.faults import Due
from mdingest.simulators.kite_line import KiteLine
from mdingest.simulators.trades import Last, S

if TYPE_CHECKING:
    from mdingest.simulators.kite_exchange import KiteExchange, Peer

log = structlog.get_logger(__name__)

ORDER_UPDATE = '{"type":"order","data":{"order_id":"100000000000000","status":"COMPLETE"}}'
HANG = "hang"
"""What a new connection meets while others are half open, instead of a status."""

_LATE_SHARE = 3  # one instrument in so many is held back
_CORRECTED = 0.001  # of the day's volume
_TRICKLE_BYTES_S = 4096
_BURST = 20.0
_CONFLATE_NS = S
_REFUSALS = ("403", "429", "503")
_OF_NO_LINE = (*_REFUSALS, "burst", "stale")


class Troubles:
    """The faults of one exchange, and what of them lasts."""

    def __init__(self, exchange: "KiteExchange", seed: int) -> None:
        self.frozen: Last | None = None  # what new subscriptions are shown instead of the present
        self.dead_tokens: set[str] = set()  # access tokens that were good once
        self._exchange = exchange
        self._seed = seed
        self._used_tokens: set[str] = set()
        self._closed_until: dict[str, int] = {}  # status or `HANG`: ns

    def admit(self, access_token: str) -> None:
        """Somebody connects with it."""
        self._used_tokens.add(access_token)

    def refusal(self, now_ns: int) -> tuple[str, int] | None:
        """What a new connection meets now instead of an upgrade, and for how many ns still."""
        left = {kind: until - now_ns for kind, until in self._closed_until.items() if until > now_ns}
        return max(left.items(), default=None, key=lambda item: item[1])

    def lasts(self, refusal: str, now_ns: int) -> bool:
        """Whether this status is what new connections meet now, be it beside others."""
        return self._closed_until.get(refusal, 0) > now_ns

    def apply(self, due: Due, at_ns: int) -> None:
        """A fault happens now."""
        log.info("simulator.fault", fault=due.kind)
        exchange, until = self._exchange, at_ns + due.long_ns
        if due.kind in _REFUSALS or due.kind == "halfopen":
            status = HANG if due.kind == "halfopen" else due.kind
            self._closed_until[status] = max(self._closed_until.get(status, 0), until)
            exchange.journal.happened(0, "", due.kind, (at_ns, until), [])
        match due.kind:
            case "correct":
                exchange.market.correct(_CORRECTED)
            case "reset":
                exchange.market.reset()
            case "roll":
                exchange.market.roll()
            case "burst":
                exchange.market.hurry(_BURST)
                exchange.plan(until, lambda _: exchange.market.hurry(1 / _BURST))
                exchange.journal.happened(0, "", due.kind, (at_ns, until), [])
            case "expire":
                self.dead_tokens |= self._used_tokens
            case "stale":
                frozen = Last(exchange.shown().copy())
                self.frozen = frozen
                exchange.plan(until, partial(self._thaw, at_ns, frozen))
        for line, peer in list(exchange.lines.items()):
            self._apply_to(line, peer, due.kind, at_ns, until)

    def _apply_to(self, line: KiteLine, peer: "Peer", kind: str, at_ns: int, until: int) -> None:
        exchange = self._exchange
        match kind:
            case "correct" | "reset" | "roll":
                span = (exchange.until_ns, exchange.until_ns)
                exchange.journal.happened(line.number, line.api_key, kind, span, line.tokens())
            case "disconnect" | "expire":
                exchange.hang_up(line, kind)
            case "close":
                line.settle(peer.buffered())
                exchange.leave(line, kind)
                peer.close()
            case "halfopen" | "trickle":
                self._throttle(line, peer, kind, at_ns, until)
            case "order":
                peer.write(ORDER_UPDATE)
            case "mute" | "silent":
                self._mute(line, kind, at_ns, until)
            case "late":
                self._hold(line, at_ns, until)
            case "conflate":
                line.conflating += 1
                exchange.plan(min(at_ns + _CONFLATE_NS, until), partial(self._tell, line, at_ns, until))
            case _ if kind not in _OF_NO_LINE:
                line.damages.append(kind)

    def _throttle(self, line: KiteLine, peer: "Peer", kind: str, at_ns: int, until: int) -> None:
        if kind == "trickle":
            peer.throttle(_TRICKLE_BYTES_S)
            self._exchange.plan(until, partial(self._flow, line, peer, at_ns))
            return
        line.settle(peer.buffered())
        self._exchange.leave(line, kind)
        peer.throttle(0)
        self._exchange.plan(until, lambda _: peer.abort())

    def _mute(self, line: KiteLine, kind: str, at_ns: int, until_ns: int) -> None:
        self._exchange.note(line, line.catch_up())
        self._exchange.journal.cut(line.number, line.api_key, kind, at_ns, line.tokens())
        line.muted_until_ns = max(line.muted_until_ns, until_ns)
        line.muted = True
        line.silent |= kind == "silent"
        self._exchange.plan(until_ns, partial(self._unmute, line))

    def _unmute(self, line: KiteLine, at_ns: int) -> None:
        if line in self._exchange.lines and at_ns >= line.muted_until_ns:
            line.muted = line.silent = False
            self._exchange.journal.restored(line.api_key, at_ns, line.tokens())

    def _hold(self, line: KiteLine, at_ns: int, until_ns: int) -> None:
        rows = np.flatnonzero(line.flowing)
        count = -(-len(rows) // _LATE_SHARE)
        chosen = np.random.default_rng([self._seed, at_ns]).permutation(rows)[:count]
        self._exchange.plan(until_ns, partial(self._release, line, at_ns, line.hold(chosen)))

    def _release(self, line: KiteLine, since_ns: int, tokens: Sequence[int], at_ns: int) -> None:
        exchange = self._exchange
        if line.muted:  # who says nothing does not say this either
            exchange.plan(line.muted_until_ns, partial(self._release, line, since_ns, tokens))
        elif line in exchange.lines:
            exchange.note(line, line.release(exchange.frame_packets))
            exchange.journal.happened(line.number, line.api_key, "late", (since_ns, at_ns), tokens)

    def _tell(self, line: KiteLine, since_ns: int, until_ns: int, at_ns: int) -> None:
        exchange = self._exchange
        if line not in exchange.lines:
            return
        over = at_ns >= until_ns and not line.muted
        if not line.muted:
            line.conflating -= over
            exchange.note(line, line.tell(at_ns, exchange.frame_packets))
        if over:
            exchange.journal.happened(line.number, line.api_key, "conflate", (since_ns, at_ns), line.tokens())
        else:
            again = max(at_ns + 1, min(at_ns + _CONFLATE_NS, max(until_ns, line.muted_until_ns)))
            exchange.plan(again, partial(self._tell, line, since_ns, until_ns))

    def _flow(self, line: KiteLine, peer: "Peer", since_ns: int, at_ns: int) -> None:
        if line in self._exchange.lines:
            peer.throttle(None)
            span = (since_ns, at_ns)
            self._exchange.journal.happened(line.number, line.api_key, "trickle", span, line.tokens())

    def _thaw(self, since_ns: int, frozen: Last, at_ns: int) -> None:
        if self.frozen is frozen:
            self.frozen = None
        for line in self._exchange.lines:
            if not line.muted:
                line.repeat(frozen, self._exchange.frame_packets)
            self._exchange.journal.happened(
                line.number, line.api_key, "stale", (since_ns, at_ns), line.tokens()
            )
