"""Requests a day, counted in a file: a restart forgets nothing, and two processes share one count."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import orjson

from mdingest.core.session import SECOND_NS
from mdingest.errors import PermanentError

_MINUTE_S, _DAY_S = 60.0, 86_400.0
_MAX_BYTES = 1 << 20


class Quota:
    """``per_day`` requests in any 24 hours. ``wall_ns`` is the wall clock, UTC ns.

    Each call locks the file for the time of one small read and write: requests of one minute are
    counted together, at the last of them. A damaged file counts as empty: the provider's own
    refusals then tell, and are written down.
    """

    def __init__(self, path: Path, per_day: int, wall_ns: Callable[[], int]) -> None:
        self._path = path
        self._per_day = per_day
        self._wall_ns = wall_ns

    @property
    def used_up(self) -> str:
        """The sentence for a day without any request left."""
        return f"the quota of {self._per_day} requests a day is used up"

    @property
    def kept_back(self) -> str:
        """The sentence for those who may use a part of it only."""
        return f"what is left of the quota of {self._per_day} requests a day is kept for backfill"

    def take(self, kept: float = 0.0) -> float:
        """Count a request and answer 0, or answer in how many seconds one is allowed.

        ``kept`` is the share of the quota that has to stay for others.
        """
        most = max(1, self._per_day - int(self._per_day * kept))
        now = self._now_s()
        with self._locked() as held:
            asked = [(at, n) for at, n in held.asked if now - _DAY_S < at <= now]  # a clock that was set back
            if now < held.until_s <= now + 8 * _DAY_S:
                return held.until_s - now
            over = sum(n for _, n in asked) - most
            if over >= 0:
                return max(_last_of(asked, over + 1) + _DAY_S - now, 1.0)
            held.write(_counted(asked, now), 0.0)
            return 0.0

    def hold(self, wait_s: float) -> None:
        """The provider itself says that nothing is left for so long."""
        with self._locked() as held:
            held.write(held.asked, max(held.until_s, self._now_s() + wait_s))

    def _now_s(self) -> float:
        return self._wall_ns() / SECOND_NS

    @contextmanager
    def _locked(self) -> "Iterator[_File]":
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield _File(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise PermanentError(
                f"{self._path}: the requests of the day can't be counted there: {exc.strerror}"
            ) from exc


def _last_of(asked: list[tuple[float, int]], first: int) -> float:
    """When the last of the ``first`` oldest requests was made."""
    counts = accumulate(n for _, n in asked)
    return next(at for (at, _), count in zip(asked, counts, strict=True) if count >= first)


def _counted(asked: list[tuple[float, int]], now_s: float) -> list[tuple[float, int]]:
    """With one more."""
    if asked and asked[-1][0] // _MINUTE_S == now_s // _MINUTE_S:
        return [*asked[:-1], (now_s, asked[-1][1] + 1)]
    return [*asked, (now_s, 1)]


class _File:
    """What an open, locked file says."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.asked: list[tuple[float, int]] = []  # seconds since 1970, ascending, and how many then
        self.until_s = 0.0
        try:
            document = orjson.loads(os.pread(fd, _MAX_BYTES, 0))
            asked = [at if isinstance(at, list) else [at, 1] for at in document["asked"]]  # one of old files
            self.asked = sorted((float(at), int(n)) for at, n in asked)
            self.until_s = float(document["until"])
        except (ValueError, TypeError, KeyError):
            self.asked, self.until_s = [], 0.0

    def write(self, asked: list[tuple[float, int]], until_s: float) -> None:
        data = orjson.dumps({"asked": asked, "until": until_s})
        os.ftruncate(self._fd, os.pwrite(self._fd, data, 0))
