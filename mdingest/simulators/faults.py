"""What can go wrong on request: a small language and its timetable.

``disconnect@20s, mute~2m/15s``: a comma-separated list of ``KIND@WHEN`` (once) or
``KIND~MEAN`` (again and again at random, seeded, that far apart on average), for some kinds
with ``/HOWLONG``. Times count from the start of the simulator, on its clock; units are ms, s,
m and h.
"""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdingest.errors import ConfigError

S = 1_000_000_000

INSTANT = {
    "disconnect": "every connection is cut off, without a closing handshake",
    "close": "every connection is closed in good order",
    "expire": "every access token used so far is refused from now on, and its connections are cut off",
    "truncate": "the next data frame of every connection loses its end",
    "unknown": "the next data frame carries a packet of an unknown length as well",
    "lie": "the next data frame claims more packets than it has",
    "hostile": "before the next data frame come a score of frames that no broker would send",
    "notime": "the next data frame carries 0 for each last trade time",
    "back": "the next data frame carries totals of volume as they were a while ago",
    "duplicate": "the next data frame comes twice",
    "reorder": "the next data frame comes after the one that follows it",
    "correct": "the exchange takes back a part of the day's volumes, for good",
    "reset": "the day's volumes begin again at nothing, for good",
    "roll": "a new trading day begins: volumes, open, high and low start anew",
    "order": "every connection gets an order update, as text",
}
LASTING = {
    "mute": "connections open then send heartbeats but no data",
    "silent": "connections open then send nothing at all",
    "halfopen": "connections open then neither send nor read nor end; new ones get no answer",
    "trickle": "what connections open then send comes in drops, 4 KiB a second",
    "late": "a third of the instruments is held back, then delivered at once with its old stamps",
    "stale": "who subscribes sees the state at its beginning, and at its end everybody is told that again",
    "conflate": "connections open then tell of each instrument once a second at most",
    "burst": "twenty times as much trades",
    "403": "every new connection is refused, as one of an app without market data; candles are, too",
    "429": "every new connection is refused: too many; Retry-After says for how long",
    "503": "every new connection, and each call of REST, is refused with a web page: down for maintenance",
}

_UNITS = {"ms": S // 1000, "s": S, "m": 60 * S, "h": 3600 * S}
_SPAN = r"(\d+(?:\.\d+)?)(ms|s|m|h)"
_FAULT = re.compile(rf"(?P<kind>\w+)(?P<how>[@~])(?P<when>{_SPAN})(?:/(?P<long>{_SPAN}))?")
_SHORTEST_MEAN_NS = S // 10


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the list. ``at_ns`` counts from the start; ``mean_ns`` > 0 repeats at random."""

    kind: str
    at_ns: int = 0
    mean_ns: int = 0
    long_ns: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A fault that happens: at an instant of the clock, for a span of it."""

    at_ns: int
    entry: int  # its place in the list
    kind: str
    long_ns: int


def parse_faults(text: str) -> tuple[Fault, ...]:
    """The list in a text; an empty text is an empty list. Raises ConfigError with what would be right."""
    return tuple(_parse(entry.strip()) for entry in text.split(",") if entry.strip())


def check_fault(kind: str, long_ns: int) -> None:
    """Raise ConfigError unless this kind exists and lasts (or does not) as it must."""
    if kind not in INSTANT and kind not in LASTING:
        raise ConfigError(f"there is no fault {kind!r}; there are: {', '.join([*INSTANT, *LASTING])}")
    if kind in LASTING and long_ns <= 0:
        raise ConfigError(f"fault {kind!r} lasts: say for how long, like {kind}@10s/15s")
    if kind in INSTANT and long_ns:
        raise ConfigError(f"fault {kind!r} is over at once: write it without '/', like {kind}@10s")


class Timetable:
    """Which faults are due, in order of time. The same seed gives the same timetable."""

    def __init__(self, faults: Sequence[Fault], *, start_ns: int, seed: int) -> None:
        self._faults = faults
        self._random = [np.random.default_rng([seed, entry]) for entry in range(len(faults))]
        self._waiting: list[Due] = []
        for entry, fault in enumerate(faults):
            self._plan(entry, start_ns + (self._spacing(entry) if fault.mean_ns else fault.at_ns))

    def due(self, until_ns: int) -> list[Due]:
        """Faults with an instant up to ``until_ns`` that were not handed out before."""
        out = []
        while self._waiting and self._waiting[0].at_ns <= until_ns:
            out.append(heapq.heappop(self._waiting))
            if self._faults[out[-1].entry].mean_ns:
                self._plan(out[-1].entry, out[-1].at_ns + self._spacing(out[-1].entry))
        return out

    def _plan(self, entry: int, at_ns: int) -> None:
        fault = self._faults[entry]
        heapq.heappush(self._waiting, Due(at_ns, entry, fault.kind, fault.long_ns))

    def _spacing(self, entry: int) -> int:
        return 1 + int(self._random[entry].exponential(self._faults[entry].mean_ns))


def _parse(entry: str) -> Fault:
    match = _FAULT.fullmatch(entry)
    if match is None:
        raise ConfigError(
            f"fault {entry!r} is not understood; write KIND@WHEN or KIND~MEAN, with /HOWLONG where it lasts, "
            f"like disconnect@20s, disconnect~30s or mute@10s/15s; "
            f"kinds: {', '.join([*INSTANT, *LASTING])}; units: {', '.join(_UNITS)}"
        )
    when = span_ns(match["when"])
    long_ns = span_ns(match["long"]) if match["long"] else 0
    check_fault(match["kind"], long_ns)
    if match["how"] == "@":
        return Fault(match["kind"], at_ns=when, long_ns=long_ns)
    if when < _SHORTEST_MEAN_NS:
        raise ConfigError(f"fault {entry!r} would never stop: faults are at least 100ms apart on average")
    return Fault(match["kind"], mean_ns=when, long_ns=long_ns)


def span_ns(text: str) -> int:
    """A span such as 250ms, 1s or 2m, in ns. Raises ConfigError with what would be right."""
    match = re.fullmatch(_SPAN, text)
    if match is None:
        raise ConfigError(f"{text!r} is no span of time; write it like 250ms, 1s or 2m")
    return round(float(match[1]) * _UNITS[match[2]])


def described() -> str:
    """Every kind and what it does, a line each."""
    instant = [f"  {kind:10}  {text}" for kind, text in INSTANT.items()]
    lasting = [f"  {kind:10}  {text}" for kind, text in LASTING.items()]
    return "\n".join(["at once (KIND@WHEN, KIND~MEAN):", *instant, "for a while (/HOWLONG):", *lasting])
