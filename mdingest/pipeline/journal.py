"""The journal: one ordered, append-only log of everything heard, and its only writer.

A record is *received* when `Journal.append` has returned: the kernel has the whole batch, and
no death of this process can lose it. `Journal.sync` is about power loss only, and about
commits: the database's position may never be ahead of what is on the disk.

Appending is synchronous and belongs to the event loop's thread; everything that may wait for
a disk (`sync`) happens in a thread. After a failed fdatasync nothing can be promised about
what was written before, so the journal refuses to go on: a restart reads what is really there.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import structlog

from mdingest.core.records import Batch, Record, encode_batch, encoded
from mdingest.errors import CantRead, JournalError
from mdingest.pipeline import segments as seg
from mdingest.pipeline.files import QUARANTINE_NAME, SegmentFiles
from mdingest.pipeline.lock import FileLock
from mdingest.pipeline.logfile import LogFile
from mdingest.pipeline.segments import Chunk, Damage, Segment
from mdingest.pipeline.tail import Cut, clear_directory, cut_tail, sync_directory, write_error

SEGMENT_BYTES = 64 << 20
LOCK_NAME = "LOCK"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening the journal found."""

    created: bool  # a new journal, with a new uuid
    cut: Cut | None
    set_aside: list[Path]  # segments with a damaged header, renamed to .bad: their addresses are a hole


class Journal:
    """The writer, and reads up to what it has written. Make one with `Journal.open`."""

    def __init__(self, lock: FileLock, journal: UUID, found: list[Segment], end: int, size: int) -> None:
        self.uuid = str(journal)
        self._lock = lock
        self._journal = journal
        self._directory = lock.path.parent
        self._segment_bytes = size
        self.files = SegmentFiles(self._directory, journal, found)
        self._end = end
        self._file = LogFile(self._directory, lambda: self._end)

    @classmethod
    def open(
        cls, directory: Path, *, command: str = "mdingest", segment_bytes: int = SEGMENT_BYTES
    ) -> tuple[Self, Opened]:
        """Lock the directory, check the last segment, cut a torn tail, and go on there.

        Raises AlreadyRunning, or JournalError for a directory that holds something else.
        Blocks for the time it takes to read one segment.
        """
        lock = FileLock(directory / LOCK_NAME, command)
        try:
            return cls._open(lock, directory, segment_bytes)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _open(cls, lock: FileLock, directory: Path, segment_bytes: int) -> tuple[Self, Opened]:
        found, set_aside, beyond = clear_directory(directory)
        if not found:
            # A new uuid: whatever a database remembers of this directory does not fit any more.
            journal = cls(lock, uuid4(), [], 0, segment_bytes)
            journal._begin_segment()
            log.info("journal.created", journal=journal.uuid)
            return journal, Opened(created=True, cut=None, set_aside=set_aside)
        uuid = seg.one_journal(found)
        cut, closed = None, found[-1].packed
        if not closed:
            try:
                cut = cut_tail(found[-1])
            except CantRead as exc:  # what is behind it may be good: it stays, and reading tells
                closed = True
                log.error("journal.tail_not_read", error=str(exc))  # noqa: TRY400 - the text says it all
        end = found[-1].end()
        journal = cls(lock, uuid, found, max(end, beyond), segment_bytes)
        if closed or beyond > end:
            journal._begin_segment()  # nothing is added to such a one; addresses are never given twice
        else:
            journal._file.reopen(found[-1].path)
        return journal, Opened(created=False, cut=cut, set_aside=set_aside)

    @property
    def first_lsn(self) -> int:
        """The oldest address that can be read."""
        return self.files.all[0].first

    @property
    def end_lsn(self) -> int:
        """Where the next batch will be."""
        return self._end

    @property
    def synced_lsn(self) -> int:
        """Everything below survives a power loss."""
        return self._file.synced

    @property
    def segments(self) -> tuple[int, ...]:
        """First addresses of the files; the last one is being written."""
        return tuple(s.first for s in self.files.all)

    def begins_segment(self, lsn: int) -> bool:
        """Whether a file begins at this address."""
        files = self.files.all
        at = bisect_left(files, lsn, key=lambda segment: segment.first)
        return at < len(files) and files[at].first == lsn

    def append(self, records: list[Record]) -> Batch:
        """Write one batch and return it, as columns over the very bytes written.

        Raises JournalFull, or JournalError if the disk fails; then the log is as it was.
        """
        if self._file.failure is not None:
            raise self._file.failure
        raw = encode_batch(records, self._end)
        used = self._end - self.files.all[-1].first
        if used and used + len(raw) > self._segment_bytes:
            self._begin_segment()
        last = self.files.all[-1]
        self._file.write(raw, seg.HEADER_BYTES + self._end - last.first, last.path)
        lsn, self._end = self._end, self._end + len(raw)
        return encoded(raw, len(records), lsn)

    def retire(self) -> Path:
        """Set everything aside in a folder named by the journal's uuid, and begin a new journal.

        Cut short by a death, the next `open` finds the rest under the same uuid. Returns the
        folder. Raises JournalFull, or JournalError if the disk fails. Blocks.
        """
        self._file.sync(self._end)
        folder = self._directory / self.uuid
        try:
            folder.mkdir(exist_ok=True)
            for path in sorted(self._directory.glob("*.md[js]")):
                path.rename(folder / path.name)
            quarantined = self._directory / QUARANTINE_NAME
            if quarantined.exists():
                quarantined.rename(folder / QUARANTINE_NAME)
            sync_directory(folder)
            sync_directory(self._directory)
        except OSError as exc:
            raise write_error(exc, folder) from exc
        log.warning("journal.retired", journal=self.uuid, folder=str(folder))
        self._journal = uuid4()
        self.uuid = str(self._journal)
        self.files = SegmentFiles(self._directory, self._journal, [])
        self._end = self._file.synced = 0
        self._begin_segment()
        return folder

    def skip_to(self, lsn: int) -> None:
        """Go on at a later address, leaving a hole: what the database has seen is never said twice.

        Raises JournalFull, or JournalError if the disk fails.
        """
        if lsn > self._end:
            log.warning("journal.skipped", end_lsn=self._end, to_lsn=lsn)
            before, self._end = self._end, lsn
            try:
                self._begin_segment()
            except JournalError:
                self._end = before  # or the next append would land behind nothing
                raise

    def rotate(self) -> None:
        """Begin a new segment, unless nothing was written to the last.

        Raises JournalFull, or JournalError if the disk fails; then nothing has changed.
        """
        if self._end > self.files.all[-1].first:
            self._begin_segment()

    def survive_deletions(self) -> None:
        """Go on in a new segment if somebody has deleted the last: nobody would find what is written there.

        Raises JournalFull, or JournalError if the disk fails.
        """
        if self.files.forget_deleted():
            self.rotate()

    def quarantine(self, lsn: int, why: str) -> Path:
        """See `SegmentFiles.quarantine`; for any batch of the log. Blocks."""
        if lsn >= self.files.all[-1].first:
            self.rotate()
        return self.files.quarantine(lsn, why)

    async def sync(self, up_to: int | None = None) -> None:
        """Bring everything below ``up_to`` (None: all appended before this call) to the disk.

        Raises JournalError, now and ever after, if the disk fails. Cancelling leaves the
        sync running in its thread; nothing is lost or closed under it.
        """
        if self._file.failure is not None:
            raise self._file.failure
        target = self._end if up_to is None else up_to
        if self._file.synced < target or (up_to is None and self._file.new_names):
            await asyncio.to_thread(self._file.sync, target)

    async def run_sync(self, every_s: float) -> None:
        """Sync every ``every_s`` real seconds until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.sync()

    def read_some(self, lsn: int) -> Chunk:
        """A bounded piece from ``lsn`` on, up to `end_lsn`. Blocks on the disk; safe in any thread."""
        end = self._end  # before the list: a rotation in between only adds what lies behind it
        oldest = (segments := self.files.all)[0]
        if lsn < oldest.first:  # `needed_from` keeps what is to be read: so it was not us
            why = f"the journal begins at {oldest.first}"
            return Chunk([], oldest.first, Damage(oldest.path, lsn, oldest.first, why))
        return seg.read_some(segments, lsn, end)

    def read(self, lsn: int, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Batch]:
        """All batches from ``lsn`` to the end, which may still move. Blocks on the disk.

        Damage is reported and stepped over; without ``on_damage`` it raises JournalError.
        """
        while True:
            chunk = self.read_some(lsn)
            if chunk.damage is not None:
                seg.report(chunk.damage, on_damage)
            elif not chunk.batches:
                return
            yield from chunk.batches
            lsn = chunk.resume

    def prune(
        self, keep_from_lsn: int, *, max_bytes: int | None, older_than_ns: int | None = None
    ) -> list[Path]:
        """Delete the oldest segments while they are too many or too old; returns what went.

        None that holds an address at or behind ``keep_from_lsn`` goes, nor the last one.
        ``older_than_ns``: a segment may go if all its records carry an earlier wall time.
        """
        return self.files.prune(keep_from_lsn, max_bytes, older_than_ns)

    def close(self) -> None:
        """Sync, close the files and give the lock back; a second call does nothing. Blocks."""
        try:
            self._file.close()
        finally:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin_segment(self) -> None:
        path = self._directory / seg.segment_name(self._end)
        self._file.begin(path, seg.encode_header(self._journal, self._end))
        self.files.add(Segment(path, self._end, self._journal))
