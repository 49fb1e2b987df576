-- migrate:up

-- What brokers list, in use or not. One row an instrument for ever, known by its canonical
-- symbol like `instruments`; what it is called by a broker, and when, is in listing_tokens.
-- underlying: of a derivative. expiry: yyyy-mm-dd. lot_size: units.
CREATE TABLE listings (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    symbol        TEXT NOT NULL UNIQUE CHECK (symbol <> ''),
    exchange      TEXT NOT NULL,
    tradingsymbol TEXT NOT NULL,
    name          TEXT NOT NULL,
    underlying    TEXT NOT NULL,
    kind          TEXT NOT NULL, -- EQ (indices too), FUT, CE, PE
    segment       TEXT NOT NULL,
    expiry        TEXT,
    strike        REAL,
    tick_size     REAL,
    lot_size      REAL
) STRICT;

-- Point-in-time identity: a token means an instrument on dates [valid_from, valid_to), as the
-- daily lists had it; NULL while it does. Tokens are given away again after an expiry.
CREATE TABLE listing_tokens (
    provider   TEXT NOT NULL,
    token      TEXT NOT NULL,
    valid_from TEXT NOT NULL CHECK (length(valid_from) = 10),
    valid_to   TEXT CHECK (valid_to > valid_from),
    listing_id INTEGER NOT NULL REFERENCES listings (id),
    PRIMARY KEY (provider, token, valid_from)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX listing_tokens_now ON listing_tokens (provider, token) WHERE valid_to IS NULL;
CREATE INDEX listing_tokens_of ON listing_tokens (listing_id, valid_from);

-- migrate:down
DROP TABLE listing_tokens;
DROP TABLE listings;
