-- A database with an object of every class that verify --schema compares; names and texts that
-- quote badly among them. Made by the owner, who is no superuser.
CREATE SCHEMA "S; DROP TABLE x; --";
CREATE SCHEMA extra;
COMMENT ON SCHEMA extra IS 'it''s \ "here";
-- second line; DROP TABLE x;';
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist SCHEMA extra;
CREATE SCHEMA lost;
CREATE EXTENSION btree_gin SCHEMA extra;
CREATE EXTENSION pg_trgm SCHEMA extra;

CREATE TYPE mood AS ENUM ('sad', 'it''s; ok', 'happy');
CREATE TYPE pair AS (a int, "B;""" text COLLATE "C", m mood[]);
CREATE DOMAIN email AS citext DEFAULT 'a@b' NOT NULL CONSTRAINT at CHECK (VALUE LIKE '%@%');
CREATE DOMAIN word AS text COLLATE "C" DEFAULT 'it''s' NOT NULL CONSTRAINT at CHECK (VALUE <> ';')
    CONSTRAINT "low; --" CHECK (VALUE < 'z');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE DOMAIN pairs AS pair[];
CREATE TYPE empty_mood AS ENUM ();
CREATE TYPE lonely AS ENUM ('a', 'b;', 'c');
CREATE TYPE single AS (x int, y text, z date);
CREATE TYPE unused AS RANGE (SUBTYPE = "char", MULTIRANGE_TYPE_NAME = unuseds);
CREATE TYPE span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE COLLATION extra.bytes (LOCALE = 'C');
CREATE OPERATOR extra.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
CREATE TEXT SEARCH CONFIGURATION extra.words (COPY = pg_catalog.simple);
COMMENT ON TYPE mood IS E'of people\nDROP TABLE x; \\';
COMMENT ON COLUMN pair.a IS 'first';

CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT a + b; -- it's "quoted"; $$;
CREATE FUNCTION "f;()"(OUT x int, INOUT y text, VARIADIC z mood[] DEFAULT '{}') LANGUAGE plpgsql
    SET work_mem = '1MB' AS $f$ BEGIN x := 1; y := 'it''s \'; END $f$;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
CREATE VIEW twiced AS SELECT twice(k) AS k FROM generate_series(1, 2) k;
CREATE FUNCTION of_json(json, json[]) RETURNS json LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE PROCEDURE do_it(INOUT n int) LANGUAGE sql AS 'SELECT n + 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', PARALLEL = SAFE,
    COMBINEFUNC = int4pl);
CREATE AGGREGATE counted(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
COMMENT ON FUNCTION plus(int, int) IS 'adds';
COMMENT ON AGGREGATE counted(*) IS 'counts';

CREATE SEQUENCE ids AS smallint INCREMENT 2 MINVALUE 3 MAXVALUE 999 START 5 CACHE 7 CYCLE;
CREATE SEQUENCE down INCREMENT -1;
CREATE SEQUENCE alone;
SELECT setval('ids', 99), setval('down', -5);

CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY,
    name text COLLATE "C" NOT NULL DEFAULT 'it''s; \ "x"',
    mail email,
    mood mood DEFAULT 'sad',
    code serial,
    number int DEFAULT nextval('ids'),
    doubled int GENERATED ALWAYS AS (number * 2) STORED,
    price numeric(10, 2) CHECK (price > 0),
    born date, p pair, s span, w small,
    CONSTRAINT "unique; --" UNIQUE (name, mail) INCLUDE (born)
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
COMMENT ON TABLE customers IS 'who; DROP TABLE x';
COMMENT ON COLUMN customers.name IS E'two\nlines \\ ''quoted''';
COMMENT ON CONSTRAINT "unique; --" ON customers IS 'a constraint';
ALTER TABLE customers ALTER name SET STORAGE EXTERNAL, ALTER mail SET STATISTICS 500,
    ALTER born SET (n_distinct = -0.5), ALTER name SET COMPRESSION pglz;
SELECT setval('customers_id_seq', 50);

CREATE TABLE "S; DROP TABLE x; --"."Order""s" (
    "Key Col" int PRIMARY KEY,
    "Ünïcode
line" text DEFAULT E'a\nb',
    customer bigint CONSTRAINT "to customers" REFERENCES customers ON DELETE CASCADE DEFERRABLE,
    period tstzrange,
    EXCLUDE USING gist ("Key Col" extra.gist_int4_ops WITH =, period WITH &&)
);
ALTER TABLE "S; DROP TABLE x; --"."Order""s" ADD CONSTRAINT old CHECK ("Key Col" > 0) NOT VALID;
COMMENT ON COLUMN "S; DROP TABLE x; --"."Order""s"."Ünïcode
line" IS 'nasty';

CREATE UNLOGGED TABLE cache (k text, v int);
CREATE TABLE bare ();
CREATE TABLE documents (id int PRIMARY KEY, json json DEFAULT '{}'::json, jsons json[]);
CREATE VIEW of_documents AS SELECT json, jsons, '[]'::json AS "json;" FROM documents;
CREATE TABLE typed OF pair;
CREATE TABLE parent (id int NOT NULL, note text, CONSTRAINT positive CHECK (id > 0));
CREATE TABLE child (more text) INHERITS (parent);
CREATE TABLE parted (id int, at date NOT NULL, v text DEFAULT 'x', PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE parted_24 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
    PARTITION BY LIST (id);
CREATE TABLE parted_24_1 PARTITION OF parted_24 FOR VALUES IN (1, 2);
CREATE TABLE parted_rest (v text, at date NOT NULL, gone int, id int NOT NULL);
ALTER TABLE parted_rest DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_rest DEFAULT;
ALTER TABLE parted_24_1 ALTER v SET DEFAULT 'own';
CREATE INDEX on_parted ON parted (v);
COMMENT ON INDEX on_parted IS 'an index';

CREATE INDEX by_born ON customers (born DESC NULLS LAST, (lower(name))) INCLUDE (price)
    WHERE price > 10;
CREATE UNIQUE INDEX "by; code" ON customers (code);
CREATE UNIQUE INDEX identity ON parent (id);
ALTER TABLE parent REPLICA IDENTITY USING INDEX identity;
ALTER TABLE cache REPLICA IDENTITY FULL;
CREATE INDEX by_number ON customers (number);
ALTER TABLE customers CLUSTER ON by_number;
ALTER INDEX by_born ALTER COLUMN 2 SET STATISTICS 300;
CREATE STATISTICS extra.linked (dependencies, ndistinct) ON born, price FROM customers;
ALTER STATISTICS extra.linked SET STATISTICS 200;
CREATE STATISTICS extra.other (mcv) ON name, price FROM customers;
COMMENT ON STATISTICS extra.linked IS 'statistics';

CREATE VIEW named AS SELECT c.id, c.name, c.price FROM customers c WHERE c.price > 1;
CREATE VIEW "V; --" WITH (security_barrier) AS
    SELECT n.name AS "N;", o.customer, (SELECT max(x.born) FROM customers x WHERE x.id = n.id) AS last
    FROM named n LEFT JOIN "S; DROP TABLE x; --"."Order""s" o ON o.customer = n.id
    WHERE EXISTS (SELECT FROM parent WHERE parent.id = n.id)
    UNION ALL SELECT 'a', 1, NULL;
ALTER VIEW named ALTER COLUMN name SET DEFAULT 'view''s';
CREATE VIEW checked AS SELECT k, v FROM cache WHERE v > 0 WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW sums AS SELECT name, sum(price) AS sum FROM named GROUP BY name;
CREATE UNIQUE INDEX on_sums ON sums (name);
CREATE MATERIALIZED VIEW empty AS SELECT count(*) AS n FROM sums WITH NO DATA;
CREATE FUNCTION of_rows(c customers) RETURNS SETOF named LANGUAGE sql STABLE
    BEGIN ATOMIC SELECT named.id, named.name, named.price FROM named WHERE named.id = c.id; END;
COMMENT ON VIEW "V; --" IS 'a view';
COMMENT ON MATERIALIZED VIEW sums IS 'sums';

CREATE RULE "no; delete" AS ON DELETE TO cache DO INSTEAD NOTHING;
CREATE RULE quiet AS ON UPDATE TO named DO INSTEAD UPDATE customers SET name = new.name
    WHERE customers.id = old.id;
CREATE TRIGGER "act; --" BEFORE UPDATE OF name ON customers FOR EACH ROW
    WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION act('it''s', '\');
CREATE TRIGGER always AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION act();
CREATE TRIGGER never BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION act();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION act();
ALTER TABLE customers ENABLE REPLICA TRIGGER always;
ALTER TABLE parted DISABLE TRIGGER never;
COMMENT ON TRIGGER "act; --" ON customers IS 'a trigger';
COMMENT ON RULE "no; delete" ON cache IS 'a rule';
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY "mine; --" ON customers AS RESTRICTIVE FOR SELECT TO app, public USING (name <> 'it''s');
CREATE POLICY theirs ON customers FOR INSERT WITH CHECK (price > 5);
COMMENT ON POLICY "mine; --" ON customers IS 'a policy';

GRANT SELECT, UPDATE ON customers TO reader;
GRANT SELECT (born), UPDATE (born) ON customers TO "wri""ter; --";
GRANT INSERT ON parent TO reader WITH GRANT OPTION;
GRANT USAGE ON SCHEMA extra TO PUBLIC;
GRANT USAGE ON SEQUENCE ids TO reader;
REVOKE EXECUTE ON FUNCTION plus(int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plus(int, int) TO reader;
REVOKE USAGE ON TYPE mood FROM PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA extra GRANT EXECUTE ON FUNCTIONS TO "wri""ter; --";
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
INSERT INTO customers (name, mail, price) VALUES ('x', 'y@z', 20);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
INSERT INTO parted VALUES (1, '2024-05-05'), (3, '2023-01-01');
