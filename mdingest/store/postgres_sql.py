"""Every SQL text of the PostgreSQL store. Table names come from the list here, values never.

Rule 14 of the design, which source decides, is one expression inside one upsert: see
`upsert`. The tables are described in ``migrations/postgres``.
"""

from mdingest.store.tables import INSTRUMENT, INTERVALS, LIVE, NAMES

WIRE = {
    "open": ">f8", "high": ">f8", "low": ">f8", "close": ">f8", "volume": ">f8", "oi": ">f8",
    "trades": ">i4", "source": ">i2", "state": ">i2", "session": ">i2", "flags": ">i4", "revision": ">i4",
}  # fmt: skip
"""Columns of a candle, and how PostgreSQL sends each."""
COLUMNS = tuple(WIRE)
UNKNOWN = {"volume": "'NaN'", "oi": "'NaN'", "trades": "-1"}
"""What stands for NULL outside of the tables."""

# Rows of one commit on their way into the tables; pass: 0, or how often its key came before.
STAGING = """
CREATE TEMP TABLE staging (
    interval_s    integer          NOT NULL,
    pass          smallint         NOT NULL,
    instrument_id integer          NOT NULL,
    ts_utc        timestamptz(0)   NOT NULL,
    open          double precision NOT NULL,
    high          double precision NOT NULL,
    low           double precision NOT NULL,
    close         double precision NOT NULL,
    volume        double precision NOT NULL, -- NaN: NULL
    oi            double precision NOT NULL, -- NaN: NULL
    trades        integer          NOT NULL, -- -1: NULL
    source        smallint         NOT NULL,
    state         smallint         NOT NULL,
    session       smallint         NOT NULL,
    flags         integer          NOT NULL,
    revision      integer          NOT NULL
) ON COMMIT DELETE ROWS"""

ADD_SOURCE = """
INSERT INTO sources AS s (id, name) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE s.name <> excluded.name"""


def _weight(row: str) -> str:
    """Of rank and configured order. $1: weights by source, partial, and whether the volume is 0."""
    zero = f"CASE WHEN {row}.volume = 0 THEN 2 ELSE 1 END"
    return f"($1::int[])[{row}.source * 4 + {row}.state * 2 + {zero}]"


def _live(row: str) -> str:
    """$2: whether a source is live, by source."""
    return f"($2::bool[])[{row}.source + 1]"


def upsert(seconds: int) -> str:
    """Staged rows of one interval and pass ($3) in, by the rules of rank and revision.

    In the order of the CASE: (1) a live source decides about its own rows, forward only, even
    when their rank falls; (2) history replaces its own row if it says something else and its
    rank is not lower; (3) between sources the weight decides, except that what a live source
    said before it was replaced does not come back. What does not change is not written. A row
    of an instrument that is not known has no symbol and is refused.
    """
    name = NAMES[seconds]
    compared = COLUMNS[:-1]  # what history compares; its revision only counts the changes
    new, old = (", ".join(f"{row}.{column}" for column in compared) for row in ("excluded", "c"))
    assigned = ", ".join(f"{column} = excluded.{column}" for column in compared)
    values = ", ".join(
        f"nullif(s.{column}, {UNKNOWN[column]})" if column in UNKNOWN else f"s.{column}" for column in COLUMNS
    )
    return f"""
INSERT INTO candles_{name} AS c (symbol, ts_utc, {", ".join(COLUMNS)})
SELECT i.symbol, s.ts_utc, {values}
FROM staging AS s LEFT JOIN instruments AS i ON i.id = s.instrument_id
WHERE s.interval_s = {seconds} AND s.pass = $3
ON CONFLICT (symbol, ts_utc) DO UPDATE SET
    {assigned},
    revision = CASE WHEN {_live("excluded")} THEN excluded.revision ELSE c.revision + 1 END
WHERE CASE
    WHEN excluded.source = c.source AND {_live("excluded")} THEN
        excluded.revision > c.revision
        OR (excluded.revision = c.revision AND ({new}) IS DISTINCT FROM ({old}))
    WHEN excluded.source = c.source THEN
        ({new}) IS DISTINCT FROM ({old}) AND {_weight("excluded")} >= {_weight("c")}
    ELSE
        {_weight("excluded")} > {_weight("c")}
        AND NOT ({_live("excluded")} AND EXISTS (
            SELECT 1 FROM candle_revisions AS r
            WHERE r.symbol = excluded.symbol AND r.interval = '{name}' AND r.ts_utc = excluded.ts_utc
            AND r.source = excluded.source AND r.revision >= excluded.revision
        ))
END"""  # noqa: S608 - names from the lists above


def insert(seconds: int) -> str:
    """The same where no key is stored yet, for two thirds of the time; else it fails. $1 is the pass."""
    return UPSERT[seconds].partition("ON CONFLICT")[0].replace("$3", "$1")


def mark(seconds: int) -> str:
    """Doubt cast on stored live rows of one source. Several marks of a row count together.

    $1 partial, $2 flag bits, $3 instrument, $4 < ts_utc < $5, $6 source: a column of marks each.
    """
    table = f"candles_{NAMES[seconds]}"
    return f"""
UPDATE {table} AS c SET state = greatest(c.state, d.partial), flags = c.flags | d.flags
FROM (
    SELECT o.symbol, o.ts_utc, max(m.partial) AS partial, bit_or(m.flags) AS flags
    FROM unnest($1::smallint[], $2::int[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::smallint[])
        AS m (partial, flags, instrument_id, after, before, source)
    JOIN instruments AS i ON i.id = m.instrument_id
    JOIN {table} AS o ON o.symbol = i.symbol AND o.ts_utc > m.after AND o.ts_utc < m.before
        AND o.source = m.source AND (o.state < m.partial OR o.flags & m.flags <> m.flags)
    GROUP BY o.symbol, o.ts_utc
) AS d
WHERE c.symbol = d.symbol AND c.ts_utc = d.ts_utc"""  # noqa: S608 - names from the lists above


def candles(seconds: int) -> str:
    """The last $4 rows of instrument $1 in [$2, $3), newest first."""
    return f"""
SELECT ts_utc, {", ".join(COLUMNS)} FROM candles_{NAMES[seconds]}
WHERE symbol = (SELECT symbol FROM instruments WHERE id = $1) AND ts_utc >= $2 AND ts_utc < $3
ORDER BY ts_utc DESC LIMIT $4"""  # noqa: S608 - names from the lists above


def bounds(seconds: int) -> str:
    """First and last opening instant of each instrument: a few steps into the indexes for each."""
    found = f"SELECT c.ts_utc FROM candles_{NAMES[seconds]} AS c WHERE c.symbol = i.symbol ORDER BY c.ts_utc"  # noqa: S608 - names from the lists above
    return f"""
SELECT id, first, last FROM (
    SELECT i.id AS id, ({found} LIMIT 1) AS first, ({found} DESC LIMIT 1) AS last FROM instruments AS i
) AS b WHERE last IS NOT NULL"""  # noqa: S608 - names from the lists above


UPSERT = {seconds: upsert(seconds) for seconds in INTERVALS}
INSERT = {seconds: insert(seconds) for seconds in INTERVALS}
MARK = {seconds: mark(seconds) for seconds in LIVE}
CANDLES = {seconds: candles(seconds) for seconds in INTERVALS}
BOUNDS = {seconds: bounds(seconds) for seconds in INTERVALS}
ADD_PARTITIONS = "SELECT add_partitions($1, $2, $3)"
# As last analysed, 0 before that.
ROWS_OF_PARTITION = """
SELECT greatest(reltuples, 0)::bigint FROM pg_class
WHERE oid = to_regclass(quote_ident(partition_name($1, $2)))"""
ANALYZE_PARTITION = "SELECT analyze_partition($1, $2)"
SET_WIDTH = "UPDATE partition_widths SET width = $2 WHERE of_interval = $1 AND width <> $2"
DROP_PARTITIONS = "SELECT count(*) FROM drop_partitions($1, $2)"

# Ids are given to new symbols only, in the order asked for: an upsert would burn one each time.
LOCK_INSTRUMENTS = "LOCK TABLE instruments IN SHARE ROW EXCLUSIVE MODE"
ADD_INSTRUMENTS = """
INSERT INTO instruments (symbol, exchange, name, session_class, volume_kind)
SELECT symbol, exchange, name, session_class, volume_kind
FROM (
    SELECT DISTINCT ON (w.symbol) w.*
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
        AS w (symbol, exchange, name, session_class, volume_kind, place)
    WHERE NOT EXISTS (SELECT 1 FROM instruments AS i WHERE i.symbol = w.symbol)
    ORDER BY w.symbol, w.place DESC
) AS wanted
ORDER BY place"""
UPDATE_INSTRUMENTS = """
UPDATE instruments AS i SET
    exchange = w.exchange,
    name = CASE w.name WHEN '' THEN i.name ELSE w.name END,
    session_class = w.session_class,
    volume_kind = w.volume_kind
FROM (
    SELECT DISTINCT ON (symbol) *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
        AS w (symbol, exchange, name, session_class, volume_kind, place)
    ORDER BY symbol, place DESC
) AS w
WHERE i.symbol = w.symbol AND (i.exchange, i.name, i.session_class, i.volume_kind)
    IS DISTINCT FROM
    (w.exchange, CASE w.name WHEN '' THEN i.name ELSE w.name END, w.session_class, w.volume_kind)"""
INSTRUMENTS_NAMED = f"{INSTRUMENT} WHERE symbol = ANY($1::text[])"

# The role is held by a session, so that a second ingester is refused, and guarded by the
# epoch, so that one whose session was lost can't write any more.
TAKE_ROLE = "SELECT pg_try_advisory_lock(hashtext('mdingest.ingest'), hashtext(current_schema()))"
CLAIM = "UPDATE ingest SET epoch = epoch + 1, owner = $1, claimed_at = now() RETURNING epoch"
# The lock makes a claim wait for commits under way, and later ones see the new epoch.
GUARD = "SELECT epoch, owner FROM ingest FOR SHARE"
OWNER_AND_POSITION = "SELECT epoch, lsn FROM ingest, positions WHERE journal = $1"
SET_POSITION = """
INSERT INTO positions (journal, lsn) VALUES ($1, $2)
ON CONFLICT (journal) DO UPDATE SET lsn = excluded.lsn"""

ADD_STREAM = """
INSERT INTO streams AS s (journal, stream_id, feed, last_ns) VALUES ($1, $2, $3, $4)
ON CONFLICT (journal, stream_id) DO UPDATE SET last_ns = excluded.last_ns
WHERE s.last_ns < excluded.last_ns"""

# A live uptime is known by its start; it is open, then closed once. A later stream may begin at
# the very second at which an earlier one ended before it heard anything (end = start).
SET_COVERAGE = """
INSERT INTO coverage_spans AS c (instrument_id, source, start_ns, end_ns, stream)
VALUES (
    $1, $2, $3, nullif($4::bigint, 9223372036854775807), -- OPEN_END
    (SELECT id FROM streams WHERE journal = $5 AND stream_id = $6)
)
ON CONFLICT (instrument_id, start_ns, source) DO UPDATE SET end_ns = excluded.end_ns, stream = excluded.stream
WHERE CASE
    WHEN excluded.stream IS NULL THEN excluded.end_ns > c.end_ns
    WHEN c.end_ns IS NULL AND excluded.end_ns IS NOT NULL THEN
        excluded.stream >= c.stream OR excluded.end_ns > excluded.start_ns
    WHEN excluded.stream = c.stream THEN excluded.end_ns < c.end_ns
    ELSE excluded.stream > c.stream
END"""

# See `sqlite_sql`.
SET_GAP = """
INSERT INTO gap_spans AS g (instrument_id, source, cause, start_ns, end_ns, volume)
SELECT $1, $2, $3, coalesce(h.until, $4), nullif($5, 9223372036854775807),
    CASE WHEN h.until IS NULL THEN nullif($6::double precision, 'NaN') END
FROM (SELECT CASE WHEN $3::smallint = 1 AND $5::bigint < 9223372036854775807 THEN (
    SELECT least(coalesce(c.end_ns, t.last_ns), $5)
    FROM coverage_spans AS c LEFT JOIN streams AS t ON t.id = c.stream
    WHERE c.instrument_id = $1::integer AND c.source = $2::smallint AND c.start_ns < $5
    AND coalesce(c.end_ns, t.last_ns) > greatest(c.start_ns, $4::bigint)
    AND NOT EXISTS (SELECT 1 FROM positions AS p WHERE p.journal = t.journal)
    ORDER BY c.start_ns DESC LIMIT 1
) END AS until) AS h
ON CONFLICT (instrument_id, start_ns, source, cause) DO UPDATE SET
    end_ns = CASE
        WHEN g.end_ns IS NULL THEN excluded.end_ns
        WHEN excluded.end_ns IS NULL THEN CASE WHEN g.end_ns = g.start_ns THEN NULL ELSE g.end_ns END
        ELSE greatest(g.end_ns, excluded.end_ns)
    END,
    volume = greatest(g.volume, excluded.volume),
    (repair, reason, attempts, retry_ns) = (
        SELECT CASE WHEN c.changed THEN 'open' ELSE g.repair END,
            CASE WHEN c.changed THEN '' ELSE g.reason END,
            CASE WHEN c.changed THEN 0 ELSE g.attempts END, CASE WHEN c.changed THEN 0 ELSE g.retry_ns END
        FROM (SELECT g.end_ns < coalesce(excluded.end_ns, 9223372036854775807)
            AND (excluded.end_ns IS NOT NULL OR g.end_ns = g.start_ns) AS changed) AS c
    )
WHERE g.end_ns IS DISTINCT FROM excluded.end_ns OR g.volume IS DISTINCT FROM excluded.volume"""

COVERAGE = """
SELECT source, start_ns, end_ns, interval_s FROM (
    SELECT c.source, c.start_ns, coalesce(c.end_ns, t.last_ns) AS end_ns, 0 AS interval_s
    FROM coverage_spans AS c LEFT JOIN streams AS t ON t.id = c.stream
    WHERE c.instrument_id = $1 AND c.start_ns < $3
    UNION ALL
    SELECT h.source, h.start_ns, h.end_ns, h.interval_s
    FROM history_spans AS h WHERE h.instrument_id = $1 AND h.start_ns < $3
) AS heard WHERE end_ns > $2 AND end_ns > start_ns ORDER BY start_ns, interval_s"""

# History that was fetched: $1 instrument, $2 interval, $3 source, [$4, $5).
LOCK_HISTORY = "LOCK TABLE history_spans IN SHARE ROW EXCLUSIVE MODE"
JOIN_HISTORY = """
WITH touched AS (
    DELETE FROM history_spans
    WHERE instrument_id = $1 AND interval_s = $2 AND source = $3 AND start_ns <= $5 AND end_ns >= $4
    RETURNING start_ns, end_ns
)
SELECT least($4::bigint, min(start_ns)), greatest($5::bigint, max(end_ns)) FROM touched"""
ADD_HISTORY = """
INSERT INTO history_spans (instrument_id, interval_s, source, start_ns, end_ns) VALUES ($1, $2, $3, $4, $5)"""
FORGET_REVISIONS = """
WITH old AS (SELECT ctid FROM candle_revisions WHERE replaced_at < $1 LIMIT $2)
DELETE FROM candle_revisions WHERE ctid = ANY (ARRAY(SELECT ctid FROM old))"""
FORGET_SPANS = tuple(
    f"""
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT old.ctid FROM {table} AS old WHERE old.start_ns < $1 AND old.end_ns <= $1 LIMIT $2
))"""  # noqa: S608 - names from the list here
    for table in ("coverage_spans", "gap_spans")
)
FORGET_HISTORY = """
DELETE FROM history_spans WHERE ctid = ANY (ARRAY(
    SELECT old.ctid FROM history_spans AS old WHERE old.interval_s = $1 AND old.end_ns <= $2 LIMIT $3
))"""
SIZE = "SELECT pg_database_size(current_database())"
