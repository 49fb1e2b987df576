"""Frames as a broker, or whoever sits between, may spoil them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mdingest.simulators.kite_wire import Frame
from mdingest.simulators.trades import Ints, Trades, no_trades

_UNKNOWN_LENGTH = 12
_LIE = 3
_STEP_BACK = 1_000  # an old total lacks one unit in so many
_NOISE_FRAMES = 12
_LONGEST_NOISE = 400
_FULL_BYTES = 184
_DOUBTFUL = frozenset({"truncate", "back", "lie", "hostile"})


@dataclass(frozen=True, slots=True)
class Damage:
    """What a damaged frame cost: the trades lost, and whether a reader has to doubt the frame.

    ``since_ns``: when the doubt begins, 0 for right now.
    """

    cause: str
    lost: Trades
    doubt: bool
    since_ns: int = 0


def damaged(frame: Frame, kind: str) -> tuple[list[bytes | str], Damage]:
    """What goes out instead of a frame, of which the last message has its packets."""
    trades, lost = frame.trades(), no_trades()
    messages: list[bytes | str]
    match kind:
        case "truncate":
            packet = len(frame) // 2
            lost = Trades(trades[packet:])
            # how much of the torn packet is left depends on the trade in it: any byte, reproducibly
            share = int(lost["noise"][0]) % 1000 / 1000
            messages = [frame.cut_in(packet, share)]
        case "unknown":
            messages = [frame.with_unknown(_UNKNOWN_LENGTH)]
        case "notime":
            messages = [frame.with_field("traded_at", np.zeros_like)]
        case "back":
            messages = [frame.with_field("volume", _older)]
        case "lie":
            messages = [frame.encode(count=len(frame) + _LIE)]
        case "duplicate":
            messages = [frame.encode(), frame.encode()]
        case "hostile":
            messages = [*hostile(int(trades["noise"][0])), frame.encode()]
        case _:
            raise AssertionError(kind)
    return messages, Damage(kind, lost, doubt=kind in _DOUBTFUL)


def hostile(seed: int) -> Iterator[bytes | str]:
    """Frames that no broker would send; the same for the same seed."""
    random = np.random.default_rng(seed)
    for _ in range(_NOISE_FRAMES):
        yield random.bytes(int(random.integers(2, _LONGEST_NOISE)))
    yield b"\xff\xff"  # 65,535 packets, none of them here
    yield b"\x00\x01\xff\xff"  # a packet of 65,535 bytes, none of them here
    yield b"\x00\x05" + bytes(10)  # five packets of no bytes
    yield b"\x00\x01\x00\xb8" + random.bytes(_FULL_BYTES)  # sound, of an instrument nobody knows
    yield ""
    yield "no JSON"
    yield "[" * 10_000  # deeper than a parser may go
    yield '{"type": {"type": []}, "data": null}'
    yield '{"type": "error", "data": {"a": [1e999, "\\ud800"]}}'


def _older(volume: Ints) -> Ints:
    """Totals as they were a while ago."""
    older: Ints = np.maximum(volume - volume // _STEP_BACK - 1, 0)
    return older
