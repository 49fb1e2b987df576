-- migrate:up

-- An uptime that heard nothing, or nothing yet, is none. Replaced, not dropped: who may read it stays.
CREATE OR REPLACE VIEW coverage AS
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    instant(c.start_ns) AS start_utc,
    instant(coalesce(c.end_ns, t.last_ns)) AS end_utc,
    c.end_ns IS NULL AS is_open,
    NULL::integer AS interval_s
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream
WHERE coalesce(c.end_ns, t.last_ns) > c.start_ns
UNION ALL
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = h.source) AS source,
    instant(h.start_ns) AS start_utc,
    instant(h.end_ns) AS end_utc,
    false AS is_open,
    h.interval_s
FROM instruments AS i JOIN history_spans AS h ON h.instrument_id = i.id;

-- migrate:down
CREATE OR REPLACE VIEW coverage AS
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    instant(c.start_ns) AS start_utc,
    instant(coalesce(c.end_ns, greatest(t.last_ns, c.start_ns))) AS end_utc,
    c.end_ns IS NULL AS is_open,
    NULL::integer AS interval_s
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream
UNION ALL
SELECT
    i.symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = h.source) AS source,
    instant(h.start_ns) AS start_utc,
    instant(h.end_ns) AS end_utc,
    false AS is_open,
    h.interval_s
FROM instruments AS i JOIN history_spans AS h ON h.instrument_id = i.id;
