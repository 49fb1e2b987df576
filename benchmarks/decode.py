"""Decoding of Kite frames: ours beside the broker's own parser and plain `struct`, in one run.

    python -m benchmarks.decode [--seconds 0.4]

Each row decodes the same bytes three ways, in turns, so that a busy machine is busy for all
of them; figures are medians of CPU time. Ours does more than the others: it also maps tokens to
instruments and makes absent values NaN.

A regression of the first rows means that a call was added to the path of each batch; one of
the rows of 4,000 packets, that a pass over the columns was. The target, 200 times the
official parser for full packets, 50 a frame, is judged at 1,800 packets: what a fully used
Kite key sends in the 50 ms of a batch. Smaller batches cost more a packet, and matter less.
"""

import argparse
import statistics
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from kiteconnect import KiteTicker

from mdingest.core.control import Subscription, VolumeKind
from mdingest.providers import PROVIDERS
from mdingest.providers.base import Frames

INSTRUMENTS = 3_000
TARGET = 200.0
_QUOTE = struct.Struct(">11I")
_FULL = struct.Struct(">16I" + "IIHH" * 10)
_INDEX = struct.Struct(">8I")
_LENGTH = struct.Struct(">H")
_STRUCTS = {44: _QUOTE, 184: _FULL, 32: _INDEX}


@dataclass(frozen=True)
class Load:
    """What arrives in one batch."""

    kind: str  # full, quote, mixed: full with two index packets in each frame
    per_frame: int
    frames: int
    target: bool = False

    @property
    def packets(self) -> int:
        """Packets of a batch."""
        return self.per_frame * self.frames


LOADS = (
    Load("full", 50, 1),
    Load("full", 50, 10),
    Load("full", 50, 36, target=True),
    Load("full", 50, 80, target=True),
    Load("full", 500, 8),
    Load("full", 1, 500),
    Load("quote", 50, 36),
    Load("quote", 500, 8),
    Load("mixed", 50, 36),
)


def make(load: Load, tokens: Sequence[int], rng: np.random.Generator) -> list[bytes]:
    """Random packets of known instruments."""

    def packet(size: int) -> bytes:
        words = rng.integers(1, 1 << 30, size // 4, dtype=np.uint32)
        words[0] = rng.choice(tokens)
        return words.astype(">u4").tobytes()

    messages = []
    for _ in range(load.frames):
        sizes = [44 if load.kind == "quote" else 184] * load.per_frame
        if load.kind == "mixed":
            sizes[3] = sizes[-5] = 32
        bodies = b"".join(_LENGTH.pack(size) + packet(size) for size in sizes)
        messages.append(_LENGTH.pack(load.per_frame) + bodies)
    return messages


def by_struct(messages: list[bytes]) -> list[tuple[int, ...]]:
    """Every field of every packet, as fast as the standard library gives them."""
    rows: list[tuple[int, ...]] = []
    for message in messages:
        rows.clear()  # a frame's rows may go when the next comes, as a consumer would let them
        at = 2
        for _ in range(_LENGTH.unpack_from(message)[0]):
            (size,) = _LENGTH.unpack_from(message, at)
            rows.append(_STRUCTS[size].unpack_from(message, at + 2))
            at += 2 + size
    return rows


def by_official(parser: KiteTicker, messages: list[bytes]) -> None:
    """The dictionaries of each frame, dropped before the next as by an ``on_ticks`` handler."""
    for message in messages:
        parser._parse_binary(message)  # noqa: SLF001 - all that it does with a binary frame


def in_turns(ways: list[Callable[[], object]], seconds: float) -> list[float]:
    """Median seconds of each way, called one after another until each had its time."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    spent = [0.0] * len(ways)
    while min(spent) < seconds:
        for i, way in enumerate(ways):
            # The slow ones get one call a turn, the fast ones enough for a fair share of noise.
            for _ in range(1 if spent[i] >= seconds else 1 + min(20, round(0.002 / (times[i] or [1])[-1]))):
                begin = time.thread_time()
                way()
                times[i].append(time.thread_time() - begin)
                spent[i] += times[i][-1]
    return [statistics.median(some) for some in times]


def main() -> int:
    """Print the table; exit code 1 if a target is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=0.4, help="per way and row")
    seconds = arguments.parse_args().seconds
    rng = np.random.default_rng(20261120)
    tokens = [int(n) << 8 | 1 for n in rng.choice(100_000, INSTRUMENTS, replace=False)]
    decoder = PROVIDERS["kite_ws"].decoder()
    decoder.subscribe(
        [
            Subscription(str(token), i, 100.0, "always", VolumeKind.CUMULATIVE)
            for i, token in enumerate(tokens, 1)
        ]
    )
    official = KiteTicker("key", "token")
    heads = ("official M/s", 14), ("struct M/s", 12), ("x official", 12), ("x struct", 10)
    print(f"{'load':<34}{'ours M/s':>10}" + "".join(f"{head:>{width}}" for head, width in heads))
    missed = False
    for load in LOADS:
        messages = make(load, tokens, rng)
        ends = np.cumsum([len(message) for message in messages], dtype=np.int64)
        starts = ends - np.array([len(message) for message in messages])
        batch = Frames(
            1, np.arange(load.frames, dtype=np.uint32), starts, ends, memoryview(b"".join(messages))
        )
        assert len(decoder.decode(batch).packets) == load.packets

        ways: list[Callable[[], object]] = [
            lambda batch=batch: decoder.decode(batch),  # type: ignore[misc]
            lambda some=messages: by_official(official, some),  # type: ignore[misc]
            lambda some=messages: by_struct(some),  # type: ignore[misc]
        ]
        ours, theirs, plain = in_turns(ways, seconds)
        below = load.target and theirs / ours < TARGET
        missed |= below
        name = f"{load.kind}, {load.per_frame} a frame, {load.packets} a batch"
        rates = [load.packets / took / 1e6 for took in (ours, theirs, plain)]
        verdict = "  below target" if below else ""
        print(
            f"{name:<34}{rates[0]:>10.2f}{rates[1]:>14.3f}{rates[2]:>12.2f}"
            f"{theirs / ours:>12.0f}{plain / ours:>10.1f}{verdict}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
