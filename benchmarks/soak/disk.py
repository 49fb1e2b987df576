"""Each sync takes half a second, for a minute: how long the event loop stalls all the same."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.report import Row, at_most
from tests.support.tracing import stalls_with_slow_syncs

_DELAY_S = 0.5
_MOST_MS = 100.0


def run(rows: int = 60) -> Iterator[Row]:
    """Until so many seconds of candles are stored. Raises AssertionError if the oracle finds anything."""
    with TemporaryDirectory(prefix="mdingest-soak-") as folder:
        try:
            stalls = asyncio.run(stalls_with_slow_syncs(Path(folder), delay_s=_DELAY_S, rows=rows))
        except pytest.skip.Exception as exc:
            yield Row("loop stall with slow syncs", str(exc), "", "", "strace", met=False)
            return
    bound = next(bound for bound, share in stalls.items() if share >= 0.999)
    yield at_most("loop stall with slow syncs, p99.9 at most", 1e3 * bound, _MOST_MS, "ms")
