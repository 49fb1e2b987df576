"""How often a provider may be asked."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mdingest.errors import TransientError
from mdingest.pipeline.history.quota import Quota
from mdingest.providers.history import Limits

LONGEST_WAIT_S = 300.0
"""A provider that wants us to wait longer has failed for now."""

_MINUTE_S, _HALF_HOUR_S, _DAY_S = 60.0, 1_800.0, 86_400.0


class Pace:
    """Lets requests through no faster than the limits. One per provider, shared by its tasks.

    ``now`` is a monotonic clock in seconds. ``quota`` counts the requests of a day where that must
    outlive the process; without it they are counted here.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], quota: Quota | None = None) -> None:
        self._now = now
        self._quota = quota
        self._spacing_s = 0.0 if limits.per_second is None else 1 / limits.per_second
        per_day = None if quota is not None else limits.per_day
        windows = (limits.per_minute, _MINUTE_S), (limits.per_half_hour, _HALF_HOUR_S), (per_day, _DAY_S)
        self._windows = [(count, length) for count, length in windows if count is not None]
        self._asked: deque[float] = deque(maxlen=max((count for count, _ in self._windows), default=0))
        self._last = -_DAY_S
        self._held_until = -_DAY_S
        self._turn = asyncio.Lock()

    def hold(self, wait_s: float) -> None:
        """The provider wants no request for so long. What it says outlives the process if the quota does."""
        self._held_until = max(self._held_until, self._now() + wait_s)
        if self._quota is not None and wait_s > LONGEST_WAIT_S:
            self._quota.hold(wait_s)

    @property
    def held_s(self) -> float:
        """For how long the provider wants no request yet."""
        return max(0.0, self._held_until - self._now())

    async def turn(self, kept: float = 0.0) -> None:
        """Wait until a request is allowed, and count it.

        ``kept`` is the share of a day's quota that is left to others. Raises TransientError with the
        time to wait if that is longer than anybody waits: the day's quota is used up, or the provider
        said so. Cancelling counts nothing.
        """
        async with self._turn:
            while (wait := self._wait_s()) > 0:  # noqa: ASYNC110 - time is all there is to wait for
                await asyncio.sleep(wait)
            if self._quota is not None and (left := self._quota.take(kept)) > 0:
                raise TransientError(self._quota.kept_back if kept else self._quota.used_up, left)
            self._last = self._now()
            self._asked.append(self._last)

    def _wait_s(self) -> float:
        now = self._now()
        wait, why = self._held_until - now, "it asked not to be asked"
        wait = max(wait, self._last + self._spacing_s - now)
        for count, length in self._windows:
            if len(self._asked) >= count and (left := self._asked[-count] + length - now) > wait:
                wait, why = left, _used_up(count, length)
        if wait > LONGEST_WAIT_S:
            raise TransientError(f"{why} for another {wait:.0f} s", wait)
        return wait


@dataclass(frozen=True, slots=True)
class Sparing:
    """A pace for those who leave a share of the day's quota to others, who matter more."""

    pace: Pace
    kept: float

    def hold(self, wait_s: float) -> None:
        """See `Pace.hold`."""
        self.pace.hold(wait_s)

    @property
    def held_s(self) -> float:
        """See `Pace.held_s`."""
        return self.pace.held_s

    async def turn(self) -> None:
        """See `Pace.turn`."""
        await self.pace.turn(self.kept)


def _used_up(count: int, length_s: float) -> str:
    of = {_MINUTE_S: "a minute", _HALF_HOUR_S: "in half an hour"}.get(length_s, "a day")
    return f"the quota of {count} requests {of} is used up"
