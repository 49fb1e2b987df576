"""How long one provider is waited for, and when it is asked no more."""

import asyncio

import structlog

from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history.limits import LONGEST_WAIT_S, Pace, Sparing

log = structlog.get_logger()

GIVE_UP_AFTER = 2  # requests in a row that failed however often they were tried: it is down
HURRIED_WAIT_S = 10.0  # longer nobody waits who can ask somebody else


class Postponed(TransientError):
    """It is to be asked later, and somebody else now."""


class Patience:
    """With one provider, for one run."""

    def __init__(self, name: str, pace: Pace | Sparing) -> None:
        self._name = name
        self._pace = pace
        self._failed_in_a_row = 0
        self.refused: PermanentError | TransientError | None = None  # all of it, not one symbol
        self.hurried = False  # somebody else can be asked

    async def turn(self) -> None:
        """Until it may be asked. Raises Postponed if that is too long for the hurried."""
        if self.hurried and self._pace.held_s > HURRIED_WAIT_S:
            raise Postponed(f"it asked not to be asked for another {self._pace.held_s:.0f} s")
        await self._pace.turn()

    def answered(self) -> None:
        """A request was: it is not down."""
        self._failed_in_a_row = 0

    async def wait(self, exc: TransientError, jitter_s: float, *, last: bool) -> None:
        """Until the next attempt; raises ``exc`` if there is none."""
        wait = jitter_s if exc.retry_after_s is None else exc.retry_after_s
        self._failed_in_a_row += last
        if wait > LONGEST_WAIT_S or self._failed_in_a_row >= GIVE_UP_AFTER:
            self.refused = exc
        if exc.retry_after_s is not None:
            self._pace.hold(wait)  # for all that share it
        if last or wait > LONGEST_WAIT_S:
            raise exc
        if self.hurried and exc.retry_after_s is not None and wait > HURRIED_WAIT_S:
            raise Postponed(str(exc)) from exc
        log.warning("backfill.retry_scheduled", provider=self._name, delay_s=round(wait, 1), error=str(exc))
        await asyncio.sleep(wait)
