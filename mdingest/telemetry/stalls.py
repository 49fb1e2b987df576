"""How late the event loop comes back: what every other task would have waited."""

import asyncio
from collections.abc import Callable

EVERY_S = 0.1  # each look wakes the process, which for a small feed is most of what a look costs


async def watch_stalls(note: Callable[[float], None]) -> None:
    """Call ``note`` with seconds of lateness, ten times a second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        note(max(0.0, loop.time() - due))
