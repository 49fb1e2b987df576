"""The aggregator: what it passes on, what it discards, and that a saved state goes on the same."""

import asyncio
import io
from collections.abc import Sequence

import numpy as np

from mdingest.core.control import (
    CandleSettings,
    Connect,
    Start,
    Subscription,
    VolumeKind,
    encode,
    encode_subscribe,
)
from mdingest.core.machine import Machine
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.ticks import Packets, empty_packets
from mdingest.pipeline.aggregate import Aggregator, Step
from mdingest.pipeline.channel import Channel, ChannelClosed
from mdingest.pipeline.decoding import BatchDecoder, unpack_state
from mdingest.pipeline.statefile import WriteState
from mdingest.providers.base import BadFrame, Decoded, Frames
from mdingest.telemetry.clock import Clock
from tests.support.tapes import EPOCH, S


class TextDecoder:
    """A feed in plain text, ``instrument volume``: one packet a frame; ``!`` is damage."""

    def __init__(self) -> None:
        self.subs: dict[str, Subscription] = {}

    def subscribe(self, subs: Sequence[Subscription]) -> None:
        self.subs |= {sub.key: sub for sub in subs}

    def unsubscribe(self, keys: Sequence[str]) -> None:
        for key in keys:
            del self.subs[key]

    def decode(self, frames: Frames) -> Decoded:
        out, rows = Decoded(), []
        for rec, start, end in zip(frames.rec, frames.starts, frames.ends, strict=True):
            key, _, volume = bytes(frames.data[start:end]).decode().partition(" ")
            if key == "!":
                out.bad.append(BadFrame(int(rec), frames.stream_id, "a bang"))
            elif key in self.subs:
                rows.append((rec, frames.stream_id, self.subs[key].instrument_id, float(volume)))
            else:
                out.unknown += 1
        out.packets = empty_packets(len(rows))
        for row, (rec, stream, instrument, volume) in zip(out.packets, rows, strict=True):
            row["rec"], row["stream_id"], row["instrument_id"] = rec, stream, instrument
            row["volume"], row["price"] = volume, 100.0 + volume
            row["ts_exchange"] = row["ts_trade"] = EPOCH + int(volume) * S
        return out


def make(_: str) -> TextDecoder:
    return TextDecoder()


SUB = Subscription("a", 7, 1.0, "always", VolumeKind.CUMULATIVE)


class Log:
    """A log in memory, read from an address to its end."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def append(self, *records: tuple[Kind, bytes], at: float = 0.0, lsn: int | None = None) -> Batch:
        end = (self.batches[-1].end if self.batches else 0) if lsn is None else lsn
        rows = [Record(kind, 1, EPOCH + round(at * S), round(at * S), payload) for kind, payload in records]
        batch = decode_batch(memoryview(encode_batch(rows, end)), end)
        self.batches.append(batch)
        return batch

    def begun(self) -> "Log":
        self.append((Kind.START, encode(Start("test"))))
        hello = (Kind.CONNECT, encode(Connect("kite_ws", S)))
        self.append(hello, (Kind.SUBSCRIBE, encode_subscribe([SUB])), at=0.5)
        return self

    def seconds(self, first: int, last: int) -> "Log":
        for n in range(first, last):
            self.append((Kind.FRAME, b"a %d" % n), (Kind.TICK, b""), at=n + 0.9)
        return self

    def source(self, start: int = 0) -> "_Source":
        return _Source([batch for batch in self.batches if batch.lsn >= start])


class _Source:
    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    async def next(self) -> Batch:
        if not self.batches:
            raise ChannelClosed
        return self.batches.pop(0)


def aggregator(*, start: int = 0, committed: int = 0, **options: object) -> Aggregator:
    return Aggregator(
        Machine(CandleSettings()),
        BatchDecoder(make),
        start=start,
        committed=committed,
        **{"clock": Clock(), **options},  # type: ignore[arg-type]
    )


async def steps_of(one: Aggregator, source: _Source) -> list[Step]:
    out: Channel[Step] = Channel(1000)
    await one.run(source, out)
    steps = []
    while out.depth:
        steps.append(await out.get())
    assert out.closed
    return steps


def candles(steps: list[Step]) -> list[tuple[int, float]]:
    rows = np.concatenate([step.events.candles for step in steps])
    return [(int(row["ts"] - EPOCH) // S, float(row["volume"])) for row in rows if row["interval_s"] == 1]


async def test_packets_become_candles_and_the_last_step_ends_where_the_log_does() -> None:
    log = Log().begun().seconds(0, 10)
    steps = await steps_of(aggregator(), log.source())
    assert candles(steps) == [(n, 1.0) for n in range(1, 7)]
    assert steps[-1].end == log.batches[-1].end
    assert [step.end for step in steps] == sorted({step.end for step in steps})


async def test_how_far_streams_have_come_waits_for_rows_to_go_with() -> None:
    log = Log().begun().seconds(0, 10)
    for n in range(20):
        log.append((Kind.FRAME, b"a 9"), at=10 + n / 100)
    steps = await steps_of(aggregator(clock=Clock(shifted=True, speed=0.0)), log.source())
    assert all(step.events.rows for step in steps[:-1])
    assert [step.events.streams.keys() for step in steps[1:]] == [{1}] * (len(steps) - 1)
    assert steps[-1].end == log.batches[-1].end


async def test_what_is_committed_already_is_stepped_and_not_passed_on() -> None:
    log = Log().begun().seconds(0, 20)
    committed = log.batches[12].end
    steps = await steps_of(aggregator(committed=committed), log.source())
    assert all(step.end > committed for step in steps)
    everything = await steps_of(aggregator(), log.source())
    assert candles(steps) == candles([step for step in everything if step.end > committed])


async def test_a_state_saved_anywhere_goes_on_as_if_nothing_had_happened() -> None:
    log = Log().begun().seconds(0, 20)
    saved: list[tuple[int, bytes]] = []

    async def save(lsn: int, write: WriteState) -> None:
        write(out := io.BytesIO())
        saved.append((lsn, out.getvalue()))

    first = aggregator(save_state=save)
    half = log.batches[11].end
    await steps_of(first, _Source(log.batches[:12]))
    ((lsn, payload),) = saved
    assert lsn == half
    decoder = BatchDecoder(make)
    again = Aggregator(
        Machine.restore(unpack_state(payload, decoder)), decoder, start=half, committed=half, clock=Clock()
    )
    rest = await steps_of(again, log.source(half))
    everything = await steps_of(aggregator(), log.source())
    assert candles(rest) == candles([step for step in everything if step.end > half])


async def test_a_hole_in_the_log_is_a_gap_and_no_volume_jumps_over_it() -> None:
    log = Log().begun().seconds(0, 5)
    last = log.batches[-1]
    log.append((Kind.FRAME, b"a 60"), at=60, lsn=last.end + 999)
    log.seconds(61, 70)
    steps = await steps_of(aggregator(), log.source())
    assert max(volume for _, volume in candles(steps)) == 1.0
    gaps = np.concatenate([step.events.gaps for step in steps])
    closed = gaps[gaps["volume"] == 56]
    assert len(closed) == 1
    assert (closed["start"] <= EPOCH + 4 * S).all()
    assert (closed["end"] >= EPOCH + 60 * S).all()


async def test_frames_of_nobody_and_damage_are_counted() -> None:
    log = Log().begun()
    log.append((Kind.FRAME, b"a 1"), (Kind.FRAME, b"!"), (Kind.FRAME, b"z 1"), at=1)
    one = aggregator()
    await steps_of(one, log.source())
    assert one.status.counts["undecodable"] == 1
    assert one.status.counts["unknown"] == 1
    assert one.status.counts["packets.kite_ws"] == 1


async def test_a_full_channel_makes_the_aggregator_wait() -> None:
    log = Log().begun().seconds(0, 30)
    out: Channel[Step] = Channel(1)
    task = asyncio.create_task(aggregator().run(log.source(), out))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not task.done()
    taken = [(await out.get()).end]
    async with asyncio.timeout(5):
        while True:
            try:
                taken.append((await out.get()).end)
            except ChannelClosed:
                break
    await task
    assert taken[-1] == log.batches[-1].end


def test_packets_of_two_streams_come_out_in_record_order() -> None:
    log = Log().begun()
    rows = [
        Record(Kind.CONNECT, 2, EPOCH, 0, encode(Connect("kite_ws", S))),
        Record(
            Kind.SUBSCRIBE,
            2,
            EPOCH,
            0,
            encode_subscribe([Subscription("b", 9, 1.0, "always", VolumeKind.CUMULATIVE)]),
        ),
        *(
            Record(Kind.FRAME, 1 + n % 2, EPOCH, 0, b"%s %d" % (b"ab"[n % 2 : n % 2 + 1], n))
            for n in range(6)
        ),
    ]
    decoder = BatchDecoder(make)
    for batch in log.batches:
        decoder.decode(batch)
    end = log.batches[-1].end
    understood = decoder.decode(decode_batch(memoryview(encode_batch(rows, end)), end))
    packets: Packets = understood.packets
    assert packets["rec"].tolist() == [2, 3, 4, 5, 6, 7]
    assert packets["instrument_id"].tolist() == [7, 9, 7, 9, 7, 9]
