-- migrate:up

-- An uptime that heard nothing, or nothing yet, is none.
DROP VIEW coverage;
CREATE VIEW coverage AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', c.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(c.end_ns, t.last_ns) / 1e9, 'unixepoch') AS end_utc,
    c.end_ns IS NULL AS is_open,
    NULL AS interval_s
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream
WHERE coalesce(c.end_ns, t.last_ns) > c.start_ns
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
