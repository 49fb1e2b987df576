"""One process at a time: a lock file that the kernel releases when its holder dies.

The lock is the open file description (`flock`), not the file: what a killed process leaves
on disk is only its name card, and the next one takes the lock over it.
"""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mdingest.errors import AlreadyRunning, JournalError

_CARD_BYTES = 512


class FileLock:
    """Held from construction to `close`, or to the death of this process.

    ``command`` goes into the file and into the other side's error, so it must hold no secret:
    ``mdingest run``, never the whole command line. Raises AlreadyRunning, naming the holder;
    JournalError if the file can't be opened.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise JournalError(f"{path} can't be opened: {exc.strerror}") from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            card = os.pread(self._fd, _CARD_BYTES, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(f"{path.parent} is in use by {card or 'another process'} ({path})") from exc
        except OSError as exc:
            os.close(self._fd)
            raise JournalError(f"{path} can't be locked: {exc.strerror}") from exc
        with suppress(OSError):  # on a full disk the card stays empty; the lock holds all the same
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()} on {socket.gethostname()}: {command}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock back; a second call does nothing. The file stays: deleting it would race."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
