"""A provider's list of instruments: a local file, or fetched and kept for days without network."""

import asyncio
import hashlib
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import structlog

from mdingest.errors import PermanentError, TransientError

log = structlog.get_logger()

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
_MAX_BYTES = 256 << 20
_PIECE = 1 << 16
_OK = 200
_TRY_LATER = 429
_SERVER_ERROR = 500
_LEFT_S = 3_600.0  # no download takes so long
_numbers = itertools.count()  # a feed, its repair and other commands may fetch a list at the same time


def cache_of(folder: Path, name: str, source: str) -> Path:
    """Where the list of an address is kept: the simulator's must never stand for the broker's.

    ``kite_ws.csv`` becomes ``kite_ws-1a2b3c4d.csv``.
    """
    stem, dot, ending = name.partition(".")
    return folder / f"{stem}-{hashlib.sha256(source.encode()).hexdigest()[:8]}{dot}{ending}"


async def instrument_list(source: str, cache: Path) -> Path:
    """The file that holds it: ``source`` itself if local, else ``cache``, renewed from the address.

    An address that does not answer, or with a web page (a proxy's, of maintenance), and a full disk
    leave an older copy in use, with a warning. Without one it raises TransientError, or PermanentError
    if the address or file is wrong. Cancelling leaves the old copy.
    """
    if not source.startswith(("http://", "https://")):
        return _local(Path(source))
    try:
        await _fetch(source, cache)
    except TransientError as exc:
        if _missing(cache):
            raise
        log.warning("instruments.not_renewed", file=cache.name, error=str(exc))
    return cache


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """While a list is read: what the system refuses, say since it is just replaced, may work later."""
    try:
        yield
    except OSError as exc:
        raise TransientError(f"{path} can't be read: {exc.strerror or exc}") from exc


def _local(path: Path) -> Path:
    if not path.is_file():
        raise PermanentError(f"there is no instrument list at {path}")
    return path


def _missing(path: Path) -> bool:
    return not path.exists()


def _clear(cache: Path) -> None:
    """Remove what killed processes left of their downloads."""
    for left in cache.parent.glob(f".{cache.name}.*.new"):
        with suppress(FileNotFoundError):  # another one clears as well
            if left.stat().st_mtime < time.time() - _LEFT_S:
                left.unlink()


async def _fetch(url: str, cache: Path) -> None:
    fresh = cache.with_name(f".{cache.name}.{os.getpid()}.{next(_numbers)}.new")
    size, begin = 0, b""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_clear, cache)
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url) as reply:
            if reply.status != _OK:
                error = f"{url} answered {reply.status}"
                if reply.status == _TRY_LATER or reply.status >= _SERVER_ERROR:
                    raise TransientError(error)
                raise PermanentError(f"{error}: check the provider's `instruments` address")
            with fresh.open("wb") as file:
                async for piece in reply.content.iter_chunked(_PIECE):
                    size += len(piece)
                    if size > _MAX_BYTES:
                        raise PermanentError(
                            f"{url} is longer than {_MAX_BYTES >> 20} MiB: not an instrument list"
                        )
                    begin = begin or piece.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
                    if begin == b"<":
                        break
                    file.write(piece)
                await asyncio.to_thread(os.fsync, file.fileno())
        if begin in (b"<", b""):
            raise TransientError(
                f"{url} answered with {'a web page' if begin else 'nothing'} instead of a list"
            )
        fresh.replace(cache)
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise TransientError(f"{url} can't be fetched: {str(exc) or type(exc).__name__}") from exc
    except OSError as exc:
        raise TransientError(f"{cache} can't be written: {exc.strerror}") from exc
    finally:
        fresh.unlink(missing_ok=True)
    log.info("instruments.fetched", bytes=size, file=cache.name)
