"""Room on a disk that is taken in advance, to be given up when there is no other.

A full disk stops what would make room again: a commit, the checkpoint that empties the WAL,
the state that lets old segments go. All of them finish in what the reserve gives up.
"""

import os
import shutil
from pathlib import Path
from threading import Lock

import structlog

from mdingest.errors import JournalError

log = structlog.get_logger(__name__)

NAME = "RESERVE"


class Reserve:
    """A file of ``size`` bytes that nobody reads. A restart finds it where it was."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._making = Lock()  # the start and the watch over the disk may both want it

    @property
    def held(self) -> bool:
        """Whether it is there, whole."""
        try:
            return self.path.stat().st_size == self.size
        except OSError:
            return False

    @property
    def free(self) -> int:
        """Bytes that anybody may still take on its disk. Raises JournalError."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError as exc:
            raise JournalError(f"{self.path.parent} can't be looked at: {exc.strerror}") from exc

    def make(self) -> bool:
        """Take the room, if there is so much; whether it is held now. Blocks."""
        with self._making:
            return self.held or self._make()

    def _make(self) -> bool:
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self.size)
            finally:
                os.close(fd)
            fresh.rename(self.path)
        except OSError as exc:
            fresh.unlink(missing_ok=True)
            log.warning("disk.no_reserve", file=str(self.path), error=exc.strerror)
            return False
        return True

    @property
    def scarce(self) -> bool:
        """Whether so little is left beside it that it should be given up. Raises JournalError."""
        return self.free < self.size // 8

    def give_up(self) -> bool:
        """Let it go; whether that gave room."""
        held = self.held
        try:
            self.path.unlink(missing_ok=True)
        except OSError as exc:
            log.error("disk.reserve_kept", file=str(self.path), error=exc.strerror)  # noqa: TRY400
            return False
        if held:
            log.warning("disk.reserve_given_up", file=str(self.path), bytes=self.size)
        return held
