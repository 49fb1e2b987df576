-- migrate:up

-- What brokers list, in use or not. One row an instrument for ever, known by its canonical
-- symbol like `instruments`; what it is called by a broker, and when, is in listing_tokens.
-- underlying: of a derivative. expiry: yyyy-mm-dd. lot_size: units.
CREATE TABLE listings (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never reused
    symbol        text NOT NULL UNIQUE CHECK (symbol <> ''),
    exchange      text NOT NULL,
    tradingsymbol text NOT NULL,
    name          text NOT NULL,
    underlying    text NOT NULL,
    kind          text NOT NULL, -- EQ (indices too), FUT, CE, PE
    segment       text NOT NULL,
    expiry        text,
    strike        double precision,
    tick_size     double precision,
    lot_size      double precision
);

-- Point-in-time identity: a token means an instrument on dates [valid_from, valid_to), as the
-- daily lists had it; NULL while it does. Tokens are given away again after an expiry.
CREATE TABLE listing_tokens (
    provider   text NOT NULL,
    token      text NOT NULL,
    valid_from text NOT NULL CHECK (length(valid_from) = 10),
    valid_to   text CHECK (valid_to > valid_from),
    listing_id integer NOT NULL REFERENCES listings (id),
    PRIMARY KEY (provider, token, valid_from)
);
CREATE UNIQUE INDEX listing_tokens_now ON listing_tokens (provider, token) WHERE valid_to IS NULL;
CREATE INDEX listing_tokens_of ON listing_tokens (listing_id, valid_from);

-- migrate:down
DROP TABLE listing_tokens;
DROP TABLE listings;
