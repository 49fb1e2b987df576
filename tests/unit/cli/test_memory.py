"""Memory that is freed goes back to the system, and the collector has little to do."""

import gc
import platform
import subprocess
import sys

import pytest

from mdingest.cli.memory import spare_the_collector

_STORY = """
import numpy as np
from mdingest.cli.memory import keep_the_heap_small

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def churn():
    # Each block is larger than all before it, and freed beneath one that stays.
    kept = []
    for size in range(1 << 20, 24 << 20, 1 << 20):
        block = np.ones(size, np.uint8)
        kept.append(np.ones(4096, np.uint8))
        del block
    return kept

{setup}
for _ in range(3):
    kept = churn()
    before = resident()
    blocks = [np.ones(8 << 20, np.uint8) for _ in range(8)]
    stays = np.ones(100_000, np.uint8)
    del blocks
print((resident() - before) >> 20)
"""

_THREADS = """
import ctypes, sys, threading
from mdingest.cli.memory import keep_the_heap_small

keep_the_heap_small()
together = threading.Barrier(4)

def allocate():
    kept = [bytes(10_000) for _ in range(100)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
_GLIBC = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="what other C libraries do is their affair"
)


def _said(story: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", story], check=True, capture_output=True, text=True)
    return done.stdout


@_GLIBC
def test_freed_arrays_do_not_stay_resident() -> None:
    """MiB that stay after 64 MiB were freed below a block that stays."""
    assert int(_said(_STORY.format(setup="keep_the_heap_small()"))) < 4


@_GLIBC
def test_threads_share_one_heap() -> None:
    assert _said(_THREADS).count("<heap nr=") == 1


async def test_what_the_start_has_made_is_not_collected_again() -> None:
    kept = [[n] for n in range(1000)]
    try:
        spare_the_collector()
        assert gc.get_freeze_count() >= len(kept)
    finally:
        gc.unfreeze()
