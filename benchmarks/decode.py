"""Decoding of Kite frames: ours beside the broker's own parser and plain ``struct``, in one run.

Each row decodes the same bytes three ways, in turns. Ours does more than the others: it also
maps tokens to instruments and makes absent values NaN.

A regression of the small batches means that a call was added to the path of each batch; one of
the rows of 4,000 packets, that a pass over the columns was. The target, 200 times the official
parser for full packets, 50 a frame, is judged at 1,800 packets and more: what a fully used Kite
key sends in the 50 ms of a batch. Smaller batches cost more a packet, and matter less.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.peers import CANDLE_FIELDS, official_parser
from benchmarks.report import NOT_INSTALLED, Prepare, Row, at_least, main, per_second, rates
from benchmarks.traffic import NS
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.ticks import Packets
from mdingest.providers.base import Frames
from mdingest.providers.kite.decoder import KiteDecoder

TITLE = "decode: Kite packets to columns, packets per CPU second"
_INSTRUMENTS = 3_000
_TARGET = 200.0
_LENGTH = struct.Struct(">H")
_STRUCTS = {44: struct.Struct(">11I"), 184: struct.Struct(">16I" + "IIHH" * 10), 32: struct.Struct(">8I")}
_SECONDS = 0.02  # of work in a measurement


@dataclass(frozen=True)
class Load:
    """What arrives in one batch."""

    kind: str  # full, quote, mixed: full with two index packets in each frame
    per_frame: int
    frames: int
    target: float = 0.0

    @property
    def packets(self) -> int:
        """Packets of a batch."""
        return self.per_frame * self.frames


_LOADS = (
    Load("full", 50, 1),
    Load("full", 50, 10),
    Load("full", 50, 36, target=_TARGET),
    Load("full", 50, 80, target=_TARGET),
    Load("full", 500, 8),
    Load("full", 1, 500),
    Load("quote", 50, 36),
    Load("quote", 500, 8),
    Load("mixed", 50, 36),
)


def run(*, full: bool) -> list[Row]:
    """The table."""
    rng = np.random.default_rng(20261120)
    tokens = [int(n) << 8 | 1 for n in rng.choice(100_000, _INSTRUMENTS, replace=False)]
    decoder = KiteDecoder()
    decoder.subscribe(
        [
            Subscription(str(token), number, 100.0, "always", VolumeKind.CUMULATIVE)
            for number, token in enumerate(tokens, 1)
        ]
    )
    try:
        official = official_parser()
    except ImportError:
        official = None
    rows = []
    for load in _LOADS:
        messages = _messages(load, tokens, rng)
        frames = _frames(messages)
        packets = decoder.decode(frames).packets
        assert len(packets) == load.packets
        ways: dict[str, Prepare] = {
            "ours": _often(load.packets, lambda frames=frames: decoder.decode(frames), 10e6),
            "struct": _often(load.packets, lambda messages=messages: _by_struct(messages), 1.5e6),
        }
        if official is not None:
            _same(packets, messages, official, tokens)
            ways["official parser"] = _often(
                load.packets, lambda messages=messages: _by_official(official, messages), 7e4
            )
        found = rates(15 if full else 7, ways)
        what = f"{load.kind}, {load.per_frame} a frame, {load.packets:,} a batch"
        plain = f"struct {per_second(found['struct'])}"
        if official is None:
            rows.append(Row(what, per_second(found["ours"]), f"official parser {NOT_INSTALLED}, {plain}"))
        else:
            name = f"{plain}, official parser"
            reference = (name, found["official parser"])
            rows.append(at_least(what, found["ours"], reference=reference, ratio=load.target))
    return rows


def _often(packets: int, call: Callable[[], object], guess: float) -> Prepare:
    """``call`` as often as fits into a measurement at about ``guess`` packets a second."""
    times = max(1, round(guess * _SECONDS / packets))

    def work() -> int:
        for _ in range(times):
            call()
        return times * packets

    return lambda: work


def _messages(load: Load, tokens: Sequence[int], rng: np.random.Generator) -> list[bytes]:
    """Random packets of known instruments, their stamps on one day."""

    def packet(size: int) -> bytes:
        words = rng.integers(1, 1 << 30, size // 4, dtype=np.uint32)
        words[0] = rng.choice(tokens)
        return _LENGTH.pack(size) + words.astype(">u4").tobytes()

    messages = []
    for _ in range(load.frames):
        sizes = [44 if load.kind == "quote" else 184] * load.per_frame
        if load.kind == "mixed":
            sizes[3] = sizes[-5] = 32
        messages.append(_LENGTH.pack(load.per_frame) + b"".join(map(packet, sizes)))
    return messages


def _frames(messages: list[bytes]) -> Frames:
    ends = np.cumsum([len(message) for message in messages], dtype=np.int64)
    starts = ends - np.array([len(message) for message in messages])
    rec = np.arange(len(messages), dtype=np.uint32)
    return Frames(1, rec, starts, ends, memoryview(b"".join(messages)))


def _by_struct(messages: list[bytes]) -> None:
    """Every field of every packet, as fast as the standard library gives them."""
    rows: list[tuple[int, ...]] = []
    for message in messages:
        rows.clear()  # a frame's rows may go when the next comes, as a consumer would let them
        at = 2
        for _ in range(_LENGTH.unpack_from(message)[0]):
            (size,) = _LENGTH.unpack_from(message, at)
            rows.append(_STRUCTS[size].unpack_from(message, at + 2))
            at += 2 + size


def _by_official(parse: Callable[[bytes], object], messages: list[bytes]) -> None:
    """The dictionaries of each frame, dropped before the next as by an ``on_ticks`` handler."""
    for message in messages:
        parse(message)


def _same(
    packets: Packets,
    messages: list[bytes],
    parse: Callable[[bytes], list[dict[str, object]]],
    tokens: Sequence[int],
) -> None:
    """Ours and the official parser read the same: a wrong answer is not worth timing."""
    ticks = [tick for message in messages for tick in parse(message)]
    ours = [tokens[row - 1] for row in packets["instrument_id"]]
    assert ours == [tick["instrument_token"] for tick in ticks]
    assert packets["price"].tolist() == [tick["last_price"] for tick in ticks]
    for volume, tick in zip(packets["volume"].tolist(), ticks, strict=True):
        assert volume == tick.get("volume_traded", volume) or volume != volume  # noqa: PLR0124 - NaN: an index
    if len(messages[0]) == 2 + CANDLE_FIELDS.size * len(parse(messages[0])):
        firsts = packets[:: len(packets) // len(messages)]
        fields = [CANDLE_FIELDS.unpack_from(message, 2) for message in messages]
        assert (firsts["ts_trade"] // NS).tolist() == [row[5] for row in fields]
        assert (firsts["ts_exchange"] // NS).tolist() == [row[6] for row in fields]


if __name__ == "__main__":
    main(TITLE, run)
