"""What recovery still needs is kept, what it does not need any more may go.

Also the one place that knows which state files and which position go together.
"""

import asyncio
from collections.abc import Sequence

import structlog

from mdingest.errors import JournalError
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.statefile import StateFiles
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

EVERY_S = 60.0
_NS = 1_000_000_000


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
        self._journal = journal
        self._states = states
        self._clock = clock
        self._saved = [kept_from]  # the first is the newest that the position has passed
        self._keep_s = keep_s
        self._max_bytes = max_bytes

    async def save_state(self, lsn: int, parts: Sequence[bytes]) -> None:
        """Keep a state file for everything below ``lsn``.

        A disk that refuses it is logged and survived: states only make starting quicker.
        """
        try:
            await self._states.save(lsn, parts)
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
            self._journal.prune(
                self.needed_from,
                max_bytes=self._max_bytes,
                older_than_ns=self._clock.wall_ns() - round(self._keep_s * _NS),
            )
