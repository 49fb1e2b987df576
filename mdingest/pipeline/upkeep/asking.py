"""Providers of history as upkeep asks for them: by name, for some symbols, with a way into the store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from mdingest.pipeline.history.fallback import Chain
from mdingest.pipeline.history.held import Commit


class Asked(Protocol):
    """Providers that were looked up for some symbols."""

    @property
    def chain(self) -> Chain:
        """Asks them one after the other."""
        ...

    @property
    def nowhere(self) -> Mapping[str, str]:
        """Symbols that none of them has, and why."""
        ...


Ready = Callable[[Sequence[str], Sequence[str], Commit], Awaitable[Asked]]
"""Names of providers, symbols, and the way into the store: looks them up. Raises MdingestError."""
