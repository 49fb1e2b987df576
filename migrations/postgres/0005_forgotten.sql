-- migrate:up

-- How far back retention has reached: candles of an interval that open before are gone.
CREATE TABLE forgotten (
    interval_s integer PRIMARY KEY CHECK (interval_s > 0),
    before_ns  bigint  NOT NULL -- UTC ns
);

-- Drop the partitions that lie wholly before an instant. Their names. What is left begins with the
-- first partition that stays, or with that instant.
CREATE OR REPLACE FUNCTION drop_partitions(of_interval text, before timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
DECLARE
    part record;
    kept_from timestamptz := before;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mdingest.partitions'), hashtext(current_schema()));
    FOR part IN
        SELECT
            c.oid::regclass AS name, c.relname AS plain,
            substring(bounds FROM $r$FROM \('([^']+)'\)$r$)::timestamptz AS low,
            substring(bounds FROM $r$TO \('([^']+)'\)$r$)::timestamptz AS high
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
            pg_get_expr(c.relpartbound, c.oid) AS bounds
        WHERE i.inhparent = to_regclass(quote_ident('candles_' || of_interval))
        ORDER BY c.relname
    LOOP
        IF part.high <= before THEN
            EXECUTE format('DROP TABLE %s', part.name);
            RETURN NEXT part.plain;
        ELSE
            kept_from := least(kept_from, part.low);
        END IF;
    END LOOP;
    INSERT INTO forgotten AS f (interval_s, before_ns)
    VALUES (extract(epoch FROM of_interval::interval), extract(epoch FROM kept_from) * 1000000000)
    ON CONFLICT (interval_s) DO UPDATE SET before_ns = excluded.before_ns WHERE f.before_ns < excluded.before_ns;
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION drop_partitions(of_interval text, before timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
DECLARE
    part record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mdingest.partitions'), hashtext(current_schema()));
    FOR part IN
        SELECT c.oid::regclass AS name, c.relname AS plain
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident('candles_' || of_interval))
        AND substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$TO \('([^']+)'\)$r$)::timestamptz <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', part.name);
        RETURN NEXT part.plain;
    END LOOP;
END
$$;
DROP TABLE forgotten;
