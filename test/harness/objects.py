"""A database with every class of object. Each class has its SQL, run by the tables' owner in the
schema of the odd name, and a claim: a query whose rows must be the same on both sides, and at least
one. What pg_dump shows is compared as a whole besides; the claims are about each class, and about
what pg_dump would not show."""
import dataclasses

from harness.cluster import BLIND, MAJORS

OTHER = "owner two; ü"  # a second owner of objects
GRANTEE = "grant'ee"
MAJOR = min(MAJORS.values())
HERE = "(SELECT oid FROM pg_namespace WHERE nspname = E'Ödd \"o\\'b; j')"
# Between versions a definition's text may differ (what it needs not say), grants may be more.
ALIKE = len(set(MAJORS.values())) == 1
VIEWDEF = "pg_get_viewdef(c.oid)" if ALIKE else "NULL"
GRANT = "x::text" if ALIKE else "regexp_replace(x::text, 'm([*]?/)', '/')"  # MAINTAIN: since 17
PLACE = "CREATE SCHEMA \"Ödd \"\"o'b; j\""
PATH = "SET search_path = \"Ödd \"\"o'b; j\", public"


@dataclasses.dataclass
class Kind:
    name: str      # a row of docs/objects.md
    make: str      # run by the owner, in our schema
    claim: str
    admin: str = ""  # run by a superuser before
    since: int = 14  # on both sides


def relation(columns, where):
    """A claim about relations of our schema."""
    return f"""SELECT c.relname, {columns} FROM pg_class c
        WHERE c.relnamespace = {HERE} AND {where} ORDER BY 1, 2"""


KINDS = [
    Kind("schemas", f"""
        CREATE SCHEMA "second schema"; COMMENT ON SCHEMA "second schema" IS 'it''s "ö"';
        GRANT USAGE ON SCHEMA "second schema" TO "{GRANTEE}"; CREATE SCHEMA nothing_in_it""",
        """SELECT nspname, pg_get_userbyid(nspowner), nspacl::text, obj_description(oid, 'pg_namespace')
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN
        ('information_schema', 'public', 'trunkline') ORDER BY 1"""),
    Kind("extensions", "",
        """SELECT extname, n.nspname, obj_description(e.oid, 'pg_extension') FROM pg_extension e
        JOIN pg_namespace n ON n.oid = extnamespace ORDER BY 1""",
        admin="CREATE SCHEMA ext AUTHORIZATION app; CREATE EXTENSION citext SCHEMA ext;"
              "CREATE EXTENSION btree_gist SCHEMA ext; CREATE EXTENSION bloom SCHEMA ext"),
    Kind("types: enum", """
        CREATE TYPE "mo'od ☂" AS ENUM ('sad', 'happy'); COMMENT ON TYPE "mo'od ☂" IS 'ü';
        ALTER TYPE "mo'od ☂" ADD VALUE 'so "so"' BEFORE 'happy'""",
        f"""SELECT t.typname, e.enumlabel, row_number() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)
        FROM pg_enum e JOIN pg_type t ON t.oid = enumtypid WHERE typnamespace = {HERE} ORDER BY 1, 3"""),
    Kind("types: composite", """
        CREATE TYPE place AS (x numeric(8, 3), gone int, "the y" text COLLATE "C", m "mo'od ☂");
        ALTER TYPE place DROP ATTRIBUTE gone; COMMENT ON COLUMN place."the y" IS 'why'""",
        f"""SELECT a.attname, format_type(atttypid, atttypmod), attcollation::regcollation::text,
        col_description(c.oid, attnum) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE relkind = 'c' AND NOT attisdropped AND relnamespace = {HERE} ORDER BY c.relname, attnum"""),
    Kind("types: domain", """
        CREATE DOMAIN positive AS int DEFAULT 7 NOT NULL CONSTRAINT "is > 0" CHECK (VALUE > 0);
        CREATE DOMAIN small AS positive CHECK (VALUE < 100);
        ALTER DOMAIN small ADD CONSTRAINT late CHECK (VALUE <> 13) NOT VALID;
        CREATE DOMAIN many AS positive[]; COMMENT ON CONSTRAINT late ON DOMAIN small IS 'luck';
        CREATE DOMAIN places AS place CHECK ((VALUE).x > 0)""",
        f"""SELECT t.typname, typdefault, typnotnull, c.conname, convalidated, pg_get_constraintdef(c.oid),
        obj_description(c.oid, 'pg_constraint') FROM pg_type t LEFT JOIN pg_constraint c ON contypid = t.oid
        AND contype = 'c' WHERE typtype = 'd' AND typnamespace = {HERE} ORDER BY 1, 4"""),
    Kind("types: range", """
        CREATE FUNCTION minus(text, text) RETURNS float8 LANGUAGE sql IMMUTABLE
            AS 'SELECT (length($1) - length($2))::float8';
        CREATE TYPE textrange AS RANGE (subtype = text, collation = "C", subtype_diff = minus,
                                        multirange_type_name = "many texts");
        CREATE TYPE moodrange AS RANGE (subtype = "mo'od ☂")""",
        """SELECT r.rngtypid::regtype::text, rngsubtype::regtype::text, rngmultitypid::regtype::text,
        rngcollation::regcollation::text, rngsubdiff::regproc::text FROM pg_range r
        WHERE rngtypid >= 16384 ORDER BY 1"""),
    Kind("collations", f"""
        CREATE COLLATION blind {BLIND};
        CREATE COLLATION "c ""2"" c" FROM "C"; COMMENT ON COLLATION blind IS 'case'""",
        f"""SELECT collname, collprovider, collisdeterministic, collcollate,
        obj_description(oid, 'pg_collation') FROM pg_collation WHERE collnamespace = {HERE} ORDER BY 1"""),
    Kind("conversions", """
        CREATE CONVERSION own FOR 'LATIN1' TO 'UTF8' FROM pg_catalog.iso8859_1_to_utf8;
        COMMENT ON CONVERSION own IS 'own'""",
        f"""SELECT conname, conproc::regproc::text, condefault, obj_description(oid, 'pg_conversion')
        FROM pg_conversion WHERE connamespace = {HERE}"""),
    Kind("functions and procedures", f"""
        CREATE FUNCTION "fun'c ö"(a int, VARIADIC b text[] DEFAULT '{{}}') RETURNS TABLE (x int, "y z" text)
            LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE COST 7 ROWS 3 SET search_path = pg_catalog
            AS $$BEGIN RETURN QUERY SELECT a, unnest(b); END$$;
        CREATE FUNCTION modern(n int DEFAULT 3) RETURNS int LANGUAGE sql IMMUTABLE STRICT
            BEGIN ATOMIC SELECT n * 2; END;
        CREATE FUNCTION gives(OUT a int, INOUT b text) RETURNS record LANGUAGE sql AS 'SELECT 1, $1';
        CREATE FUNCTION takes(place) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT ($1).x';
        CREATE PROCEDURE does(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := a + 1; END';
        REVOKE ALL ON FUNCTION modern FROM PUBLIC; GRANT EXECUTE ON FUNCTION modern TO "{GRANTEE}";
        COMMENT ON FUNCTION gives IS 'two'; COMMENT ON PROCEDURE does IS 'one'""",
        f"""SELECT proname, pg_get_functiondef(oid), prokind, proacl::text, obj_description(oid, 'pg_proc')
        FROM pg_proc WHERE pronamespace = {HERE} AND prokind IN ('f', 'p') ORDER BY 1, 2"""),
    Kind("aggregates", """
        CREATE AGGREGATE "su m"(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', MSFUNC = int4pl,
            MINVFUNC = int4mi, MSTYPE = int, MINITCOND = '0', PARALLEL = SAFE);
        CREATE FUNCTION keep(text, text) RETURNS text LANGUAGE sql AS 'SELECT coalesce($1, $2)';
        CREATE AGGREGATE ordered(text ORDER BY text) (SFUNC = keep, STYPE = text);
        COMMENT ON AGGREGATE "su m"(int) IS 'sum'""",
        f"""SELECT p.proname, a.aggkind, aggtransfn::text, aggmtransfn::text, agginitval, proparallel,
        obj_description(p.oid, 'pg_proc') FROM pg_aggregate a JOIN pg_proc p ON p.oid = aggfnoid
        WHERE pronamespace = {HERE} ORDER BY 1"""),
    Kind("operators", """
        CREATE FUNCTION near(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 2';
        CREATE FUNCTION far(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) >= 2';
        CREATE OPERATOR =~~= (FUNCTION = near, LEFTARG = int, RIGHTARG = int, COMMUTATOR = =~~=,
            NEGATOR = <~~>, RESTRICT = eqsel, JOIN = eqjoinsel);
        CREATE OPERATOR <~~> (FUNCTION = far, LEFTARG = int, RIGHTARG = int, NEGATOR = =~~=);
        CREATE OPERATOR !!~ (FUNCTION = pg_catalog.int4um, RIGHTARG = int);
        COMMENT ON OPERATOR =~~= (int, int) IS 'near'""",
        f"""SELECT oprname, oprcode::text, oprcom::regoperator::text, oprnegate::regoperator::text,
        oprrest::text, obj_description(oid, 'pg_operator') FROM pg_operator
        WHERE oprnamespace = {HERE} ORDER BY 1"""),
    Kind("casts", """
        CREATE FUNCTION to_place(int) RETURNS place LANGUAGE sql AS 'SELECT ROW($1, NULL, NULL)::place';
        CREATE CAST (int AS place) WITH FUNCTION to_place(int) AS ASSIGNMENT;
        CREATE CAST ("mo'od ☂" AS varchar) WITH INOUT AS IMPLICIT;
        COMMENT ON CAST (int AS place) IS 'cast'""",
        """SELECT castsource::regtype::text, casttarget::regtype::text, castfunc::regprocedure::text,
        castcontext, castmethod, obj_description(oid, 'pg_cast') FROM pg_cast WHERE oid >= 16384
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_cast.oid AND deptype = 'e') ORDER BY 1, 2"""),
    Kind("text search objects", """
        CREATE TEXT SEARCH DICTIONARY "di'ct" (TEMPLATE = pg_catalog.simple, stopwords = 'english',
                                               accept = false);
        CREATE TEXT SEARCH CONFIGURATION conf (COPY = pg_catalog.english);
        ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR word WITH "di'ct", english_stem;
        ALTER TEXT SEARCH CONFIGURATION conf DROP MAPPING FOR url;
        COMMENT ON TEXT SEARCH CONFIGURATION conf IS 'conf'""",
        f"""SELECT cfgname, maptokentype, mapseqno, mapdict::regdictionary::text, dictinitoption,
        obj_description(c.oid, 'pg_ts_config') FROM pg_ts_config c JOIN pg_ts_config_map ON mapcfg = c.oid
        JOIN pg_ts_dict d ON d.oid = mapdict WHERE cfgnamespace = {HERE} ORDER BY 1, 2, 3"""),
    Kind("sequences: standalone, descending, cached", """
        CREATE SEQUENCE "down q" INCREMENT -3 MINVALUE -1000 MAXVALUE 50 START 20 CACHE 20 CYCLE;
        SELECT nextval('"down q"'), nextval('"down q"');
        CREATE SEQUENCE tiny AS smallint START 5; CREATE SEQUENCE fresh START 9;
        CREATE SEQUENCE spent MAXVALUE 3 CACHE 5; SELECT nextval('spent'), nextval('spent');
        SELECT setval('tiny', 77, false); COMMENT ON SEQUENCE tiny IS 'tiny'""",
        f"""SELECT sequencename, data_type::text, start_value, min_value, max_value, increment_by, cycle,
        cache_size, last_value FROM pg_sequences WHERE schemaname = (SELECT nspname FROM pg_namespace
        WHERE oid = {HERE}) ORDER BY 1"""),
    Kind("sequences: owned", """
        CREATE TABLE "owns" (a serial, "b b" bigint GENERATED ALWAYS AS IDENTITY (START 50 INCREMENT 5),
            c smallint GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME "odd seq" CACHE 4), d int,
            PRIMARY KEY (a));
        CREATE SEQUENCE given; ALTER SEQUENCE given OWNED BY "owns".d;
        ALTER TABLE "owns" ALTER d SET DEFAULT nextval('given') * 10;
        INSERT INTO "owns" (d) SELECT g FROM generate_series(1, 9) g; INSERT INTO "owns" DEFAULT VALUES""",
        f"""SELECT c.relname, s.relname, refobjsubid, d.deptype, attidentity FROM pg_depend d
        JOIN pg_class s ON s.oid = objid AND s.relkind = 'S' JOIN pg_class c ON c.oid = refobjid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = refobjsubid
        WHERE refclassid = 1259 AND s.relnamespace = {HERE} AND d.deptype IN ('a', 'i') ORDER BY 1, 2"""),
    Kind("tables", """
        CREATE TABLE "ta'ble ""x"" ü" (id int PRIMARY KEY, "col; umn" text DEFAULT E'it''s \\\\ "q"\\n',
            e "mo'od ☂" DEFAULT 'happy', p place, s small DEFAULT 9, r textrange, l many,
            t text COLLATE blind, g int GENERATED ALWAYS AS (id * 2) STORED, gone int, w timestamptz DEFAULT now());
        ALTER TABLE "ta'ble ""x"" ü" DROP gone, ADD late int DEFAULT 5, ADD "Ünï" text;
        INSERT INTO "ta'ble ""x"" ü" (id, p, r, l, t) SELECT n, ROW(n, 'y', 'sad')::place,
            textrange('a', 'b' || n), ARRAY[n, n + 1]::many, 'T' || n FROM generate_series(1, 50) n;
        COMMENT ON TABLE "ta'ble ""x"" ü" IS E'multi\\nline ''q'''; COMMENT ON COLUMN "ta'ble ""x"" ü"."Ünï" IS '☂'""",
        f"""SELECT c.relname, a.attname, format_type(atttypid, atttypmod), attnotnull, attgenerated,
        pg_get_expr(adbin, adrelid), attcollation::regcollation::text, col_description(c.oid, attnum)
        FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid LEFT JOIN pg_attrdef d
        ON adrelid = c.oid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped AND relkind = 'r'
        AND relnatts < 1000 AND relnamespace = {HERE} ORDER BY c.relname, row_number() OVER
        (PARTITION BY c.oid ORDER BY attnum)"""),
    Kind("tables: unlogged, typed, without columns", """
        CREATE UNLOGGED TABLE quick (id int PRIMARY KEY, v text); INSERT INTO quick VALUES (1, 'q');
        CREATE TABLE typed OF place (x WITH OPTIONS PRIMARY KEY, "the y" DEFAULT 'typed');
        INSERT INTO typed (x) VALUES (1), (2);
        CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
        CREATE TABLE lost_columns (a int); INSERT INTO lost_columns VALUES (1), (2), (3);
        ALTER TABLE lost_columns DROP a""",
        relation("c.relpersistence, c.reloftype::regtype::text, pg_get_userbyid(c.relowner), c.relrowsecurity",
                 "c.relkind = 'r'")),
    Kind("constraints: NOT VALID, deferrable, exclusion", """
        CREATE TABLE parent (id int PRIMARY KEY, a int, b int, UNIQUE (a, b), CONSTRAINT "uniq ü" UNIQUE (b, a) DEFERRABLE);
        CREATE TABLE child (id int PRIMARY KEY, p int, a int, b int, during tsrange,
            CONSTRAINT "f;k" FOREIGN KEY (p) REFERENCES parent ON DELETE CASCADE ON UPDATE SET NULL
                DEFERRABLE INITIALLY DEFERRED,
            CONSTRAINT "excl" EXCLUDE USING gist (p WITH =, during WITH &&) WHERE (p IS NOT NULL),
            CONSTRAINT both_or_none FOREIGN KEY (a, b) REFERENCES parent (a, b) MATCH FULL,
            CONSTRAINT alone CHECK (id > 0) NO INHERIT);
        INSERT INTO parent SELECT g, g, g FROM generate_series(1, 20) g;
        INSERT INTO child SELECT g, g, g, g, tsrange('2020-01-01', '2020-01-02') FROM generate_series(1, 20) g;
        INSERT INTO child VALUES (-0 + 99, NULL, NULL, NULL, NULL);
        SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE child ADD CONSTRAINT old_rows CHECK (id < 50) NOT VALID;
        CREATE TABLE self (id int PRIMARY KEY, up int REFERENCES self);
        INSERT INTO self VALUES (1, 2), (2, 1), (3, 3);
        CREATE TABLE orphan (p int); INSERT INTO orphan VALUES (12345);
        ALTER TABLE orphan ADD CONSTRAINT "not yet" FOREIGN KEY (p) REFERENCES parent NOT VALID;
        COMMENT ON CONSTRAINT "f;k" ON child IS 'fk'""",
        f"""SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, condeferrable,
        condeferred, contype = 'c' AND connoinherit, obj_description(oid, 'pg_constraint') FROM pg_constraint
        WHERE connamespace = {HERE} AND contype <> 'n' AND conrelid <> 0 AND conparentid = 0 ORDER BY 1, 2"""),
    Kind("constraints: NULLS NOT DISTINCT, SET NULL (column)", """
        CREATE TABLE nulls (a int, b int, UNIQUE NULLS NOT DISTINCT (a)); INSERT INTO nulls VALUES (NULL, 1);
        CREATE TABLE setter (id int PRIMARY KEY, a int, b int,
            FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE SET NULL (b))""",
        """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid IN (SELECT oid FROM pg_class WHERE relname IN ('nulls', 'setter')) AND contype <> 'n' ORDER BY 1""",
        since=15),
    Kind("constraints: NOT ENFORCED, WITHOUT OVERLAPS; virtual columns", """
        CREATE TABLE newest (id int, during daterange, v int, twice int GENERATED ALWAYS AS (v * 2) VIRTUAL,
            CONSTRAINT unsure CHECK (v > 0) NOT ENFORCED, PRIMARY KEY (id, during WITHOUT OVERLAPS));
        CREATE TABLE newer (id int, during daterange, v int,
            FOREIGN KEY (id, PERIOD during) REFERENCES newest (id, PERIOD during));
        INSERT INTO newest VALUES (1, '[2020-01-01,2021-01-01)', -5), (1, '[2021-01-01,2022-01-01)', 5);
        INSERT INTO newer VALUES (1, '[2020-03-01,2021-03-01)', NULL);
        ALTER TABLE newer ADD CONSTRAINT there NOT NULL v NOT VALID""",
        """SELECT conname, pg_get_constraintdef(oid), convalidated, conenforced FROM pg_constraint
        WHERE conrelid IN (SELECT oid FROM pg_class WHERE relname IN ('newest', 'newer')) ORDER BY 1""",
        since=18),
    Kind("indexes: partial, expression, INCLUDE, every access method", """
        CREATE TABLE ind (id int PRIMARY KEY, t text, b box, p point, i int, j jsonb, a int[], n int);
        INSERT INTO ind SELECT g, 't' || g, box(point(g, g), point(0, 0)), point(g, -g), g,
            jsonb_build_object('k', g), ARRAY[g, g + 1], g FROM generate_series(1, 200) g;
        CREATE INDEX "part; ial" ON ind (t text_pattern_ops DESC NULLS LAST) WHERE i > 10 AND t <> 'x''x';
        CREATE INDEX expr ON ind (lower(t), (i + n), modern(i)) WITH (fillfactor = 70);
        CREATE UNIQUE INDEX incl ON ind (n) INCLUDE (t, i);
        CREATE INDEX by_hash ON ind USING hash (t); CREATE INDEX by_gin ON ind USING gin (j jsonb_path_ops, a);
        CREATE INDEX by_gist ON ind USING gist (b, t ext.gist_text_ops);
        CREATE INDEX by_spgist ON ind USING spgist (p quad_point_ops);
        CREATE INDEX by_brin ON ind USING brin (i int4_minmax_multi_ops, n) WITH (pages_per_range = 4);
        CREATE INDEX by_bloom ON ind USING bloom (i, n) WITH (length = 64);
        CREATE INDEX coll ON ind (t COLLATE blind, t COLLATE "c ""2"" c");
        ALTER INDEX expr ALTER COLUMN 2 SET STATISTICS 321; COMMENT ON INDEX expr IS 'expr'""",
        f"""SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid, indisunique,
        indnkeyatts, obj_description(indexrelid, 'pg_class'), (SELECT string_agg(attstattarget::text, ','
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = indexrelid AND attstattarget > 0) FROM pg_index
        WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relnamespace = {HERE}) ORDER BY 1"""),
    Kind("statistics objects", """
        CREATE STATISTICS "sta ts" (ndistinct, mcv) ON i, n FROM ind;
        CREATE STATISTICS by_expression ON (i % 7), lower(t) FROM ind;
        ALTER STATISTICS "sta ts" SET STATISTICS 55; COMMENT ON STATISTICS "sta ts" IS 'stats'""",
        f"""SELECT stxname, pg_get_statisticsobjdef(oid), nullif(stxstattarget, -1), obj_description(oid, 'pg_statistic_ext')
        FROM pg_statistic_ext WHERE stxnamespace = {HERE} ORDER BY 1"""),
    Kind("partitions", """
        CREATE TABLE deep (id int NOT NULL, k int NOT NULL, d date NOT NULL, v text DEFAULT 'root', PRIMARY KEY (id, k, d))
            PARTITION BY LIST (k);
        CREATE TABLE "deep 1" PARTITION OF deep FOR VALUES IN (1, 2) PARTITION BY RANGE (d);
        CREATE TABLE deep_1a (x int, d date NOT NULL, v text DEFAULT 'leaf', k int NOT NULL, y int, id int NOT NULL);
        ALTER TABLE deep_1a DROP x, DROP y;
        ALTER TABLE "deep 1" ATTACH PARTITION deep_1a FOR VALUES FROM ('2000-01-01') TO ('2010-01-01');
        CREATE TABLE deep_1b PARTITION OF "deep 1" FOR VALUES FROM ('2010-01-01') TO (MAXVALUE)
            PARTITION BY HASH (id);
        CREATE TABLE deep_1b0 PARTITION OF deep_1b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE "deep_1b'1" PARTITION OF deep_1b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE deep_rest PARTITION OF deep DEFAULT; CREATE TABLE deep_none PARTITION OF deep FOR VALUES IN (9);
        CREATE INDEX deep_v ON deep (v); CREATE INDEX only_here ON deep_1a (v, id);
        CREATE TABLE refers (id int PRIMARY KEY, a int, b int, c date, FOREIGN KEY (a, b, c) REFERENCES deep);
        INSERT INTO deep SELECT g, g % 4, date '2005-01-01' + g * 100, 'v' || g FROM generate_series(1, 200) g;
        INSERT INTO refers SELECT id, id, k, d FROM deep WHERE id < 20;
        CREATE TABLE by_expr (a text) PARTITION BY RANGE (lower(a) COLLATE "C");
        CREATE TABLE by_expr_1 PARTITION OF by_expr FOR VALUES FROM (MINVALUE) TO ('m');
        CREATE TABLE no_leaves (a int) PARTITION BY RANGE (a)""",
        f"""SELECT c.relname, p.relname, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid)
        FROM pg_class c LEFT JOIN pg_inherits ON inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = inhparent
        WHERE c.relnamespace = {HERE} AND (c.relispartition OR c.relkind = 'p') ORDER BY 1"""),
    Kind("inherited tables", """
        CREATE TABLE animal (id int PRIMARY KEY, name text DEFAULT 'a', CHECK (id > 0));
        CREATE TABLE machine (id int, serial text NOT NULL);
        CREATE TABLE robodog (own int, id int, name text DEFAULT 'robo', PRIMARY KEY (id)) INHERITS (animal, machine);
        CREATE TABLE puppy (PRIMARY KEY (id), CHECK (own > 0)) INHERITS (robodog);
        INSERT INTO animal VALUES (1, 'cat'); INSERT INTO machine VALUES (1, 'mill');
        INSERT INTO robodog VALUES (2, 'rex', 's', 1); INSERT INTO puppy VALUES (3, 'x', 't', 5);
        CREATE TABLE was_child (id int NOT NULL, name text, extra int, CONSTRAINT animal_id_check CHECK (id > 0)); ALTER TABLE was_child INHERIT animal""",
        f"""SELECT c.relname, p.relname, inhseqno, a.attname, attislocal, attinhcount FROM pg_inherits
        JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent JOIN pg_attribute a
        ON attrelid = c.oid AND attnum > 0 WHERE c.relkind = 'r' AND NOT c.relispartition
        AND c.relnamespace = {HERE} ORDER BY 1, 3, 4"""),
    Kind("rules", """
        CREATE TABLE ruled (id int PRIMARY KEY, v text); CREATE TABLE logged (id int, v text);
        CREATE RULE "al; so" AS ON INSERT TO ruled DO ALSO INSERT INTO logged VALUES (NEW.id, NEW.v);
        CREATE RULE never AS ON DELETE TO ruled WHERE OLD.id < 0 DO INSTEAD NOTHING;
        ALTER TABLE ruled DISABLE RULE never; INSERT INTO ruled VALUES (1, 'a'), (2, 'b');
        COMMENT ON RULE never ON ruled IS 'rule'""",
        f"""SELECT c.relname, rulename, ev_enabled, pg_get_ruledef(r.oid), obj_description(r.oid, 'pg_rewrite')
        FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE rulename <> '_RETURN'
        AND c.relnamespace = {HERE} ORDER BY 1, 2"""),
    Kind("triggers, with their enabled state", """
        CREATE TABLE trig (id int PRIMARY KEY, v text, n int);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := 42; RETURN NEW; END';
        CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER "t 1" BEFORE INSERT OR UPDATE OF v ON trig FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION touch();
        CREATE TRIGGER t_off AFTER DELETE ON trig FOR EACH STATEMENT EXECUTE FUNCTION quiet('a''rg', '2');
        CREATE TRIGGER t_always AFTER TRUNCATE ON trig EXECUTE FUNCTION quiet();
        CREATE TRIGGER t_replica AFTER UPDATE ON trig REFERENCING OLD TABLE AS o NEW TABLE AS n EXECUTE FUNCTION quiet();
        CREATE CONSTRAINT TRIGGER t_late AFTER INSERT ON trig DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION quiet();
        ALTER TABLE trig DISABLE TRIGGER t_off, ENABLE ALWAYS TRIGGER t_always, ENABLE REPLICA TRIGGER t_replica;
        CREATE TRIGGER on_leaves AFTER INSERT ON deep FOR EACH ROW EXECUTE FUNCTION quiet();
        ALTER TABLE deep_1a DISABLE TRIGGER on_leaves; ALTER TABLE deep_rest ENABLE ALWAYS TRIGGER on_leaves;
        INSERT INTO trig SELECT g, 'v', 1 FROM generate_series(1, 5) g; COMMENT ON TRIGGER t_off ON trig IS 'off'""",
        f"""SELECT c.relname, tgname, tgenabled, pg_get_triggerdef(t.oid), tgparentid <> 0,
        obj_description(t.oid, 'pg_trigger') FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE (NOT tgisinternal OR tgparentid <> 0 AND tgname !~ 'ConstraintTrigger')
        AND c.relnamespace = {HERE} ORDER BY 1, 2"""),  # 14 calls those of partitions internal
    Kind("policies and row security", f"""
        CREATE TABLE secret (id int PRIMARY KEY, who text); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
        CREATE POLICY "mi;ne" ON secret AS RESTRICTIVE FOR UPDATE TO "{GRANTEE}", app USING (who = current_user)
            WITH CHECK (id > 0);
        CREATE POLICY nobody ON secret USING (false); COMMENT ON POLICY nobody ON secret IS 'no';
        CREATE TABLE unforced (id int PRIMARY KEY); ALTER TABLE unforced ENABLE ROW LEVEL SECURITY;
        INSERT INTO secret SELECT g, 'w' FROM generate_series(1, 30) g""",
        f"""SELECT c.relname, relrowsecurity, relforcerowsecurity, polname, polcmd, polpermissive,
        ARRAY(SELECT pg_get_userbyid(u) FROM unnest(polroles) u ORDER BY 1), pg_get_expr(polqual, c.oid),
        pg_get_expr(polwithcheck, c.oid), obj_description(p.oid, 'pg_policy') FROM pg_class c
        LEFT JOIN pg_policy p ON polrelid = c.oid WHERE relrowsecurity AND c.relnamespace = {HERE} ORDER BY 1, 4"""),
    Kind("views", """
        CREATE VIEW "vi'ew" WITH (security_barrier) AS SELECT id, v FROM ruled WHERE id > 0 WITH CASCADED CHECK OPTION;
        ALTER VIEW "vi'ew" ALTER v SET DEFAULT 'by view';
        CREATE VIEW over AS SELECT * FROM "vi'ew" UNION ALL SELECT id, who FROM secret;
        CREATE RECURSIVE VIEW counts (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counts WHERE n < 5;
        CREATE VIEW by_key AS SELECT p.id, p.a, count(*) FROM parent p JOIN child c ON c.p = p.id GROUP BY p.id;
        CREATE TRIGGER instead INSTEAD OF INSERT ON over FOR EACH ROW EXECUTE FUNCTION quiet();
        CREATE VIEW circle AS SELECT 1 AS a; CREATE VIEW round AS SELECT a FROM circle;
        CREATE FUNCTION of_view(by_key) RETURNS int LANGUAGE sql AS 'SELECT $1.id';
        CREATE VIEW uses_it AS SELECT of_view(k) FROM by_key k;
        COMMENT ON VIEW over IS 'view'; COMMENT ON COLUMN over.id IS 'i'""",
        f"""SELECT c.relname, {VIEWDEF}, c.reloptions::text, obj_description(c.oid, 'pg_class'),
        (SELECT string_agg(pg_get_expr(adbin, adrelid), ',') FROM pg_attrdef WHERE adrelid = c.oid)
        FROM pg_class c WHERE relkind = 'v' AND c.relnamespace = {HERE} ORDER BY 1"""),
    Kind("materialised views", """
        CREATE MATERIALIZED VIEW "ma't" AS SELECT id % 3 AS k, count(*) AS n FROM ind GROUP BY 1;
        CREATE MATERIALIZED VIEW a_mat_on_mat WITH (fillfactor = 50) AS SELECT sum(n) FROM "ma't";
        CREATE UNIQUE INDEX "mat key" ON "ma't" (k); ALTER MATERIALIZED VIEW "ma't" CLUSTER ON "mat key";
        CREATE MATERIALIZED VIEW not_filled AS SELECT * FROM ind WITH NO DATA;
        CREATE VIEW on_mat AS SELECT * FROM "ma't"; COMMENT ON MATERIALIZED VIEW "ma't" IS 'mat'""",
        f"""SELECT c.relname, relispopulated, {VIEWDEF}, c.reloptions::text,
        obj_description(c.oid, 'pg_class'), (SELECT string_agg(indexrelid::regclass::text || indisclustered, ',')
        FROM pg_index WHERE indrelid = c.oid) FROM pg_class c WHERE relkind = 'm'
        AND c.relnamespace = {HERE} ORDER BY 1"""),
    Kind("comments", """
        CREATE TABLE commented (a int, "b""c" int); COMMENT ON TABLE commented IS E'\\\\ ''$$'' \\t -- /* ☂';
        COMMENT ON COLUMN commented."b""c" IS ';' """,
        """SELECT i.type, i.identity, d.description FROM pg_description d CROSS JOIN LATERAL
        pg_identify_object(classoid, objoid, objsubid) i WHERE objoid >= 16384 AND i.identity !~ '^trunkline'
        AND i.type NOT IN ('publication', 'publication relation') AND i.identity <> 'public' ORDER BY 1, 2, 3"""),
    Kind("owners", f"""
        CREATE TABLE of_other (id int PRIMARY KEY); ALTER TABLE of_other OWNER TO "{OTHER}";
        CREATE FUNCTION fn_of_other() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION fn_of_other OWNER TO "{OTHER}";
        CREATE TYPE en_of_other AS ENUM ('a'); ALTER TYPE en_of_other OWNER TO "{OTHER}";
        CREATE SEQUENCE sq_of_other; ALTER SEQUENCE sq_of_other OWNER TO "{OTHER}";
        CREATE VIEW vw_of_other AS SELECT 1 AS a; ALTER VIEW vw_of_other OWNER TO "{OTHER}";
        CREATE SCHEMA sc_of_other; ALTER SCHEMA sc_of_other OWNER TO "{OTHER}" """,
        f"""SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = {HERE}
        UNION ALL SELECT proname, pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = {HERE}
        UNION ALL SELECT typname, pg_get_userbyid(typowner) FROM pg_type WHERE typnamespace = {HERE}
        UNION ALL SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'sc_of_other'
        ORDER BY 1, 2"""),
    Kind("grants, of columns too", f"""
        CREATE TABLE granted (a int, b int, c int); GRANT SELECT, INSERT ON granted TO "{GRANTEE}" WITH GRANT OPTION;
        GRANT UPDATE (a, b), REFERENCES (c) ON granted TO "{GRANTEE}"; GRANT SELECT (a) ON granted TO PUBLIC;
        REVOKE TRUNCATE, DELETE ON granted FROM app;
        GRANT USAGE ON SEQUENCE tiny TO "{GRANTEE}"; REVOKE USAGE ON TYPE place FROM PUBLIC;
        GRANT USAGE ON TYPE place TO "{GRANTEE}"; GRANT EXECUTE ON PROCEDURE does TO "{GRANTEE}";
        REVOKE USAGE ON DOMAIN small FROM PUBLIC; GRANT SELECT ON over TO "{GRANTEE}" """,
        f"""SELECT 'r', c.relname, NULL, array_agg({GRANT} ORDER BY {GRANT}) FROM pg_class c, unnest(relacl) x
        WHERE relnamespace = {HERE} GROUP BY 2
        UNION ALL SELECT 'c', c.relname, attname, array_agg(x::text ORDER BY x::text) FROM pg_attribute
        JOIN pg_class c ON c.oid = attrelid, unnest(attacl) x WHERE relnamespace = {HERE} GROUP BY 2, 3
        UNION ALL SELECT 't', typname, NULL, array_agg(x::text ORDER BY x::text) FROM pg_type, unnest(typacl) x
        WHERE typnamespace = {HERE} GROUP BY 2
        UNION ALL SELECT 'f', proname, NULL, array_agg(x::text ORDER BY x::text) FROM pg_proc, unnest(proacl) x
        WHERE pronamespace = {HERE} GROUP BY 2 ORDER BY 1, 2, 3"""),
    Kind("default privileges", f"""
        ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA "second schema" GRANT SELECT ON TABLES TO "{GRANTEE}";
        ALTER DEFAULT PRIVILEGES FOR ROLE app REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        CREATE TABLE "second schema".made_since (id int)""",
        """SELECT pg_get_userbyid(defaclrole), defaclnamespace::regnamespace::text, defaclobjtype,
        defaclacl::text FROM pg_default_acl ORDER BY 1, 2, 3"""),
    Kind("CLUSTER marks", """
        CREATE TABLE clustered (id int PRIMARY KEY, v int); CREATE INDEX "clu; st" ON clustered (v);
        INSERT INTO clustered SELECT g, -g FROM generate_series(1, 100) g; CLUSTER clustered USING "clu; st" """,
        f"""SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered AND indrelid IN
        (SELECT oid FROM pg_class WHERE relnamespace = {HERE}) ORDER BY 1"""),
    Kind("replica identity", """
        CREATE TABLE by_index (a int NOT NULL, b text NOT NULL); CREATE UNIQUE INDEX "id; x" ON by_index (a) INCLUDE (b);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX "id; x"; INSERT INTO by_index VALUES (1, 'a'), (2, 'b');
        CREATE TABLE by_all (a int, b text); ALTER TABLE by_all REPLICA IDENTITY FULL;
        INSERT INTO by_all VALUES (1, 'a'), (1, 'a'), (NULL, NULL);
        CREATE TABLE by_nothing (a int PRIMARY KEY); ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
        INSERT INTO by_nothing VALUES (1)""",
        f"""SELECT relname, relreplident, (SELECT indexrelid::regclass::text FROM pg_index
        WHERE indrelid = c.oid AND indisreplident) FROM pg_class c WHERE relkind IN ('r', 'p')
        AND relnamespace = {HERE} ORDER BY 1"""),
    Kind("storage, compression, statistics targets", """
        CREATE TABLE stored (id int PRIMARY KEY, e text, m text, x text, pl text COMPRESSION pglz);
        ALTER TABLE stored ALTER e SET STORAGE EXTERNAL, ALTER m SET STORAGE MAIN, ALTER x SET STATISTICS 77,
            ALTER x SET (n_distinct = -0.5, n_distinct_inherited = 12), ALTER id SET STATISTICS 0;
        INSERT INTO stored SELECT g, repeat('e', 5000), repeat('m', 5000), repeat('x', 5000), repeat('p', 5000)
            FROM generate_series(1, 3) g""",
        f"""SELECT c.relname, attname, attstorage, attcompression, nullif(attstattarget, -1),
        ARRAY(SELECT o FROM unnest(attoptions) o WHERE o !~ '^pg_')
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 AND NOT attisdropped
        AND relkind = 'r' AND relnatts < 1000 AND relnamespace = {HERE} ORDER BY 1, 2"""),
    Kind("storage parameters", """
        CREATE TABLE tuned (id int PRIMARY KEY WITH (fillfactor = 60), v text) WITH (fillfactor = 45,
            autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 99, parallel_workers = 3,
            toast_tuple_target = 500)""",
        f"""SELECT c.relname, c.reloptions::text, t.reloptions::text FROM pg_class c LEFT JOIN pg_class t
        ON t.oid = c.reltoastrelid WHERE (c.reloptions IS NOT NULL OR t.reloptions IS NOT NULL)
        AND c.relnamespace = {HERE} ORDER BY 1"""),
]
KINDS = [kind for kind in KINDS if kind.since <= MAJOR]

# Rows that change in every kind of table, and what must not act a second time on the target.
CHANGES = """
INSERT INTO "ta'ble ""x"" ü" (id, p, r, l, t, "Ünï") SELECT n, ROW(n, 'z', 'happy')::place,
    textrange('a', NULL), ARRAY[n]::many, 'new', 'ü' FROM generate_series(51, 60) n;
UPDATE "ta'ble ""x"" ü" SET e = 'so "so"', s = 12 WHERE id < 20; DELETE FROM "ta'ble ""x"" ü" WHERE id = 33;
INSERT INTO typed (x) VALUES (3); UPDATE typed SET "the y" = 'changed' WHERE x = 1; DELETE FROM typed WHERE x = 2;
INSERT INTO no_columns DEFAULT VALUES; INSERT INTO lost_columns DEFAULT VALUES;
DELETE FROM parent WHERE id = 5; UPDATE parent SET id = 1000 WHERE id = 6; INSERT INTO child (id, p) VALUES (500 - 460, 7);
INSERT INTO ind (id, t, i, n, j) VALUES (1000, 'new', 1, 1000, '{}'); UPDATE ind SET n = -n WHERE id < 10;
INSERT INTO deep SELECT g, g % 10, date '2001-01-01' + g * 50, 'new' FROM generate_series(300, 400) g;
UPDATE deep SET k = 9, v = 'moved' WHERE id % 5 = 0 AND id > 100; UPDATE deep SET d = '2030-01-01' WHERE id = 101;
DELETE FROM deep WHERE id % 7 = 0 AND id > 100; INSERT INTO by_expr VALUES ('Abc'), ('b');
INSERT INTO animal VALUES (10, 'new'); INSERT INTO puppy VALUES (11, 'p', 's', 2); UPDATE animal SET name = name || '!';
INSERT INTO was_child VALUES (12, 'w', 1); DELETE FROM animal WHERE id = 2;
INSERT INTO ruled VALUES (3, 'c'); INSERT INTO "vi'ew" (id) VALUES (4); DELETE FROM ruled WHERE id = 1;
INSERT INTO trig VALUES (50, 'v', 1); UPDATE trig SET v = 'w' WHERE id = 2; DELETE FROM trig WHERE id = 3;
INSERT INTO secret VALUES (100, 'x'); UPDATE secret SET who = 'y' WHERE id = 1; DELETE FROM secret WHERE id = 2;
INSERT INTO by_index VALUES (3, 'c'); UPDATE by_index SET a = 4, b = 'z' WHERE a = 1; DELETE FROM by_index WHERE a = 2;
INSERT INTO by_all VALUES (2, NULL); UPDATE by_all SET b = 'u' WHERE a IS NULL; DELETE FROM by_all WHERE ctid =
    (SELECT min(ctid) FROM by_all WHERE a = 1); INSERT INTO by_nothing VALUES (2);
UPDATE stored SET m = 'short' WHERE id = 1; UPDATE stored SET id = 20 WHERE id = 2;
INSERT INTO "owns" (d) VALUES (77); INSERT INTO clustered VALUES (500, 1); TRUNCATE tuned, commented;
SELECT nextval('"down q"'), nextval('tiny'), nextval('fresh')
"""

# What only a superuser makes, on either side.
SUPER = [
    Kind("types: shell", "CREATE TYPE \"she'll\"",
         "SELECT typname, pg_get_userbyid(typowner) FROM pg_type WHERE NOT typisdefined"),
    Kind("types: base", """
        CREATE TYPE "ba se"; CREATE FUNCTION base_in(cstring) RETURNS "ba se" LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
        CREATE FUNCTION base_out("ba se") RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
        CREATE FUNCTION base_recv(internal) RETURNS "ba se" LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
        CREATE FUNCTION base_send("ba se") RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
        CREATE TYPE "ba se" (INPUT = base_in, OUTPUT = base_out, RECEIVE = base_recv, SEND = base_send, LIKE = int4,
            CATEGORY = 'N', DEFAULT = '7');
        CREATE TABLE based (id int PRIMARY KEY, b "ba se", l "ba se"[]);
        INSERT INTO based VALUES (1, '5', '{5,6}'), (2, DEFAULT, NULL)""",
         """SELECT typname, typinput::text, typsend::text, typdefault, typcategory, typbyval FROM pg_type
        WHERE typtype = 'b' AND typname ~ 'ba se' ORDER BY 1"""),
    Kind("operator classes and families", """
        CREATE FUNCTION base_cmp("ba se", "ba se") RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
        CREATE FUNCTION base_lt("ba se", "ba se") RETURNS bool LANGUAGE internal IMMUTABLE STRICT LEAKPROOF AS 'int4lt';
        CREATE FUNCTION base_eq("ba se", "ba se") RETURNS bool LANGUAGE internal IMMUTABLE STRICT LEAKPROOF AS 'int4eq';
        CREATE OPERATOR < (FUNCTION = base_lt, LEFTARG = "ba se", RIGHTARG = "ba se");
        CREATE OPERATOR = (FUNCTION = base_eq, LEFTARG = "ba se", RIGHTARG = "ba se", COMMUTATOR = =, MERGES);
        CREATE OPERATOR FAMILY "fami;ly" USING btree;
        CREATE OPERATOR CLASS "cl'ass" DEFAULT FOR TYPE "ba se" USING btree FAMILY "fami;ly" AS
            OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 base_cmp("ba se", "ba se");
        CREATE INDEX on_base ON based (b "cl'ass"); COMMENT ON OPERATOR CLASS "cl'ass" USING btree IS 'oc'""",
         f"""SELECT opfname, opcname, opcdefault, amopstrategy, amopopr::regoperator::text,
        obj_description(c.oid, 'pg_opclass') FROM pg_opfamily f LEFT JOIN pg_opclass c ON opcfamily = f.oid
        LEFT JOIN pg_amop ON amopfamily = f.oid WHERE opfnamespace = {HERE} ORDER BY 1, 2, 4"""),
    Kind("casts without a function", "CREATE CAST (\"ba se\" AS int) WITHOUT FUNCTION AS IMPLICIT",
         "SELECT castsource::regtype::text, casttarget::regtype::text, castmethod FROM pg_cast WHERE oid >= 16384"),
    Kind("languages", """
        CREATE FUNCTION "hand'ler"() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
        CREATE LANGUAGE "lang'o" HANDLER "hand'ler";
        CREATE FUNCTION in_it() RETURNS int LANGUAGE "lang'o" AS 'BEGIN RETURN 1; END'; COMMENT ON LANGUAGE "lang'o" IS 'l'""",
         "SELECT lanname, lanplcallfoid::regproc::text, obj_description(oid, 'pg_language') FROM pg_language ORDER BY 1"),
    Kind("transforms", """
        CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal),
            TO SQL WITH FUNCTION int4recv(internal))""",
         "SELECT trftype::regtype::text, trffromsql::regproc::text, trftosql::regproc::text FROM pg_transform"),
    Kind("access methods", """
        CREATE ACCESS METHOD "he'ap" TYPE TABLE HANDLER heap_tableam_handler;
        CREATE TABLE by_heap (id int PRIMARY KEY, v text) USING "he'ap";
        INSERT INTO by_heap SELECT g, 'v' FROM generate_series(1, 100) g""",
         """SELECT amname, amhandler::text, relname FROM pg_am JOIN pg_class c ON relam = pg_am.oid
        WHERE pg_am.oid >= 16384 AND relkind = 'r' ORDER BY 1, 3"""),
    Kind("text search parsers and templates", """
        CREATE TEXT SEARCH PARSER "par;ser" (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
            LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
        CREATE TEXT SEARCH TEMPLATE "templ'ate" (INIT = dsimple_init, LEXIZE = dsimple_lexize);
        CREATE TEXT SEARCH DICTIONARY by_template (TEMPLATE = "templ'ate")""",
         f"""SELECT prsname, prsstart::text, tmplname, tmpllexize::text, dictname FROM pg_ts_parser, pg_ts_template t
        JOIN pg_ts_dict ON dicttemplate = t.oid WHERE prsnamespace = {HERE} AND tmplnamespace = {HERE}"""),
    Kind("foreign servers, user mappings, foreign tables", f"""
        CREATE FOREIGN DATA WRAPPER "wrap'per" OPTIONS (debug 'it''s');
        CREATE SERVER "ser;ver" TYPE 't' VERSION '1' FOREIGN DATA WRAPPER "wrap'per" OPTIONS (host 'h', "o'p" 'ü');
        CREATE USER MAPPING FOR "{GRANTEE}" SERVER "ser;ver" OPTIONS (password 'ge''heim');
        CREATE USER MAPPING FOR PUBLIC SERVER "ser;ver";
        CREATE FOREIGN TABLE far_away (a int OPTIONS (c 'x'), b text NOT NULL DEFAULT 'f', CHECK (a > 0))
            SERVER "ser;ver" OPTIONS (t 'y');
        CREATE TABLE half_here (k int, v text) PARTITION BY LIST (k);
        CREATE TABLE here PARTITION OF half_here FOR VALUES IN (1);
        CREATE FOREIGN TABLE there PARTITION OF half_here FOR VALUES IN (2) SERVER "ser;ver";
        INSERT INTO half_here VALUES (1, 'a'); GRANT USAGE ON FOREIGN SERVER "ser;ver" TO "{GRANTEE}";
        GRANT SELECT ON far_away TO "{GRANTEE}" """,
         f"""SELECT 'server', srvname, srvtype, srvversion, srvoptions::text, srvacl::text, fdwname, fdwoptions::text
        FROM pg_foreign_server JOIN pg_foreign_data_wrapper w ON w.oid = srvfdw
        UNION ALL SELECT 'mapping', srvname, usename, umoptions::text, NULL, NULL, NULL, NULL FROM pg_user_mappings
        UNION ALL SELECT 'table', relname, ftoptions::text, relispartition::text,
        ARRAY(SELECT {GRANT} FROM unnest(relacl) x)::text, NULL, NULL, NULL
        FROM pg_foreign_table JOIN pg_class c ON c.oid = ftrelid ORDER BY 1, 2, 3"""),
    Kind("tablespaces", """
        CREATE TABLE in_space (id int PRIMARY KEY USING INDEX TABLESPACE "spa;ce", v text) TABLESPACE "spa;ce";
        CREATE INDEX in_space_v ON in_space (v) TABLESPACE "spa;ce"; INSERT INTO in_space VALUES (1, 'v');
        CREATE MATERIALIZED VIEW mat_space TABLESPACE "spa;ce" AS SELECT * FROM in_space;
        CREATE TABLE split_space (a int) PARTITION BY LIST (a) TABLESPACE "spa;ce";
        CREATE TABLE split_space_1 PARTITION OF split_space DEFAULT TABLESPACE pg_default""",
         """SELECT relname, spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace
        WHERE c.oid >= 16384 AND relkind <> 't' AND relname !~ '^pg_' ORDER BY 1"""),
    Kind("grants on built-in functions", f"""
        GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO "{GRANTEE}";
        REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC""",
         """SELECT proname, proacl::text FROM pg_proc WHERE proacl IS NOT NULL
        AND proname IN ('pg_ls_dir', 'pg_sleep') ORDER BY 1, 2"""),
    Kind("forced row security", """
        CREATE TABLE forced (id int PRIMARY KEY); INSERT INTO forced SELECT generate_series(1, 40);
        ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON forced USING (id < 3)""",
         "SELECT relname, relrowsecurity, (SELECT count(*) FROM \"Ödd \"\"o'b; j\".forced) FROM pg_class"
         " WHERE relforcerowsecurity"),
]
SUPER = [kind for kind in SUPER if kind.since <= MAJOR]
