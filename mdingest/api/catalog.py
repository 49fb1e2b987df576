"""The instruments by symbol, kept in memory and read again when someone asks for a new one."""

import difflib
from collections.abc import Awaitable, Callable, Sequence

from mdingest.api.problems import Problem
from mdingest.core.instrument import Instrument

_STALE_NS = 60_000_000_000
_MISS_PAUSE_NS = 250_000_000  # a storm of unknown symbols costs four reads a second, no more
_COMPARED = 400  # symbols that a misspelt one is compared with; a comparison takes about 20 us


class Catalog:
    """Symbol to instrument. ``now`` is a monotonic clock in ns."""

    def __init__(self, read: Callable[[], Awaitable[Sequence[Instrument]]], now: Callable[[], int]) -> None:
        self._read = read
        self._now = now
        self._by_symbol: dict[str, Instrument] = {}
        self._read_ns: int | None = None

    async def all(self) -> list[Instrument]:
        """Every instrument, by symbol, as of now."""
        await self._refresh()
        return list(self._by_symbol.values())

    async def find(self, symbol: str) -> Instrument:
        """The instrument, at most a minute old. Raises Problem 404 naming its neighbours."""
        patience_ns = _STALE_NS if symbol in self._by_symbol else _MISS_PAUSE_NS
        if self._read_ns is None or self._now() - self._read_ns > patience_ns:
            await self._refresh()
        instrument = self._by_symbol.get(symbol)
        if instrument is None:
            raise self._unknown(symbol)
        return instrument

    async def _refresh(self) -> None:
        self._by_symbol = {instrument.symbol: instrument for instrument in await self._read()}
        self._read_ns = self._now()

    def _unknown(self, symbol: str) -> Problem:
        wanted = symbol.upper()
        start = wanted[:2]
        alike = [known for known in self._by_symbol if known.startswith(start)]
        alike = (alike or [known for known in self._by_symbol if known[:1] == start[:1]])[:_COMPARED]
        near = difflib.get_close_matches(wanted, alike, 5, 0.5)
        if not self._by_symbol:
            detail = "nothing is stored yet: no symbol is known"
        elif near:
            detail = f"no symbol {symbol!r} is stored; nearest: {', '.join(near)}; all: /symbols"
        else:
            detail = f"no symbol {symbol!r} is stored; all that are: /symbols"
        return Problem(404, detail, near)
