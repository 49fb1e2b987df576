"""Replies that never change and answer for many symbols, kept on disk within a bound."""

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import structlog

from mdingest.providers.history import Keep, Reply

log = structlog.get_logger()


def store(keep: Keep, reply: Reply) -> None:
    """Write a reply's body beside the others, whole or not at all; the ones unused longest go.

    A disk that refuses is logged and costs another request later, nothing else.
    """
    temporary = keep.path.with_name(f".{keep.path.name}.{uuid.uuid4().hex}")  # others may keep the same one
    try:
        keep.path.parent.mkdir(parents=True, exist_ok=True)
        reply.body.seek(0)
        with temporary.open("wb") as file:
            shutil.copyfileobj(reply.body, file)
        temporary.replace(keep.path)
        _shrink(keep.path.parent, keep.max_bytes)
    except OSError as exc:
        log.warning("backfill.reply_not_kept", path=str(keep.path), error=str(exc))
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def touch(keep: Keep) -> None:
    """Remember that it was used."""
    with suppress(OSError):  # read-only, or gone: it is only an order of removal
        os.utime(keep.path)


def drop(keep: Keep) -> None:
    """It turned out to be damaged."""
    keep.path.unlink(missing_ok=True)


def _shrink(folder: Path, max_bytes: int) -> None:
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # another's temporary file, which has its name by now
                    stat = entry.stat(follow_symlinks=False)
                    files.append((stat.st_mtime_ns, stat.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            break
        Path(path).unlink(missing_ok=True)
        total -= size
