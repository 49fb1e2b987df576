-- migrate:up

-- A query of the view without a time is planned over every partition, a fifth of a millisecond each:
-- so there have to be few, however long candles are kept. Those that are there stay as they are.
-- `retain` sets the first two by what is kept: seconds of two weeks by day.
CREATE TABLE partition_widths (
    of_interval text PRIMARY KEY,
    width       text NOT NULL CHECK (width IN ('day', 'week', 'month', 'year', 'decade')) -- for date_trunc
);
INSERT INTO partition_widths VALUES
    ('1s', 'day'), ('1m', 'year'), ('5m', 'decade'), ('15m', 'decade'), ('30m', 'decade'), ('1h', 'decade'),
    ('1d', 'decade'), ('1w', 'decade');

-- How an interval's next partition is cut.
CREATE OR REPLACE FUNCTION partition_width(of_interval text) RETURNS text
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT w.width FROM partition_widths AS w WHERE w.of_interval = partition_width.of_interval
$$;

-- An interval's partitions, each for [low, high).
CREATE FUNCTION partitions_of(of_interval text) RETURNS TABLE (part text, low timestamptz, high timestamptz)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
    SELECT
        c.relname::text,
        substring(bounds FROM $r$FROM \('([^']+)'\)$r$)::timestamptz,
        substring(bounds FROM $r$TO \('([^']+)'\)$r$)::timestamptz
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) AS bounds
    WHERE i.inhparent = to_regclass(quote_ident('candles_' || of_interval))
$$;

-- The partition that holds an instant; NULL if there is none.
CREATE OR REPLACE FUNCTION partition_name(of_interval text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
    SELECT p.part FROM partitions_of(of_interval) AS p WHERE p.low <= at AND at < p.high
$$;

-- Partitions for all instants from first to last, each as wide as those beside it allow. How many
-- were missing.
-- ATTACH, unlike CREATE TABLE ... PARTITION OF, keeps neither readers nor writers waiting.
CREATE OR REPLACE FUNCTION add_partitions(of_interval text, first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
DECLARE
    parent text := 'candles_' || of_interval;
    width text := partition_width(of_interval);
    step interval := CASE width WHEN 'decade' THEN '10 years' ELSE '1 ' || width END;
    at timestamptz := first;
    whole timestamptz; -- where a partition that has no neighbours begins
    bottom timestamptz;
    top timestamptz;
    held_to timestamptz; -- the end of one that is there
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mdingest.partitions'), hashtext(current_schema()));
    WHILE at <= last LOOP
        whole := date_trunc(width, at);
        SELECT greatest(whole, max(p.high) FILTER (WHERE p.high <= at)),
            least(whole + step, min(p.low) FILTER (WHERE p.low > at)),
            max(p.high) FILTER (WHERE p.low <= at AND at < p.high)
        INTO bottom, top, held_to FROM partitions_of(of_interval) AS p;
        IF held_to IS NOT NULL THEN
            top := held_to;
        ELSE
            part := parent || to_char(bottom, CASE
                WHEN bottom = whole AND width = 'month' THEN '_YYYYMM'
                WHEN bottom = whole AND width = 'year' THEN '_YYYY'
                WHEN bottom = whole AND width = 'decade' THEN '_YYYY"s"'
                ELSE '_YYYYMMDD'
            END);
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part, parent
            );
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, bottom, top);
            made := made + 1;
        END IF;
        at := top;
    END LOOP;
    RETURN made;
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION partition_width(of_interval text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE of_interval
        WHEN '1s' THEN 'day' WHEN '1m' THEN 'month' WHEN '1d' THEN 'decade' WHEN '1w' THEN 'decade' ELSE 'year'
    END
$$;

CREATE OR REPLACE FUNCTION partition_name(of_interval text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET timezone TO 'UTC' AS $$
    SELECT 'candles_' || of_interval || to_char(
        date_trunc(partition_width(of_interval), at),
        CASE partition_width(of_interval)
            WHEN 'day' THEN '_YYYYMMDD' WHEN 'month' THEN '_YYYYMM' WHEN 'year' THEN '_YYYY' ELSE '_YYYY"s"'
        END
    )
$$;

CREATE OR REPLACE FUNCTION add_partitions(of_interval text, first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone TO 'UTC' AS $$
DECLARE
    parent text := 'candles_' || of_interval;
    width text := partition_width(of_interval);
    step interval := CASE width WHEN 'decade' THEN '10 years' ELSE '1 ' || width END;
    low timestamptz := date_trunc(width, first);
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mdingest.partitions'), hashtext(current_schema()));
    WHILE low <= last LOOP
        part := partition_name(of_interval, low);
        IF to_regclass(quote_ident(part)) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part, parent
            );
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, low, low + step
            );
            made := made + 1;
        END IF;
        low := low + step;
    END LOOP;
    RETURN made;
END
$$;
DROP FUNCTION partitions_of(text);
DROP TABLE partition_widths;
