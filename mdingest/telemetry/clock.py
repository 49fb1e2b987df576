"""The one place that reads the machine's clocks.

Records carry two stamps: *wall* (UTC, may step) and *monotonic* (never steps, its zero is
arbitrary and differs from process to process). Both are ns. For demos and tests the wall
clock can be shifted and both can run faster than real time; what guards the network
(timeouts, backoff, watchdogs) stays in real seconds.
"""

import sys
import time
from dataclasses import dataclass
from datetime import datetime

from mdingest.errors import ConfigError

_MAX_SPEED = 60.0
_FIRST_YEAR, _LAST_YEAR = 2000, 2042  # instants in ns, and spans before and after them, fit into 64 bits
SHORTEST_REAL_TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall and monotonic time, possibly shifted and scaled.

    At real monotonic instant ``origin_ns`` the wall showed ``wall_origin_ns``; both run
    ``speed`` times as fast as real time from there.
    """

    wall_origin_ns: int = 0
    origin_ns: int = 0
    speed: float = 1.0
    shifted: bool = False

    def wall_ns(self) -> int:
        """UTC ns since the epoch."""
        if not self.shifted:
            return time.time_ns()
        return self.wall_origin_ns + round((time.monotonic_ns() - self.origin_ns) * self.speed)

    def mono_ns(self) -> int:
        """Monotonic ns; only differences mean anything."""
        if not self.shifted:
            return time.monotonic_ns()
        return round((time.monotonic_ns() - self.origin_ns) * self.speed)

    def slept_s(self) -> float:
        """Real seconds for which this machine was suspended since it booted, as far as it can tell.

        Monotonic time stands still meanwhile, and so does whatever it guards.
        """
        if sys.platform != "linux":
            return 0.0
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

    def real_s(self, market_s: float) -> float:
        """How long a span on this clock takes in real seconds."""
        return market_s / self.speed


def parse_clock(text: str) -> Clock:
    """``<RFC 3339 instant>[xSPEED]``, the value of ``MDINGEST_CLOCK``.

    Raises ConfigError for a naive instant, one outside of 2000 to 2042, or a speed outside (0, 60].
    """
    instant, x, factor = text.strip().partition("x")
    try:
        start = datetime.fromisoformat(instant)
        speed = float(factor) if x else 1.0
    except ValueError as exc:
        raise ConfigError(_wrong(text)) from exc
    years = _FIRST_YEAR <= start.year <= _LAST_YEAR
    if start.tzinfo is None or not years or not 0 < speed <= _MAX_SPEED:
        raise ConfigError(_wrong(text))
    return Clock(
        wall_origin_ns=round(start.timestamp() * 1000) * 1_000_000,
        origin_ns=time.monotonic_ns(),
        speed=speed,
        shifted=True,
    )


def _wrong(text: str) -> str:
    return (
        "MDINGEST_CLOCK must be an RFC 3339 instant with an offset (2000 to 2042) and may end in xSPEED "
        f"(up to 60), like 2026-11-20T09:10:00+05:30x60, was {text!r}"
    )
