"""A sleep that others may end."""

import asyncio
from contextlib import suppress


class Alarm:
    """Of one sleeper. Rung while nobody sleeps, it ends the next sleep at once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._rung.set()

    async def sleep(self, real_s: float) -> None:
        """So long, or until it rings. Cancelling loses no ring."""
        with suppress(TimeoutError):
            async with asyncio.timeout(real_s):
                await self._rung.wait()
        self._rung.clear()
