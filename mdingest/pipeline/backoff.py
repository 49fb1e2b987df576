"""How long to wait before the next attempt."""

import asyncio
import random
import time
from collections.abc import Iterator

CAP_S = 60.0


def full_jitter(
    first_s: float = 1.0, cap_s: float = CAP_S, rng: random.Random | None = None
) -> Iterator[float]:
    """Endless waits in seconds: each uniform in ``[0, min(cap_s, first_s * 2**n)]``.

    Spread over the whole range, so that many clients cut off at once don't come back at once.
    A fresh generator starts small again.
    """
    rng = rng or random.SystemRandom()
    ceiling = min(first_s, cap_s)
    while True:
        yield rng.uniform(0.0, ceiling)
        ceiling = min(cap_s, ceiling * 2)


class Turnstile:
    """Lets one through every ``spacing_s`` real seconds, in the order in which they come."""

    def __init__(self, spacing_s: float) -> None:
        self._spacing_s = spacing_s
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for one's turn. A turn that is cancelled stays unused."""
        now = time.monotonic()
        at = max(now, self._free_at)
        self._free_at = at + self._spacing_s
        await asyncio.sleep(at - now)
