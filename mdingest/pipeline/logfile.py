"""The file that the log is written to, and how it and those before it get onto the disk.

Writing belongs to one thread; `LogFile.sync` may run in others. After a failed fdatasync nothing
can be promised about what was written before: nothing more is written then.
"""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mdingest.errors import JournalError
from mdingest.pipeline.tail import sync_directory, write_error


class LogFile:
    """The last segment, open. ``synced`` is the address below which all survives a power loss."""

    def __init__(self, directory: Path, end: Callable[[], int]) -> None:
        """``end`` gives the address up to which was written by now."""
        self.synced = end()
        self.failure: JournalError | None = None  # raised from now on by whatever writes
        self._directory = directory
        self._end = end
        self._swap = threading.Lock()  # guards the next three against a sync in its thread
        self._fd = -1
        self._retired: list[int] = []  # files that were rotated away and not synced yet
        self._new_names = True  # the directory itself has something to sync
        self._syncing = threading.Lock()  # one sync at a time; close waits for it

    @property
    def new_names(self) -> bool:
        """Whether the directory has files that a power loss could take away."""
        return self._new_names

    def reopen(self, path: Path) -> None:
        """Go on in a file that is there."""
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def begin(self, path: Path, header: bytes) -> None:
        """Go on in a new file. Raises JournalFull, or JournalError; then nothing has changed."""
        fresh = path.with_name(path.name + ".new")  # so that no reader ever sees half a header
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                if os.pwrite(fd, header, 0) < len(header):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                fresh.rename(path)
            except OSError:
                os.close(fd)
                raise
        except OSError as exc:
            raise write_error(exc, path) from exc
        with self._swap:
            if self._fd >= 0:
                self._retired.append(self._fd)
            self._fd = fd
            self._new_names = True

    def write(self, raw: bytes, offset: int, path: Path) -> None:
        """All of it. Raises JournalFull, or JournalError; then nothing of it is there."""
        try:
            done = os.pwrite(self._fd, raw, offset)
            while done < len(raw):  # a disk that fills takes a part first, then says why
                done += os.pwrite(self._fd, raw[done:], offset + done)
        except OSError as exc:
            with suppress(OSError):  # if even this fails, the next write covers the torn part
                os.ftruncate(self._fd, offset)
            raise write_error(exc, path) from exc

    def sync(self, target: int) -> None:
        """Bring everything below ``target`` to the disk. Blocks. Raises JournalError, then and ever after."""
        with self._syncing:
            if self.failure is not None:
                raise self.failure
            with self._swap:
                if self._fd < 0 or (self.synced >= target and not self._new_names):
                    return  # the sync we waited for did our work too
                end, fd, retired, names = self._end(), self._fd, list(self._retired), self._new_names
                self._new_names = False
            try:
                for old in (*retired, fd):
                    os.fdatasync(old)
                if names:
                    sync_directory(self._directory)
            except OSError as exc:
                # The kernel drops what it could not write and says so once: no retry is sound.
                self.failure = JournalError(f"{self._directory} can't be synced: {exc.strerror}")
                raise self.failure from exc
            with self._swap:
                self._retired = self._retired[len(retired) :]
            for old in retired:
                os.close(old)
            self.synced = end

    def close(self) -> None:
        """Sync, and close the files; a second call does nothing. Blocks."""
        try:
            if self._fd >= 0 and self.failure is None:
                self.sync(self._end())
        finally:
            with self._syncing, self._swap:
                for fd in (*self._retired, *([self._fd] if self._fd >= 0 else [])):
                    os.close(fd)
                self._retired, self._fd = [], -1
            self.failure = self.failure or JournalError("the journal is closed")
