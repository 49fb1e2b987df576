"""What both databases have alike: lengths that have a table, and SQL of one text.

``$1`` is written ``?1`` for SQLite.
"""

from mdingest.core.interval import STORED, Interval

INTERVALS = (1, 60, 300, 900, 1_800, 3_600, 86_400, 604_800)
"""Lengths in seconds that have a table."""
NAMES = {seconds: Interval(seconds).text for seconds in INTERVALS}
LIVE = tuple(interval.seconds for interval in STORED)
"""Those built from ticks: marks apply to them."""

INSTRUMENT = "SELECT symbol, exchange, name, session_class, volume_kind, id FROM instruments"
INSTRUMENTS = f"{INSTRUMENT} ORDER BY symbol"
POSITION = "SELECT lsn FROM positions WHERE journal = $1"
POSITIONS = "SELECT journal, lsn FROM positions ORDER BY journal"
OWNER = "SELECT epoch, owner FROM ingest"

# An uptime ends whatever gap of its source still lasts. Usually the feed says so itself, with what
# passed; it can't if the log that knew of the gap was lost. The open one is among the newest.
CLOSE_GAPS = """
UPDATE gap_spans SET end_ns = $3 WHERE instrument_id = $1 AND end_ns IS NULL
AND (start_ns, source, cause) IN (
    SELECT g.start_ns, g.source, g.cause FROM gap_spans AS g
    WHERE g.instrument_id = $1 AND g.source = $2 AND g.start_ns <= $3 ORDER BY g.start_ns DESC LIMIT 16
)"""
