"""What a reader of candles asks: one statement, so one snapshot and one round trip."""

import time
from collections.abc import Iterator, Mapping, Sequence

from mdingest.core.session import DAY_NS
from mdingest.store.base import Excerpt
from mdingest.store.postgres_rows import candles_of
from mdingest.store.postgres_sql import CANDLES as ROWS
from mdingest.store.postgres_sql import COVERAGE, UNKNOWN, WIRE
from mdingest.store.rows import Row, coverage_of
from mdingest.store.upkeep import GAPS, gap_of

_SENDS = {">f8": "float8send", ">i4": "int4send", ">i2": "int2send"}


def packed(rows: str) -> str:
    """Rows of candles as one value, in their order, and when the first of them opens.

    `candles_of` reads it. It costs the server and us half of what as many records do.
    """
    values = (
        f"{_SENDS[kind]}({f'coalesce({name}, {UNKNOWN[name]})' if name in UNKNOWN else name})"
        for name, kind in WIRE.items()
    )
    sent = " || ".join(("timestamptz_send(ts_utc)", *values))
    return f"SELECT string_agg({sent}, '') AS packed, min(ts_utc) AS first FROM ({rows}) AS c"  # noqa: S608 - texts of this package


def _excerpt(candles: str) -> str:
    """Packed candles and two arrays of rows. $1 to $4 as in `postgres_sql.candles`.

    Coverage and gaps begin with the first candle, or at $5 (ns) if that is earlier, and end
    at $6 (ns).
    """
    coverage, gaps = (
        query.replace("$2", "(SELECT ns FROM since)").replace("$3", "$6") for query in (COVERAGE, GAPS)
    )
    return f"""
WITH last AS MATERIALIZED ({packed(candles)}),
since AS MATERIALIZED (
    SELECT least($5::bigint, extract(epoch FROM first)::bigint * 1000000000) AS ns FROM last
)
SELECT (SELECT packed FROM last), ARRAY(SELECT row FROM ({coverage}) AS row),
    ARRAY(SELECT row FROM ({gaps}) AS row)"""  # noqa: S608 - texts of this package


CANDLES = {seconds: packed(query) for seconds, query in ROWS.items()}
EXCERPT = {seconds: _excerpt(candles) for seconds, candles in ROWS.items()}
REPLACED = packed("""
SELECT * FROM candle_revisions
WHERE symbol = (SELECT symbol FROM instruments WHERE id = $1) AND interval = $2
AND ts_utc >= $3 AND ts_utc < $4
ORDER BY ts_utc DESC, id DESC""")

_NEAR_NS = {1: 8 * DAY_NS, 60: 100 * DAY_NS}


def lows(interval_s: int, start_ns: int, end_ns: int) -> Iterator[int]:
    """Where to look for the newest candles of ``[start, end)`` from: nearby first, then from its start.

    A statement opens every partition it might need before it reads the first, which takes 10 ms
    for those of a year.
    """
    if interval_s in _NEAR_NS:
        near = min(end_ns, time.time_ns()) - _NEAR_NS[interval_s]
        if near > start_ns:
            yield near
    yield start_ns


def stored(queries: Mapping[int, str], interval_s: int) -> str:
    """The query of an interval. Raises ValueError for one that is not stored."""
    if interval_s not in queries:
        raise ValueError(f"candles of {interval_s} s are not stored")
    return queries[interval_s]


def excerpt_of(instrument_id: int, interval_s: int, found: Sequence[Row]) -> Excerpt:
    """The one row that a query of EXCERPT answered."""
    ((last, coverage, gaps),) = found
    return Excerpt(
        candles_of(instrument_id, interval_s, last),
        coverage_of(instrument_id, coverage),
        [gap_of(row) for row in gaps],
    )
