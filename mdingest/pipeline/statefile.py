"""State files: where to go on from, so that a restart need not step through the whole log.

A file holds the machine's state after all batches below an address. It is only a shortcut:
any of them may be missing or damaged, and an older one, or none, leads to the same candles.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from mdingest.core.saving import Writable
from mdingest.errors import JournalError
from mdingest.pipeline.tail import sync_directory, write_error

SUFFIX = ".mds"
NEWEST_KEPT = 2

_HEADER = struct.Struct("<4sI16sQQI")  # magic, format, journal uuid, lsn, payload length, crc32 of all else
_MAGIC = b"MDST"
_PLAIN, _FORMAT = 1, 2  # the state as it is, and compressed: with 9,000 instruments 20 MB become 3

WriteState = Callable[[Writable], object]
"""Writes a state to whatever it is given."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Saved:
    """A state that can be trusted: everything below ``lsn`` is in it."""

    lsn: int
    payload: bytes


class StateFiles:
    """The state files of one journal, beside its segments.

    ``segments`` tells the first addresses of the journal's files: the two newest states and
    one for each segment are kept, the rest is deleted at each save.
    """

    def __init__(self, directory: Path, journal: str, segments: Callable[[], Sequence[int]]) -> None:
        self._directory = directory
        self._journal = UUID(journal).bytes
        self._segments = segments

    async def save(self, lsn: int, write: WriteState) -> None:
        """Have a state written beside the old ones; after a power loss it is there whole or not at all.

        ``write`` is called in a thread. Raises JournalError; the older states are untouched then.
        A cancelled save goes on in its thread: it may or may not happen.
        """
        await asyncio.to_thread(self._save, lsn, write, tuple(self._segments()))

    def load_newest(self, at_or_below: int) -> Saved | None:
        """The newest state that is whole, of this journal, and not beyond an address.

        Those that are not are logged and passed over. Blocks.
        """
        for lsn, path in reversed(self._files()):
            if lsn > at_or_below:
                continue
            saved = self._load(path, lsn)
            if saved is not None:
                return saved
        return None

    def load_oldest(self, at_or_behind: int) -> Saved | None:
        """The oldest state that is whole, of this journal, and not before an address. Blocks."""
        for lsn, path in self._files():
            if lsn >= at_or_behind and (saved := self._load(path, lsn)) is not None:
                return saved
        return None

    def forget_beyond(self, end_lsn: int) -> None:
        """Delete states of what may become another log: a tail that was cut off, or may be shed. Blocks."""
        for lsn, path in self._files():
            if lsn > end_lsn:
                log.warning("state.forgotten", file=path.name, log_end=end_lsn)
                path.unlink(missing_ok=True)

    def _save(self, lsn: int, write: WriteState, segments: Sequence[int]) -> None:
        path = self._directory / f"{lsn:020d}{SUFFIX}"
        fresh = path.with_name(path.name + ".new")
        try:
            packed = _Packed()
            write(packed)
            packed.end()
            head = _HEADER.pack(_MAGIC, _FORMAT, self._journal, lsn, packed.size, 0)[:-4]
            crc = zlib.crc32(head)
            for part in packed.parts:
                crc = zlib.crc32(part, crc)
            with fresh.open("wb") as file:
                file.write(head + struct.pack("<I", crc))
                file.writelines(packed.parts)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
            sync_directory(self._directory)
            for old in self._surplus(segments):
                old.unlink(missing_ok=True)
        except OSError as exc:
            fresh.unlink(missing_ok=True)
            raise write_error(exc, path) from exc

    def _surplus(self, segments: Sequence[int]) -> list[Path]:
        files = self._files()
        keep = {lsn for lsn, _ in files[-NEWEST_KEPT:]}
        for first, behind in zip(segments, (*segments[1:], None), strict=True):
            inside = [lsn for lsn, _ in files if first <= lsn and (behind is None or lsn < behind)]
            keep.update(inside[:1])  # the earliest: from it most of the segment can be stepped
        return [path for lsn, path in files if lsn not in keep]

    def _files(self) -> list[tuple[int, Path]]:
        named = [p for p in self._directory.glob(f"*{SUFFIX}") if p.stem.isdecimal()]
        return sorted((int(p.stem), p) for p in named)

    def _load(self, path: Path, lsn: int) -> Saved | None:
        try:
            return Saved(lsn, self._checked(path.read_bytes(), lsn))
        except (JournalError, OSError) as exc:
            log.warning("state.unusable", file=path.name, error=str(exc))
            return None

    def _checked(self, raw: bytes, lsn: int) -> bytes:
        if len(raw) < _HEADER.size:
            raise JournalError("cut off in its header")
        magic, version, journal, found, length, crc = _HEADER.unpack_from(raw)
        if magic != _MAGIC or version not in (_PLAIN, _FORMAT):
            raise JournalError("not a state file of this version")
        payload = raw[_HEADER.size :]
        if len(payload) != length or zlib.crc32(payload, zlib.crc32(raw[: _HEADER.size - 4])) != crc:
            raise JournalError("damaged")
        if journal != self._journal or found != lsn:
            raise JournalError("of another journal or address")
        return payload if version == _PLAIN else _decompressed(payload)


class _Packed:
    """Compresses what is written to it; ``parts`` are all of it after the `end`."""

    def __init__(self) -> None:
        from zstandard import ZstdCompressor  # see `pipeline.packed`

        self.parts: list[bytes] = []
        self._compressor = ZstdCompressor(level=1).compressobj()

    def write(self, data: bytes, /) -> None:
        """As of a file."""
        if part := self._compressor.compress(data):
            self.parts.append(part)

    def end(self) -> None:
        """Nothing more is written."""
        self.parts.append(self._compressor.flush())

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, self.parts))


def _decompressed(raw: bytes) -> bytes:
    from zstandard import ZstdDecompressor

    return ZstdDecompressor().decompressobj().decompress(raw)
