"""What a crash or a power loss leaves in a journal's directory, and how it is made whole again."""

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from mdingest.errors import CantRead, JournalError
from mdingest.pipeline import packed
from mdingest.pipeline import segments as seg
from mdingest.pipeline.segments import Segment

log = structlog.get_logger(__name__)


class JournalFull(JournalError):
    """No space for the batch; nothing of it was kept. The same append may work later."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What was cut off the end when the journal was opened."""

    lsn: int  # the log ends, and goes on, here
    bytes: int
    batches: int  # of those whose beginning could still be recognised
    reason: str


def usable_segments(directory: Path) -> tuple[list[Segment], list[Path]]:
    """Segments in order, and files whose header is torn, flipped or overwritten. Changes nothing.

    Raises JournalError for a directory that holds something else.
    """
    found: list[Segment] = []
    damaged: list[Path] = []
    foreign: seg.ForeignFile | None = None
    for path in seg.segment_paths(directory):
        try:
            found.append(seg.read_header(path))
        except seg.DamagedHeader:
            damaged.append(path)
        except seg.ForeignFile as exc:
            damaged.append(path)
            foreign = foreign or exc
    if foreign is not None and not found:  # beside good segments it was one
        raise foreign
    return found, damaged


def clear_directory(directory: Path) -> tuple[list[Segment], list[Path], int]:
    """Remove what a crash left half made, and mend damaged headers; needs the lock.

    Returns the segments in order, those beyond help (renamed to ``.bad``, for a person to look
    at), and the first address that those can't have used.
    """
    for leftover in directory.glob("*.md[js].new"):  # of segments and states
        leftover.unlink()
    found, damaged = usable_segments(directory)
    if found:
        damaged = [path for path in damaged if not _mended(path, seg.one_journal(found))]
        found = usable_segments(directory)[0]
    set_aside, beyond = [], 0
    for path in damaged:
        size = path.stat().st_size
        beyond = max(beyond, int(path.stem) + max(0, size - seg.HEADER_BYTES))
        if size == 0:  # created, and never written before the power went
            path.unlink()
            continue
        bad = path.with_name(path.name + ".bad")
        path.rename(bad)
        set_aside.append(bad)
        log.error("journal.segment_set_aside", file=str(bad), bytes=size)
    return found, set_aside, beyond


def _mended(path: Path, journal: UUID) -> bool:
    """Write a header anew, if what stands behind it shows what it said."""
    for version in (seg.FORMAT, packed.FORMAT):
        header = seg.encode_header(journal, int(path.stem), version)
        if not seg.fits(path, header):
            continue
        try:
            with path.open("r+b") as file:
                file.write(header)
                file.flush()
                os.fdatasync(file.fileno())
        except OSError as exc:
            raise write_error(exc, path) from exc
        log.warning("journal.header_mended", file=path.name)
        return True
    return False


def cut_tail(segment: Segment) -> Cut | None:
    """Truncate the segment behind its last good batch; None if there was nothing to cut."""
    end, reason = _valid_end(segment)
    surplus = segment.end() - end
    if surplus <= 0:
        return None
    cut = Cut(end, surplus, _count_batches(segment, end), reason)
    try:
        with segment.path.open("r+b") as file:
            file.truncate(seg.HEADER_BYTES + end - segment.first)
            os.fdatasync(file.fileno())
    except OSError as exc:
        raise write_error(exc, segment.path) from exc
    log.warning("journal.tail_cut", lsn=end, bytes=surplus, batches=cut.batches, reason=reason)
    return cut


def _valid_end(segment: Segment) -> tuple[int, str]:
    """The address behind its last good batch, and what is wrong there (empty: nothing).

    Raises CantRead where that can't be told.
    """
    lsn, stop = segment.first, segment.end()
    try:
        while lsn < stop:
            lsn = seg.read_batches(segment.path, segment.first, lsn, stop)[-1].end
    except CantRead:
        raise
    except JournalError as exc:
        return lsn, str(exc)
    return lsn, ""


def _count_batches(segment: Segment, lsn: int) -> int:
    """How many batches begin at or behind ``lsn``, whole or not: each header knows its address."""
    with segment.path.open("rb") as file:
        file.seek(seg.HEADER_BYTES + lsn - segment.first)
        raw = file.read()
    return sum(1 for at in _magics(raw) if raw[at + 16 : at + 24] == struct.pack("<Q", lsn + at))


def _magics(raw: bytes) -> Iterator[int]:
    at = raw.find(b"MDB1")
    while at >= 0:
        yield at
        at = raw.find(b"MDB1", at + 1)


def sync_directory(directory: Path) -> None:
    """Make names in it survive a power loss. Blocks; raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_error(exc: OSError, path: Path) -> JournalError:
    """The error to raise for what the system said: JournalFull where space may come back."""
    kind = JournalFull if exc.errno in (errno.ENOSPC, errno.EDQUOT) else JournalError
    return kind(f"{path} can't be written: {exc.strerror}")
