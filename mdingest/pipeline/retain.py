"""What recovery still needs is kept, what it does not need any more may go.

Also the one place that knows which state files and which position go together, and where
segments are packed that nothing is appended to any more.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from mdingest.core.units import NS
from mdingest.errors import JournalError
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.statefile import StateFiles, WriteState
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

EVERY_S = 60.0
PACK_EVERY_S = 2.0
_NICENESS = 10  # of the thread that packs
BREATH = 200  # times the CPU that a piece took, it rests: journaling may take a tenth of all


class Retainer:
    """Saves states, syncs for commits, and prunes the journal behind both."""

    def __init__(
        self,
        journal: Journal,
        states: StateFiles,
        clock: Clock,
        *,
        kept_from: int,
        keep_s: float,
        max_bytes: int,
    ) -> None:
        """``kept_from`` is where recovery began: a state, or the oldest segment."""
        self.make_room: Callable[[], bool] = lambda: False
        """Asked on a full disk; whether there is any now."""
        self._journal = journal
        self._states = states
        self._clock = clock
        self._saved = [kept_from]  # the first is the newest that the position has passed
        self._keep_s = keep_s
        self._max_bytes = max_bytes

    async def save_state(self, lsn: int, write: WriteState) -> None:
        """Keep a state file for everything below ``lsn``.

        A disk that refuses it is logged and survived: states only make starting quicker.
        """
        try:
            try:
                await self._states.save(lsn, write)
            except JournalFull:
                if not self.make_room():
                    raise
                await self._states.save(lsn, write)  # it is what lets old segments go
        except JournalError as exc:
            log.warning("state.not_saved", lsn=lsn, error=str(exc))
        else:
            self._saved.append(lsn)

    async def sync_to(self, lsn: int) -> None:
        """Return once the journal survives a power loss up to ``lsn``. Raises JournalError."""
        await self._journal.sync(lsn)

    def committed(self, lsn: int) -> None:
        """The database's position is ``lsn`` now."""
        newest = max((saved for saved in self._saved if saved <= lsn), default=self._saved[0])
        self._saved = [saved for saved in self._saved if saved >= newest]

    @property
    def needed_from(self) -> int:
        """A start after a death right now would step from here."""
        return self._saved[0]

    async def run(self) -> None:
        """Prune once a minute until cancelled. Raises JournalError."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.prune()

    def prune(self) -> None:
        """Delete what is too much or too old, and not needed any more. Raises JournalError."""
        try:
            self._journal.survive_deletions()
        except JournalFull as exc:
            log.warning("journal.not_rotated", error=str(exc))
        self._journal.prune(
            self.needed_from,
            max_bytes=self._max_bytes,
            older_than_ns=self._clock.wall_ns() - round(self._keep_s * NS),
        )

    async def run_packing(self) -> None:
        """Pack segments soon after they are complete, until cancelled. Raises JournalError.

        In a thread of low priority that takes a two-hundredth of a core: enough for all that 500
        symbols fill, and for an eighth of what a whole market does. What it does not get to is
        packed when the market is closed, or is deleted as it is. Cancelling waits for the piece
        in hand, while other tasks run on; a segment that is half packed stays as it was.
        """
        with ThreadPoolExecutor(1, "journal.pack", initializer=_step_back) as thread:
            pacer = _Pacer()
            try:
                while True:
                    try:
                        pack = self._journal.files.pack_next
                        more = await asyncio.get_running_loop().run_in_executor(thread, pack, pacer)
                    except JournalFull as exc:
                        log.warning("journal.not_packed", reason=str(exc))
                        more = False
                        await asyncio.sleep(EVERY_S)
                    if not more:
                        await asyncio.sleep(PACK_EVERY_S)
            finally:
                pacer.stop()
                await asyncio.to_thread(thread.shutdown)


class _Stopped(Exception):
    """Packing is broken off."""


class _Pacer:
    """Called between pieces: rests in proportion to the work, until it is stopped."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._worked_s = 0.0

    def stop(self) -> None:
        """The next call raises; one that rests is woken."""
        self._stopped.set()

    def __call__(self) -> None:
        now = time.thread_time()
        if self._stopped.wait(BREATH * max(0.0, now - self._worked_s)):
            raise _Stopped
        self._worked_s = now


def _step_back() -> None:
    """Linux has a niceness for each thread; elsewhere it stays as it is."""
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
