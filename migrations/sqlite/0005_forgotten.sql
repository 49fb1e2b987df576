-- migrate:up

-- How far back retention has reached: candles of an interval that open before are gone.
CREATE TABLE forgotten (
    interval_s INTEGER PRIMARY KEY CHECK (interval_s > 0),
    before_ns  INTEGER NOT NULL -- UTC ns
) STRICT;

-- migrate:down
DROP TABLE forgotten;
