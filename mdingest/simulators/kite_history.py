"""The broker's historical candles, made of the very trades that the market made.

``GET /instruments/historical/{token}/{interval}?from=&to=[&oi=1]`` as Kite Connect documents it:
times of India, both ends included, the running bar too. What traded before the simulator started
was never made up, so there is nothing of it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.instruments import SimInstrument
from mdingest.simulators.trades import Ints, S, Trades

INTERVALS = {  # in minutes, and the days that one request may span
    "minute": (1, 60),
    "3minute": (3, 100),
    "5minute": (5, 100),
    "10minute": (10, 100),
    "15minute": (15, 200),
    "30minute": (30, 200),
    "60minute": (60, 400),
    "day": (1_440, 2_000),
}
_MINUTE_S, _DAY_S = 60, 86_400
_MOST_BARS = 2_000_000  # of all instruments together; the oldest minutes go first
_MOST_MINUTES = 7 * 1_440
_IST = timezone(timedelta(hours=5, minutes=30))
_INDIA_S = 19_800
_OPENING_S = 33_300  # 09:15 in India: intraday bars are counted from there
_BAR = np.dtype([(name, np.int64) for name in ("open", "high", "low", "close", "volume", "oi", "trades")])


class MinuteBars:
    """Minutes of all instruments, as they trade."""

    def __init__(self, instruments: Sequence[SimInstrument]) -> None:
        self._instruments = instruments
        self._rows = {one.token: row for row, one in enumerate(instruments)}
        most = min(_MOST_MINUTES, max(2, _MOST_BARS // max(1, len(instruments))))
        self._minutes: deque[tuple[int, NDArray[np.void]]] = deque(maxlen=most)  # epoch s, bars by row

    def take(self, trades: Trades) -> None:
        """Trades as they happen, by time."""
        minutes: Ints = trades["ts"] // (_MINUTE_S * S) * _MINUTE_S
        one = len(minutes) > 0 and minutes[0] == minutes[-1]  # as in nearly every turn
        for minute in minutes[:1].tolist() if one else np.unique(minutes).tolist():
            if not self._minutes or self._minutes[-1][0] < minute:
                self._minutes.append((minute, np.zeros(len(self._instruments), _BAR)))
            _fold(self._minutes[-1][1], Trades(trades[minutes == minute]))

    def answer(self, token: str, interval: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The ``data`` of a reply. Raises ValueError, in the broker's words, for what can't be asked."""
        if interval not in INTERVALS:
            raise ValueError("invalid interval")
        if not token.isdecimal() or int(token) not in self._rows:
            raise ValueError("invalid token")
        start, end = (_instant(query, key) for key in ("from", "to"))
        minutes, days = INTERVALS[interval]
        if end - start > days * _DAY_S:
            raise ValueError(f"interval exceeds max limit: {days} days")
        row = self._rows[int(token)]
        bars = self._bars(row, minutes * _MINUTE_S, start, end)
        return {"candles": [self._spelt(row, *bar, oi=query.get("oi") == "1") for bar in bars.items()]}

    def _bars(self, row: int, length_s: int, start: int, end: int) -> dict[int, NDArray[np.void]]:
        """Opening second to bar, of those that open from ``start`` to ``end``."""
        found: dict[int, NDArray[np.void]] = {}
        for minute, bars in self._minutes:
            bar = bars[row]
            anchor = -_INDIA_S if length_s == _DAY_S else _OPENING_S - _INDIA_S
            at = (minute - anchor) // length_s * length_s + anchor
            if bar["trades"] and start <= at <= end:
                if at in found:
                    _merge(found[at], bar)
                else:
                    found[at] = bar.copy()
        return found

    def _spelt(self, row: int, at: int, bar: NDArray[np.void], *, oi: bool) -> list[Any]:
        one = self._instruments[row]
        stamp = datetime.fromtimestamp(at, _IST).strftime("%Y-%m-%dT%H:%M:%S%z")
        prices = (int(bar[name]) / one.divisor for name in ("open", "high", "low", "close"))
        cells = [stamp, *(int(price) if price.is_integer() else price for price in prices)]
        cells.append(0 if one.is_index else int(bar["volume"]))
        return [*cells, int(bar["oi"])] if oi else cells


def _fold(bars: NDArray[np.void], trades: Trades) -> None:
    rows = trades["row"]
    some, first = np.unique(rows, return_index=True)
    last = len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1]
    fresh = bars["trades"][some] == 0
    opened = some[fresh]
    for name in ("open", "high", "low"):
        bars[name][opened] = trades["price"][first[fresh]]
    np.maximum.at(bars["high"], rows, trades["price"])
    np.minimum.at(bars["low"], rows, trades["price"])
    np.add.at(bars["volume"], rows, trades["size"])
    np.add.at(bars["trades"], rows, 1)
    bars["close"][some], bars["oi"][some] = trades["price"][last], trades["oi"][last]


def _merge(whole: NDArray[np.void], later: NDArray[np.void]) -> None:
    whole["high"], whole["low"] = max(whole["high"], later["high"]), min(whole["low"], later["low"])
    whole["close"], whole["oi"] = later["close"], later["oi"]
    whole["volume"] += later["volume"]


def _instant(query: Mapping[str, str], key: str) -> int:
    """Epoch seconds of ``yyyy-mm-dd HH:MM:SS`` in India."""
    try:
        at = datetime.strptime(query.get(key, ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=_IST)
    except ValueError:
        raise ValueError(f"invalid {key} date") from None
    return int(at.timestamp())
