"""Small real disks, to be filled."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_DETACH = 2  # MNT_DETACH: whatever still has a file open there does not keep it


@contextmanager
def small_disk(at: Path, size: int) -> Iterator[Path]:
    """A disk of ``size`` bytes in memory, mounted at a directory. Skips where nobody may mount."""
    at.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(at).encode(), b"tmpfs", 0, f"size={size}".encode()):
        pytest.skip(f"not possible here: mounting a small disk ({os.strerror(ctypes.get_errno())})")
    try:
        yield at
    finally:
        libc.umount2(str(at).encode(), _DETACH)


def fill(path: Path, leave: int = 0) -> None:
    """Let a file take all but ``leave`` bytes of its disk, whoever else writes there."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 16, 1 << 12):
            with suppress(OSError):
                while shutil.disk_usage(path.parent).free >= leave + size:
                    file.write(bytes(size))
