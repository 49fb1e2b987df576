"""Requests a day, counted in a file: a restart forgets nothing, and two processes share one count."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from mdingest.core.session import SECOND_NS
from mdingest.errors import PermanentError

_DAY_S = 86_400.0
_MAX_BYTES = 1 << 20


class Quota:
    """``per_day`` requests in any 24 hours. ``wall_ns`` is the wall clock, UTC ns.

    Each call locks the file for the time of one small read and write. A damaged file counts as
    empty: the provider's own refusals then tell, and are written down.
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
            asked = [at for at in held.asked if now - _DAY_S < at <= now]  # a clock that was set back
            if now < held.until_s <= now + 8 * _DAY_S:
                return held.until_s - now
            if len(asked) >= most:
                return max(asked[-most] + _DAY_S - now, 1.0)
            held.write([*asked, now], 0.0)
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


class _File:
    """What an open, locked file says."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.asked: list[float] = []  # seconds since 1970, ascending
        self.until_s = 0.0
        try:
            document = orjson.loads(os.pread(fd, _MAX_BYTES, 0))
            self.asked = sorted(float(at) for at in document["asked"])
            self.until_s = float(document["until"])
        except (ValueError, TypeError, KeyError):
            self.asked, self.until_s = [], 0.0

    def write(self, asked: list[float], until_s: float) -> None:
        data = orjson.dumps({"asked": asked, "until": until_s})
        os.ftruncate(self._fd, os.pwrite(self._fd, data, 0))
