"""How the memory of a process that runs for long is kept."""

import asyncio
import ctypes
import gc

_M_MMAP_THRESHOLD = -3  # <malloc.h> of glibc
_LARGE = 512 << 10  # bytes
_STARTED_S = 10.0  # by then feeds are subscribed, which makes most of what stays


def return_large_blocks() -> None:
    """Let arrays of half a MiB and more go back to the system as soon as they are freed.

    By itself glibc raises that limit whenever such a block is freed, up to 32 MiB, and then
    keeps what is freed, in fragments: with a whole market some 30 MiB more, and growing. Costs
    a few percent of the daemon's CPU. With another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def spare_the_collector() -> None:
    """Exempt what the start has made from garbage collection. Inside a running loop.

    It stays until the end, and a walk through all of it stops the loop for 50 ms.
    """
    gc.freeze()
    asyncio.get_running_loop().call_later(_STARTED_S, gc.freeze)
