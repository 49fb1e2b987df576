"""Records and batches: what the journal holds and the machine steps through.

A *batch* is what arrived within a few milliseconds. It is the unit of append, checksum,
decode and step, so that a replay steps the very same cuts. Its layout on disk is columnar,
little-endian: the header, then ``wall i64[n]``, ``mono i64[n]``, ``stream u32[n]``,
``length u32[n]``, ``kind u8[n]``, then all payloads one after another.

An address (LSN) is the byte position of a batch in the endless log, counted from the very
first batch; file headers don't count.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.errors import JournalError

_HEADER = struct.Struct("<4sIIIQ")  # magic, body length, crc32 of what follows it, records, lsn
_MAGIC = b"MDB1"
_ROW = 8 + 8 + 4 + 4 + 1
HEADER_BYTES = _HEADER.size
MAX_BODY_BYTES = 1 << 28  # far above any real batch; a longer length is damage, not data


class Kind(IntEnum):
    """What a record says. The payload of all but FRAME is JSON (see `core.control`)."""

    START = 1
    CALENDAR = 2
    CONNECT = 3
    SUBSCRIBE = 4
    UNSUBSCRIBE = 5
    DISCONNECT = 6
    SILENCE = 7
    FRAME = 8
    TICK = 9
    QUARANTINE = 10
    SHED = 11


class Record(NamedTuple):
    """One record. ``stream_id`` 0 stands for the whole process; clocks are ns."""

    kind: Kind
    stream_id: int
    wall_ns: int
    mono_ns: int
    payload: bytes


@dataclass(frozen=True, eq=False)
class Batch:
    """``n`` records as columns over the bytes of the log.

    Each column is made when it is first asked for: by whoever steps through several batches at
    once, and not by whoever appends one and goes back to the sockets.
    """

    lsn: int
    end: int  # the address just behind this batch
    n: int
    body: memoryview  # what follows the header

    def __len__(self) -> int:
        return self.n

    @cached_property
    def wall_ns(self) -> NDArray[np.int64]:
        """``(n,)``, UTC."""
        return np.frombuffer(self.body, "<i8", self.n, 0)

    @cached_property
    def mono_ns(self) -> NDArray[np.int64]:
        """``(n,)``, of the monotonic clock of the process that wrote it."""
        return np.frombuffer(self.body, "<i8", self.n, 8 * self.n)

    @cached_property
    def streams(self) -> NDArray[np.uint32]:
        """``(n,)``."""
        return np.frombuffer(self.body, "<u4", self.n, 16 * self.n)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """``(n + 1,)``: where in ``data`` each payload begins, and the end of the last."""
        offsets = np.zeros(self.n + 1, np.int64)
        np.frombuffer(self.body, "<u4", self.n, 20 * self.n).cumsum(out=offsets[1:])
        return offsets

    @cached_property
    def kinds(self) -> NDArray[np.uint8]:
        """``(n,)``, of `Kind`."""
        return np.frombuffer(self.body, np.uint8, self.n, 24 * self.n)

    @cached_property
    def data(self) -> memoryview:
        """All payloads, one after another."""
        return self.body[_ROW * self.n :]

    def payload(self, index: int) -> bytes:
        """The payload of one record."""
        return bytes(self.data[int(self.offsets[index]) : int(self.offsets[index + 1])])

    def records(self) -> Iterator[Record]:
        """Row by row; for tests and tools, not for the hot path."""
        for i in range(len(self)):
            yield Record(
                Kind(int(self.kinds[i])),
                int(self.streams[i]),
                int(self.wall_ns[i]),
                int(self.mono_ns[i]),
                self.payload(i),
            )


def encode_batch(records: list[Record], lsn: int) -> bytes:
    """The bytes of one batch at address ``lsn``. ``records`` must not be empty."""
    n = len(records)
    kinds, streams, walls, monos, payloads = zip(*records, strict=True)
    body = b"".join(
        (
            struct.pack(f"<{n}q", *walls),
            struct.pack(f"<{n}q", *monos),
            struct.pack(f"<{n}I", *streams),
            struct.pack(f"<{n}I", *map(len, payloads)),
            bytes(kinds),
            *payloads,
        )
    )
    tail = _HEADER.pack(_MAGIC, len(body), 0, n, lsn)[12:]
    return _HEADER.pack(_MAGIC, len(body), zlib.crc32(body, zlib.crc32(tail)), n, lsn) + body


def decode_batch(raw: memoryview, lsn: int) -> Batch:
    """The batch that begins at ``raw[0]``; ``raw`` may hold more behind it.

    Raises JournalError if the bytes are cut short, damaged, or carry another address than
    ``lsn``: a torn tail and a bit flip look the same, and both end the usable log.
    """
    if len(raw) < HEADER_BYTES:
        raise JournalError(f"batch at {lsn} is cut off in its header")
    magic, length, crc, n, found = _HEADER.unpack_from(raw)
    if magic != _MAGIC or found != lsn or length > MAX_BODY_BYTES or n == 0 or n * _ROW > length:
        raise JournalError(f"no batch header at {lsn}")
    if len(raw) < HEADER_BYTES + length:
        raise JournalError(f"batch at {lsn} is cut off: {len(raw)} of {HEADER_BYTES + length} bytes")
    body = raw[HEADER_BYTES : HEADER_BYTES + length]
    if zlib.crc32(body, zlib.crc32(raw[12:HEADER_BYTES])) != crc:
        raise JournalError(f"batch at {lsn} fails its checksum")
    batch = Batch(lsn, lsn + HEADER_BYTES + length, n, body)
    if int(batch.offsets[-1]) != len(batch.data):
        raise JournalError(f"batch at {lsn}: payload lengths don't add up")
    return batch


def encoded(raw: bytes, n: int, lsn: int) -> Batch:
    """The batch of ``n`` records that `encode_batch` has just made: there is nothing to check."""
    return Batch(lsn, lsn + len(raw), n, memoryview(raw)[HEADER_BYTES:])
