"""How the process's memory is kept."""

import ctypes

_M_MMAP_THRESHOLD = -3  # <malloc.h> of glibc
_LARGE = 512 << 10  # bytes


def return_large_blocks() -> None:
    """Let arrays of half a MiB and more go back to the system as soon as they are freed.

    By itself glibc raises that limit whenever such a block is freed, up to 32 MiB, and then
    keeps what is freed, in fragments: with a whole market some 30 MiB more, and growing. Costs
    a few percent of the daemon's CPU. With another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
