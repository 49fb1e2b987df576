"""What happens as the disk of the journal fills: one step after another, and back.

First goes what nobody needs: segments that recovery has no use for. Then frames that are not
yet candles are shed, oldest first, because the newest are the ones a user still waits for.
When that makes no room either, the feeds park, and the reserve is given up so that what was
received can become candles. With room again the reserve is made anew and the feeds go on.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from mdingest.errors import JournalError, PermanentError
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reserve import Reserve
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.health import Detail

log = structlog.get_logger(__name__)

LOOK_S = 1.0  # real
PATIENCE = 5  # looks in a row at which a commit may still let segments go, before frames are shed
WHAT_TO_DO = "free space on the disk, or lower journal.max_bytes and candles.retention; it goes on by itself"


class Parks(Protocol):
    """What is needed of the feeds of a provider."""

    def park(self, why: PermanentError) -> None:
        """End what is open, and wait."""
        ...

    def wake(self) -> None:
        """Try again what is parked."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """How the rest of the process makes room."""

    needed_from: Callable[[], int]  # recovery needs the log from here on
    save_soon: Callable[[], None]  # asks for a state, so that it needs less
    committing: Callable[[], bool]  # the database takes what it is given


class Room:
    """Looks after the disk. `run` in a task; cancelling leaves it as it is.

    ``reserve`` lies beside the journal; ``other`` beside a database that has a disk of its own:
    that one only gives and takes its reserve, since journaling goes on while candles wait.
    """

    def __init__(
        self, journal: Journal, source: BatchSource, reserve: Reserve, other: Reserve | None, ways: Ways
    ) -> None:
        self.feeds: Sequence[Parks] = ()
        self.shed_frames = 0
        self.listeners: list[Callable[[int], None]] = []
        """Each hears how many frames were shed."""
        self._journal = journal
        self._source = source
        self._reserve = reserve
        self._ways = ways
        self._other = other
        self._parked: PermanentError | None = None
        self._parked_at = 0.0
        self._refused = False  # there was not even a reserve to give up
        self._patience = 0  # none at the start: nothing is open yet
        self._shedding = False
        self._kicked = asyncio.Event()

    @property
    def free(self) -> int:
        """Bytes left on the journal's disk; 0 if that can't be told."""
        try:
            return self._reserve.free
        except JournalError:
            return 0

    def make(self) -> bool:
        """For `Intake`: the disk refused a batch. Gives up the reserve; whether it was there."""
        self._kicked.set()
        if self._reserve.give_up():
            return True
        self._refused = True
        return False

    def spare(self) -> bool:
        """For what makes room itself, such as a state: as `make`, but no reason to park."""
        self._kicked.set()
        return self._reserve.give_up()

    def unfit(self) -> PermanentError | None:
        """Why no feed may connect now."""
        return self._parked

    def check(self) -> tuple[bool, Detail]:
        """For `Health`."""
        try:
            free = self._reserve.free
        except JournalError as exc:
            return False, {"error": str(exc)}
        low = 4 * self._reserve.size
        detail = {
            "free_bytes": free,
            "low_bytes": low,
            "reserve_bytes": self._reserve.size if self._reserve.held else 0,
            "shed_frames": self.shed_frames,
        }
        if self._parked is not None:
            for_s = round(time.monotonic() - self._parked_at, 1)
            return False, detail | {
                "state": "parked",
                "state_for_s": for_s,
                "error": self._parked.reason,
                "what_to_do": WHAT_TO_DO,
            }
        if self._shedding:
            error = "the disk is nearly full: frames that are not yet candles are being shed"
            return False, detail | {"state": "shedding", "error": error, "what_to_do": WHAT_TO_DO}
        if free < low:
            error = "the disk is nearly full"
            return False, detail | {"state": "low", "error": error, "what_to_do": WHAT_TO_DO}
        return True, detail | {"state": "ok"}

    async def run(self) -> None:
        """Look once a second, and at once when an append was refused. Raises JournalError."""
        while True:
            at_once = await self.look()
            try:
                async with asyncio.timeout(0 if at_once else LOOK_S):
                    await self._kicked.wait()
            except TimeoutError:
                pass
            self._kicked.clear()

    async def look(self) -> bool:
        """One step, if one is due; whether it made room, so that the next is due at once."""
        if self._other is not None:
            await asyncio.to_thread(self._keep_other, self._other)
        free = self._reserve.free
        if free >= self._reserve.size and self._parked is None and not self._refused:
            self._patience, self._shedding = PATIENCE, False
            if not self._reserve.held and free >= 2 * self._reserve.size:
                await asyncio.to_thread(self._reserve.make)
            return False
        stopped = self._refused or self._parked is not None
        if stopped and free >= 2 * self._reserve.size and await asyncio.to_thread(self._reserve.make):
            self._go_on()
            return False
        if await asyncio.to_thread(self._journal.prune, self._ways.needed_from(), max_bytes=0):
            self._patience = PATIENCE
            return True
        self._hurry()
        if self._parked is None:
            return await self._give_way(free)
        self._park(self._parked)
        return False

    async def _give_way(self, free: int) -> bool:
        """Nothing could be deleted: wait for a commit that lets something go, shed, or park."""
        if free >= self._reserve.size // 2 and not self._refused:
            return False
        if self._patience and self._ways.committing() and not self._refused:
            self._patience -= 1
            return False
        if await self._shed():
            return True
        if self._refused or self._reserve.scarce:
            self._park(PermanentError("the disk is full", WHAT_TO_DO))
        return False

    def _hurry(self) -> None:
        """What is committed can go once a segment and a state lie behind it."""
        if self._journal.end_lsn - self._journal.segments[-1] >= self._reserve.size // 8:
            try:
                self._journal.rotate()
            except JournalFull as exc:
                log.warning("journal.not_rotated", error=str(exc))
        self._ways.save_soon()

    async def _shed(self) -> bool:
        """Give up the oldest frames that nobody has read."""
        with self._source.paused() as position:
            try:
                shed = await asyncio.to_thread(self._journal.files.shed_next, position)
            except JournalFull:
                return self.make()
        if shed is None:
            return False
        self._shedding = True
        self.shed_frames += shed
        for listener in self.listeners:
            listener(shed)
        return True

    def _park(self, why: PermanentError) -> None:
        """Again and again while parked: a feed may have been on its way."""
        if self._parked is None:
            self._parked, self._parked_at, self._shedding = why, time.monotonic(), False
            log.error("disk.parked", reason=why.reason, todo=why.todo)
            self._reserve.give_up()
        for feeds in self.feeds:
            feeds.park(why)

    def _go_on(self) -> None:
        """Feeds whose frames were refused stopped by themselves, parked here or not."""
        if self._parked is not None:
            log.info("disk.room_again", parked_s=round(time.monotonic() - self._parked_at, 1))
        self._parked, self._refused, self._patience = None, False, PATIENCE
        for feeds in self.feeds:
            feeds.wake()

    @staticmethod
    def _keep_other(reserve: Reserve) -> None:
        try:
            free = reserve.free
        except JournalError:  # the database's folder is away: whoever writes there says so
            return
        if reserve.held and reserve.scarce:
            reserve.give_up()
        elif not reserve.held and free >= 2 * reserve.size:
            reserve.make()
