"""A question for candles, and the small interface through which a store answers."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mdingest.core.events import Candles
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SessionTable
from mdingest.errors import ConfigError
from mdingest.store.base import CoverageRow, Difference, Excerpt, GapRow

EARLIEST, LATEST = -(1 << 61), 1 << 61
"""Instants before and after all others, UTC ns."""
_EPOCH = dt.date(1970, 1, 1)
_FIRST_DAY, _LAST_DAY = -25_000, 50_000  # 1901 and 2106: what calendars are asked for
_A_MONTH = dt.timedelta(days=32)


class Compared(Protocol):
    """See `mdingest.store.upkeep.Upkeep`."""

    async def differences(self, instrument_id: int, first: str, last: str) -> list[Difference]:
        """How live-built candles of some trade dates compare with those of other sources."""
        ...

    async def forgotten(self) -> dict[int, int]:
        """Interval in seconds to the instant, UTC ns, before which its candles were dropped."""
        ...


class Reader(Protocol):
    """What is read of a store; `mdingest.store.base.Store` says what each means."""

    @property
    def upkeep(self) -> Compared:
        """What was found out about the record beside the live work."""
        ...

    async def instruments(self) -> list[Instrument]:
        """All, by symbol."""
        ...

    async def last_candle_ns(self) -> dict[tuple[int, int], int]:
        """(instrument, interval) to its newest candle."""
        ...

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """The last ``limit`` of a range, ascending."""
        ...

    async def excerpt(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
    ) -> Excerpt:
        """`candles`, with coverage and gaps from the first of them, or ``since_ns``, on."""
        ...

    async def gaps(self, instrument_id: int, start_ns: int, end_ns: int) -> list[GapRow]:
        """Recorded holes that overlap the range."""
        ...

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """What was heard in the range."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The last ``limit`` candles that open in ``[start_ns, end_ns)``; ``start_ns`` None: any."""

    instrument: Instrument
    interval: Interval
    start_ns: int | None
    end_ns: int
    limit: int
    all_sessions: bool = False
    forming: bool = False

    @property
    def low_ns(self) -> int:
        """``start_ns`` as a number."""
        return EARLIEST if self.start_ns is None else self.start_ns

    @property
    def hides_sessions(self) -> bool:
        """Whether pre-open, auction and post-close are left out: of a day they are a part."""
        return not (self.all_sessions or self.interval.is_daily_or_longer)


class Tables:
    """Calendars by session class, cut into whole months so that a few tables serve everyone."""

    def __init__(
        self, table: Callable[[str, dt.date, dt.date], SessionTable], version: Callable[[], int] = lambda: 0
    ) -> None:
        """``table`` gives the days of a class from a date to before another; ``version`` changes with it."""

        def read(name: str, first: dt.date, after: dt.date, _version: int) -> SessionTable:
            return table(name, first, after)

        self._table = lru_cache(maxsize=64)(read)
        self._version = version
        self._days = lru_cache(maxsize=512)(self._whole_months)

    def around(self, instrument: Instrument, start_ns: int, end_ns: int) -> SessionTable:
        """The days of ``[start_ns, end_ns]`` and a few more on both sides."""
        first, last = start_ns // DAY_NS - 2, end_ns // DAY_NS + 2
        return self._days(instrument.session_class, first, last, self._version())

    def _whole_months(self, session_class: str, first_day: int, last_day: int, version: int) -> SessionTable:
        first = _date(first_day).replace(day=1)
        after = (_date(last_day).replace(day=1) + _A_MONTH).replace(day=1)
        try:
            return self._table(session_class, first, after, version)
        except ConfigError:  # a class of some earlier configuration: nothing is known of it
            return SessionTable([])


def _date(day: int) -> dt.date:
    """Of days since 1970."""
    return _EPOCH + dt.timedelta(days=min(max(day, _FIRST_DAY), _LAST_DAY))
