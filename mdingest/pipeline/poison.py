"""A batch that no process survives: noticed by the next start, and given up at last.

Which batch is being stepped stands in a few bytes of shared memory with a file behind it: they
outlive any death of this process and cost nothing. A start that finds them set knows where the
one before it died. An exception is told by name and counts at once; of a death without a word
(the kernel's, or anybody's kill) one more is waited for, since it may have nothing to do with
the batch.
"""

import json
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from mdingest.pipeline.journal import Journal

log = structlog.get_logger(__name__)

MARK_NAME = "STEPPING"
DEATHS_NAME = "DEATHS"
STARTS = 3  # the third in a row that would step the batch goes on without it

_MARK = struct.Struct("<?16sQ")  # a batch is being stepped, of this journal, at this address
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often in a row stepping the batch at ``lsn`` was the last thing a process did."""

    journal: str
    lsn: int
    count: int
    error: str = ""  # of the last; empty if it died without a word


class Poison:
    """The mark of this process, and what those before it left. Needs the journal's lock."""

    def __init__(self, directory: Path, journal: str) -> None:
        self._deaths_path = directory / DEATHS_NAME
        self._journal = journal
        self._uuid = bytes.fromhex(journal.replace("-", ""))
        self._mark = _mapped(directory / MARK_NAME)
        self.deaths = self._read()
        stepping, uuid, lsn = _MARK.unpack_from(self._mark)
        if stepping and uuid == self._uuid:
            self._count(lsn, "")
        self._clear()

    def due(self) -> Deaths | None:
        """The batch to be given up, if it has had its chances."""
        deaths = self.deaths
        if deaths is None or deaths.count < (STARTS - 1 if deaths.error else STARTS):
            return None
        return deaths

    def forget(self) -> None:
        """It was given up, or survived."""
        self.deaths = None
        self._deaths_path.unlink(missing_ok=True)

    @contextmanager
    def stepping(self, lsn: int) -> Iterator[None]:
        """Round the step of one batch."""
        _MARK.pack_into(self._mark, 0, True, self._uuid, lsn)
        try:
            yield
        except Exception as exc:
            self._count(lsn, f"{type(exc).__name__}: {exc}"[:300])
            self._clear()
            raise
        self._mark[0] = 0
        if self.deaths is not None and lsn >= self.deaths.lsn:
            self.forget()

    def _count(self, lsn: int, error: str) -> None:
        before = self.deaths
        count = before.count + 1 if before is not None and before.lsn == lsn else 1
        self.deaths = Deaths(self._journal, lsn, count, error)
        log.error("batch.died", lsn=lsn, times=count, error=error or "no word")
        with suppress(OSError):  # on a full disk it is counted from the beginning
            fresh = self._deaths_path.with_name(DEATHS_NAME + ".new")
            fresh.write_text(json.dumps(asdict(self.deaths)), encoding="utf-8")
            fresh.rename(self._deaths_path)

    def _read(self) -> Deaths | None:
        try:
            found = Deaths(**json.loads(self._deaths_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.journal == self._journal else None

    def _clear(self) -> None:
        _MARK.pack_into(self._mark, 0, False, self._uuid, 0)


def give_up_poison(poison: Poison, journal: Journal) -> None:
    """Quarantine the batch that is due, before anything is stepped. Raises JournalError."""
    deaths = poison.due()
    if deaths is None:
        return
    if journal.first_lsn <= deaths.lsn < journal.end_lsn:
        journal.quarantine(deaths.lsn, deaths.error or f"{deaths.count} processes died here without a word")
    poison.forget()


def _mapped(path: Path) -> mmap.mmap:
    """A page of a file; of memory alone if the disk has none left."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(fd, 0, _PAGE)  # a page that is only promised kills whoever writes to it
            return mmap.mmap(fd, _PAGE)
        finally:
            os.close(fd)
    except OSError as exc:
        log.warning("batch.not_marked", error=exc.strerror)
        return mmap.mmap(-1, _PAGE)
