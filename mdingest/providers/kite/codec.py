"""Kite's binary frames: where the packets are, and what each kind looks like.

A frame is a big-endian ``u16`` number of packets, then for each a ``u16`` length and that
many bytes. The length alone tells the kind. One byte alone is a heartbeat; ``00 00`` is a
legal frame without packets; text shares the journal's FRAME kind and begins with ``{``,
which as a number of packets would be ten times what one connection may carry.

All numbers are unsigned, big-endian. Sources: kite.trade/docs/connect/v3/websocket and
pykiteconnect 5.2.2 ``ticker.py``, read 2026-11-22.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.rows import distinct
from mdingest.providers.base import BadFrame, Frames

_U2 = np.dtype(">u2")
_U4 = ">u4"
LTP = np.dtype([("token", _U4), ("price", _U4)])
INDEX_QUOTE = np.dtype(
    [  # mind the order: high, low, open
        ("token", _U4),
        ("price", _U4),
        ("day_high", _U4),
        ("day_low", _U4),
        ("day_open", _U4),
        ("close", _U4),  # of the previous session
        ("change", ">i4"),  # no official client reads it
    ]
)
INDEX_FULL = np.dtype([*INDEX_QUOTE.descr, ("ts_exchange", _U4)])  # epoch s
QUOTE = np.dtype(
    [
        ("token", _U4),
        ("price", _U4),
        ("last_quantity", _U4),  # of the last trade only: never to be summed
        ("average_price", _U4),
        ("volume", _U4),  # units since the day began
        ("buy_quantity", _U4),
        ("sell_quantity", _U4),
        ("day_open", _U4),
        ("day_high", _U4),
        ("day_low", _U4),
        ("close", _U4),  # of the previous session while the market is open
    ]
)
FULL = np.dtype(
    [
        *QUOTE.descr,
        ("ts_trade", _U4),  # epoch s, last trade; 0 possible
        ("oi", _U4),
        ("oi_day_high", _U4),
        ("oi_day_low", _U4),
        ("ts_exchange", _U4),  # epoch s, packet generated
    ]
)
"""The first 64 bytes of the 184. Ten levels of depth follow, which candles do not need."""

KINDS = MappingProxyType({8: LTP, 28: INDEX_QUOTE, 32: INDEX_FULL, 44: QUOTE, 184: FULL})
"""Packet length on the wire to layout."""

_COUNT_BYTES = 2
_LENGTH_BYTES = 2
_WITH_HEAD = {
    length: np.dtype([("before", "V2"), ("length", _U2), *layout.descr]) for length, layout in KINDS.items()
}
"""Each layout behind its length, and both behind two bytes that leave them aligned."""
_SMALLEST = _COUNT_BYTES + _LENGTH_BYTES  # of a frame with a packet in it


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Whole packets of many frames, in arrival order; columns of one length."""

    body: NDArray[np.int64]  # where the packet's body begins in the data
    length: NDArray[np.int64] | int  # of the body, bytes; a number if all have the same
    frame: NDArray[np.intp]  # index of its frame
    bad: list[BadFrame]
    texts: int  # frames of text, which carry no packets
    wire: NDArray[np.void] | None = None  # the packets side by side, if that has been done


def locate(frames: Frames, raw: NDArray[np.uint8]) -> Located:
    """Find the packets of all frames. ``raw`` is the frames' data as bytes, not empty.

    Frames whose packets have one length are found together, without a loop; the others are
    walked one by one. On this path each call of numpy counts: they are most of the cost of
    a batch of a few hundred packets.
    """
    starts, sizes = frames.starts, frames.ends - frames.starts
    words = _unaligned(raw, _U2)
    if len(sizes) and int(sizes.min()) >= _SMALLEST:
        step = int(words[starts[0] + _COUNT_BYTES]) + _LENGTH_BYTES
        found = _locate_equal(raw, words, starts, sizes, step)
        if found is not None:
            return found
    live = np.flatnonzero(sizes >= _SMALLEST)  # not: heartbeats, frames without packets, damage
    starts, sizes = starts[live], sizes[live]
    counts = words[starts].astype(np.int64)
    steps = words[starts + _COUNT_BYTES].astype(np.int64) + _LENGTH_BYTES
    uniform = counts * steps == sizes - _COUNT_BYTES
    short = np.flatnonzero(
        (frames.ends - frames.starts < _SMALLEST) & (frames.ends - frames.starts >= _COUNT_BYTES)
    )
    left = np.concatenate((short, live[~uniform]))
    live, starts, counts, steps = live[uniform], starts[uniform], counts[uniform], steps[uniform]
    heads = _heads(starts, counts, steps.repeat(counts))
    frame = live.repeat(counts)
    honest = words[heads] == steps.repeat(counts) - _LENGTH_BYTES
    if not _all(honest):  # the size fits by chance, or the frame lies
        liars = distinct(frame[~honest])
        true = ~np.isin(frame, liars)
        heads, frame = heads[true], frame[true]
        left = np.concatenate((left, liars))
    bad: list[BadFrame] = []
    texts = 0
    if len(left):
        in_frame, more, texts = _walk(frames, np.sort(left), bad)
        frame, heads = np.concatenate((frame, in_frame)), np.concatenate((heads, more))
        order = np.argsort(frame, kind="stable")
        frame, heads = frame[order], heads[order]
    return Located(heads + _LENGTH_BYTES, words[heads].astype(np.int64), frame, bad, texts)


def _locate_equal(
    raw: NDArray[np.uint8],
    words: NDArray[np.uint16],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    step: int,
) -> Located | None:
    """All packets, if all of them lie ``step`` apart, which is what a feed mostly looks like.

    Lengths are looked at where the packets have been copied to: each of them is a miss of the
    cache where it came from, and there need be but one.
    """
    counts = words[starts].astype(np.int64)
    if not _all(counts * step == sizes - _COUNT_BYTES):
        return None
    length = step - _LENGTH_BYTES
    heads = _heads(starts, counts, step)
    with_head, wire = _WITH_HEAD.get(length), None
    if with_head is None:
        if not _all(words[heads] == length):
            return None
        heads += _LENGTH_BYTES
    else:
        heads -= _COUNT_BYTES  # what comes before a length is never less than that
        wire = gather(raw, heads, with_head)
        if not _all(wire["length"] == length):
            return None
        heads += _COUNT_BYTES + _LENGTH_BYTES
    return Located(heads, length, np.arange(len(starts)).repeat(counts), [], 0, wire)


def _heads(
    starts: NDArray[np.int64], counts: NDArray[np.int64], steps: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """Where the lengths of all packets must stand if a frame's packets are ``steps`` apart."""
    first = counts.cumsum()
    total = int(first[-1]) if len(first) else 0
    first -= counts
    heads: NDArray[np.int64]
    if isinstance(steps, int):
        heads = np.arange(_COUNT_BYTES, _COUNT_BYTES + total * steps, steps)
        heads += (starts - first * steps).repeat(counts)
        return heads
    nth = np.arange(total, dtype=np.int64) - first.repeat(counts)
    heads = starts.repeat(counts) + nth * steps
    heads += _COUNT_BYTES
    return heads


def _all(true: NDArray[np.bool_]) -> bool:
    """As ``true.all()``, at half the price for short arrays."""
    return int(np.count_nonzero(true)) == len(true)


def _walk(
    frames: Frames, indices: NDArray[np.intp], bad: list[BadFrame]
) -> tuple[NDArray[np.intp], NDArray[np.int64], int]:
    """Frame and head of each whole packet of these frames, and how many of them are text.

    What is wrong is appended to ``bad``.
    """
    heads: list[int] = []
    counts: list[int] = []
    texts = 0
    for index in indices.tolist():
        before, start = len(heads), int(frames.starts[index])
        view = bytes(frames.data[start : int(frames.ends[index])])
        if view[:1] == b"{" and view[-1:] == b"}":
            texts += 1
        elif error := _walk_one(view, start, heads):
            bad.append(BadFrame(int(frames.rec[index]), frames.stream_id, error))
        counts.append(len(heads) - before)
    return indices.repeat(counts), np.array(heads, np.int64), texts


def _walk_one(view: bytes, start: int, heads: list[int]) -> str:
    """Append where the whole packets of a frame begin, plus ``start``. What is wrong, or nothing."""
    here, size, count, known = _COUNT_BYTES, len(view), view[0] << 8 | view[1], len(heads)
    ends_early = False
    try:
        for _ in range(count):
            after = here + _LENGTH_BYTES + (view[here] << 8 | view[here + 1])
            heads.append(start + here)
            here = after
    except IndexError:  # cheaper than a look at the size for every packet
        ends_early = True
    if here > size:
        del heads[-1]
        return f"packet {len(heads) - known + 1} of {count} is cut off: {here - size} bytes are missing"
    if ends_early:
        return f"frame of {size} bytes ends after {len(heads) - known} of {count} packets"
    if here < size:
        return f"{size - here} bytes follow the last of {count} packets"
    return ""


def newest_stamp(frame: bytes) -> int:
    """The greatest exchange time in the whole packets of one frame, epoch s; 0 if none has one."""
    newest, at = 0, _COUNT_BYTES
    while (body := at + _LENGTH_BYTES) < len(frame):
        length = int.from_bytes(frame[at:body], "big")
        layout = KINDS.get(length)
        if layout is not None and "ts_exchange" in (layout.names or ()) and body + length <= len(frame):
            packet = np.frombuffer(frame, layout, 1, body)
            newest = max(newest, int(packet["ts_exchange"][0]))
        at = body + length
    return newest


def gather(raw: NDArray[np.uint8], body: NDArray[np.int64], layout: np.dtype[Any]) -> NDArray[np.void]:
    """Copy the packets that begin at ``body`` side by side: shape ``(n,)`` of ``layout``.

    One copy for all frames costs about 5 ns a packet; conversion frame by frame costs far
    more in calls (benchmarks/decode.py).
    """
    packets: NDArray[np.void] = _unaligned(raw, np.dtype(f"V{layout.itemsize}"))[body].view(layout)
    return packets


def _unaligned(raw: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The items that begin at each byte. Nothing is copied."""
    items: NDArray[Any] = np.ndarray((max(0, len(raw) - dtype.itemsize + 1),), dtype, raw, strides=(1,))
    return items
