-- migrate:up

-- Seconds move from fresh_1s to candles_1s a slice of the instruments at a time. Those before
-- fresh_since.ts_utc are in candles_1s, but for those since moving_since of instruments after
-- `moved`, which are still in fresh_1s. No move under way: moving_since = ts_utc.
ALTER TABLE fresh_since ADD COLUMN moving_since TEXT NOT NULL DEFAULT '';
ALTER TABLE fresh_since ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
UPDATE fresh_since SET moving_since = ts_utc;

-- migrate:down
INSERT INTO candles_1s (
    instrument_id, ts_utc, open, high, low, close, volume, oi, trades, source, state, session, flags, revision
)
SELECT
    f.instrument_id, f.ts_utc, f.open, f.high, f.low, f.close, f.volume, f.oi, f.trades,
    f.source, f.state, f.session, f.flags, f.revision
FROM fresh_1s AS f WHERE f.ts_utc < (SELECT s.ts_utc FROM fresh_since AS s);
DELETE FROM fresh_1s WHERE ts_utc < (SELECT s.ts_utc FROM fresh_since AS s);
DELETE FROM fresh_seconds WHERE ts_utc < (SELECT s.ts_utc FROM fresh_since AS s);
ALTER TABLE fresh_since DROP COLUMN moved;
ALTER TABLE fresh_since DROP COLUMN moving_since;
