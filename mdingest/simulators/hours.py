"""When each simulated instrument trades, and how: the phases of a trade date.

Always open, or by the session windows of a class (`mdingest.calendars`):

- pre-open: orders are collected and prices indicated, then everything that trades does so in
  **one match** eight fifteenths into the window (09:08 of 09:00-09:15), then it is quiet;
- regular: continuous trading;
- auction: quiet for a quarter (15:15), then prices are indicated, and one match follows in its
  last quarter (15:30-15:35);
- post-close: quiet, but for the last ten minutes, which trade at the closing price;
- an index has one value at each match, the last of them early in the post-close.

Quiet means packets that tell of the order book only; outside of all windows nothing is sent.
The day, with its volume and its extremes, begins anew with the first window.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mdingest.calendars import ALWAYS, Calendars, load, session_class_for
from mdingest.core.session import Session, Window
from mdingest.errors import ConfigError
from mdingest.simulators.instruments import SimInstrument

Ints = NDArray[np.int64]

AUTO = "auto"
"""Each instrument keeps the hours of its own class."""

_S = 1_000_000_000
_DAY = dt.timedelta(days=1)
_FARTHEST_DAYS = 15  # no two trade dates are farther apart
_AT_CLOSE_S = 600
_MINUTE_S = 60  # windows and dates begin with one
_PREOPEN_MATCH, _AUCTION_QUIET, _AUCTION_MATCH, _FINAL_VALUE = 8 / 15, 1 / 4, 3 / 4, 1 / 6
_SOONEST_S, _SPREAD_S = 5, 40  # of a match after its earliest instant
_KNUTH = 2_654_435_761


class Phase(IntEnum):
    """What an instrument does."""

    CLOSED = 0
    QUIET = 1  # only the order book moves
    CALL = 2  # and a price is indicated
    OPEN = 3
    AT_CLOSE = 4  # trades at the last price only


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The state of all instruments in one second, by row."""

    phase: Ints
    day: Ints  # proleptic ordinal of the trade date; before its first window the one before
    match_ns: Ints  # the match of the window we are in, UTC ns; 0: it has none


@dataclass(frozen=True, slots=True)
class _Span:
    start_s: int
    phase: Phase
    match_s: int = 0  # the earliest second of the window's match


@dataclass(frozen=True, slots=True)
class _Plan:
    """One trade date of one class: spans that follow each other."""

    day: int
    spans: tuple[_Span, ...]

    def at(self, second: int) -> _Span:
        return self.spans[bisect_right(self.spans, second, key=lambda span: span.start_s) - 1]


class Hours:
    """The hours of a list of instruments. ``session``: `ALWAYS`, `AUTO`, or a class such as NSE.EQ.cas.

    A class is that of all shares; indices and derivatives keep their own. Raises ConfigError
    for a class that the calendars do not have.
    """

    def __init__(
        self, instruments: Sequence[SimInstrument], session: str = ALWAYS, calendars: Calendars | None = None
    ) -> None:
        self.always = session == ALWAYS
        self._rows = len(instruments)
        self._known: tuple[int, int, Moment] | None = None  # seconds from, to, in which it holds
        if self.always:
            return  # nobody waits for calendars that are not looked at
        classes = [_class_of(one, session, instruments) for one in instruments]
        self._names = list(dict.fromkeys(classes))
        self._calendars = calendars or load()
        unknown = sorted({*self._names, session} - {*self._calendars.classes, AUTO})
        if unknown:
            known = ", ".join([AUTO, *self._calendars.classes])
            raise ConfigError(f"there is no session class {unknown[0]!r}; there are {known}")
        self._class = np.array([self._names.index(name) for name in classes], dtype=np.int64)
        tokens = np.array([one.token for one in instruments], dtype=np.int64)
        index = np.array([one.is_index for one in instruments], dtype=np.bool_)
        spread = _SOONEST_S * _S + tokens * _KNUTH % (_SPREAD_S * _S)
        self._delay = np.where(index, (_SPREAD_S + 2 * _SOONEST_S) * _S, spread)  # an index comes after all
        self._plans: dict[tuple[int, int], _Plan] = {}

    def at(self, second: int) -> Moment:
        """One second (epoch)."""
        if self.always:
            n = self._rows
            day = np.full(n, second // 86_400)
            return Moment(np.full(n, Phase.OPEN, dtype=np.int64), day, np.zeros(n, dtype=np.int64))
        if self._known is None or not self._known[0] <= second < self._known[1]:
            self._known = self._found(second)
        return self._known[2]

    def until(self, second: int) -> int:
        """Up to which second `at` is the same for sure; the day rolls at an end of a minute."""
        if not self.always:
            self.at(second)
        return second // _MINUTE_S * _MINUTE_S + _MINUTE_S if self._known is None else self._known[1]

    def _found(self, second: int) -> tuple[int, int, Moment]:
        """The moment of a second, and from when to when it is the same for sure."""
        plans = [self._plan(number, second) for number in range(len(self._names))]
        spans = [plan.at(second) for plan in plans]
        match = np.array([span.match_s for span in spans], dtype=np.int64)[self._class]
        moment = Moment(
            phase=np.array([span.phase for span in spans], dtype=np.int64)[self._class],
            day=np.array([plan.day for plan in plans], dtype=np.int64)[self._class],
            match_ns=np.where(match > 0, match * _S + self._delay, 0),
        )
        later = [span.start_s for plan in plans for span in plan.spans if span.start_s > second]
        return second, min([*later, second // _MINUTE_S * _MINUTE_S + _MINUTE_S]), moment

    def so_far(self, second: int) -> tuple[Ints, Ints]:
        """By row: seconds of open trading in its day before ``second``, and when it last traded (ns)."""
        if self.always:
            raise AssertionError  # there is no such thing
        open_s, last_ns = [], []
        for number in range(len(self._names)):
            plan = self._plan(number, second)
            traded = 0
            for span, end in _bounded(plan, second):
                traded += end - span.start_s if span.phase is Phase.OPEN else 0
            while (last := _last_trade(plan, second)) is None:
                plan = self._plan(number, plan.spans[0].start_s - 1)
            open_s.append(traded)
            last_ns.append(last)
        rows = self._class
        return np.array(open_s, dtype=np.int64)[rows], np.array(last_ns, dtype=np.int64)[rows] * _S

    def _plan(self, number: int, second: int) -> _Plan:
        """The newest plan that has begun."""
        name = self._names[number]
        date = dt.datetime.fromtimestamp(second, self._calendars.zone(name)).date()
        for back in range(_FARTHEST_DAYS):
            ordinal = (date - back * _DAY).toordinal()
            plan = self._plans.get((number, ordinal))
            if plan is None:
                day = self._calendars.day(name, dt.date.fromordinal(ordinal))
                index = name.endswith(".IDX")
                plan = _Plan(ordinal, tuple(_spans(day.windows, index=index)))
                self._plans[number, ordinal] = plan
            if plan.spans and plan.spans[0].start_s <= second:
                return plan
        raise ConfigError(f"{name} has no trade date in the {_FARTHEST_DAYS} days up to {date}")


def _class_of(one: SimInstrument, session: str, listed: Sequence[SimInstrument]) -> str:
    if session == ALWAYS:
        return ALWAYS
    if session != AUTO and one.kind == "EQ" and not one.is_index:
        return session
    derivatives = any(other.kind == "FUT" and other.name == one.tradingsymbol for other in listed)
    return session_class_for(one.exchange, one.segment, one.kind, has_derivatives=derivatives)


def _spans(windows: Sequence[Window], *, index: bool) -> list[_Span]:
    spans: list[_Span] = []
    for window in windows:
        start, end = window.start_ns // _S, window.end_ns // _S
        if spans and spans[-1].start_s == start:
            del spans[-1]  # the CLOSED that ended the window before

        def into(share: float, start: int = start, end: int = end) -> int:
            return start + round(share * (end - start))

        match window.session:
            case Session.PREOPEN:
                match_s = into(_PREOPEN_MATCH)
                spans.append(_Span(start, Phase.CALL, match_s))
                spans.append(_Span(match_s + _SPREAD_S + _SOONEST_S, Phase.QUIET, match_s))
            case Session.AUCTION:
                match_s = into(_AUCTION_MATCH)
                spans.append(_Span(start, Phase.QUIET))
                spans.append(_Span(into(_AUCTION_QUIET), Phase.CALL, match_s))
                spans.append(_Span(match_s + _SPREAD_S + _SOONEST_S, Phase.QUIET, match_s))
            case Session.POSTCLOSE if index:
                spans.append(_Span(start, Phase.QUIET, into(_FINAL_VALUE)))
            case Session.POSTCLOSE:
                spans.append(_Span(start, Phase.QUIET))
                spans.append(_Span(max(start, end - _AT_CLOSE_S), Phase.AT_CLOSE))
            case _:
                spans.append(_Span(start, Phase.OPEN))
        spans.append(_Span(end, Phase.CLOSED))
    return spans


def _bounded(plan: _Plan, second: int) -> list[tuple[_Span, int]]:
    """Spans that began before ``second``, each with its end or ``second``."""
    ends = [*(span.start_s for span in plan.spans[1:]), second]
    return [
        (span, min(end, second)) for span, end in zip(plan.spans, ends, strict=True) if span.start_s < second
    ]


def _last_trade(plan: _Plan, second: int) -> int | None:
    """The last second in which something may have traded; None: nothing can have yet."""
    last = None
    for span, end in _bounded(plan, second):
        if span.phase in (Phase.OPEN, Phase.AT_CLOSE):
            last = end - 1
        elif span.match_s and span.match_s + _SPREAD_S + 2 * _SOONEST_S < end:
            last = span.match_s + _SPREAD_S + 2 * _SOONEST_S
    return last
