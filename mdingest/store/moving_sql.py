"""Tables that are no candles on their way from SQLite to PostgreSQL: what is read, and what becomes of it.

All may be done twice, and again after the other side went on by itself: of two rows of a key the
one that knows more stays.
"""

from mdingest.store.upkeep import FORGET

OTHERS = (
    (
        "streams",
        "SELECT journal, stream_id, feed, last_ns FROM streams ORDER BY id",  # whose order means something
        """
        INSERT INTO streams AS s (journal, stream_id, feed, last_ns) VALUES ($1, $2, $3, $4)
        ON CONFLICT (journal, stream_id) DO UPDATE SET last_ns = greatest(s.last_ns, excluded.last_ns)""",
    ),
    (
        "coverage_spans",
        """
        SELECT i.symbol, c.start_ns, c.source, c.end_ns, s.journal, s.stream_id FROM coverage_spans AS c
        JOIN instruments AS i ON i.id = c.instrument_id LEFT JOIN streams AS s ON s.id = c.stream""",
        """
        INSERT INTO coverage_spans AS c (instrument_id, start_ns, source, end_ns, stream)
        SELECT i.id, $2, $3, $4, (SELECT id FROM streams WHERE journal = $5 AND stream_id = $6)
        FROM instruments AS i WHERE symbol = $1
        ON CONFLICT (instrument_id, start_ns, source)
        DO UPDATE SET end_ns = excluded.end_ns, stream = excluded.stream
        WHERE c.end_ns IS NULL OR excluded.end_ns > c.end_ns""",
    ),
    (
        "history_spans",
        """
        SELECT i.symbol, h.interval_s, h.source, h.start_ns, h.end_ns FROM history_spans AS h
        JOIN instruments AS i ON i.id = h.instrument_id""",
        """
        INSERT INTO history_spans AS h (instrument_id, interval_s, source, start_ns, end_ns)
        SELECT id, $2, $3, $4, $5 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, interval_s, source, start_ns) DO UPDATE SET end_ns = excluded.end_ns
        WHERE excluded.end_ns > h.end_ns""",
    ),
    (
        "gap_spans",
        """
        SELECT i.symbol, g.start_ns, g.source, g.cause, g.end_ns, g.volume, g.repair, g.reason, g.attempts,
            g.retry_ns FROM gap_spans AS g JOIN instruments AS i ON i.id = g.instrument_id""",
        # The one that ended, or reaches further, or whose repair has come further.
        """
        INSERT INTO gap_spans AS g (
            instrument_id, start_ns, source, cause, end_ns, volume, repair, reason, attempts, retry_ns
        )
        SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, start_ns, source, cause)
        DO UPDATE SET end_ns = excluded.end_ns, volume = greatest(g.volume, excluded.volume),
            repair = excluded.repair, reason = excluded.reason, attempts = excluded.attempts,
            retry_ns = excluded.retry_ns
        WHERE CASE
            WHEN g.end_ns IS DISTINCT FROM excluded.end_ns THEN g.end_ns IS NULL OR excluded.end_ns > g.end_ns
            ELSE (array_position(ARRAY['open', 'repairing', 'unfillable', 'repaired'], excluded.repair),
                excluded.attempts, excluded.retry_ns)
                > (array_position(ARRAY['open', 'repairing', 'unfillable', 'repaired'], g.repair),
                g.attempts, g.retry_ns)
        END""",
    ),
    (
        "candle_differences",
        """
        SELECT i.symbol, d.date, d.interval_s, d.other, d.field, d.compared, d.differing, d.worst_ns,
            d.ours, d.theirs FROM candle_differences AS d JOIN instruments AS i ON i.id = d.instrument_id""",
        """
        INSERT INTO candle_differences AS d (
            instrument_id, date, interval_s, other, field, compared, differing, worst_ns, ours, theirs
        )
        SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM instruments WHERE symbol = $1
        ON CONFLICT (instrument_id, date, interval_s, other, field)
        DO UPDATE SET compared = excluded.compared, differing = excluded.differing,
            worst_ns = excluded.worst_ns, ours = excluded.ours, theirs = excluded.theirs
        WHERE excluded.compared > d.compared""",
    ),
    (
        "forgotten",
        "SELECT interval_s, before_ns FROM forgotten",
        FORGET,
    ),
    (
        "schedule_runs",
        "SELECT name, due_ns, ended_ns, failed, attempts, said FROM schedule_runs",
        """
        INSERT INTO schedule_runs AS r (name, due_ns, ended_ns, failed, attempts, said)
        VALUES ($1, $2, $3, $4::integer = 1, $5, $6)
        ON CONFLICT (name) DO UPDATE SET due_ns = excluded.due_ns, ended_ns = excluded.ended_ns,
            failed = excluded.failed, attempts = excluded.attempts, said = excluded.said
        WHERE (excluded.due_ns, excluded.ended_ns) > (r.due_ns, r.ended_ns)""",
    ),
    (
        "candle_revisions",
        """
        SELECT i.symbol, r.interval, r.ts_utc, r.open, r.high, r.low, r.close, r.volume, r.oi, r.trades,
            r.source, r.state, r.session, r.flags, r.revision, r.replaced_by, r.replaced_at
        FROM candle_revisions AS r JOIN instruments AS i ON i.id = r.instrument_id ORDER BY r.id""",
        """
        INSERT INTO candle_revisions (symbol, interval, ts_utc, open, high, low, close, volume, oi, trades,
            source, state, session, flags, revision, replaced_by, replaced_at)
        SELECT $1::text, $2::text, $3::text::timestamptz, $4::float8, $5::float8, $6::float8, $7::float8,
            $8::float8, $9::float8, $10::int, $11::smallint, $12::smallint, $13::smallint, $14::int,
            $15::int, $16::smallint, $17::text::timestamptz
        WHERE NOT EXISTS (
            SELECT 1 FROM candle_revisions
            WHERE symbol = $1 AND interval = $2 AND ts_utc = $3::text::timestamptz AND source = $11
            AND revision = $15 AND replaced_by = $16 AND replaced_at = $17::text::timestamptz
        )""",
    ),
    (
        "listings",
        """
        SELECT symbol, exchange, tradingsymbol, name, underlying, kind, segment, expiry, strike, tick_size,
            lot_size FROM listings ORDER BY id""",
        """
        INSERT INTO listings (symbol, exchange, tradingsymbol, name, underlying, kind, segment, expiry,
            strike, tick_size, lot_size)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (symbol) DO UPDATE SET name = excluded.name, underlying = excluded.underlying,
            kind = excluded.kind, segment = excluded.segment, expiry = excluded.expiry,
            strike = excluded.strike, tick_size = excluded.tick_size, lot_size = excluded.lot_size""",
    ),
    (
        "listing_tokens",
        """
        SELECT t.provider, t.token, t.valid_from, t.valid_to, l.symbol FROM listing_tokens AS t
        JOIN listings AS l ON l.id = t.listing_id ORDER BY t.valid_from""",
        # A list synced there meanwhile may mean something else by a token today: that is kept.
        """
        INSERT INTO listing_tokens AS t (provider, token, valid_from, valid_to, listing_id)
        SELECT $1::text, $2::text, $3::text, $4::text, id FROM listings WHERE symbol = $5
        AND ($4::text IS NOT NULL OR NOT EXISTS (
            SELECT 1 FROM listing_tokens
            WHERE provider = $1 AND token = $2 AND valid_from <> $3 AND valid_to IS NULL
        ))
        ON CONFLICT (provider, token, valid_from)
        DO UPDATE SET valid_to = excluded.valid_to, listing_id = excluded.listing_id
        WHERE t.valid_to IS NULL""",
    ),
)
"""Name, the query here, and the statement there for each of its rows."""
