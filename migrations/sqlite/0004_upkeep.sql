-- migrate:up

-- Why the repair of a gap is where it is (for people), how often it was tried in vain, and the
-- instant (UTC ns) before which it is not tried again.
ALTER TABLE gap_spans ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE gap_spans ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gap_spans ADD COLUMN retry_ns INTEGER NOT NULL DEFAULT 0;
CREATE INDEX gap_spans_unrepaired ON gap_spans (retry_ns, start_ns) WHERE repair <> 'repaired';

-- What runs at a time of day: the last such instant (UTC ns) for which it ran, when it ended, and
-- how. attempts: in vain, for this instant.
CREATE TABLE schedule_runs (
    name     TEXT PRIMARY KEY,
    due_ns   INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    failed   INTEGER NOT NULL CHECK (failed IN (0, 1)),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    said     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- How one day's live-built candles compare with another source's, field by field: how many were in
-- both, how many of them differ, and the one that differs most. field 'candle': how many there
-- were in either, and how many only one of them has.
CREATE TABLE candle_differences (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    date          TEXT NOT NULL CHECK (length(date) = 10), -- trade date
    interval_s    INTEGER NOT NULL CHECK (interval_s > 0),
    other         INTEGER NOT NULL, -- sources.id of what ours were compared with
    field         TEXT NOT NULL CHECK (field IN ('candle', 'open', 'high', 'low', 'close', 'volume', 'oi')),
    compared      INTEGER NOT NULL CHECK (compared >= 0),
    differing     INTEGER NOT NULL CHECK (differing BETWEEN 0 AND compared),
    worst_ns      INTEGER, -- opening instant, UTC ns, of the one that differs most
    ours          REAL,
    theirs        REAL,
    PRIMARY KEY (instrument_id, date, interval_s, other, field)
) STRICT, WITHOUT ROWID;

CREATE VIEW differences AS
SELECT
    i.symbol AS symbol, d.date AS date, d.interval_s AS interval_s,
    (SELECT s.name FROM sources AS s WHERE s.id = d.other) AS other,
    d.field AS field, d.compared AS compared, d.differing AS differing,
    strftime('%Y-%m-%dT%H:%M:%SZ', d.worst_ns / 1e9, 'unixepoch') AS worst_utc, d.ours AS ours, d.theirs AS theirs
FROM instruments AS i JOIN candle_differences AS d ON d.instrument_id = i.id;

DROP VIEW gaps;
CREATE VIEW gaps AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = g.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', g.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', g.end_ns / 1e9, 'unixepoch') AS end_utc,
    CASE g.cause
        WHEN 1 THEN 'start'
        WHEN 2 THEN 'disconnect'
        WHEN 3 THEN 'crash'
        WHEN 4 THEN 'stop'
        WHEN 5 THEN 'mute'
        WHEN 6 THEN 'late'
        WHEN 7 THEN 'undecodable'
        WHEN 8 THEN 'shed'
        WHEN 9 THEN 'quarantine'
        WHEN 10 THEN 'trade_id'
        WHEN 11 THEN 'unsubscribed'
        WHEN 12 THEN 'parked'
        WHEN 13 THEN 'journal_lost'
        ELSE 'unknown'
    END AS cause,
    g.volume AS volume, g.repair AS repair, g.reason AS reason, g.attempts AS attempts
FROM instruments AS i JOIN gap_spans AS g ON g.instrument_id = i.id;

-- migrate:down
DROP VIEW gaps;
CREATE VIEW gaps AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = g.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', g.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', g.end_ns / 1e9, 'unixepoch') AS end_utc,
    CASE g.cause
        WHEN 1 THEN 'start'
        WHEN 2 THEN 'disconnect'
        WHEN 3 THEN 'crash'
        WHEN 4 THEN 'stop'
        WHEN 5 THEN 'mute'
        WHEN 6 THEN 'late'
        WHEN 7 THEN 'undecodable'
        WHEN 8 THEN 'shed'
        WHEN 9 THEN 'quarantine'
        WHEN 10 THEN 'trade_id'
        WHEN 11 THEN 'unsubscribed'
        WHEN 12 THEN 'parked'
        WHEN 13 THEN 'journal_lost'
        ELSE 'unknown'
    END AS cause,
    g.volume AS volume, g.repair AS repair
FROM instruments AS i JOIN gap_spans AS g ON g.instrument_id = i.id;
DROP VIEW differences;
DROP TABLE candle_differences;
DROP TABLE schedule_runs;
DROP INDEX gap_spans_unrepaired;
ALTER TABLE gap_spans DROP COLUMN retry_ns;
ALTER TABLE gap_spans DROP COLUMN attempts;
ALTER TABLE gap_spans DROP COLUMN reason;
