"""Every SQL text of the SQLite store. Table names come from the list here, values never.

Rule 14 of the design, which source decides, is one expression inside one upsert: see
`upsert`. The tables are described in ``migrations/sqlite``.
"""

from mdingest.store import tables
from mdingest.store.tables import INSTRUMENT, INTERVALS, LIVE, NAMES

COLUMNS = (
    *("open", "high", "low", "close", "volume", "oi", "trades"),
    *("source", "state", "session", "flags", "revision"),
)

WRITER_PRAGMAS = (
    "PRAGMA synchronous = NORMAL",  # the journal makes up for what power loss takes
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 0",  # the store does it itself, after its commits
)

PRECEDENCE = """
CREATE TEMP TABLE precedence (
    source  INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    zero    INTEGER NOT NULL, -- whether the volume is 0
    live    INTEGER NOT NULL,
    weight  INTEGER NOT NULL, -- rank first, then place in the configured order
    PRIMARY KEY (source, partial, zero)
) STRICT, WITHOUT ROWID"""
ADD_PRECEDENCE = "INSERT INTO temp.precedence (source, partial, zero, live, weight) VALUES (?, ?, ?, ?, ?)"
ADD_SOURCE = """
INSERT INTO sources (id, name) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE name <> excluded.name"""


def _weight(row: str) -> str:
    key = f"p.source = {row}.source AND p.partial = {row}.state AND p.zero = ({row}.volume IS 0.0)"
    return f"(SELECT p.weight FROM temp.precedence AS p WHERE {key})"  # noqa: S608 - names from here


def _live(row: str) -> str:
    key = f"p.source = {row}.source AND p.partial = 0 AND p.zero = 0"
    return f"(SELECT p.live FROM temp.precedence AS p WHERE {key})"  # noqa: S608 - names from here


def upsert(table: str, interval: str, *, between_sources: bool) -> str:
    """One row in, by the rules of rank and revision. 14 values: the key, then COLUMNS.

    In the order of the CASE: (1) a live source decides about its own rows, forward only, even
    when their rank falls; (2) history replaces its own row if it says something else and its
    rank is not lower; (3) between sources the weight decides, except that what a live source
    said before it was replaced does not come back. What does not change is not written.

    Only (3) changes the column ``source``, and only statements that do are burdened with the
    trigger that keeps what was replaced (a quarter of their time, measured). So there are two: the
    first ends at (2) and does for rows nobody else has; where it left a row untouched, the
    whole rule is applied.
    """
    compared = COLUMNS[:-1]  # what history compares; its revision only counts the changes
    assigned = compared if between_sources else [name for name in compared if name != "source"]
    new, old = (", ".join(f"{row}.{name}" for name in compared) for row in ("excluded", table))
    key = " AND ".join(f"r.{name} = excluded.{name}" for name in ("instrument_id", "ts_utc", "source"))
    others = f"""{_weight("excluded")} > {_weight(table)}
        AND NOT ({_live("excluded")} AND EXISTS (
            SELECT 1 FROM candle_revisions AS r
            WHERE {key} AND r.interval = '{interval}' AND r.revision >= excluded.revision
        ))"""  # noqa: S608 - names from here
    return f"""
INSERT INTO {table} (instrument_id, ts_utc, {", ".join(COLUMNS)})
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, nullif(?9, -1), ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (instrument_id, ts_utc) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in assigned)},
    revision = CASE WHEN {_live("excluded")} THEN excluded.revision ELSE {table}.revision + 1 END
WHERE CASE
    WHEN excluded.source = {table}.source AND {_live("excluded")} THEN
        excluded.revision > {table}.revision
        OR (excluded.revision = {table}.revision AND ({new}) IS NOT ({old}))
    WHEN excluded.source = {table}.source THEN
        ({new}) IS NOT ({old}) AND {_weight("excluded")} >= {_weight(table)}
    ELSE
        {others if between_sources else "FALSE"}
END"""  # noqa: S608 - names from the lists above


def upserts(table: str, interval: str) -> tuple[str, str]:
    """For rows of one source, and where sources meet."""
    return (
        upsert(table, interval, between_sources=False),
        upsert(table, interval, between_sources=True),
    )


def mark(seconds: int) -> str:
    """See MARK."""
    return f"""
UPDATE candles_{NAMES[seconds]} SET state = max(state, ?1), flags = flags | ?2
WHERE instrument_id = ?3 AND ts_utc > ?4 AND ts_utc < ?5 AND source = ?6
AND (state < ?1 OR flags & ?2 <> ?2)"""  # noqa: S608 - names from the list above


def _read(instrument: str, interval: str, ts: str, row: str) -> str:
    """Columns of a candle as `core.events.CANDLE` has them."""
    values = ("trades", "revision", "flags", "source", "state", "session")
    prices = ", ".join(f"{row}.{name}" for name in ("open", "high", "low", "close", "volume", "oi"))
    rest = ", ".join(f"coalesce({row}.trades, -1)" if n == "trades" else f"{row}.{n}" for n in values)
    return f"{instrument}, {interval}, unixepoch({ts}) * 1000000000, {prices}, {rest}"


def candles(seconds: int) -> str:
    """The last ?4 rows of instrument ?1 in [?2, ?3), newest first."""
    return f"""
SELECT {_read("?1", str(seconds), "c.ts_utc", "c")} FROM candles_{NAMES[seconds]} AS c
WHERE c.instrument_id = ?1 AND c.ts_utc >= ?2 AND c.ts_utc < ?3 ORDER BY c.ts_utc DESC LIMIT ?4"""  # noqa: S608 - names from here


def bounds(seconds: int) -> str:
    """First and last opening second of each instrument: a few steps into the indexes for each."""
    table = f"candles_{NAMES[seconds]}"
    first = f"(SELECT min(c.ts_utc) FROM {table} AS c WHERE c.instrument_id = i.id)"  # noqa: S608 - names from here
    last = f"(SELECT max(c.ts_utc) FROM {table} AS c WHERE c.instrument_id = i.id)"  # noqa: S608 - names from here
    if seconds == 1:  # what is fresh is later than the rest
        first, last = f"coalesce({first}, {_fresh('ASC')})", f"coalesce({_fresh('DESC')}, {last})"
    return f"""
SELECT id, unixepoch(first), unixepoch(last) FROM (
    SELECT i.id AS id, {first} AS first, {last} AS last FROM instruments AS i
) WHERE last IS NOT NULL"""  # noqa: S608 - names from here


def _fresh(order: str) -> str:
    return (
        "(SELECT f.ts_utc FROM fresh_seconds AS f CROSS JOIN fresh_1s AS c "  # noqa: S608 - names from here
        f"ON c.ts_utc = f.ts_utc AND c.instrument_id = i.id ORDER BY f.ts_utc {order} LIMIT 1)"
    )


UPSERT = {seconds: upserts(f"candles_{name}", name) for seconds, name in NAMES.items()}
UPSERT_FRESH = upserts("fresh_1s", "1s")
CANDLES = {seconds: candles(seconds) for seconds in INTERVALS}
# The newest seconds may wait in a table of their own: a key is in one of the two. Both at once would
# cost a third more, each row being copied into a merge.
FRESH_CANDLES = f"""
SELECT {_read("?1", "1", "f.ts_utc", "c")}
FROM fresh_seconds AS f CROSS JOIN fresh_1s AS c ON c.ts_utc = f.ts_utc AND c.instrument_id = ?1
WHERE f.ts_utc >= ?2 AND f.ts_utc < ?3 ORDER BY f.ts_utc DESC LIMIT ?4"""  # noqa: S608 - names from here
REPLACED = f"""
SELECT {_read("?1", "?5", "c.ts_utc", "c")} FROM candle_revisions AS c
WHERE c.instrument_id = ?1 AND c.interval = ?2 AND c.ts_utc >= ?3 AND c.ts_utc < ?4
ORDER BY c.ts_utc DESC, c.id DESC"""  # noqa: S608 - names from here
BOUNDS = {seconds: bounds(seconds) for seconds in INTERVALS}

# Doubt cast on stored live rows of one source: partial, flag bits. ?4 < ts_utc < ?5.
MARK = {seconds: mark(seconds) for seconds in LIVE}
MARK_FRESH = """
UPDATE fresh_1s SET state = max(state, ?1), flags = flags | ?2
WHERE instrument_id = ?3 AND source = ?6 AND (state < ?1 OR flags & ?2 <> ?2)
AND ts_utc IN (SELECT f.ts_utc FROM fresh_seconds AS f WHERE f.ts_utc > ?4 AND f.ts_utc < ?5)"""

FRESH_LINE = "SELECT ts_utc, moving_since, moved FROM fresh_since"
FRESH_SECONDS = "SELECT count(*), coalesce(max(ts_utc), '') FROM fresh_seconds WHERE ts_utc >= ?"
WAITING_SECONDS = "SELECT ts_utc FROM fresh_seconds WHERE ts_utc < ?"
ADD_FRESH_SECOND = "INSERT INTO fresh_seconds (ts_utc) VALUES (?) ON CONFLICT DO NOTHING"
# A range of instruments at a time, in the order of the table they go to: neither a sort
# nor the statement's own undo log then has to hold them all.
SETTLE = f"""
INSERT INTO candles_1s (instrument_id, ts_utc, {", ".join(COLUMNS)})
SELECT i.id, f.ts_utc, {", ".join(f"c.{name}" for name in COLUMNS)}
FROM instruments AS i CROSS JOIN fresh_seconds AS f
CROSS JOIN fresh_1s AS c ON c.ts_utc = f.ts_utc AND c.instrument_id = i.id
WHERE i.id > ?1 AND i.id <= ?2 AND f.ts_utc < ?3 ORDER BY i.id, f.ts_utc"""  # noqa: S608 - names from the list above
SETTLED = "DELETE FROM fresh_1s WHERE ts_utc = ? AND instrument_id > ? AND instrument_id <= ?"
SET_MOVED = "UPDATE fresh_since SET moved = ?"
ALL_MOVED = "UPDATE fresh_since SET moving_since = ts_utc, moved = 0"
FORGET_SECONDS = "DELETE FROM fresh_seconds WHERE ts_utc < ?"
LAST_INSTRUMENT = "SELECT coalesce(max(id), 0) FROM instruments"
DRAW_LINE = """
UPDATE fresh_since SET
    moving_since = ts_utc, moved = 0, ts_utc = strftime('%Y-%m-%dT%H:%M:%SZ', ?, '+1 second')"""

ADD_INSTRUMENT = """
INSERT INTO instruments (symbol, exchange, name, session_class, volume_kind) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (symbol) DO UPDATE SET
    exchange = excluded.exchange,
    name = CASE excluded.name WHEN '' THEN name ELSE excluded.name END,
    session_class = excluded.session_class,
    volume_kind = excluded.volume_kind
WHERE (exchange, name, session_class, volume_kind)
    IS NOT (excluded.exchange, CASE excluded.name WHEN '' THEN name ELSE excluded.name END,
            excluded.session_class, excluded.volume_kind)"""
INSTRUMENT_NAMED = f"{INSTRUMENT} WHERE symbol = ?"

CLAIM = """
UPDATE ingest SET epoch = epoch + 1, owner = ?, claimed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
RETURNING epoch"""
POSITION = tables.POSITION.replace("$", "?")
SET_POSITION = """
INSERT INTO positions (journal, lsn) SELECT ?1, ?2 FROM ingest WHERE epoch = ?3
ON CONFLICT (journal) DO UPDATE SET lsn = excluded.lsn"""

ADD_STREAM = """
INSERT INTO streams (journal, stream_id, feed, last_ns) VALUES (?, ?, ?, ?)
ON CONFLICT (journal, stream_id) DO UPDATE SET last_ns = excluded.last_ns WHERE last_ns < excluded.last_ns"""

# A live uptime is known by its start; it is open, then closed once. A later stream may begin at
# the very second at which an earlier one ended before it heard anything (end = start).
SET_COVERAGE = """
INSERT INTO coverage_spans (instrument_id, source, start_ns, end_ns, stream)
VALUES (
    ?1, ?2, ?3, nullif(?4, 9223372036854775807), -- OPEN_END
    (SELECT id FROM streams WHERE journal = ?5 AND stream_id = ?6)
)
ON CONFLICT (instrument_id, start_ns, source) DO UPDATE SET end_ns = excluded.end_ns, stream = excluded.stream
WHERE CASE
    WHEN excluded.stream IS NULL THEN excluded.end_ns > coverage_spans.end_ns
    WHEN coverage_spans.end_ns IS NULL AND excluded.end_ns IS NOT NULL THEN
        excluded.stream >= coverage_spans.stream OR excluded.end_ns > excluded.start_ns
    WHEN excluded.stream = coverage_spans.stream THEN excluded.end_ns < coverage_spans.end_ns
    ELSE excluded.stream > coverage_spans.stream
END"""

CLOSE_GAPS = tables.CLOSE_GAPS.replace("$", "?")

# A gap is open, then closed; once closed it only grows. An empty one may open again. What has
# changed so is to be repaired anew. The first gap of a new journal (cause 1) reaches back to the
# beginning of the trade date, as far as that one knows. In a copy, to which the old journal is brought
# by symbol, it begins where its source was last heard, and how much traded since is not known. Where the
# old journal is lost (its position is here) it stays as long as it is: what was heard last never became
# candles, and nothing else would say so.
SET_GAP = """
INSERT INTO gap_spans (instrument_id, source, cause, start_ns, end_ns, volume)
SELECT ?1, ?2, ?3, coalesce(h.until, ?4), nullif(?5, 9223372036854775807), iif(h.until IS NULL, ?6, NULL)
FROM (SELECT iif(?3 = 1 AND ?5 < 9223372036854775807, (
    SELECT min(coalesce(c.end_ns, t.last_ns), ?5)
    FROM coverage_spans AS c LEFT JOIN streams AS t ON t.id = c.stream
    WHERE c.instrument_id = ?1 AND c.source = ?2 AND c.start_ns < ?5
    AND coalesce(c.end_ns, t.last_ns) > max(c.start_ns, ?4)
    AND NOT EXISTS (SELECT 1 FROM positions AS p WHERE p.journal = t.journal)
    ORDER BY c.start_ns DESC LIMIT 1
), NULL) AS until) AS h WHERE TRUE
ON CONFLICT (instrument_id, start_ns, source, cause) DO UPDATE SET
    end_ns = CASE
        WHEN gap_spans.end_ns IS NULL THEN excluded.end_ns
        WHEN excluded.end_ns IS NULL THEN iif(gap_spans.end_ns = gap_spans.start_ns, NULL, gap_spans.end_ns)
        ELSE max(gap_spans.end_ns, excluded.end_ns)
    END,
    volume = max(coalesce(gap_spans.volume, excluded.volume), coalesce(excluded.volume, gap_spans.volume)),
    (repair, reason, attempts, retry_ns) = (
        SELECT iif(c.changed, 'open', gap_spans.repair), iif(c.changed, '', gap_spans.reason),
            iif(c.changed, 0, gap_spans.attempts), iif(c.changed, 0, gap_spans.retry_ns)
        FROM (SELECT gap_spans.end_ns < coalesce(excluded.end_ns, 9223372036854775807)
            AND (excluded.end_ns IS NOT NULL OR gap_spans.end_ns = gap_spans.start_ns) AS changed) AS c
    )
WHERE gap_spans.end_ns IS NOT excluded.end_ns OR gap_spans.volume IS NOT excluded.volume"""

COVERAGE = """
SELECT source, start_ns, end_ns, interval_s FROM (
    SELECT c.source AS source, c.start_ns AS start_ns, coalesce(c.end_ns, t.last_ns) AS end_ns,
        0 AS interval_s
    FROM coverage_spans AS c LEFT JOIN streams AS t ON t.id = c.stream
    WHERE c.instrument_id = ?1 AND c.start_ns < ?3
    UNION ALL
    SELECT h.source, h.start_ns, h.end_ns, h.interval_s
    FROM history_spans AS h WHERE h.instrument_id = ?1 AND h.start_ns < ?3
) WHERE end_ns > ?2 AND end_ns > start_ns ORDER BY start_ns, interval_s"""

# History that was fetched: ?1 instrument, ?2 interval, ?3 source, [?4, ?5).
TOUCHED_HISTORY = """
SELECT min(?4, coalesce(min(start_ns), ?4)), max(?5, coalesce(max(end_ns), ?5)) FROM history_spans
WHERE instrument_id = ?1 AND interval_s = ?2 AND source = ?3 AND start_ns <= ?5 AND end_ns >= ?4"""
FORGET_TOUCHED_HISTORY = """
DELETE FROM history_spans
WHERE instrument_id = ?1 AND interval_s = ?2 AND source = ?3 AND start_ns <= ?5 AND end_ns >= ?4"""
ADD_HISTORY = """
INSERT INTO history_spans (instrument_id, interval_s, source, start_ns, end_ns) VALUES (?, ?, ?, ?, ?)"""

INSTRUMENT_IDS = "SELECT id FROM instruments ORDER BY id"
