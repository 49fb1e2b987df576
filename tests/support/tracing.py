"""A disk that is slow or fails, for one real process: strace changes what its system calls do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mdingest.telemetry.clock import Clock
from tests.support.place import Place, place_of

SLOW = "delay_enter={:d}"  # µs
SYNCS = "fsync,fdatasync"


def injecting(calls: str, what: str, *paths: Path) -> list[str]:
    """A wrapper for `started`: the program keeps its pid, strace is somebody else's child.

    ``what`` is in strace's words, such as ``error=EIO:when=5``; ``paths``: of calls on these only.
    Skips where there is no strace, or where it may not trace.
    """
    if shutil.which("strace") is None:
        pytest.skip("not possible here: strace is not installed")
    trial = subprocess.run(["strace", "-qqq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip(f"not possible here: {trial.stderr.decode(errors='replace').strip()}")
    only = [word for path in paths for word in ("-P", str(path))]
    return [
        "strace",
        "-D",
        "-f",
        "-qqq",
        "-o",
        "/dev/null",
        *only,
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{what}",
    ]


async def stalls_with_slow_syncs(folder: Path, *, delay_s: float, rows: int) -> dict[float, float]:
    """Stalls of the event loop, upper bound in s to their share, while each sync takes so long.

    The run goes on until so many seconds of candles are stored, and then the oracle judges it.
    """
    async with place_of(folder, Clock(), rate=20) as place:
        wrapper = injecting(SYNCS, SLOW.format(int(delay_s * 1e6)))
        async with place.mdingest("run", wrapper=wrapper) as daemon:
            await place.until_more(daemon, rows, within_s=120 + 3 * rows)
            stalls = await histogram(place, "mdingest_loop_stall_seconds")
            assert await daemon.stopped(within_s=60) == 0, daemon.said()[-2000:]
        problems = await place.verdict()
        assert not problems, problems
    return stalls


async def histogram(place: Place, name: str) -> dict[float, float]:
    """Upper bound to the share at or below it."""
    page = await place.page("/metrics")
    counts = {
        float(line.partition('le="')[2].partition('"')[0]): float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith(f"{name}_bucket")
    }
    return {bound: count / counts[float("inf")] for bound, count in sorted(counts.items())}
