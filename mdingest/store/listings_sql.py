"""SQL of the listings that both databases understand, but for their placeholders.

``$1`` is written ``?1`` for SQLite. Dates are texts (yyyy-mm-dd), which compare as dates.
"""

_COLUMNS = (
    *("exchange", "tradingsymbol", "name", "underlying", "kind", "segment"),
    *("expiry", "strike", "tick_size", "lot_size"),
)
_EACH = ", ".join(_COLUMNS)
_OF = ", ".join(f"i.{name}" for name in _COLUMNS)
_OLD = ", ".join(f"listings.{name}" for name in _COLUMNS)

INCOMING = ("n", "token", "symbol", *_COLUMNS)
"""Columns of the temporary table ``incoming``; n counts from 1, symbols are there once."""

# $1 < n <= $2. Two statements, since an upsert would use up an id for each row that is known.
CHANGE = f"""
UPDATE listings SET {", ".join(f"{name} = i.{name}" for name in _COLUMNS)}
FROM incoming AS i WHERE i.n > $1 AND i.n <= $2 AND listings.symbol = i.symbol
AND ({_OF}) IS DISTINCT FROM ({_OLD})"""  # noqa: S608 - names from the list above
ADD = f"""
INSERT INTO listings (symbol, {_EACH})
SELECT i.symbol, {_OF} FROM incoming AS i WHERE i.n > $1 AND i.n <= $2
AND NOT EXISTS (SELECT 1 FROM listings AS l WHERE l.symbol = i.symbol) ORDER BY i.n"""  # noqa: S608 - as above

# Exchanges in the list: how many of their tokens were known, how many are in the list.
SHRUNK = """
SELECT s.exchange, s.seen, coalesce(k.known, 0) FROM
(SELECT exchange, count(*) AS seen FROM incoming GROUP BY exchange) AS s
LEFT JOIN (
    SELECT l.exchange AS exchange, count(*) AS known
    FROM listing_tokens AS t JOIN listings AS l ON l.id = t.listing_id
    WHERE t.provider = $1 AND t.valid_to IS NULL GROUP BY l.exchange
) AS k ON k.exchange = s.exchange"""

_GONE = """
listing_tokens.provider = $1 AND listing_tokens.valid_to IS NULL
AND EXISTS (
    SELECT 1 FROM listings AS l CROSS JOIN closable AS c
    WHERE c.exchange = l.exchange AND l.id = listing_tokens.listing_id
)
AND NOT EXISTS (
    SELECT 1 FROM incoming AS i CROSS JOIN listings AS l
    WHERE l.symbol = i.symbol AND i.token = listing_tokens.token AND l.id = listing_tokens.listing_id
)"""
# Of today, and wrong already: never was.
FORGET = f"DELETE FROM listing_tokens WHERE {_GONE} AND listing_tokens.valid_from >= $2"  # noqa: S608
# $2 is today. What expired before was over on the day after.
CLOSE = f"""
UPDATE listing_tokens SET valid_to = (
    SELECT CASE WHEN l.expiry IS NOT NULL AND NEXT_DAY(l.expiry) < $2
        AND NEXT_DAY(l.expiry) > listing_tokens.valid_from THEN NEXT_DAY(l.expiry) ELSE $2 END
    FROM listings AS l WHERE l.id = listing_tokens.listing_id
) WHERE {_GONE}"""  # noqa: S608 - names from above
# A token may be taken from an instrument of an exchange that is not closed otherwise.
TAKEN = """
UPDATE listing_tokens SET valid_to = $2
WHERE provider = $1 AND valid_to IS NULL AND valid_from < $2 AND EXISTS (
    SELECT 1 FROM incoming AS i CROSS JOIN listings AS l
    WHERE l.symbol = i.symbol AND i.token = listing_tokens.token AND l.id <> listing_tokens.listing_id
)"""
# $3 < n <= $4. CROSS JOIN: in this order, which SQLite would not choose by itself.
OPEN = """
INSERT INTO listing_tokens (provider, token, valid_from, listing_id)
SELECT $1, i.token, $2, l.id FROM incoming AS i CROSS JOIN listings AS l
WHERE l.symbol = i.symbol AND i.n > $3 AND i.n <= $4 AND NOT EXISTS (
    SELECT 1 FROM listing_tokens AS t WHERE t.provider = $1 AND t.token = i.token AND t.valid_to IS NULL
)
ORDER BY i.n
ON CONFLICT (provider, token, valid_from) DO NOTHING"""

SIMILAR = """
SELECT symbol FROM listings
WHERE upper(substr(symbol, 1, 1)) = upper(substr($1, 1, 1))
AND length(symbol) BETWEEN length($1) - 4 AND length($1) + 4"""
KNOWN = "SELECT 1 FROM listings LIMIT 1"


def find(words: int, *, expired: bool, like: str) -> str:
    """$1 is the whole text; from $2 on a pattern a word; then the limit. ``like`` ignores case."""
    searched = ("l.symbol", "l.name", "l.underlying", "coalesce(l.expiry, '')")
    clauses = [
        "(" + " OR ".join(f"{column} {like} ${n} ESCAPE '!'" for column in searched) + ")"
        for n in range(2, 2 + words)
    ]
    newest = """t.valid_from = (
        SELECT max(o.valid_from) FROM listing_tokens AS o
        WHERE o.listing_id = t.listing_id AND o.provider = t.provider
    )"""
    current = newest if expired else "t.valid_to IS NULL"
    return f"""
SELECT l.id, l.symbol, l.name, l.underlying, l.kind, l.segment, l.expiry, l.strike, l.tick_size, l.lot_size,
    t.provider, t.token, t.valid_from, t.valid_to, count(*) OVER () AS total
FROM listings AS l JOIN listing_tokens AS t ON t.listing_id = l.id
WHERE {current} AND {" AND ".join(clauses)}
ORDER BY CASE
    WHEN upper(l.symbol) = upper($1) THEN 0
    WHEN upper(l.tradingsymbol) = upper($1) THEN 1
    WHEN upper(l.name) = upper($1) OR upper(l.underlying) = upper($1) THEN 2
    ELSE 3
END, coalesce(l.expiry, ''), l.kind, coalesce(l.strike, 0), l.symbol
LIMIT ${2 + words}"""  # noqa: S608 - names from here; values are bound


def pattern(word: str) -> str:
    """What LIKE wants for: contains this word."""
    escaped = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
