-- migrate:up

-- Why the repair of a gap is where it is (for people), how often it was tried in vain, and the
-- instant (UTC ns) before which it is not tried again.
ALTER TABLE gap_spans ADD COLUMN reason text NOT NULL DEFAULT '';
ALTER TABLE gap_spans ADD COLUMN attempts integer NOT NULL DEFAULT 0;
ALTER TABLE gap_spans ADD COLUMN retry_ns bigint NOT NULL DEFAULT 0;
CREATE INDEX gap_spans_unrepaired ON gap_spans (retry_ns, start_ns) WHERE repair <> 'repaired';

-- What runs at a time of day: the last such instant (UTC ns) for which it ran, when it ended, and
-- how. attempts: in vain, for this instant.
CREATE TABLE schedule_runs (
    name     text    PRIMARY KEY,
    due_ns   bigint  NOT NULL,
    ended_ns bigint  NOT NULL,
    failed   boolean NOT NULL,
    attempts integer NOT NULL CHECK (attempts >= 0),
    said     text    NOT NULL
);

-- How one day's live-built candles compare with another source's, field by field: how many were in
-- both, how many of them differ, and the one that differs most. field 'candle': how many there
-- were in either, and how many only one of them has.
CREATE TABLE candle_differences (
    instrument_id integer NOT NULL REFERENCES instruments (id),
    date          text NOT NULL CHECK (length(date) = 10), -- trade date
    interval_s    integer NOT NULL CHECK (interval_s > 0),
    other         smallint NOT NULL, -- sources.id of what ours were compared with
    field         text NOT NULL CHECK (field IN ('candle', 'open', 'high', 'low', 'close', 'volume', 'oi')),
    compared      integer NOT NULL CHECK (compared >= 0),
    differing     integer NOT NULL CHECK (differing BETWEEN 0 AND compared),
    worst_ns      bigint, -- opening instant, UTC ns, of the one that differs most
    ours          double precision,
    theirs        double precision,
    PRIMARY KEY (instrument_id, date, interval_s, other, field)
);

CREATE VIEW differences AS
SELECT
    i.symbol AS symbol, d.date AS date, d.interval_s AS interval_s,
    (SELECT s.name FROM sources AS s WHERE s.id = d.other) AS other,
    d.field AS field, d.compared AS compared, d.differing AS differing,
    instant(d.worst_ns) AS worst_utc, d.ours AS ours, d.theirs AS theirs
FROM instruments AS i JOIN candle_differences AS d ON d.instrument_id = i.id;

DROP VIEW gaps;
CREATE VIEW gaps AS
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = g.source) AS source,
    instant(g.start_ns) AS start_utc,
    instant(g.end_ns) AS end_utc,
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
    g.volume, g.repair, g.reason AS reason, g.attempts AS attempts
FROM instruments AS i JOIN gap_spans AS g ON g.instrument_id = i.id;

-- migrate:down
DROP VIEW gaps;
CREATE VIEW gaps AS
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = g.source) AS source,
    instant(g.start_ns) AS start_utc,
    instant(g.end_ns) AS end_utc,
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
    g.volume, g.repair
FROM instruments AS i JOIN gap_spans AS g ON g.instrument_id = i.id;
DROP VIEW differences;
DROP TABLE candle_differences;
DROP TABLE schedule_runs;
DROP INDEX gap_spans_unrepaired;
ALTER TABLE gap_spans DROP COLUMN retry_ns;
ALTER TABLE gap_spans DROP COLUMN attempts;
ALTER TABLE gap_spans DROP COLUMN reason;
