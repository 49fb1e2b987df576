"""What a Kite connection sends, as bytes: a simulated market in frames of a fixed size."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mdingest.core.control import Connect, Start, Subscription, VolumeKind, encode, encode_subscribe
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.session import always_open
from mdingest.simulators.instruments import synthetic_instruments
from mdingest.simulators.kite_wire import Mode, parcels_of
from mdingest.simulators.market import Market, Trades

NS = 1_000_000_000
START_NS = 1_795_150_800 * NS  # 2026-11-20T05:00:00Z
PACKET_BYTES = 186  # a packet in mode full, its length included
RATE = 4.0  # packets per second and instrument: with 9,000 instruments, all that one key carries
_FEED = "kite_ws"


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """Frames of one connection in mode full: first a packet of each instrument, then trades.

    ``at_ns[i]`` is when ``frames[i]`` was sent; ``snapshots`` came at `START_NS`.
    """

    subs: list[Subscription]
    snapshots: list[bytes]
    frames: list[bytes]
    at_ns: list[int]
    packets: int  # in ``frames``


def kite_tape(*, instruments: int, packets: int, per_frame: int) -> Tape:
    """About ``packets`` packets at four a second and instrument."""
    listed = synthetic_instruments(instruments)
    market = Market(listed, start_ns=START_NS, rate=RATE, seed=1)
    snapshots = _frames(market, Trades(market.last), per_frame)
    trades = market.advance(START_NS + round(packets / instruments / RATE * NS))
    ends = [*range(per_frame, len(trades), per_frame), len(trades)]
    return Tape(
        subs=[
            Subscription(str(one.token), row, one.divisor, "always", VolumeKind.CUMULATIVE)
            for row, one in enumerate(listed, 1)
        ],
        snapshots=snapshots,
        frames=_frames(market, trades, per_frame),
        at_ns=[int(trades["ts"][end - 1]) for end in ends],
        packets=len(trades),
    )


def _frames(market: Market, trades: Trades, per_frame: int) -> list[bytes]:
    (parcel,) = parcels_of(market.universe, trades, np.full(len(trades), Mode.FULL, np.int8))
    raw = parcel.packets.tobytes()
    return [
        min(per_frame, len(trades) - begin).to_bytes(2, "big")
        + raw[begin * PACKET_BYTES : (begin + per_frame) * PACKET_BYTES]
        for begin in range(0, len(trades), per_frame)
    ]


def opening(tape: Tape) -> list[Batch]:
    """The batches a journal begins with: all that decoding needs, and the snapshots."""
    table = always_open(dt.date(2026, 11, 19), dt.date(2026, 11, 25))
    controls = [
        Record(Kind.START, 0, START_NS, 0, encode(Start("benchmark"))),
        Record(Kind.CALENDAR, 0, START_NS, 0, json.dumps({"always": table.to_json()}).encode()),
        Record(Kind.CONNECT, 1, START_NS, 0, encode(Connect(_FEED, NS))),
        Record(Kind.SUBSCRIBE, 1, START_NS, 0, encode_subscribe(tape.subs)),
    ]
    snapshots = [Record(Kind.FRAME, 1, START_NS, 0, frame) for frame in tape.snapshots]
    return list(_batched([controls, snapshots]))


def batches(tape: Tape, packets: int) -> list[Batch]:
    """The frames as batches of about ``packets`` packets."""
    frames = [
        Record(Kind.FRAME, 1, at_ns, at_ns - START_NS, frame)
        for frame, at_ns in zip(tape.frames, tape.at_ns, strict=True)
    ]
    each = max(1, round(packets * len(frames) / tape.packets))
    return list(_batched([frames[i : i + each] for i in range(0, len(frames), each)]))


def _batched(groups: Sequence[list[Record]]) -> Iterator[Batch]:
    for group in groups:
        yield decode_batch(memoryview(encode_batch(group, 0)), 0)
