"""How late the event loop comes back: what every other task would have waited."""

import asyncio
from collections.abc import Callable

EVERY_S = 0.05  # more often costs a percent of what a small feed takes


async def watch_stalls(note: Callable[[float], None]) -> None:
    """Call ``note`` with seconds of lateness, twenty times a second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        note(max(0.0, loop.time() - due))
