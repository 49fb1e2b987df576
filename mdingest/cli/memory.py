"""How the memory of a process that runs for long is kept."""

import asyncio
import ctypes
import gc

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # <malloc.h> of glibc
_LARGE = 512 << 10  # bytes
_STARTED_S = 10.0  # by then feeds are subscribed, which makes most of what stays


def keep_the_heap_small() -> None:
    """Let what is freed go back to the system or to whoever asks next. Before there are threads.

    Arrays of half a MiB and more go back at once: by itself glibc raises that limit whenever such
    a block is freed, up to 32 MiB, and then keeps what is freed, in fragments: with a whole market
    some 30 MiB more, and growing. Costs a few percent of the daemon's CPU. And all threads share
    one heap; else each keeps to itself what it once needed, on a machine of many cores several
    MiB for each of dozens. With another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, 1)


def spare_the_collector() -> None:
    """Exempt what the start has made from garbage collection. Inside a running loop.

    It stays until the end, and a walk through all of it stops the loop for 50 ms.
    """
    gc.freeze()
    asyncio.get_running_loop().call_later(_STARTED_S, gc.freeze)
