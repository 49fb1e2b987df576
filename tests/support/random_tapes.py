"""Random tapes: whatever feeds do to us, in any order, from a list of small numbers.

A tape is drawn as plain tuples of numbers, and a small market turns them into records, so a
failing tape shrinks to a few ordinary packets. All sizes are whole numbers.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.records import Kind
from tests.support.tapes import BINANCE, KITE, NOWHERE, UPSTOX, Entry, Tape, packet, subscription

CUMULATIVE, TRADES, NONE = VolumeKind.CUMULATIVE, VolumeKind.TRADES, VolumeKind.NONE
INSTRUMENTS: dict[int, Subscription] = {
    1: subscription(1),
    2: subscription(2),
    3: subscription(3, NONE),
    4: subscription(4, session=NOWHERE),
    5: subscription(5, TRADES),
    6: subscription(6, TRADES, NOWHERE),
    7: subscription(7),
    8: subscription(8, NONE),
}
STREAMS: dict[int, tuple[str, tuple[int, ...]]] = {
    1: (KITE, (1, 2, 3)),
    2: (KITE, (1, 4, 3)),
    3: (BINANCE, (5, 6)),
    4: (UPSTOX, (7, 8)),
    5: (BINANCE, (5,)),
}
UNSTAMPED = (UPSTOX,)
STARTS = (60.0, -2_400.0, -903.0, 52_190.0, 71_995.0, 60.0, 60.0)  # two: a trade date is about to end
WALL_ERRORS = (*[0.0] * 5, 45.0, -45.0)  # at each of them
WAITS = (0.05, 0.4, 1.0, 2.6, 3.1, 1.0, 5.5, 0.4, 13.5, 70.0)
DELAYS = (3, 4, 1, 5, 9, 12, 14, 20)
AHEAD = (4.0, 6.0, 100.0, 86_400.0)
CAUSES = ("disconnect", "stop", "mute", "parked", "something new")

Op = tuple[int, int, int, int]
PARTS = st.integers(0, 99)
OPS = st.lists(st.tuples(PARTS, PARTS, PARTS, PARTS), min_size=30, max_size=90)  # op 0: nothing


@dataclass
class Traded:
    """What the exchange knows of one instrument."""

    price: float = 100.0
    volume: float = 500.0
    high: float = 105.0
    low: float = 95.0
    last: float | None = None
    trade_id: int = 10
    day: int = -1


@dataclass
class Market:
    """Turns numbers into records."""

    tape: Tape
    open: dict[int, set[int]] = field(default_factory=dict)
    traded: dict[int, Traded] = field(default_factory=lambda: {number: Traded() for number in INSTRUMENTS})
    exchange_error: float = 0.0

    def restart(self) -> None:
        """A new process; no stream survives."""
        self.open = {}
        self.tape.start()

    def connect(self, stream: int) -> None:
        """Opens a stream with all its instruments."""
        if stream in self.open:
            return
        feed, numbers = STREAMS[stream]
        self.tape.connect(stream, feed, *(INSTRUMENTS[number] for number in numbers))
        self.open[stream] = set(numbers)

    def do(self, op: Op) -> None:  # noqa: C901, PLR0912 - a table of everything that happens
        """One thing happens."""
        code, a, b, c = op
        if not code:
            return
        streams = sorted(self.open)
        if not streams and code < 55:
            self.connect(1 + a % 5)
            return
        stream = streams[a % len(streams)] if streams else 0
        if code < 55:
            self.packet(stream, code, a // 5, b, c)
        elif code < 69:
            self.tape.wait(WAITS[b % len(WAITS)])
            if c % 2:
                self.tape.tick()
        elif code == 69 and stream:
            for _ in range(4):
                self.tape.wait(WAITS[2 + b % 3])
                self.packet(stream, 0, a // 5, 88, c)
        elif code < 78:
            self.tape.tick()
        elif code < 81 and stream:
            self.tape.frame(stream, bad=code > 78)
        elif code < 84 and stream:
            self.tape.disconnect(stream, CAUSES[b % len(CAUSES)])
            del self.open[stream]
        elif code < 85 and stream:
            self.tape.silence(stream)
        elif code < 86 and stream:
            self.tape.lost(stream if c % 3 else 0, Kind.SHED if b % 2 else Kind.QUARANTINE)
        elif code < 88:
            again = streams if c % 4 else []
            self.tape.wait(WAITS[b % len(WAITS)])
            self.restart()
            for number in again:
                self.connect(number)
        elif code < 91 and stream:
            number = sorted(STREAMS[stream][1])[b % len(STREAMS[stream][1])]
            if number in self.open[stream]:
                self.tape.unsubscribe(stream, INSTRUMENTS[number])
                self.open[stream].discard(number)
        elif code < 93 and stream:
            missing = sorted(set(STREAMS[stream][1]) - self.open[stream])
            if missing:
                self.tape.subscribe(stream, *(INSTRUMENTS[number] for number in missing))
                self.open[stream].update(missing)
        elif code < 97:
            self.connect(1 + a % 5)
        elif code == 97:
            self.tape.wall_error = (0.0, 3.0, -3.0, 60.0, -60.0, 3_600.0)[b % 6]
        elif code == 98:
            self.exchange_error = (0.0, 7.0, 40.0, -7.0)[b % 4]
        else:
            self.tape.wait((70.0, 3_600.0, 64_800.0, 86_400.0)[b % 4])

    def packet(self, stream: int, code: int, a: int, b: int, c: int) -> None:
        """A packet, in a frame of its own or in the one before."""
        numbers = sorted(self.open[stream])
        if not numbers:
            self.tape.frame(stream)
            return
        number = numbers[a % len(numbers)]
        feed = STREAMS[stream][0]
        last = self.tape.entries[-1]
        together = code >= 40 and last.packets and last.record.stream_id == stream
        if not together:
            self.tape.wait(0.11 * (c % 5))
        row = self._trades(number, b, c) if feed == BINANCE else self._snapshots(number, b, c)
        if feed in UNSTAMPED and b < 90:
            row.pop("ts_exchange", None)
            row.pop("ts_trade", None)
        if together:
            last.packets.append(row)
        else:
            self.tape.frame(stream, row, bad=code == 39)

    def _trades(self, number: int, b: int, c: int) -> dict[str, Any]:
        known = self.traded[number]
        now = self.tape.now + self.exchange_error
        step = {58: 0, 59: 0, 60: 0, 61: -1, 62: 2, 63: 5}.get(b, 1)  # 0: the same trade again
        known.trade_id += step
        known.price += c % 3 - 1
        if step or known.last is None:
            known.last = now - (DELAYS[c % 8] if 64 <= b < 72 else 0.0)
        row = packet(
            number, t=known.last, x=now, price=known.price, size=float(1 + c % 4), trade_id=known.trade_id
        )
        match b:
            case 72:
                row["trade_id"] = -1
                known.trade_id -= step
            case 73:
                row["size"] = math.nan
            case 74:
                row["ts_trade"] = 0
            case 75:
                row["ts_exchange"] = row["ts_trade"] = 0
            case 76:
                row["ts_exchange"] += round(AHEAD[c % 4]) * 1_000_000_000
            case 77:
                row["price"] = math.nan
            case 78:
                row["ts_exchange"] = 0
            case 79:
                row["trade_id"] = (1 << 62) - 1
                known.trade_id -= step
            case _:
                pass
        return row

    def _snapshots(self, number: int, b: int, c: int) -> dict[str, Any]:  # noqa: C901 - as above
        known = self.traded[number]
        now = math.floor(self.tape.now + self.exchange_error)
        day = (now + 34_200) // 86_400
        if day > known.day:
            known.day = day
            if known.last is not None:
                known.volume, known.high, known.low = 0.0, known.price, known.price
        size = float(c % 4) if b < 50 else float(c % 7)
        if b in (50, 88):
            size = 0.0
        if size:
            known.price += c % 3 - 1
            known.high, known.low = max(known.high, known.price), min(known.low, known.price)
            known.volume += size
            if not 42 <= b < 50:  # the trade time stands still
                known.last = now - (DELAYS[c % 8] if 51 <= b < 58 else 0)
        if 58 <= b < 61:
            known.high += 2
        if 61 <= b < 64:
            known.low -= 2
        if b == 64:
            known.volume = max(0.0, known.volume - 1 - c % 5)  # the exchange takes volume back
        row = packet(number, t=known.last, x=now, price=known.price, day_high=known.high, day_low=known.low)
        if INSTRUMENTS[number].volume is CUMULATIVE:
            row["volume"] = known.volume
        elif b % 2:
            row.pop("ts_trade", None)
        return self._quirk(row, b, c)

    @staticmethod
    def _quirk(row: dict[str, Any], b: int, c: int) -> dict[str, Any]:  # noqa: C901, PLR0912 - as above
        ahead = round(AHEAD[c % 4]) * 1_000_000_000
        match b:
            case 66 | 67:
                row["ts_trade"] = 0
            case 68 | 69:
                row["ts_exchange"] = 0
            case 70 | 71:
                row["ts_exchange"] = row["ts_trade"] = 0
            case 72 | 73 | 74 | 88 if "volume" in row:
                row["volume"] = max(0.0, row["volume"] - 2 - c % 3)  # overtaken by a later packet
            case 76:
                row["ts_exchange"] += ahead
            case 77:
                row["ts_exchange"] += ahead
                row["ts_trade"] = row["ts_exchange"]
            case 78:
                row["price"] = math.nan
            case 79 | 89 | 91 if "volume" in row:
                row["volume"] = math.nan
            case 80 | 81 | 82:
                row["oi"] = float(c)
            case 83:
                row["ts_exchange"] -= 30_000_000_000
                row["ts_trade"] = row["ts_exchange"]
            case 84 if "volume" in row:
                row["volume"] = 0.0
            case 85:
                row["ts_trade"] = row["ts_exchange"] - 86_400_000_000_000
            case 86 | 87:
                row["day_high"] = math.nan
            case _:
                pass
        return row


def tape_of(start: int, ops: list[Op]) -> list[Entry]:
    """The records that those numbers stand for."""
    market = Market(Tape(STARTS[start]))
    market.tape.wall_error = WALL_ERRORS[start]
    market.restart()
    for stream in (1, 3, 4):
        market.connect(stream)
    for op in ops:
        market.do(op)
    return market.tape.entries


tapes = st.builds(tape_of, st.integers(0, len(STARTS) - 1), OPS)
cuts = st.lists(st.integers(1, 80), max_size=12)
