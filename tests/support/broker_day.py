"""A day at the simulated broker through decoder and machine, in simulated time and without sockets.

Both clocks of the records are the exchange's. Frames are journaled at the end of the turn in
which they were sent; a batch holds several turns.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.calendars import load
from mdingest.core.control import (
    CandleSettings,
    Connect,
    Disconnect,
    Start,
    encode,
    encode_subscribe,
)
from mdingest.core.machine import Machine
from mdingest.core.records import Kind, Record, decode_batch, encode_batch
from mdingest.core.ticks import Packets
from mdingest.pipeline.decoding import BatchDecoder
from mdingest.pipeline.hours import OpenHours
from mdingest.pipeline.pulse import Pulse
from mdingest.providers import PROVIDERS
from mdingest.providers.kite.decoder import KiteDecoder
from mdingest.simulators.instruments import SimInstrument, instruments_csv
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.kite_line import KiteLine
from mdingest.simulators.kite_wire import HEARTBEAT
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import EVERY_TRADE, Pace
from tests.support.broker_parts import DayClock, Ear, KeptTape
from tests.support.ledger import Ledger, Row, rows_of

FEED = "kite_ws"
S = 1_000_000_000


def ist(text: str, date: str = "2026-11-20") -> int:
    """A clock time in India as UTC ns: ``09:15`` or ``09:15:03.4``."""
    return round(datetime.fromisoformat(f"{date}T{text}+05:30").timestamp() * 1_000) * 1_000_000


class BrokerDay:
    """The broker, one feed and what a store would hold by now.

    ``market`` begins where the day does. ``blindly`` lets a second machine listen (`blind`).
    """

    def __init__(
        self,
        instruments: Sequence[SimInstrument],
        market: Market,
        *,
        pace: Pace = EVERY_TRADE,
        options: dict[str, Any] | None = None,
        turn_ns: int = S,
        turns_per_batch: int = 10,
        blindly: bool = False,
    ) -> None:
        self.instruments, self.market = list(instruments), market
        self.tape = KeptTape(instruments)
        self.exchange = KiteExchange(instruments, market, self.tape, pace=pace, most_behind_ns=100 * turn_ns)
        self.now = market.until_ns
        self._turn_ns, self._turns_per_batch = turn_ns, turns_per_batch
        self.ledger = Ledger()
        self.machine = Machine()
        self._blind = (Machine(), Ledger()) if blindly else None
        self._decoder = BatchDecoder(lambda _: KiteDecoder())
        self._options = PROVIDERS[FEED].Options.model_validate(
            {"api_key": "key", "access_token": "token", **(options or {})}
        )
        wanted = [one.symbol for one in self.instruments]
        resolved = PROVIDERS[FEED].resolve(wanted, self._options, instruments_csv(self.instruments))
        self.subscriptions = [
            replace(one.subscription, instrument_id=number) for number, one in enumerate(resolved, 1)
        ]
        self.ids = {one.instrument.symbol: number for number, one in enumerate(resolved, 1)}
        self.alarms: list[tuple[int, str]] = []  # what a connection would have made of the silences
        self._protocol = PROVIDERS[FEED].live(self._options)
        hours = OpenHours(DayClock(lambda: self.now), load().table)
        classes = {sub.session_class for sub in self.subscriptions}
        self._pulse = Pulse(lambda: hours.regular_s(classes), answers=True)
        self._stream = 0
        self._lsn = 0
        self._line: KiteLine | None = None
        self._ear = Ear()
        self._waiting: list[Record] = []
        self.started()

    # --- what happens

    def started(self) -> "BrokerDay":
        """A process begins, and tells what it knows of the calendar."""
        self._mono_zero = self.now - 7 * S
        self._alive = True
        self._record(Kind.START, 0, encode(Start("test", CandleSettings())))
        calendars = load()
        day = datetime.fromtimestamp(self.now // S, UTC).date()
        names = {sub.session_class for sub in self.subscriptions}
        tables = {
            name: calendars.table(name, day - timedelta(days=4), day + timedelta(days=5)).to_json()
            for name in sorted(names)
        }
        self._record(Kind.CALENDAR, 0, json.dumps(tables).encode())
        return self

    def connect(self) -> "BrokerDay":
        """A connection, and everything subscribed on it."""
        self._ear = Ear()
        self._line = self.exchange.join("key", self._ear)
        self._stream += 1
        self._pulse.connected(self.now / S, self._protocol.silence_s)
        self._record(Kind.CONNECT, self._stream, encode(Connect(FEED, S)))
        self._record(Kind.SUBSCRIBE, self._stream, encode_subscribe(self.subscriptions))
        tokens = [int(sub.key) for sub in self.subscriptions]
        mode = self._options.model_dump()["mode"]
        for message in ({"a": "subscribe", "v": tokens}, {"a": "mode", "v": [mode, tokens]}):
            self._line.receive(json.dumps(message))
        return self

    def cut(self, cause: str = "disconnect") -> "BrokerDay":
        """The connection ends."""
        if self._line is not None:
            self.exchange.leave(self._line, cause)
            self._line = None
        self._record(Kind.DISCONNECT, self._stream, encode(Disconnect(cause)))
        return self

    def killed(self) -> "BrokerDay":
        """The process ends without a word."""
        if self._line is not None:
            self.exchange.leave(self._line, "peer_lost")
            self._line = None
        self._alive = False
        return self

    def run_to(self, ns: int) -> "BrokerDay":
        """Time passes."""
        turns = 0
        while self.now < ns:
            self.now = min(self.now + self._turn_ns, ns)
            self.exchange.turn(self.now)
            turns += 1
            if self._line is not None:
                for frame in self._ear.heard or [HEARTBEAT]:
                    self._judge(frame)
                    self._record(Kind.FRAME, self._stream, frame)
                self._ear.heard.clear()
            if turns % self._turns_per_batch == 0:
                self._step()
        self._step()
        return self

    def skip_to(self, ns: int) -> "BrokerDay":
        """A night or a weekend in which nothing is sent but a snapshot to who asks."""
        self._step()
        self.now = ns
        self.exchange.turn(ns)
        self._step()
        return self

    def _judge(self, frame: bytes) -> None:
        stamp, data = partial(self._protocol.stamp_ns, frame), self._protocol.receive(frame).data
        if self._pulse.frame(self.now / S, data=data, stamp=stamp, mono_ns=self.now):
            self.alarms.append((self.now, "silence"))
        if why := self._pulse.dead(self.now / S):
            self.alarms.append((self.now, why))

    def _record(self, kind: Kind, stream: int, payload: bytes = b"") -> None:
        self._waiting.append(Record(kind, stream, self.now, self.now - self._mono_zero, payload))

    def _step(self) -> None:
        if not self._alive:
            return
        self._record(Kind.TICK, 0)
        batch = decode_batch(memoryview(encode_batch(self._waiting, self._lsn)), self._lsn)
        self._lsn, self._waiting = batch.end, []
        understood = self._decoder.decode(batch)
        packets, bad = understood.packets, [one.rec for one in understood.bad]
        self.ledger.apply(self.machine.step(batch, packets, bad))
        if self._blind:
            machine, ledger = self._blind
            packets = Packets(packets.copy())
            packets["day_high"] = packets["day_low"] = np.nan
            ledger.apply(machine.step(batch, packets, bad))

    # --- what came of it

    def blind(self) -> "BrokerDay":
        """The day so far as the machine has it that the day's extremes are kept from. To be read only."""
        if self._blind is None:
            raise ValueError("nobody listened blindly")
        other = copy(self)
        other.machine, other.ledger = self._blind
        return other

    def candles(self, symbol: str, interval_s: int = 60) -> dict[int, Row]:
        """By opening instant, UTC ns."""
        found = {
            row["ts"]: row
            for row in self.ledger.candles.values()
            if (row["instrument_id"], row["interval_s"]) == (self.ids[symbol], interval_s)
        }
        return dict(sorted(found.items()))

    def forming(self, symbol: str, interval_s: int = 1) -> list[Row]:
        """Candles that are not published yet."""
        return [
            row
            for row in rows_of(self.machine.forming(FEED))
            if (row["instrument_id"], row["interval_s"]) == (self.ids[symbol], interval_s)
        ]

    def gaps(self, symbol: str) -> list[tuple[int, int, float | None]]:
        """Start, end and volume."""
        return sorted(
            (start, end, volume)
            for (_, owner, start, _), (end, volume) in self.ledger.real_gaps().items()
            if owner == self.ids[symbol]
        )

    def accounted(self, symbol: str, since_ns: int = 0) -> float:
        """Volume in candles and gaps that begin at or after an instant."""
        candles: float = sum(row["volume"] for ts, row in self.candles(symbol, 1).items() if ts >= since_ns)
        return candles + sum(volume or 0.0 for start, _, volume in self.gaps(symbol) if start >= since_ns)

    def total(self, symbol: str) -> int:
        """The day's volume as the exchange has it."""
        return int(self.market.last["volume"][self._row(symbol)])

    def trades(self, symbol: str) -> list[tuple[int, float, int]]:
        """What the tape says: exact ns, price and size of each trade."""
        row = self._row(symbol)
        divisor = self.instruments[row].divisor
        return [
            (ts, price / divisor, size)
            for part in self.tape.parts
            for ts, price, size in part[["ts", "price", "size"]][part["row"] == row].tolist()
        ]

    def told_by(self, symbol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exact ns of each trade, and of the packet that was the first to include it."""
        row = self._row(symbol)
        pairs = list(zip(self.tape.parts, self.tape.packets, strict=True))
        ns = np.concatenate([part["ts"][part["row"] == row] for part, _ in pairs])
        return ns, np.concatenate([packets[part["row"] == row] for part, packets in pairs])

    def last_told(self, symbol: str) -> int:
        """The day's volume after the last trade that any packet has told of."""
        row = self._row(symbol)
        return next(
            int(part["volume"][part["row"] == row][-1])
            for part in reversed(self.tape.parts)
            if (part["row"] == row).any()
        )

    def heard(self, symbol: str, start: int, end: int) -> int:
        """Units that traded from ``start`` on and that a packet before ``end`` told of."""
        row = self._row(symbol)
        return sum(
            int(part["size"][(part["row"] == row) & (part["ts"] >= start) & (packets <= end)].sum())
            for part, packets in zip(self.tape.parts, self.tape.packets, strict=True)
        )

    def _row(self, symbol: str) -> int:
        return next(row for row, one in enumerate(self.instruments) if one.symbol == symbol)


def truth(trades: Sequence[tuple[int, float, int]], length_s: int) -> dict[int, tuple[float, ...]]:
    """Open, high, low, close and volume by bucket, from the trades themselves."""
    buckets: dict[int, list[tuple[int, float, int]]] = defaultdict(list)
    for trade in trades:
        buckets[trade[0] // (length_s * S) * length_s * S].append(trade)
    return {
        at: (
            inside[0][1],
            max(one[1] for one in inside),
            min(one[1] for one in inside),
            inside[-1][1],
            float(sum(one[2] for one in inside)),
        )
        for at, inside in buckets.items()
    }
