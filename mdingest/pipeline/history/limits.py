"""How often a provider may be asked."""

import asyncio
from collections import deque
from collections.abc import Callable

from mdingest.errors import TransientError
from mdingest.providers.history import Limits

_MINUTE_S, _DAY_S = 60.0, 86_400.0


class Pace:
    """Lets requests through no faster than the limits. One per provider, shared by its tasks.

    ``now`` is a monotonic clock in seconds.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._now = now
        self._spacing_s = 0.0 if limits.per_second is None else 1 / limits.per_second
        self._per_minute = limits.per_minute
        self._per_day = limits.per_day
        self._asked: deque[float] = deque()
        self._last = -_DAY_S
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until a request is allowed, and count it.

        Raises TransientError with the time to wait if the day's quota is used up. Cancelling
        counts nothing.
        """
        async with self._turn:
            while (wait := self._wait_s()) > 0:  # noqa: ASYNC110 - time is all there is to wait for
                await asyncio.sleep(wait)
            self._last = self._now()
            if self._per_minute is not None or self._per_day is not None:
                self._asked.append(self._last)

    def _wait_s(self) -> float:
        now = self._now()
        while self._asked and self._asked[0] <= now - _DAY_S:
            self._asked.popleft()
        if self._per_day is not None and len(self._asked) >= self._per_day:
            left = self._asked[0] + _DAY_S - now
            raise TransientError(f"the quota of {self._per_day} requests a day is used up", left)
        wait = self._last + self._spacing_s - now
        if self._per_minute is not None and len(self._asked) >= self._per_minute:
            wait = max(wait, self._asked[-self._per_minute] + _MINUTE_S - now)
        return wait
