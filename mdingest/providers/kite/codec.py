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

from mdingest.providers.base import BadFrame, Frames

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


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Whole packets of many frames, in arrival order; columns of one length."""

    body: NDArray[np.int64]  # where the packet's body begins in the data
    length: NDArray[np.int64]  # of the body, bytes
    frame: NDArray[np.intp]  # index of its frame
    bad: list[BadFrame]
    texts: int  # frames of text, which carry no packets


def locate(frames: Frames, raw: NDArray[np.uint8]) -> Located:
    """Find the packets of all frames. ``raw`` is the frames' data as bytes.

    Frames whose packets have one length are found together, without a loop; the others are
    walked one by one.
    """
    sizes = frames.ends - frames.starts
    live = np.flatnonzero(sizes >= _COUNT_BYTES)  # shorter is a heartbeat
    starts, ends = frames.starts[live], frames.ends[live]
    text = (raw[starts] == ord("{")) & (raw[ends - 1] == ord("}"))
    texts = int(np.count_nonzero(text))
    if texts:
        live, starts, ends = live[~text], starts[~text], ends[~text]
    body, length, frame, left = _locate_uniform(raw, live, starts, ends)
    bad: list[BadFrame] = []
    if len(left):
        walked = [_walk(frames, int(i), bad) for i in left]
        counts = np.fromiter(map(len, walked), np.intp, len(walked))
        pairs = np.array([pair for found in walked for pair in found], np.int64).reshape(-1, 2)
        frame = np.concatenate((frame, np.repeat(left, counts)))
        order = np.argsort(frame, kind="stable")
        frame = frame[order]
        body = np.concatenate((body, pairs[:, 0]))[order]
        length = np.concatenate((length, pairs[:, 1]))[order]
    return Located(body, length, frame, bad, texts)


def _locate_uniform(
    raw: NDArray[np.uint8], live: NDArray[np.intp], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """Packets of the frames that hold packets of one length, and the frames that do not.

    A frame's size, count and first length say where its other lengths must stand if it is
    uniform; whether they do is looked up for all packets of all frames at once.
    """
    words = _unaligned(raw, np.dtype(">u2"))
    counts = words[starts].astype(np.int64)
    fits = ends - starts >= _COUNT_BYTES + _LENGTH_BYTES
    step = words[np.where(fits, starts + _COUNT_BYTES, starts)].astype(np.int64) + _LENGTH_BYTES
    uniform = fits & (ends - starts == _COUNT_BYTES + counts * step) & (counts > 0)
    nothing = (counts == 0) & (ends - starts == _COUNT_BYTES)
    left = live[~(uniform | nothing)]
    if not uniform.all():
        live, starts, counts, step = live[uniform], starts[uniform], counts[uniform], step[uniform]
    if not len(live):
        none = np.empty(0, np.int64)
        return none, none, live, left
    total = int(counts.sum())
    if (counts == counts[0]).all() and (step == step[0]).all():
        grid = np.arange(counts[0], dtype=np.int64) * step[0]
        heads = ((starts + _COUNT_BYTES)[:, None] + grid).reshape(-1)
        found = words[heads]
        honest = found == step[0] - _LENGTH_BYTES
        length = np.full(total, step[0] - _LENGTH_BYTES)
    else:
        steps = np.repeat(step, counts)
        first = np.cumsum(counts) - counts
        nth = np.arange(total, dtype=np.int64) - np.repeat(first, counts)
        heads = np.repeat(starts + _COUNT_BYTES, counts) + nth * steps
        length = steps - _LENGTH_BYTES
        honest = words[heads] == length
    frame = np.repeat(live, counts)
    body = heads + _LENGTH_BYTES
    if not honest.all():
        lying = np.unique(frame[~honest])
        keep = ~np.isin(frame, lying)
        body, length, frame = body[keep], length[keep], frame[keep]
        left = np.union1d(left, lying)
    return body, length, frame, left


def _walk(frames: Frames, index: int, bad: list[BadFrame]) -> list[tuple[int, int]]:
    """Body and length of each whole packet of one frame; what is wrong goes to ``bad``."""
    at, end, data = int(frames.starts[index]), int(frames.ends[index]), frames.data
    view = bytes(data[at:end])
    count = view[0] << 8 | view[1]
    found: list[tuple[int, int]] = []
    here, size, error = _COUNT_BYTES, len(view), ""
    while len(found) < count:
        body = here + _LENGTH_BYTES
        if body > size:
            error = f"frame of {size} bytes ends after {len(found)} of {count} packets"
            break
        length = view[here] << 8 | view[here + 1]
        here = body + length
        if here > size:
            error = f"packet {len(found) + 1} of {count} is cut off: {size - body} of {length} bytes"
            break
        found.append((at + body, length))
    else:
        if here != size:
            error = f"{size - here} bytes follow the last of {count} packets"
    if error:
        bad.append(BadFrame(int(frames.rec[index]), frames.stream_id, error))
    return found


def gather(raw: NDArray[np.uint8], body: NDArray[np.int64], layout: np.dtype[Any]) -> NDArray[np.void]:
    """Copy the packets that begin at ``body`` side by side: shape ``(n,)`` of ``layout``.

    One copy for all frames costs about 5 ns a packet; conversion frame by frame costs far
    more in calls (benchmarks/decode.py).
    """
    packets: NDArray[np.void] = _unaligned(raw, np.dtype(f"V{layout.itemsize}"))[body].view(layout)
    return packets


def _unaligned(raw: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The items that begin at each byte. Nothing is copied."""
    return np.ndarray((max(0, len(raw) - dtype.itemsize + 1),), dtype, raw, strides=(1,))
