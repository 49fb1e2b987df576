"""The segments of one journal as a set of files: which there are, and what becomes of them.

A segment that is no longer written to may be packed, lose its frames to make room, have one
batch quarantined, or be deleted. Each of those but the last puts another file in its place
under the same name, at once and only when it is on the disk: whatever dies on the way leaves
one valid file, and what readers hold open stays readable.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import structlog

from mdingest.core.control import Lost, encode
from mdingest.core.lost import without_frames
from mdingest.core.records import Batch, Kind, Record, encode_batch
from mdingest.errors import JournalError
from mdingest.pipeline import packed
from mdingest.pipeline import segments as seg
from mdingest.pipeline.packed import Piece
from mdingest.pipeline.segments import Segment
from mdingest.pipeline.tail import JournalFull, sync_directory, write_error

QUARANTINE_NAME = "quarantine"

log = structlog.get_logger(__name__)


class SegmentFiles:
    """By address. Any thread may call; the list in ``all`` is replaced, never changed."""

    def __init__(self, directory: Path, journal: UUID, found: list[Segment]) -> None:
        self.all = found
        self._directory = directory
        self._journal = journal
        self._lock = threading.Lock()  # guards `all`, and that nothing deleted comes back
        self._done = {segment.first for segment in found if segment.packed}  # or can't be packed
        self._empty: set[int] = set()  # nothing left in them to shed

    @property
    def bytes(self) -> int:
        """What all of them take on the disk."""
        return sum(segment.size for segment in self.all)

    @property
    def quarantined(self) -> int:
        """How many batches were taken out of the log and not yet looked at by a person."""
        return sum(1 for _ in (self._directory / QUARANTINE_NAME).glob("*/"))

    def add(self, segment: Segment) -> None:
        """A new last one."""
        with self._lock:
            self.all = [*self.all, segment]

    def forget_deleted(self) -> bool:
        """Leave out what somebody has deleted, a hole in the log now; whether the last one is gone, too."""
        with self._lock:
            gone = [segment.path.name for segment in self.all[:-1] if not segment.path.exists()]
            if gone:
                log.error("journal.segments_gone", files=gone)
                self.all = [segment for segment in self.all if segment.path.name not in gone]
            return not self.all[-1].path.exists()

    def prune(self, keep_from_lsn: int, max_bytes: int | None, older_than_ns: int | None) -> list[Path]:
        """See `Journal.prune`."""
        gone: list[Path] = []
        size = self.bytes
        with self._lock:
            while len(self.all) > 1 and self.all[1].first <= keep_from_lsn:
                oldest, following = self.all[:2]
                too_many = max_bytes is not None and size > max_bytes
                if not too_many and (older_than_ns is None or _begun_ns(following) >= older_than_ns):
                    break
                size -= oldest.size
                try:
                    oldest.path.unlink(missing_ok=True)
                except OSError as exc:
                    raise JournalError(f"{oldest.path} can't be deleted: {exc.strerror}") from exc
                self.all = self.all[1:]
                gone.append(oldest.path)
        if gone:
            log.info("journal.pruned", segments=len(gone), first_lsn=self.all[0].first)
        return gone

    def pack_next(self, pause: Callable[[], None] = lambda: None) -> bool:
        """Pack the oldest that is complete and not packed; whether there was one. Blocks.

        ``pause`` is called before each piece, and may raise to break off. Raises JournalFull,
        or JournalError if the disk fails; the segment is as it was then.
        """
        waiting = [segment for segment in self.all[:-1] if segment.first not in self._done]
        if not waiting:
            return False
        segment = waiting[0]
        try:
            self._rewrite(segment, seg.pieces(segment), segment.end(), pause)
        except JournalFull:
            raise
        except JournalError as exc:  # damaged or deleted: what is left of it stays as it is
            log.warning("journal.not_packed", file=segment.path.name, reason=str(exc))
        self._done.add(segment.first)
        return True

    def shed_next(self, from_lsn: int) -> int | None:
        """Give up the frames of the oldest complete segment at or behind an address. Blocks.

        How many; None if no such segment has any. Raises JournalFull, or JournalError.
        """
        following = self.all[1:]
        for segment, behind in zip(self.all[:-1], following, strict=True):
            if segment.first < from_lsn or segment.first in self._empty:
                continue
            kept, frames = without_frames(_readable(segment), Kind.SHED, "the disk was full")
            self._empty.add(segment.first)
            if not frames:
                continue
            end = min(segment.end(), behind.first)
            try:
                self._replace(segment, [(segment.first, end, encode_batch(kept, segment.first))], end)
            except JournalError:
                self._empty.discard(segment.first)
                raise
            log.error("journal.shed", lsn=segment.first, end_lsn=end, frames=frames)
            return frames
        return None

    def quarantine(self, lsn: int, why: str) -> Path:
        """Take the frames of the batch at ``lsn`` out of the log, and keep a copy of it. Blocks.

        If it has been here before, its control records go as well. It must not lie in the last
        segment. Returns the copy: a journal of one batch. Raises JournalFull, or JournalError.
        """
        segment = next(segment for segment in reversed(self.all[:-1]) if segment.first <= lsn)
        (batch, *_) = seg.read_batches(segment.path, segment.first, lsn, segment.end())
        copy = self._copy(batch)
        again = bool((batch.kinds == Kind.QUARANTINE).any())
        kept, frames = without_frames([batch], Kind.QUARANTINE, why)
        if again or not frames:
            wall, mono = int(batch.wall_ns[-1]), int(batch.mono_ns[-1])
            kept = [Record(Kind.QUARANTINE, 0, wall, mono, encode(Lost(frames, why)))]
        instead = (batch.lsn, batch.end, encode_batch(kept, batch.lsn))
        self._replace(segment, _replaced(seg.pieces(segment), instead), segment.end())
        log.error("journal.quarantined", lsn=lsn, frames=frames, copy=str(copy), reason=why)
        return copy

    def _copy(self, batch: Batch) -> Path:
        folder = self._directory / QUARANTINE_NAME / f"{batch.lsn:020d}"
        path = folder / seg.segment_name(batch.lsn)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            raw = encode_batch(list(batch.records()), batch.lsn)
            with path.open("wb") as file:
                file.write(seg.encode_header(self._journal, batch.lsn) + raw)
                file.flush()
                os.fsync(file.fileno())
            for directory in (folder, folder.parent, self._directory):
                sync_directory(directory)
        except OSError as exc:
            raise write_error(exc, path) from exc
        return path

    def _rewrite(
        self, segment: Segment, pieces: Iterable[Piece], end: int, pause: Callable[[], None]
    ) -> None:
        """The same content in another form: of no use if somebody was quicker to change it."""
        with self._written(segment, "packed", pieces, end, pause) as fresh, self._lock:
            if segment in self.all and segment.first not in self._done:
                fresh.rename(segment.path)

    def _replace(self, segment: Segment, pieces: Iterable[Piece], end: int) -> None:
        """Other content."""
        with self._written(segment, "changed", pieces, end, lambda: None) as fresh, self._lock:
            if segment in self.all:
                fresh.rename(segment.path)
                self._done.add(segment.first)

    @contextmanager
    def _written(
        self, segment: Segment, how: str, pieces: Iterable[Piece], end: int, pause: Callable[[], None]
    ) -> Iterator[Path]:
        """A packed file beside the segment, to be put in its place. Raises JournalFull, or JournalError."""
        fresh = segment.path.with_name(f"{segment.path.stem}.{how}{seg.SUFFIX}.new")
        header = seg.encode_header(self._journal, segment.first, packed.FORMAT)
        try:
            packed.write(fresh, header, end, pieces, pause)
            yield fresh
            sync_directory(self._directory)
        except OSError as exc:
            raise write_error(exc, segment.path) from exc
        finally:
            fresh.unlink(missing_ok=True)


def _begun_ns(segment: Segment) -> int:
    """Wall time of its first record, or of the file where that can't be read; now, where that is gone."""
    with suppress(JournalError):
        if (end := segment.end()) > segment.first:
            return int(seg.read_batches(segment.path, segment.first, segment.first, end)[0].wall_ns[0])
    try:
        return segment.path.stat().st_mtime_ns
    except FileNotFoundError:  # somebody has deleted it
        return time.time_ns()


def _readable(segment: Segment) -> Iterator[Batch]:
    """All its batches, up to where damage begins."""
    lsn = segment.first
    with suppress(JournalError):
        end = segment.end()
        while lsn < end:
            batches = seg.read_batches(segment.path, segment.first, lsn, end)
            yield from batches
            lsn = batches[-1].end


def _replaced(pieces: Iterable[Piece], instead: Piece) -> Iterator[Piece]:
    """Pieces with one batch exchanged, which becomes a piece of its own."""
    begin, end, _ = instead
    for first, behind, raw in pieces:
        if not first <= begin < behind:
            yield first, behind, raw
            continue
        if first < begin:
            yield first, begin, raw[: begin - first]
        yield instead
        if end < behind:
            yield end, behind, raw[end - first :]
