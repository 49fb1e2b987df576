"""How many requests are being answered: who has other work lets them go first."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 0.005  # for requests, between two pieces of work; they may never end


class InFlight:
    """Counts requests while they run. `give_way` is for tasks that have much to do."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold it while a request is answered."""
        self.count += 1
        self._none.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()

    async def give_way(self) -> None:
        """Let others run once; where requests are being answered, 5 ms at most until they are.

        A request asks the loop for its turn half a dozen times. Behind a piece of work of some
        milliseconds each time, it would wait for as many pieces.
        """
        await asyncio.sleep(0)
        if self.count:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._none.wait()
            except TimeoutError:
                return
