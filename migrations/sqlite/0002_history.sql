-- migrate:up

-- History that was asked for and answered: [start_ns, end_ns), UTC ns. Spans of one source and
-- interval never touch each other. interval_s: length of the candles in seconds.
CREATE TABLE history_spans (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    interval_s    INTEGER NOT NULL CHECK (interval_s > 0),
    source        INTEGER NOT NULL, -- sources.id
    start_ns      INTEGER NOT NULL,
    end_ns        INTEGER NOT NULL CHECK (end_ns > start_ns),
    PRIMARY KEY (instrument_id, interval_s, source, start_ns)
) STRICT, WITHOUT ROWID;

-- interval_s is NULL where a live feed was heard: that covers candles of every length.
DROP VIEW coverage;
CREATE VIEW coverage AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', c.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(c.end_ns, max(t.last_ns, c.start_ns)) / 1e9, 'unixepoch') AS end_utc,
    c.end_ns IS NULL AS is_open,
    NULL AS interval_s
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream
UNION ALL
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = h.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', h.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', h.end_ns / 1e9, 'unixepoch') AS end_utc,
    0 AS is_open,
    h.interval_s AS interval_s
FROM instruments AS i JOIN history_spans AS h ON h.instrument_id = i.id;

-- migrate:down
DROP VIEW coverage;
DROP TABLE history_spans;
CREATE VIEW coverage AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', c.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(c.end_ns, max(t.last_ns, c.start_ns)) / 1e9, 'unixepoch') AS end_utc,
    c.end_ns IS NULL AS is_open
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream;
