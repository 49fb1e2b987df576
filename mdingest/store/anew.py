"""A series of history out of the way, so that it can come anew: its candles are kept as replaced.

Statements of both databases by interval in seconds. Their values are instrument, source; those of
`FORGET_SPANS` instrument, interval, source. Seconds are built live, and fetched from nobody.
"""

from mdingest.store.tables import NAMES

_OF_HISTORY = {seconds: name for seconds, name in NAMES.items() if seconds > 1}
_COLUMNS = "ts_utc, open, high, low, close, volume, oi, trades, source, state, session, flags, revision"
FORGET_SPANS = "DELETE FROM history_spans WHERE instrument_id = $1 AND interval_s = $2 AND source = $3"


def _sqlite(name: str) -> tuple[str, str]:
    series = f"FROM candles_{name} WHERE instrument_id = ? AND source = ?"
    keep = f"""
INSERT INTO candle_revisions (instrument_id, interval, replaced_by, {_COLUMNS})
SELECT instrument_id, '{name}', source, {_COLUMNS} {series}"""
    return keep, f"DELETE {series}"


def _postgres(name: str) -> str:
    return f"""
WITH old AS (
    DELETE FROM candles_{name} WHERE symbol = (SELECT symbol FROM instruments WHERE id = $1) AND source = $2
    RETURNING symbol, {_COLUMNS}
)
INSERT INTO candle_revisions (symbol, interval, replaced_by, {_COLUMNS})
SELECT symbol, '{name}', source, {_COLUMNS} FROM old"""  # noqa: S608 - names from here


SQLITE = {seconds: _sqlite(name) for seconds, name in _OF_HISTORY.items()}
POSTGRES = {seconds: _postgres(name) for seconds, name in _OF_HISTORY.items()}
