"""Segments: the files of the journal, how they are named, checked and read.

A segment is a 36-byte header and then batches, one behind the other (`core.records`); it may
have been packed since (`pipeline.packed`), under the same name. It is named by the address
(LSN) of its first batch, so a directory listing is the index of the log. Reading needs no lock
and keeps one piece of `CHUNK_BYTES` in memory: what a live writer or a `replay` beside it does
at the same time is never in the way.
"""

import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from mdingest.core.records import HEADER_BYTES as BATCH_HEADER_BYTES
from mdingest.core.records import MAX_BODY_BYTES, Batch, decode_batch
from mdingest.errors import CantRead, Deleted, JournalError
from mdingest.pipeline import packed
from mdingest.pipeline.packed import Piece

SUFFIX = ".mdj"
FORMAT = 1
CHUNK_BYTES = 1 << 20

_HEADER = struct.Struct("<4sI16sQI")  # magic, format, journal uuid, first lsn, crc32 of those
_MAGIC = b"MDJL"
HEADER_BYTES = _HEADER.size
_BODY_LENGTH = struct.Struct("<4xI")  # every batch begins with its magic and the length of its body


class DamagedHeader(JournalError):
    """A segment whose header was torn or flipped: its uuid can't be trusted."""


class ForeignFile(JournalError):
    """Nothing says that it was ever a segment, but its name."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file. It holds the addresses from ``first`` on."""

    path: Path
    first: int
    journal: UUID

    def end(self) -> int:
        """The address behind its last byte, as the file stands now."""
        with _opened(self.path) as fd:
            header = _packed_header(fd)
            if header is not None:
                return packed.read_ending(fd, header)
            return self.first + max(0, os.fstat(fd).st_size - HEADER_BYTES)

    @property
    def size(self) -> int:
        """What it takes on the disk; 0 if it was deleted."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def packed(self) -> bool:
        """Whether it is, as the file stands now."""
        with _opened(self.path) as fd:
            return _packed_header(fd) is not None


@dataclass(frozen=True, slots=True)
class Damage:
    """Addresses ``[lsn, resume)`` that can't be read, and why."""

    path: Path
    lsn: int
    resume: int
    reason: str
    tail: bool = False  # nothing readable follows: a torn end, or a writer in the middle of a write

    def __str__(self) -> str:
        return f"{self.path.name}: addresses {self.lsn} to {self.resume} can't be read: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Batches one after another; ``resume`` is where to read next. No batch, no damage: the end."""

    batches: list[Batch]
    resume: int
    damage: Damage | None = None


def segment_name(first: int) -> str:
    """File name of the segment that begins at this address."""
    return f"{first:020d}{SUFFIX}"


def encode_header(journal: UUID, first: int, version: int = FORMAT) -> bytes:
    """The bytes a segment begins with."""
    head = _HEADER.pack(_MAGIC, version, journal.bytes, first, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def read_header(path: Path) -> Segment:
    """Check one file's header.

    Raises DamagedHeader if it was ours and is torn, ForeignFile if it is not known to be ours,
    JournalError if it is of another format, or not where it belongs.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(HEADER_BYTES)
    except OSError as exc:
        raise CantRead(f"{path} can't be read: {exc.strerror}", exc.errno) from exc
    if len(raw) < HEADER_BYTES or not any(raw):  # power was lost before the header was on the disk
        raise DamagedHeader(f"{path} has no complete header")
    magic, version, journal, first, crc = _HEADER.unpack(raw)
    if magic != _MAGIC and zlib.crc32(_MAGIC + raw[4:-4]) != crc:  # else only the magic was flipped
        raise ForeignFile(f"{path} is not a journal segment of mdingest; move it elsewhere")
    if zlib.crc32(raw[:-4]) != crc:
        raise DamagedHeader(f"{path} has a damaged header")
    if version not in (FORMAT, packed.FORMAT):
        raise JournalError(
            f"{path} is in journal format {version}, this version reads {FORMAT} and {packed.FORMAT}: "
            "a newer version wrote it; install that, or move the directory elsewhere"
        )
    if segment_name(first) != path.name:
        raise JournalError(f"{path} begins at {first}: it was renamed or copied from elsewhere")
    return Segment(path, first, UUID(bytes=journal))


def fits(path: Path, header: bytes) -> bool:
    """Whether what stands behind a file's header is what this other header would announce.

    A batch knows its address; the end of a packed segment is checked with its header. Raises CantRead.
    """
    _, version, _, first, _ = _HEADER.unpack(header)
    with _opened(path) as fd:
        try:
            if version == packed.FORMAT:
                packed.read_ending(fd, header)
            else:
                _raw_batches(fd, first, first, first + max(0, os.fstat(fd).st_size - HEADER_BYTES))
        except JournalError:
            return False
    return True


def segment_paths(directory: Path) -> list[Path]:
    """All files named like segments, oldest first. Other files are none of our business."""
    names = [p for p in directory.glob(f"*{SUFFIX}") if len(p.stem) == 20 and p.stem.isdecimal()]  # noqa: PLR2004
    return sorted(names)


def one_journal(segments: Sequence[Segment]) -> UUID:
    """The uuid they all carry. Raises JournalError if there are two; ``segments`` isn't empty."""
    for other in segments[1:]:
        if other.journal != segments[0].journal:
            raise JournalError(
                f"two journals in one directory: {segments[0].path} is of {segments[0].journal}, "
                f"{other.path.name} is of {other.journal}; move one of them elsewhere"
            )
    return segments[0].journal


def read_batches(path: Path, first: int, lsn: int, stop: int) -> list[Batch]:
    """About `CHUNK_BYTES` of batches from ``lsn`` on, at least one; none reaches beyond ``stop``.

    Raises JournalError if the batch at ``lsn`` is bad; a bad one further on only ends the list.
    Safe in any thread.
    """
    with _opened(path) as fd:
        header = _packed_header(fd)
        if header is not None:
            return packed.read_batches(fd, header, lsn)
        return _raw_batches(fd, first, lsn, stop)[0]


def pieces(segment: Segment) -> Iterator[Piece]:
    """All of a segment, in parts of about `CHUNK_BYTES` that end between batches.

    Raises JournalError where damage begins.
    """
    lsn, stop = segment.first, segment.end()
    with _opened(segment.path) as fd:
        header = _packed_header(fd)
        if header is not None:
            yield from packed.pieces(fd, header)
            return
        while lsn < stop:
            batches, raw = _raw_batches(fd, segment.first, lsn, stop)
            end = batches[-1].end
            yield lsn, end, raw[: end - lsn]
            lsn = end


def _raw_batches(fd: int, first: int, lsn: int, stop: int) -> tuple[list[Batch], memoryview]:
    """The batches of a segment that is not packed, and the bytes they were read from."""
    raw = memoryview(os.pread(fd, min(CHUNK_BYTES, stop - lsn), HEADER_BYTES + lsn - first))
    wanted = _batch_bytes(raw, 0)
    if len(raw) < wanted <= stop - lsn:  # one batch longer than a chunk
        raw = memoryview(os.pread(fd, wanted, HEADER_BYTES + lsn - first))
    batches = [decode_batch(raw, lsn)]
    while True:
        at = batches[-1].end - lsn
        if at >= len(raw) or len(raw) - at < _batch_bytes(raw, at):
            return batches, raw
        try:
            batches.append(decode_batch(raw[at:], lsn + at))
        except JournalError:  # the next call begins at it and says so
            return batches, raw


def read_some(segments: Sequence[Segment], lsn: int, end: int | None) -> Chunk:
    """The next piece of the log from address ``lsn`` on.

    ``segments`` by address; ``end`` is what the writer has published, or None beside a writer
    of another process: then the log ends at the first bad batch of the last segment. Raises
    JournalError for an address before the first segment, and CantRead where the system lacks
    files or memory right now. Safe in any thread.
    """
    index = bisect_right(segments, lsn, key=lambda s: s.first) - 1
    if index < 0:
        begin = f"begins at {segments[0].first}" if segments else "is empty"
        raise JournalError(f"address {lsn} was asked for, but the journal {begin}")
    segment = segments[index]
    resume = end if index + 1 == len(segments) else segments[index + 1].first
    on_disk = _end_of(segment, resume)
    limit = on_disk if resume is None else resume
    if lsn == limit:
        return Chunk([], lsn)
    if lsn > limit:
        raise JournalError(f"address {lsn} was asked for, but the journal ends at {limit}")
    try:
        if lsn >= on_disk:
            raise JournalError(f"the segment ends at {on_disk}")  # noqa: TRY301 - one handler for all damage
        batches = read_batches(segment.path, segment.first, lsn, min(on_disk, limit))
    except packed.DamagedBlock as exc:
        return Chunk([], exc.resume, Damage(segment.path, lsn, exc.resume, str(exc)))
    except JournalError as exc:
        if isinstance(exc, CantRead) and exc.passing:  # no reason to step over what was received
            raise
        damage = Damage(segment.path, lsn, limit, str(exc), tail=resume is None)
        return Chunk([], damage.resume, damage)
    return Chunk(batches, batches[-1].end)


def _end_of(segment: Segment, following: int | None) -> int:
    """Where it ends; where the next one begins if that is damaged, its own begin if it was deleted."""
    try:
        return segment.end()
    except (packed.DamagedEnding, Deleted) as exc:
        if following is None:
            raise
        return segment.first if isinstance(exc, Deleted) else following


def report(damage: Damage, on_damage: Callable[[Damage], None] | None) -> None:
    """Hand damage to whoever can record it; raises JournalError if nobody does."""
    if on_damage is None:
        raise JournalError(
            f"{damage.path}: addresses {damage.lsn} to {damage.resume} can't be read: {damage.reason}"
        )
    on_damage(damage)


def _batch_bytes(raw: memoryview, at: int) -> int:
    if len(raw) - at < BATCH_HEADER_BYTES:
        return BATCH_HEADER_BYTES
    (length,) = _BODY_LENGTH.unpack_from(raw, at)
    return BATCH_HEADER_BYTES + min(int(length), MAX_BODY_BYTES)


def _packed_header(fd: int) -> bytes | None:
    """The header of a packed segment; None if it is not packed."""
    raw = os.pread(fd, HEADER_BYTES, 0)
    if len(raw) == HEADER_BYTES and _HEADER.unpack(raw)[1] == packed.FORMAT:
        return raw
    return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file, for reading; what the system refuses meanwhile becomes a JournalError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    except FileNotFoundError as exc:
        raise Deleted(f"{path} was deleted while it was read") from exc
    except OSError as exc:
        raise CantRead(f"{path} can't be read: {exc.strerror}", exc.errno) from exc
