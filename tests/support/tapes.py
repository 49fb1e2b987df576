"""Tapes: records and packets for a machine, told in short sentences or drawn at random.

A `Tape` has a hand clock. Instants in its calls are seconds after ``EPOCH`` (a Friday, 09:30
in India, a quarter of an hour into NSE's regular session), so a test reads like a stopwatch.
"""

import datetime as dt
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from mdingest.core import control
from mdingest.core.control import CandleSettings, Connect, Disconnect, Start, Subscription, VolumeKind
from mdingest.core.events import OPEN_END, Cause, Events
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.session import Session, SessionTable, TradeDay, Window, always_open
from mdingest.core.ticks import Packets, empty_packets
from tests.support.ledger import Ledger, Row, rows_of

S = 1_000_000_000
EPOCH = int(dt.datetime(2026, 11, 20, 4, 0, tzinfo=dt.UTC).timestamp()) * S
DAY_S = 86_400
OPEN_S = -900.0  # NSE's regular session, as seconds after EPOCH
PREOPEN_S = -1_800.0
NAN = math.nan
KITE, BINANCE, UPSTOX = "kite_ws", "binance_ws", "upstox_ws"
NSE, ALWAYS, NOWHERE = "NSE.EQ", "always", "beyond.the.data"


def ns(seconds: float) -> int:
    """The instant ``seconds`` after EPOCH, UTC ns, exact to the microsecond."""
    return EPOCH + round(seconds * 1_000_000) * 1_000


def subscription(
    instrument: int, volume: VolumeKind = VolumeKind.CUMULATIVE, session: str = ""
) -> Subscription:
    """An instrument of that id; trades are always open unless told otherwise."""
    default = ALWAYS if volume is VolumeKind.TRADES else NSE
    return Subscription(f"key{instrument}", instrument, 100.0, session or default, volume)


def indian_days(first: int = -3, last: int = 5) -> SessionTable:
    """Days of NSE around EPOCH, weekend closed: pre-open 09:00 to 09:15, regular to 15:30."""
    midnight = EPOCH - 34_200 * S
    days = []
    for offset in range(first, last):
        start = midnight + offset * DAY_S * S
        date = dt.date(2026, 11, 20) + dt.timedelta(days=offset)
        windows = (
            Window(Session.PREOPEN, start + 32_400 * S, start + 33_300 * S),
            Window(Session.REGULAR, start + 33_300 * S, start + 55_800 * S),
        )
        trading = windows if date.weekday() < 5 else ()
        days.append(TradeDay(date, start, start + DAY_S * S, known=True, windows=trading))
    return SessionTable(days)


def calendar_payload() -> bytes:
    """CALENDAR: `NSE` and `ALWAYS` for the days around EPOCH."""
    tables = {NSE: indian_days(), ALWAYS: always_open(dt.date(2026, 11, 17), dt.date(2026, 11, 26))}
    return json.dumps({name: table.to_json() for name, table in tables.items()}).encode()


class Step(NamedTuple):
    """The arguments of one `Machine.step`."""

    batch: Batch
    packets: Packets
    bad: list[int]


class Steps(Protocol):
    """The machine, or its reference."""

    def step(self, batch: Batch, packets: Packets, bad: Sequence[int] = ()) -> Events:
        """One batch to its rows."""
        ...


@dataclass
class Entry:
    """One record with what decoding made of it."""

    record: Record
    packets: list[dict[str, Any]] = field(default_factory=list)
    bad: bool = False


def step_of(entries: Sequence[Entry], lsn: int = 0) -> Step:
    """The entries as one batch."""
    batch = decode_batch(memoryview(encode_batch([entry.record for entry in entries], lsn)), lsn)
    rows = [(index, packet) for index, entry in enumerate(entries) for packet in entry.packets]
    packets = empty_packets(len(rows))
    for row, (index, packet) in enumerate(rows):
        packets[row]["rec"] = index
        packets[row]["stream_id"] = entries[index].record.stream_id
        for name, value in packet.items():
            packets[row][name] = value
    return Step(batch, packets, [index for index, entry in enumerate(entries) if entry.bad])


def cut(entries: Sequence[Entry], at: Sequence[int]) -> list[Step]:
    """The entries as batches that begin at 0 and at each of ``at``."""
    bounds = sorted({0, len(entries), *(place for place in at if 0 < place < len(entries))})
    steps: list[Step] = []
    lsn = 0
    for low, high in itertools.pairwise(bounds):
        steps.append(step_of(entries[low:high], lsn))
        lsn = steps[-1].batch.end
    return steps


class Tape:
    """Records in the order they are told, with a hand clock.

    ``now`` is true time in seconds after EPOCH; the wall shows ``now + wall_error`` and the
    monotonic clock started at ``mono_zero``.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.wall_error = 0.0
        self.mono_zero = now - 100.0
        self.entries: list[Entry] = []

    def at(self, now: float) -> "Tape":
        """The hand clock shows ``now``."""
        self.now = now
        return self

    def wait(self, seconds: float) -> "Tape":
        """The hand clock goes on."""
        self.now += seconds
        return self

    def record(self, kind: Kind, stream: int = 0, payload: bytes = b"") -> Entry:
        """Any record, stamped now."""
        wall = ns(self.now + self.wall_error)
        mono = round((self.now - self.mono_zero) * 1_000_000) * 1_000
        entry = Entry(Record(kind, stream, wall, mono, payload))
        self.entries.append(entry)
        return entry

    def start(self, settings: CandleSettings | None = None) -> "Tape":
        """A process begins: a new monotonic zero, START and CALENDAR."""
        self.mono_zero = self.now - 1.0
        self.record(Kind.START, payload=control.encode(Start("test", settings or CandleSettings())))
        self.record(Kind.CALENDAR, payload=calendar_payload())
        return self

    def connect(self, stream: int, feed: str, *subs: Subscription) -> "Tape":
        """A stream opens and subscribes."""
        self.record(Kind.CONNECT, stream, control.encode(Connect(feed, S)))
        if subs:
            self.subscribe(stream, *subs)
        return self

    def subscribe(self, stream: int, *subs: Subscription) -> "Tape":
        """More instruments on a stream."""
        self.record(Kind.SUBSCRIBE, stream, control.encode_subscribe(list(subs)))
        return self

    def unsubscribe(self, stream: int, *subs: Subscription) -> "Tape":
        """Fewer."""
        self.record(Kind.UNSUBSCRIBE, stream, control.encode_keys([sub.key for sub in subs]))
        return self

    def disconnect(self, stream: int, cause: str = "disconnect") -> "Tape":
        """A stream ends."""
        self.record(Kind.DISCONNECT, stream, control.encode(Disconnect(cause)))
        return self

    def silence(self, stream: int, cause: str = "mute") -> "Tape":
        """A stream is found mute."""
        self.record(Kind.SILENCE, stream, control.encode(Disconnect(cause)))
        return self

    def lost(self, stream: int, kind: Kind = Kind.SHED) -> "Tape":
        """Frames of a stream (0: of all) were shed or quarantined."""
        self.record(kind, stream, control.encode(control.Lost(1)))
        return self

    def tick(self) -> "Tape":
        """The once-a-second record."""
        self.record(Kind.TICK)
        return self

    def frame(self, stream: int, *packets: dict[str, Any], bad: bool = False) -> "Tape":
        """A frame and what was decoded from it; without packets a heartbeat."""
        entry = self.record(Kind.FRAME, stream)
        entry.packets = list(packets)
        entry.bad = bad
        return self

    def take(self) -> Step:
        """All entries so far as one batch; the tape is then empty."""
        step = step_of(self.entries)
        self.entries = []
        return step


def packet(
    instrument: int, *, t: float | None = None, x: float | None = None, **columns: float
) -> dict[str, Any]:
    """A packet with its last trade at ``t`` and stamped ``x``, in seconds after EPOCH."""
    row: dict[str, Any] = {"instrument_id": instrument, **columns}
    if t is not None:
        row["ts_trade"] = ns(t)
    if x is not None:
        row["ts_exchange"] = ns(x)
    return row


def _span(start: int, end: int) -> tuple[float, float]:
    return (start - EPOCH) / S, math.inf if end == OPEN_END else (end - EPOCH) / S


class Story:
    """A tape, a machine that hears it, and what a store would hold by now.

    Each call but those of the clock is one batch, stepped at once.
    """

    def __init__(self, machine: Steps, now: float = 0.0) -> None:
        self.machine = machine
        self.tape = Tape(now)
        self.ledger = Ledger()
        self.last = Events()

    def __getattr__(self, name: str) -> Callable[..., "Story"]:
        """Every sentence of `Tape`, followed by a step."""
        told = getattr(self.tape, name)

        def tell(*args: object, **kwargs: object) -> Story:
            told(*args, **kwargs)
            if self.tape.entries:
                self.run()
            return self

        return tell

    def run(self) -> Events:
        """Step what was told since."""
        self.last = self.machine.step(*self.tape.take())
        self.ledger.apply(self.last)
        return self.last

    def kite(self, *instruments: int, stream: int = 1) -> "Story":
        """Kite opens with those instruments; each gets a snapshot of price 100, volume 1,000."""
        self.connect(stream, KITE, *(subscription(number) for number in instruments))
        for number in instruments:
            self.frame(
                stream,
                packet(number, t=self.tape.now - 10, x=self.tape.now, price=100.0, volume=1000.0),
            )
        return self

    def kite_again(self, instrument: int, volume: float, t: float = -10.0, stream: int = 1) -> "Story":
        """Kite opens once more, and its snapshot shows that volume and last trade time."""
        self.connect(stream, KITE, subscription(instrument))
        return self.frame(stream, packet(instrument, t=t, x=self.tape.now, price=100.0, volume=volume))

    def trade(
        self, instrument: int, at: float, price: float, volume: float, stream: int = 1, **columns: float
    ) -> "Story":
        """At ``at`` a packet shows a trade of that very instant, the day's volume now ``volume``."""
        self.tape.at(at)
        return self.frame(stream, packet(instrument, t=at, x=at, price=price, volume=volume, **columns))

    def pass_to(self, now: float) -> "Story":
        """Silence, but for a TICK, until ``now``."""
        self.tape.at(now)
        return self.tick()

    def candle(self, instrument: int, second: int, interval: int = 1) -> Row | None:
        """The stored candle that opens ``second`` after EPOCH."""
        found = [
            row
            for row in self.ledger.candles.values()
            if (row["instrument_id"], row["interval_s"], row["ts"]) == (instrument, interval, ns(second))
        ]
        assert len(found) <= 1, "one feed per story"
        return found[0] if found else None

    def emitted(self, instrument: int, interval: int = 1) -> list[int]:
        """Openings of the candles of the last step, seconds after EPOCH."""
        return [
            (row["ts"] - EPOCH) // S
            for row in rows_of(self.last.candles)
            if (row["instrument_id"], row["interval_s"]) == (instrument, interval)
        ]

    def gaps(self, instrument: int) -> list[tuple[float, float, str, float | None]]:
        """Gaps as (start, end, cause, volume), seconds after EPOCH, infinite while open."""
        return sorted(
            (
                *_span(start, end),
                Cause(cause).text,
                volume,
            )
            for (_, owner, start, cause), (end, volume) in self.ledger.real_gaps().items()
            if owner == instrument
        )

    def coverage(self, instrument: int) -> list[tuple[float, float]]:
        """Coverage, seconds after EPOCH, infinite while open."""
        return sorted(
            _span(start, end)
            for (_, owner, start), (end, _) in self.ledger.real_coverage().items()
            if owner == instrument
        )
