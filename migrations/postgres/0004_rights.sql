-- migrate:up

-- A role that writes candles (config/postgres/roles.sql gives it all new tables) has no business in
-- the list of what was applied: without it the next `mdingest migrate` would start over.
DO $$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT DISTINCT grantee::oid::regrole AS name
        FROM pg_class AS c, aclexplode(c.relacl) AS held (grantor, grantee, privilege_type, is_grantable)
        WHERE c.oid = 'mdingest_migrations'::regclass AND held.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON mdingest_migrations FROM %s', other.name);
    END LOOP;
END
$$;

-- migrate:down
SELECT 1; -- rights that nobody needed are not given back
