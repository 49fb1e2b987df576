-- migrate:up

-- What candles may come from. Filled from the code (core/rank.py), which is their owner.
CREATE TABLE sources (
    id   INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 255),
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE instruments (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    symbol        TEXT NOT NULL UNIQUE CHECK (symbol <> ''),
    exchange      TEXT NOT NULL,
    name          TEXT NOT NULL,
    session_class TEXT NOT NULL,
    volume_kind   TEXT NOT NULL CHECK (volume_kind IN ('cumulative', 'trades', 'none'))
) STRICT;

-- One table per interval, the instrument first and then time as text: the only layout in
-- which a symbol's newest candles of all intervals come out of the indexes in order.
-- ts_utc: opening instant, always 20 characters, so that it sorts as the time it reads as.
-- The newest seconds are kept apart, see fresh_1s.
-- source: sources.id. state: 0 final, 1 partial. session: 0 unknown, 1 preopen, 2 regular,
-- 3 auction, 4 postclose. volume, oi, trades: NULL where there is none or it is not known.
CREATE TABLE candles_1s (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_1m (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_5m (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_15m (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_30m (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_1h (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_1d (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20 AND ts_utc LIKE '%T00:00:00Z'),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles_1w (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20 AND ts_utc LIKE '%T00:00:00Z'),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (instrument_id, ts_utc)
) STRICT, WITHOUT ROWID;

-- The newest seconds of all instruments in time order, where a whole market's rows of one second
-- lie side by side and cost a page in fifty rather than a page each. Seconds before fresh_since
-- are in candles_1s, all others here; every now and then all of these rows move over at once,
-- sorted. fresh_seconds names every ts_utc in fresh_1s, a few dozen at most: that many steps
-- find an instrument's rows here, newest first.
CREATE TABLE fresh_since (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    ts_utc   TEXT NOT NULL
) STRICT;
INSERT INTO fresh_since (only_row, ts_utc) VALUES (1, '');
CREATE TABLE fresh_seconds (ts_utc TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE fresh_1s (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    ts_utc        TEXT    NOT NULL CHECK (length(ts_utc) = 20),
    open          REAL    NOT NULL,
    high          REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 9e999),
    low           REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -9e999),
    close         REAL    NOT NULL,
    volume        REAL    CHECK (volume >= 0),
    oi            REAL,
    trades        INTEGER CHECK (trades >= 0),
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state IN (0, 1)),
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL CHECK (revision >= 0),
    PRIMARY KEY (ts_utc, instrument_id)
) STRICT, WITHOUT ROWID;

-- Rows that another source replaced, as they were.
CREATE TABLE candle_revisions (
    id            INTEGER PRIMARY KEY,
    instrument_id INTEGER NOT NULL,
    interval      TEXT    NOT NULL,
    ts_utc        TEXT    NOT NULL,
    open          REAL    NOT NULL,
    high          REAL    NOT NULL,
    low           REAL    NOT NULL,
    close         REAL    NOT NULL,
    volume        REAL,
    oi            REAL,
    trades        INTEGER,
    source        INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    session       INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    replaced_by   INTEGER NOT NULL, -- sources.id
    replaced_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) -- the database's clock
) STRICT;
CREATE INDEX candle_revisions_key ON candle_revisions (instrument_id, interval, ts_utc);

CREATE TRIGGER candles_1s_replaced AFTER UPDATE OF source ON candles_1s
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1s', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_1m_replaced AFTER UPDATE OF source ON candles_1m
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1m', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_5m_replaced AFTER UPDATE OF source ON candles_5m
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '5m', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_15m_replaced AFTER UPDATE OF source ON candles_15m
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '15m', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_30m_replaced AFTER UPDATE OF source ON candles_30m
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '30m', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_1h_replaced AFTER UPDATE OF source ON candles_1h
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1h', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_1d_replaced AFTER UPDATE OF source ON candles_1d
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1d', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER candles_1w_replaced AFTER UPDATE OF source ON candles_1w
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1w', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

CREATE TRIGGER fresh_1s_replaced AFTER UPDATE OF source ON fresh_1s
WHEN old.source <> new.source
BEGIN
    INSERT INTO candle_revisions (
        instrument_id, interval, ts_utc, open, high, low, close, volume, oi, trades,
        source, state, session, flags, revision, replaced_by
    ) VALUES (
        old.instrument_id, '1s', old.ts_utc, old.open, old.high, old.low, old.close, old.volume, old.oi, old.trades,
        old.source, old.state, old.session, old.flags, old.revision, new.source
    );
END;

-- Streams of live feeds. Stream ids count within one journal; id counts over all of them.
CREATE TABLE streams (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    journal   TEXT    NOT NULL, -- uuid
    stream_id INTEGER NOT NULL CHECK (stream_id > 0),
    feed      TEXT    NOT NULL,
    last_ns   INTEGER NOT NULL, -- feed clock at the last frame: how far open coverage reaches
    UNIQUE (journal, stream_id)
) STRICT;

-- What was heard: [start_ns, end_ns), UTC ns on the feed's clock. NULL: as far as the stream.
CREATE TABLE coverage_spans (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    start_ns      INTEGER NOT NULL,
    source        INTEGER NOT NULL,
    end_ns        INTEGER CHECK (end_ns >= start_ns),
    stream        INTEGER REFERENCES streams (id), -- NULL: history
    PRIMARY KEY (instrument_id, start_ns, source),
    CHECK (end_ns IS NOT NULL OR stream IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- What was missed: [start_ns, end_ns), end_ns NULL while it lasts; equal bounds: an instant.
CREATE TABLE gap_spans (
    instrument_id INTEGER NOT NULL REFERENCES instruments (id),
    start_ns      INTEGER NOT NULL,
    source        INTEGER NOT NULL,
    cause         INTEGER NOT NULL CHECK (cause > 0), -- core/events.py, Cause
    end_ns        INTEGER CHECK (end_ns >= start_ns),
    volume        REAL CHECK (volume >= 0), -- units that passed unseen
    repair        TEXT NOT NULL DEFAULT 'open' CHECK (repair IN ('open', 'repairing', 'repaired', 'unfillable')),
    PRIMARY KEY (instrument_id, start_ns, source, cause)
) STRICT, WITHOUT ROWID;

-- Everything below lsn of this journal is in the tables above.
CREATE TABLE positions (
    journal TEXT PRIMARY KEY,
    lsn     INTEGER NOT NULL CHECK (lsn >= 0)
) STRICT, WITHOUT ROWID;

-- The ingest role. A commit that carries an older epoch than this is refused.
CREATE TABLE ingest (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch      INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    claimed_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
INSERT INTO ingest (only_row, epoch, owner) VALUES (1, 0, '');

-- The views are for people: names in place of numbers, times that read as times. CROSS JOIN keeps
-- SQLite from turning the loops around: the symbol first, then its rows in the order of time.
CREATE VIEW candles AS
SELECT
    i.symbol AS symbol, '1s' AS interval, f.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i
    CROSS JOIN fresh_seconds AS f
    CROSS JOIN fresh_1s AS c ON c.ts_utc = f.ts_utc AND c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '1s' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_1s AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '1m' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_1m AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '5m' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_5m AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '15m' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_15m AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '30m' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_30m AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '1h' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_1h AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '1d' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_1d AS c ON c.instrument_id = i.id
UNION ALL
SELECT
    i.symbol AS symbol, '1w' AS interval, c.ts_utc AS ts_utc,
    c.open AS open, c.high AS high, c.low AS low, c.close AS close,
    c.volume AS volume, c.oi AS oi, c.trades AS trades,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    CASE c.state WHEN 0 THEN 'final' ELSE 'partial' END AS state,
    CASE c.session
        WHEN 1 THEN 'preopen' WHEN 2 THEN 'regular' WHEN 3 THEN 'auction' WHEN 4 THEN 'postclose' ELSE 'unknown'
    END AS session,
    c.flags AS flags, c.revision AS revision
FROM instruments AS i CROSS JOIN candles_1w AS c ON c.instrument_id = i.id;

CREATE VIEW coverage AS
SELECT
    i.symbol AS symbol,
    (SELECT s.name FROM sources AS s WHERE s.id = c.source) AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', c.start_ns / 1e9, 'unixepoch') AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(c.end_ns, max(t.last_ns, c.start_ns)) / 1e9, 'unixepoch') AS end_utc,
    c.end_ns IS NULL AS is_open
FROM instruments AS i JOIN coverage_spans AS c ON c.instrument_id = i.id LEFT JOIN streams AS t ON t.id = c.stream;

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

-- migrate:down
DROP VIEW gaps;
DROP VIEW coverage;
DROP VIEW candles;
DROP TABLE ingest;
DROP TABLE positions;
DROP TABLE gap_spans;
DROP TABLE coverage_spans;
DROP TABLE streams;
DROP TABLE candle_revisions;
DROP TABLE fresh_1s;
DROP TABLE fresh_seconds;
DROP TABLE fresh_since;
DROP TABLE candles_1w;
DROP TABLE candles_1d;
DROP TABLE candles_1h;
DROP TABLE candles_30m;
DROP TABLE candles_15m;
DROP TABLE candles_5m;
DROP TABLE candles_1m;
DROP TABLE candles_1s;
DROP TABLE instruments;
DROP TABLE sources;
