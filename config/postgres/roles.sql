-- Who may do what, run once by psql as the owner of a new, empty database:
-- docker-compose.yml does so by itself; elsewhere
--   POSTGRES_WRITER_PASSWORD=... POSTGRES_READER_PASSWORD=... psql -f config/postgres/roles.sql DATABASE
-- Then the same owner runs `mdingest migrate`, and daemons never need the owner's password.
\set ON_ERROR_STOP on
\getenv writer_password POSTGRES_WRITER_PASSWORD
\getenv reader_password POSTGRES_READER_PASSWORD

-- The daemon: rows in and out. New partitions come from functions that run as their owner.
CREATE ROLE mdingest_writer LOGIN PASSWORD :'writer_password' CONNECTION LIMIT 20;
-- `mdingest serve`, charts, notebooks.
CREATE ROLE mdingest_reader LOGIN PASSWORD :'reader_password' CONNECTION LIMIT 20;
ALTER ROLE mdingest_reader SET default_transaction_read_only = on;

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO mdingest_writer;
GRANT CONNECT ON DATABASE :"DBNAME" TO mdingest_reader;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO mdingest_writer, mdingest_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO mdingest_writer, mdingest_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT, UPDATE, DELETE ON TABLES TO mdingest_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO mdingest_writer;
