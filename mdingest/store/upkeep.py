"""What keeps a record whole: repairs of gaps, what runs at a time of day, how sources compare.

One text of SQL for both databases, but for their placeholders: ``$1`` is written ``?1`` for
SQLite. Cells are plain numbers and texts; instants are UTC ns.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mdingest.core.events import Cause
from mdingest.core.rank import BY_ID, BY_NAME

Row = Sequence[Any]

OPEN, REPAIRING, REPAIRED, UNFILLABLE = "open", "repairing", "repaired", "unfillable"


@dataclass(frozen=True, slots=True)
class GapRow:
    """A hole as the store keeps it. Instants are UTC ns; ``end_ns`` None while it lasts."""

    instrument_id: int
    source: str
    cause: str
    start_ns: int
    end_ns: int | None
    volume: float | None
    repair: str  # open, repairing, repaired, unfillable
    reason: str = ""  # why its repair is where it is; empty where that needs no words
    attempts: int = 0  # in vain
    retry_ns: int = 0  # not tried again before this instant


@dataclass(frozen=True, slots=True)
class Run:
    """How something that runs at a time of day went, for the last such instant."""

    name: str
    due_ns: int
    ended_ns: int
    failed: bool
    attempts: int = 0  # in vain, for this instant
    said: str = ""  # for people


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one day's live-built candles, compared with those of another source.

    Of the field ``candle``: how many there were in either, and how many only one of them has.
    """

    instrument_id: int
    date: str  # trade date, yyyy-mm-dd
    interval_s: int
    other: str  # the source that ours were compared with
    field: str  # candle, open, high, low, close, volume, oi
    compared: int
    differing: int
    worst_ns: int | None = None  # opening instant of the one that differs most
    ours: float | None = None
    theirs: float | None = None


class Upkeep(Protocol):
    """The part of a store for upkeep. Every method raises StoreUnavailable."""

    async def repairable(self, ended_ns: int, now_ns: int, limit: int) -> list[GapRow]:
        """Closed holes of all instruments that ended by ``ended_ns`` and may be tried at ``now_ns``.

        Those that wait longest come first.
        """
        ...

    async def unrepaired(self, since_ns: int, limit: int, after: GapRow | None = None) -> list[GapRow]:
        """Some of the holes of all instruments that last, or ended after an instant, and are not repaired.

        At most ``limit``, in an order of their own: the ones that follow ``after``, or the first.
        """
        ...

    async def runs(self) -> dict[str, Run]:
        """What runs at a time of day, by name."""
        ...

    async def forgotten(self) -> dict[int, int]:
        """Interval in seconds to the instant, UTC ns, before which its candles were dropped."""
        ...

    async def differences(self, instrument_id: int, first: str, last: str) -> list[Difference]:
        """Of trade dates ``first`` to ``last``, both included, by date, interval, source and field."""
        ...


# -- SQL --------------------------------------------------------------------------------

_GAP = "instrument_id, source, cause, start_ns, end_ns, volume, repair, reason, attempts, retry_ns"
GAPS = f"""
SELECT {_GAP} FROM gap_spans WHERE instrument_id = $1 AND start_ns < $3
AND (end_ns IS NULL OR end_ns > $2 OR (end_ns = start_ns AND start_ns = $2))
ORDER BY start_ns"""  # noqa: S608 - names from here
# `repair <> 'repaired'` as the index has it, or SQLite does not use that.
REPAIRABLE = f"""
SELECT {_GAP} FROM gap_spans WHERE repair <> 'repaired' AND repair <> 'unfillable'
AND end_ns <= $1 AND retry_ns <= $2 ORDER BY retry_ns, start_ns LIMIT $3"""  # noqa: S608 - names from here
# In the order of that index, so that each page begins where the last one ended.
UNREPAIRED = f"""
SELECT {_GAP} FROM gap_spans WHERE repair <> 'repaired' AND (end_ns IS NULL OR end_ns > $1)
AND (retry_ns, start_ns, instrument_id, source, cause) > ($2, $3, $4, $5, $6)
ORDER BY retry_ns, start_ns, instrument_id, source, cause LIMIT $7"""  # noqa: S608 - names from here
_BEFORE_ALL = (-1, 0, 0, 0, 0)
# Only of the gap as it was looked at: one that has grown since is to be repaired anew.
SET_REPAIR = """
UPDATE gap_spans SET repair = $6, reason = $7, attempts = $8, retry_ns = $9
WHERE instrument_id = $1 AND source = $2 AND cause = $3 AND start_ns = $4 AND end_ns = $5"""

FORGOTTEN = "SELECT interval_s, before_ns FROM forgotten"
FORGET = """
INSERT INTO forgotten AS f (interval_s, before_ns) VALUES ($1, $2)
ON CONFLICT (interval_s) DO UPDATE SET before_ns = excluded.before_ns
WHERE f.before_ns < excluded.before_ns"""

RUNS = "SELECT name, due_ns, ended_ns, failed, attempts, said FROM schedule_runs ORDER BY name"
SET_RUN = """
INSERT INTO schedule_runs (name, due_ns, ended_ns, failed, attempts, said) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET due_ns = excluded.due_ns, ended_ns = excluded.ended_ns,
    failed = excluded.failed, attempts = excluded.attempts, said = excluded.said"""

_DIFFERENCE = (
    *("instrument_id", "date", "interval_s", "other", "field"),
    *("compared", "differing", "worst_ns", "ours", "theirs"),
)
DIFFERENCES = f"""
SELECT {", ".join(_DIFFERENCE)} FROM candle_differences WHERE instrument_id = $1 AND date >= $2 AND date <= $3
ORDER BY date, interval_s, other, field"""  # noqa: S608 - names from here
SET_DIFFERENCE = f"""
INSERT INTO candle_differences ({", ".join(_DIFFERENCE)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (instrument_id, date, interval_s, other, field)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _DIFFERENCE[5:])}"""  # noqa: S608 - as above


# -- rows -------------------------------------------------------------------------------


def gap_of(row: Row) -> GapRow:
    """A row of GAPS."""
    instrument_id, source, cause, *rest = row
    return GapRow(instrument_id, BY_ID[source].name, Cause(cause).text, *rest)


def repair_rows(repairs: Iterable[GapRow]) -> list[Row]:
    """Rows for SET_REPAIR."""
    return [
        (
            *_key_of(gap),
            *(gap.start_ns, gap.end_ns, gap.repair, gap.reason, gap.attempts, gap.retry_ns),
        )
        for gap in repairs
    ]


def _key_of(gap: GapRow) -> tuple[int, int, int]:
    """Instrument, source and cause as they are stored."""
    return gap.instrument_id, BY_NAME[gap.source].id, int(Cause[gap.cause.upper()])


def run_rows(runs: Iterable[Run]) -> list[Row]:
    """Rows for SET_RUN."""
    return [(run.name, run.due_ns, run.ended_ns, run.failed, run.attempts, run.said) for run in runs]


def difference_rows(differences: Iterable[Difference]) -> list[Row]:
    """Rows for SET_DIFFERENCE."""
    return [
        (
            *(one.instrument_id, one.date, one.interval_s, BY_NAME[one.other].id, one.field),
            *(one.compared, one.differing, one.worst_ns, one.ours, one.theirs),
        )
        for one in differences
    ]


def statements(
    repairs: Sequence[GapRow], runs: Sequence[Run], differences: Sequence[Difference]
) -> list[tuple[str, list[Row]]]:
    """What a transaction has to say of upkeep, each statement with its rows; usually nothing."""
    told = (
        (SET_REPAIR, repair_rows(repairs)),
        (SET_RUN, run_rows(runs)),
        (SET_DIFFERENCE, difference_rows(differences)),
    )
    return [(statement, rows) for statement, rows in told if rows]


class SqlUpkeep:
    """`Upkeep` on whichever database answers ``fetch(query, *values)``."""

    def __init__(self, fetch: Callable[..., Awaitable[Sequence[Row]]]) -> None:
        self._fetch = fetch

    async def repairable(self, ended_ns: int, now_ns: int, limit: int) -> list[GapRow]:
        """See `Upkeep.repairable`."""
        return [gap_of(row) for row in await self._fetch(REPAIRABLE, ended_ns, now_ns, limit)]

    async def unrepaired(self, since_ns: int, limit: int, after: GapRow | None = None) -> list[GapRow]:
        """See `Upkeep.unrepaired`."""
        key = _BEFORE_ALL
        if after is not None:
            key = (after.retry_ns, after.start_ns, *_key_of(after))
        return [gap_of(row) for row in await self._fetch(UNREPAIRED, since_ns, *key, limit)]

    async def runs(self) -> dict[str, Run]:
        """See `Upkeep.runs`."""
        found = [
            Run(name, due, ended, bool(failed), attempts, said)
            for name, due, ended, failed, attempts, said in await self._fetch(RUNS)
        ]
        return {run.name: run for run in found}

    async def forgotten(self) -> dict[int, int]:
        """See `Upkeep.forgotten`."""
        return dict(map(tuple, await self._fetch(FORGOTTEN)))

    async def differences(self, instrument_id: int, first: str, last: str) -> list[Difference]:
        """See `Upkeep.differences`."""
        return [
            Difference(who, date, interval_s, BY_ID[other].name, *rest)
            for who, date, interval_s, other, *rest in await self._fetch(
                DIFFERENCES, instrument_id, first, last
            )
        ]
