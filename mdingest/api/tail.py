"""The candles that answer a question, and how those of several sources lie over each other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.api.missing import Missing, joined, within
from mdingest.api.record import Beside
from mdingest.api.wanted import EARLIEST, LATEST
from mdingest.core.events import CANDLE, Candles
from mdingest.core.spans import Span, union

Times = NDArray[np.int64]


class Tail(NamedTuple):
    """Candles, ascending, the instants each covers, and whether older ones were left out."""

    candles: Candles
    starts: Times
    ends: Times
    made: NDArray[np.bool_]  # coarsened just now, as opposed to stored
    lacks: Times  # ns missing from what each was made of, 0 while it grows; -1: it is stored
    cut: bool
    beside: Beside
    holes: list[Missing]  # in what coarsened ones were made of

    def spans(self, which: NDArray[np.bool_] | slice = slice(None)) -> list[Span]:
        """The instants that candles cover."""
        return list(zip(self.starts[which].tolist(), self.ends[which].tolist(), strict=True))

    def only(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Tail":
        """With some of the candles."""
        candles, starts, ends, made, lacks = self[:5]
        return self._replace(
            candles=Candles(candles[which]),
            starts=starts[which],
            ends=ends[which],
            made=made[which],
            lacks=lacks[which],
        )


_NONE = np.empty(0, np.int64)
_UNREAD = Beside(LATEST, EARLIEST, [], [])
NOTHING = Tail(Candles(np.empty(0, CANDLE)), _NONE, _NONE, np.empty(0, np.bool_), _NONE, False, _UNREAD, [])


def overlaid(tails: Sequence[Tail], most: int) -> Tail:
    """All, and of each bucket the first of those that lack least."""
    tails = [tail for tail in tails if len(tail.candles)]
    if not tails:
        return NOTHING
    names = np.concatenate([tail.candles["ts"] for tail in tails])
    order = np.lexsort((np.concatenate([tail.lacks for tail in tails]), names))
    order = order[np.append(True, np.diff(names[order]) != 0)]
    # Before the first candle of a tail that was cut, its candles are absent by our doing.
    low = max((int(tail.candles["ts"][0]) for tail in tails if tail.cut), default=EARLIEST)
    order = order[names[order] >= low]
    cut = any(tail.cut for tail in tails) or len(order) > most
    at = order[-most:]
    of = np.repeat(np.arange(len(tails)), [len(tail.candles) for tail in tails])[at]
    columns = (np.concatenate(column)[at] for column in zip(*(tail[:5] for tail in tails), strict=True))
    candles, starts, ends, coarse, lacks = columns
    beside = min((tail.beside for tail in tails), key=lambda beside: beside.start)
    shown = Tail(Candles(candles), starts, ends, coarse, lacks, cut, beside, [])
    chosen = [within(tail.holes, union(shown.spans(coarse & (of == n)))) for n, tail in enumerate(tails)]
    return shown._replace(holes=joined(hole for holes in chosen for hole in holes))
