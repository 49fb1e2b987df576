"""Where files of tests go that say nothing of a disk: into memory, if there is room for them."""

import shutil
from pathlib import Path

_PLACE = Path("/dev/shm")
_ENOUGH = 3 << 30  # bytes; all tests together take less than one third. In a container it may be small


def memory() -> Path | None:
    """A directory in memory; None where there is none, or little room.

    A database is copied four times as fast there as on a disk, and a sync costs nothing.
    """
    roomy = _PLACE.is_dir() and shutil.disk_usage(_PLACE).free > _ENOUGH
    return _PLACE if roomy else None
