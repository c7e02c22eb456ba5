"""trunkline verify --schema: each difference is named, its SQL mends the target, a copy is clean."""
import json
import pathlib
import subprocess

import psycopg
import pytest

from harness.cluster import BIN, MAJORS
from harness.program import CONFIGURATION, ENDED, FAILED, Pipeline
from harness.roles import OWNER

SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "harness" / "catalog.sql"
ROLES = ("reader", '"wri""ter; --"')
ORDER = '"S; DROP TABLE x; --"."Order""s"'
CLEAN = {"result": "equal", "differences": []}


def make_roles(cluster, names=ROLES):
    server = cluster.database()
    for name in names:
        try:
            server.admin(f"CREATE ROLE {name}")
        except psycopg.errors.DuplicateObject:
            pass
    server.close()


@pytest.fixture(scope="module")
def copied(shared_clusters, worker_name, tmp_path_factory):
    """A pipeline that has copied the schema of harness/catalog.sql."""
    for cluster in shared_clusters:
        make_roles(cluster)
    name = f"{worker_name}_catalog"
    source, target = (cluster.create_database(f"{side}_{name}")
                      for cluster, side in zip(shared_clusters, ("src", "dst")))
    pipe = Pipeline(source, target, f"slot_{name}", tmp_path_factory.mktemp("catalog"))
    source.admin("GRANT CREATE ON SCHEMA public TO app")
    source.sql(SCHEMA.read_text())
    if not MAJORS["source"] >= 17 > MAJORS["target"]:  # there a run leaves such privileges out
        source.sql("REVOKE DELETE ON cache FROM app")
    # On 14 only a superuser has replica role, without which triggers and the like are not made.
    user = "postgres" if MAJORS["target"] == 14 else None
    engine = pipe.run(until="now", tables_without_identity="insert_only", target=target.url(user))
    assert engine.code == ENDED, engine.stderr
    target.close()
    yield pipe
    pipe.end()
    pipe.drop()


@pytest.fixture
def pair(copied, tmp_path):
    """The same with a target of its own, which may be broken."""
    name = f"{copied.target.name}_broken"
    cluster = copied.target.cluster
    server = cluster.database()
    server.admin(f'CREATE DATABASE {name} TEMPLATE {copied.target.name} OWNER {OWNER}')
    server.admin(f"GRANT CREATE ON DATABASE {name} TO {cluster.role}")
    broken = Pipeline(copied.source, cluster.database(name), copied.slot, tmp_path)
    yield broken
    broken.end()
    broken.target.close()
    server.admin(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


def schema(pipe, code, **settings):
    """What verify --schema-only --json says of the catalogs."""
    ended = pipe.verify(schema_only=True, json=True, **settings)
    assert ended.code == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)["schema"]


def is_clean(pipe, **settings):
    found = schema(pipe, ENDED, **settings)
    assert {name: found[name] for name in CLEAN} == CLEAN
    return True


def mend(pipe, script):
    """Runs it with psql as a superuser; the first error is a failure."""
    done = subprocess.run([BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d",
                           pipe.target.url("postgres")], input=script, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr + script


def broken(pipe, *breaks):
    """Breaks the target and claims that the differences are named, that their SQL mends it, and
    that nothing is left. breaks: (class, part of identity, part of difference, SQL)."""
    for _, _, _, text in breaks:
        pipe.target.admin(text)
    found = schema(pipe, FAILED)
    named = [(one["class"], one["identity"], one["difference"]) for one in found["differences"]]
    for kind, identity, difference, text in breaks:
        assert [one for one in named
                if one[0] == kind and identity in one[1] and difference in one[2]], (text, named)
    mend(pipe, found["script"])
    assert is_clean(pipe)


BREAKS = {
    "schemas": [
        ("schemas", '"lost"', "missing", "ALTER SCHEMA lost RENAME TO found"),
    ],
    "extensions": [
        ("extensions", '"btree_gin"', "missing", "DROP EXTENSION btree_gin"),
        ("extensions", '"pg_trgm"', "schema", "ALTER EXTENSION pg_trgm SET SCHEMA public"),
    ],
    "types: enum": [
        ("types: enum", '"public"."lonely"', "label 'b;'",
         "DROP TYPE lonely; CREATE TYPE lonely AS ENUM ('a')"),
        ("types: enum", '"public"."empty_mood"', "missing", "DROP TYPE empty_mood"),
    ],
    "types: composite": [
        ("types: composite", '"public"."single"."z"', "missing",
         "ALTER TYPE single DROP ATTRIBUTE z"),
        ("types: composite", '"public"."single"."x"', "type", "ALTER TYPE single ALTER ATTRIBUTE x"
         " TYPE text"),
    ],
    "types: domain": [
        ("types: domain", '"public"."word"', "default", "ALTER DOMAIN word DROP DEFAULT"),
        ("types: domain", '"public"."word"', "not null", "ALTER DOMAIN word DROP NOT NULL"),
        ("types: domain", '"public"."small"', "default", "ALTER DOMAIN small SET DEFAULT 7"),
        ("constraints", '"low; --" on "public"."word"', "missing",
         'ALTER DOMAIN word DROP CONSTRAINT "low; --"'),
        ("constraints", '"at" on "public"."word"', "definition",
         "ALTER DOMAIN word DROP CONSTRAINT at;"
         "ALTER DOMAIN word ADD CONSTRAINT at CHECK (VALUE LIKE '%')"),
        ("types: domain", '"public"."pairs"', "missing", "DROP DOMAIN pairs"),
    ],
    "types: range": [
        ("types: range", '"public"."unused"', "missing", "DROP TYPE unused"),
    ],
    "functions": [
        ("functions", '"public"."plus"(integer, integer)', "definition",
         "CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS"
         " 'SELECT a'"),
        ("functions", '"public"."act"()', "missing", "DROP FUNCTION act() CASCADE"),
        ("functions", '"public"."of_rows"', "missing", "DROP FUNCTION of_rows"),
        ("functions", '"public"."twice"(integer)', "definition",
         "ALTER TABLE customers ALTER number DROP DEFAULT; DROP VIEW twiced; DROP FUNCTION twice;"
         "CREATE FUNCTION twice(other int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
         "CREATE VIEW twiced AS SELECT twice(k) AS k FROM generate_series(1, 2) k"),
        ("functions", '"public"."f;()"("text", "public"."mood"[])', "definition",
         'ALTER FUNCTION "f;()"(text, mood[]) RESET work_mem'),
    ],
    "procedures": [
        ("procedures", '"public"."do_it"(integer)', "definition",
         "CREATE OR REPLACE PROCEDURE do_it(INOUT n int) LANGUAGE sql AS 'SELECT n + 2'"),
    ],
    "aggregates": [
        ("aggregates", '"public"."total"(integer)', "definition",
         "DROP AGGREGATE total(int); CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)"),
        ("aggregates", '"public"."counted"(*)', "missing", "DROP AGGREGATE counted(*)"),
    ],
    "sequences": [
        ("sequences", '"public"."ids"', "increment", "ALTER SEQUENCE ids INCREMENT 3"),
        ("sequences", '"public"."ids"', "range", "ALTER SEQUENCE ids MAXVALUE 1000"),
        ("sequences", '"public"."ids"', "cache", "ALTER SEQUENCE ids CACHE 1"),
        ("sequences", '"public"."ids"', "cycle", "ALTER SEQUENCE ids NO CYCLE"),
        ("sequences", '"public"."ids"', "position", "SELECT setval('ids', 9)"),
        ("sequences", '"public"."down"', "position", "SELECT setval('down', -3)"),
        ("sequences", '"public"."alone"', "missing", "DROP SEQUENCE alone"),
        ("sequences", '"public"."customers_code_seq"', "owned by",
         "ALTER SEQUENCE customers_code_seq OWNED BY NONE"),
        ("sequences", '"public"."customers_id_seq"', "increment",
         "ALTER TABLE customers ALTER id SET INCREMENT 1"),
    ],
    "tables": [
        ("tables", ORDER, "missing", f"DROP TABLE {ORDER} CASCADE"),
        ("tables", '"public"."customers"', "option fillfactor",
         "ALTER TABLE customers SET (fillfactor = 80)"),
        ("tables", '"public"."customers"', "option toast.autovacuum_enabled",
         "ALTER TABLE customers RESET (toast.autovacuum_enabled)"),
        ("tables", '"public"."customers"', "clustered on",
         "ALTER TABLE customers SET WITHOUT CLUSTER"),
        ("tables", '"public"."cache"', "persistence", "ALTER TABLE cache SET LOGGED"),
        ("tables", '"public"."cache"', "replica identity",
         "ALTER TABLE cache REPLICA IDENTITY DEFAULT"),
        ("tables", '"public"."parent"', "replica identity",
         "ALTER TABLE parent REPLICA IDENTITY FULL"),
        ("tables", '"public"."typed"', "of type", "ALTER TABLE typed NOT OF"),
        ("tables", '"public"."child"', "inherits", "ALTER TABLE child NO INHERIT parent"),
        ("tables", '"public"."parted_24_1"', "partition of",
         "ALTER TABLE parted_24 DETACH PARTITION parted_24_1;"
         "ALTER TABLE parted_24 ATTACH PARTITION parted_24_1 FOR VALUES IN (1, 5)"),
        ("tables", '"public"."parted_rest"', "partition of",
         "ALTER TABLE parted DETACH PARTITION parted_rest"),
    ],
    "whole tables": [
        ("tables", '"public"."customers"', "missing", "DROP TABLE customers CASCADE"),
        ("tables", '"public"."parted"', "missing", "DROP TABLE parted CASCADE"),
        ("tables", '"public"."bare"', "missing", "DROP TABLE bare"),
    ],
    "columns": [
        ("columns", '"public"."customers"."price"', "missing",
         "ALTER TABLE customers DROP price CASCADE"),
        ("columns", '"public"."customers"."born"', "type", "DROP STATISTICS IF EXISTS extra.linked;"
         'DROP VIEW IF EXISTS "V; --"; DROP FUNCTION IF EXISTS of_rows;'
         "ALTER TABLE customers ALTER born TYPE timestamp"),
        ("columns", '"public"."customers"."name"', "default",
         "ALTER TABLE customers ALTER name SET DEFAULT 'other'"),
        ("columns", '"public"."customers"."mood"', "default",
         "ALTER TABLE customers ALTER mood DROP DEFAULT"),
        ("columns", '"public"."customers"."born"', "default",
         "ALTER TABLE customers ALTER born SET DEFAULT now()"),
        ("columns", f'{ORDER}."customer"', "not null",
         f"ALTER TABLE {ORDER} ALTER customer SET NOT NULL"),
        ("columns", '"public"."customers"."doubled"', "generated",
         "ALTER TABLE customers ALTER doubled DROP EXPRESSION"),
        ("columns", '"public"."customers"."id"', "identity kind",
         "ALTER TABLE customers ALTER id SET GENERATED BY DEFAULT"),
        ("columns", '"public"."customers"."name"', "storage",
         "ALTER TABLE customers ALTER name SET STORAGE PLAIN"),
        ("columns", '"public"."customers"."name"', "compression",
         "ALTER TABLE customers ALTER name SET COMPRESSION default"),
        ("columns", '"public"."customers"."mail"', "statistics target",
         "ALTER TABLE customers ALTER mail SET STATISTICS -1"),
        ("columns", '"public"."customers"."born"', "option n_distinct",
         "ALTER TABLE customers ALTER born RESET (n_distinct)"),
        ("columns", '"public"."parted_24_1"."v"', "default",
         "ALTER TABLE parted_24_1 ALTER v SET DEFAULT 'x'"),
    ],
    "identity": [
        ("columns", '"public"."customers"."id"', "identity",
         "ALTER TABLE customers ALTER id DROP IDENTITY"),
    ],
    "columns that views read": [
        ("columns", '"public"."customers"."name"', "type",
         """DROP VIEW named CASCADE; DROP POLICY "mine; --" ON customers;
            DROP TRIGGER "act; --" ON customers;
            ALTER TABLE customers ALTER name TYPE varchar(50);
            CREATE VIEW named AS SELECT c.id, c.name, c.price FROM customers c WHERE c.price > 1;
            CREATE VIEW ours AS SELECT name FROM named;
            COMMENT ON VIEW ours IS 'only here'; GRANT SELECT ON ours TO reader"""),
        ("columns", '"public"."parted"."v"', "type", "ALTER TABLE parted ALTER v TYPE varchar"),
    ],
    "constraints": [
        ("constraints", '"unique; --" on "public"."customers"', "definition",
         'ALTER TABLE customers DROP CONSTRAINT "unique; --";'
         'ALTER TABLE customers ADD CONSTRAINT "unique; --" UNIQUE (name)'),
        ("constraints", '"customers_pkey" on "public"."customers"', "missing",
         "ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE"),
        ("constraints", '"parted_pkey" on "public"."parted"', "missing",
         "ALTER TABLE parted DROP CONSTRAINT parted_pkey"),
        ("constraints", '"positive" on "public"."parent"', "missing",
         "ALTER TABLE parent DROP CONSTRAINT positive"),
        ("constraints", f'"old" on {ORDER}', "validated",
         f"ALTER TABLE {ORDER} VALIDATE CONSTRAINT old"),
        ("constraints", '"customers_price_check" on "public"."customers"', "validated",
         "ALTER TABLE customers DROP CONSTRAINT customers_price_check;"
         "ALTER TABLE customers ADD CONSTRAINT customers_price_check CHECK (price > 0) NOT VALID"),
        ("constraints", f'on {ORDER}', "missing",
         f"""ALTER TABLE {ORDER} DROP CONSTRAINT "Order""s_Key Col_period_excl" """),
    ],
    "keys that keys refer to": [
        ("constraints", '"customers_pkey" on "public"."customers"', "definition",
         "ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE;"
         "ALTER TABLE customers ADD CONSTRAINT customers_pkey PRIMARY KEY (id) INCLUDE (born);"
         f'ALTER TABLE {ORDER} ADD CONSTRAINT "to customers" FOREIGN KEY (customer)'
         " REFERENCES customers ON DELETE CASCADE DEFERRABLE"),
    ],
    "indexes": [
        ("indexes", '"public"."by_born"', "missing", "DROP INDEX by_born"),
        ("indexes", '"public"."by; code"', "definition",
         'DROP INDEX "by; code"; CREATE INDEX "by; code" ON customers (code)'),
        ("indexes", '"public"."on_parted"', "missing", "DROP INDEX on_parted"),
        ("indexes", '"public"."by_number"', "valid",
         "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_number'::regclass"),
        ("indexes", '"public"."on_sums"', "missing", "DROP INDEX on_sums"),
    ],
    "statistics of an index": [
        ("indexes", '"public"."by_born"', "statistics target of column 2",
         "ALTER INDEX by_born ALTER COLUMN 2 SET STATISTICS -1"),
    ],
    "statistics objects": [
        ("statistics objects", '"extra"."linked"', "target",
         "ALTER STATISTICS extra.linked SET STATISTICS -1"),
        ("statistics objects", '"extra"."other"', "definition",
         "DROP STATISTICS extra.other; CREATE STATISTICS extra.other (mcv) ON id, name FROM customers"),
    ],
    "rules": [
        ("rules", '"no; delete" on "public"."cache"', "enabled",
         'ALTER TABLE cache DISABLE RULE "no; delete"'),
        ("rules", '"quiet" on "public"."named"', "missing", "DROP RULE quiet ON named"),
    ],
    "triggers": [
        ("triggers", '"act; --" on "public"."customers"', "definition",
         'DROP TRIGGER "act; --" ON customers; CREATE TRIGGER "act; --" BEFORE UPDATE ON customers'
         " FOR EACH ROW EXECUTE FUNCTION act()"),
        ("triggers", '"always" on "public"."customers"', "enabled",
         "ALTER TABLE customers ENABLE TRIGGER always"),
        ("triggers", '"never" on "public"."parted"', "missing", "DROP TRIGGER never ON parted"),
        ("triggers", '"deferred" on "public"."parent"', "missing", "DROP TRIGGER deferred ON parent"),
    ],
    "policies and row security": [
        ("policies and row security", '"mine; --" on "public"."customers"', "definition",
         'ALTER POLICY "mine; --" ON customers USING (true)'),
        ("policies and row security", '"theirs" on "public"."customers"', "missing",
         "DROP POLICY theirs ON customers"),
        ("policies and row security", '"public"."customers"', "row security",
         "ALTER TABLE customers DISABLE ROW LEVEL SECURITY"),
        ("policies and row security", '"public"."parent"', "row security of the owner",
         "ALTER TABLE parent FORCE ROW LEVEL SECURITY"),
    ],
    "views": [
        ("views", '"public"."checked"', "definition",
         "CREATE OR REPLACE VIEW checked AS SELECT k, v FROM cache WHERE v > 1"
         " WITH LOCAL CHECK OPTION"),
        ("views", '"public"."V; --"', "options", 'ALTER VIEW "V; --" RESET (security_barrier)'),
        ("columns", '"public"."named"."name"', "default",
         "ALTER VIEW named ALTER COLUMN name DROP DEFAULT"),
    ],
    "views of views": [
        ("views", '"public"."named"', "definition", """DROP VIEW named CASCADE;
            CREATE VIEW named AS SELECT c.id, c.name, c.price, c.born FROM customers c"""),
        ("views", '"public"."V; --"', "missing", "SELECT"),
        ("materialised views", '"public"."sums"', "missing", "SELECT"),
    ],
    "views that must be dropped": [
        ("views", '"public"."named"', "", 'DROP VIEW "V; --"; DROP FUNCTION of_rows;'
         "ALTER VIEW named RENAME COLUMN id TO di"),
    ],
    "materialised views": [
        ("materialised views", '"public"."sums"', "populated",
         "REFRESH MATERIALIZED VIEW sums WITH NO DATA"),
        ("materialised views", '"public"."empty"', "definition", "DROP MATERIALIZED VIEW empty;"
         "CREATE MATERIALIZED VIEW empty AS SELECT count(*) + 1 AS n FROM sums WITH NO DATA"),
    ],
    "comments": [
        ("comments", 'SCHEMA "extra"', "comment", "COMMENT ON SCHEMA extra IS 'other'"),
        ("comments", "line", "comment nasty missing",
         f'COMMENT ON COLUMN {ORDER}."Ünïcode\nline" IS NULL'),
        ("comments", 'COLUMN "public"."customers"."id"', "only on the target",
         "COMMENT ON COLUMN customers.id IS 'x'"),
        ("comments", 'TYPE "public"."mood"', "comment", "COMMENT ON TYPE mood IS NULL"),
        ("comments", "CONSTRAINT", "comment", 'COMMENT ON CONSTRAINT "unique; --" ON customers'
         " IS NULL"),
        ("comments", 'TRIGGER "act; --"', "comment",
         'COMMENT ON TRIGGER "act; --" ON customers IS NULL'),
        ("comments", "POLICY", "comment", 'COMMENT ON POLICY "mine; --" ON customers IS NULL'),
        ("comments", "RULE", "comment", 'COMMENT ON RULE "no; delete" ON cache IS NULL'),
        ("comments", "FUNCTION", "comment", "COMMENT ON FUNCTION plus(int, int) IS NULL"),
        ("comments", "AGGREGATE", "comment", "COMMENT ON AGGREGATE counted(*) IS 'x'"),
        ("comments", "INDEX", "comment", "COMMENT ON INDEX on_parted IS NULL"),
        ("comments", "STATISTICS", "comment", "COMMENT ON STATISTICS extra.linked IS NULL"),
        ("comments", "MATERIALIZED", "comment", "COMMENT ON MATERIALIZED VIEW sums IS NULL"),
    ],
    "owners": [
        ("owners", 'TABLE "public"."cache"', "owner", "ALTER TABLE cache OWNER TO postgres"),
        ("owners", 'FUNCTION "public"."plus"', "owner",
         "ALTER FUNCTION plus(int, int) OWNER TO postgres"),
        ("owners", 'TYPE "public"."mood"', "owner", "ALTER TYPE mood OWNER TO postgres"),
        ("owners", 'SCHEMA "extra"', "owner", "ALTER SCHEMA extra OWNER TO postgres"),
        ("owners", 'VIEW "public"."checked"', "owner", "ALTER VIEW checked OWNER TO postgres"),
        ("owners", 'SEQUENCE "public"."ids"', "owner", "ALTER SEQUENCE ids OWNER TO postgres"),
    ],
    "grants": [
        ("grants", 'TABLE "public"."customers"', 'grant of SELECT to "reader"',
         "REVOKE SELECT ON customers FROM reader"),
        ("grants", 'TABLE "public"."customers"."born"', 'grant of UPDATE to "wri""ter; --"',
         'REVOKE UPDATE (born) ON customers FROM "wri""ter; --"'),
        ("grants", 'TABLE "public"."parent"', 'grant of INSERT to "reader"',
         "REVOKE GRANT OPTION FOR INSERT ON parent FROM reader"),
        ("grants", 'TABLE "public"."cache"', "grant of SELECT to PUBLIC",
         "GRANT SELECT ON cache TO PUBLIC"),
        ("grants", 'TABLE "public"."cache"', "no DELETE for the owner",
         "GRANT DELETE ON cache TO app"),
        ("grants", 'FUNCTION "public"."plus"', "no EXECUTE for PUBLIC",
         "GRANT EXECUTE ON FUNCTION plus(int, int) TO PUBLIC"),
        ("grants", 'TYPE "public"."mood"', "no USAGE for PUBLIC",
         "GRANT USAGE ON TYPE mood TO PUBLIC"),
        ("grants", 'SCHEMA "extra"', "grant of USAGE to PUBLIC",
         "REVOKE USAGE ON SCHEMA extra FROM PUBLIC"),
        ("grants", 'SEQUENCE "public"."ids"', 'grant of USAGE to "reader"',
         "REVOKE ALL ON SEQUENCE ids FROM reader"),
    ],
    "default privileges": [
        ("default privileges", 'FOR ROLE "app" ON TABLES', 'grant of SELECT to "reader"',
         "ALTER DEFAULT PRIVILEGES FOR ROLE app REVOKE SELECT ON TABLES FROM reader"),
        ("default privileges", 'FOR ROLE "app" ON FUNCTIONS', "no EXECUTE for PUBLIC",
         "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT EXECUTE ON FUNCTIONS TO PUBLIC"),
        ("default privileges", 'IN SCHEMA "extra" ON FUNCTIONS', "grant of EXECUTE",
         "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA extra REVOKE EXECUTE ON FUNCTIONS"
         ' FROM "wri""ter; --"'),
    ],
}
# The rows of docs/objects.md that a case proves, where they are not called like the case.
ROWS = {
    "functions": ("functions and procedures",),
    "procedures": (),
    "sequences": ("sequences: standalone, descending, cached", "sequences: owned",
                  "sequences: CYCLE", "sequences: values of owned, identity, standalone, descending,"
                  " cached ones"),
    "tables": ("tables", "CLUSTER marks", "replica identity", "storage parameters"),
    "columns": ("columns", "storage, compression, statistics targets"),
    "constraints": ("constraints: NOT VALID, deferrable, exclusion",),
    "indexes": ("indexes: partial, expression, INCLUDE, every access method",),
    "triggers": ("triggers, with their enabled state",),
    "policies and row security": ("policies and row security", "forced row security"),
    "grants": ("grants, of columns too",),
    "whole tables": (), "identity": (), "columns that views read": (), "keys that keys refer to": (),
    "statistics of an index": (), "views of views": (), "views that must be dropped": (),
}


def case(name):
    marks = [pytest.mark.proves("Objects", row, verified=True) for row in ROWS.get(name, (name,))]
    if name in ("views", "constraints"):
        marks.append(pytest.mark.matrix)
    return pytest.param(name, marks=marks)


@pytest.mark.matrix
@pytest.mark.proves("Objects", "columns", copied=True)
def test_a_copy_is_clean(copied):
    assert is_clean(copied)


@pytest.mark.parametrize("name", [case(name) for name in BREAKS])
def test_what_differs_is_named_and_mended(pair, name):
    broken(pair, *BREAKS[name])


@pytest.mark.long
@pytest.mark.parametrize("one", [one for breaks in BREAKS.values() for one in breaks
                                 if one[3] != "SELECT"], ids=lambda one: f"{one[0]} {one[3]:.40}")
def test_each_difference_alone_is_named_and_mended(pair, one):
    broken(pair, one)


def notes(pipe, **settings):
    """Claims that nothing differs; what is worth a note, as (class, identity)."""
    return [(one["class"], one["identity"]) for one in schema(pipe, ENDED, **settings)["notes"]]


@pytest.mark.proves("Target with extras", "tables, columns, indexes, triggers, views, grants",
                    verified="a note each, no difference")
def test_what_only_the_target_has_is_a_note(pair):
    pair.target.admin("""
        CREATE TABLE more (id int PRIMARY KEY);
        COMMENT ON TABLE more IS 'only here';
        ALTER TABLE customers ADD more int;
        CREATE INDEX by_more ON customers (more);
        CREATE TRIGGER more BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION act();
        CREATE VIEW more_view AS SELECT more FROM customers;
        GRANT DELETE ON customers TO reader;
        ALTER TABLE customers ADD CONSTRAINT more CHECK (more > 0)""")
    found = notes(pair)
    for one in (("tables", '"public"."more"'), ("columns", '"public"."customers"."more"'),
                ("indexes", '"public"."by_more"'), ("views", '"public"."more_view"'),
                ("triggers", '"more" on "public"."customers"'),
                ("constraints", '"more" on "public"."customers"'),
                ("grants", 'TABLE "public"."customers"')):
        assert one in found, found
    assert not [one for one in found if one[0] == "comments"]


@pytest.mark.proves("Objects", "collations", verified="their names")
@pytest.mark.proves("Objects", "operators", verified="their names")
@pytest.mark.proves("Objects", "text search objects", verified="their names")
def test_what_is_compared_by_name_has_no_sql(pair):
    pair.target.admin("DROP COLLATION extra.bytes; DROP OPERATOR extra.=== (int, int);"
                      "DROP TEXT SEARCH CONFIGURATION extra.words")
    found = {one["identity"]: one["sql"] for one in schema(pair, FAILED)["differences"]
             if one["class"] == "other objects"}
    assert found == {'collation "extra"."bytes"': None,
                     'operator "extra".===(integer,integer)': None,
                     'text search configuration "extra"."words"': None}


def test_a_name_cannot_end_a_comment(pair):
    pair.target.admin("""CREATE TABLE "x\n; DROP TABLE customers; --\r; DROP TABLE parent; --"
                         ("y\n; DROP TABLE customers" int)""".replace("\\n", "\n"))
    printed = pair.verify(schema_only=True)
    assert printed.code == ENDED and "DROP TABLE customers" in printed.stdout
    assert all(line.startswith("--") for line in printed.stdout.splitlines())
    mend(pair, printed.stdout)
    assert pair.target.admin("SELECT 1 FROM customers, parent")


def test_what_lacks_a_role_is_a_note(pair):
    make_roles(pair.source.cluster, ("only_there",))
    try:
        pair.source.sql("GRANT DELETE ON customers TO only_there;"
                        "CREATE POLICY for_one ON customers TO only_there USING (true);"
                        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO only_there")
        found = notes(pair)
        for one in (("grants", 'TABLE "public"."customers"'),
                    ("policies and row security", '"for_one" on "public"."customers"'),
                    ("default privileges", 'FOR ROLE "app" ON TYPES')):
            assert one in found, found
    finally:
        pair.source.sql("DROP POLICY for_one ON customers")
        pair.source.admin("DROP OWNED BY only_there; DROP ROLE only_there")


def test_patterns_choose_what_is_compared(pair):
    pair.target.admin("DROP TABLE parted CASCADE; ALTER TABLE parent ALTER note SET DEFAULT 1")
    assert is_clean(pair, tables="customers, cache")
    assert is_clean(pair, excluded_tables="parted, parent, child")
    found = schema(pair, FAILED, tables="parted")["differences"]
    assert ("tables", '"public"."parted_24_1"') in [(one["class"], one["identity"])
                                                   for one in found]
    assert not [one for one in found if "parent" in one["identity"]]
    assert pair.verify(schema_only=True, tables="nowhere").code == CONFIGURATION


def test_rows_are_compared_beside_it(pair):
    pair.target.admin("ALTER TABLE customers ALTER name DROP DEFAULT;"
                      "UPDATE parent SET note = 'other'")
    printed = pair.verify(schema=True)
    assert printed.code == FAILED and "(id=1) in note" in printed.stdout
    mend(pair, printed.stdout)
    assert is_clean(pair)
    assert pair.verify(schema=True).code == FAILED
    pair.target.admin("UPDATE parent SET note = NULL")
    printed = pair.verify(schema=True)
    assert printed.code == ENDED
    assert all(line.startswith("--") for line in printed.stdout.splitlines())


def test_a_sequence_that_an_engine_will_bring_on_is_a_note(pipe):
    pipe.source.sql("CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY)")
    engine = pipe.follow(sequence_sync_interval="0s")
    pipe.source.sql("SELECT nextval('s')")
    assert ("sequences", '"public"."s"') in notes(pipe)
    engine.stop()
    found = schema(pipe, FAILED)["differences"]
    assert [(one["class"], one["identity"]) for one in found] == [("sequences", '"public"."s"')]
    pipe.target.admin("SELECT setval('s', 100)")
    assert is_clean(pipe)


def test_what_was_not_made_for_want_of_replica_role_is_a_difference(pipe):
    pipe.source.sql("CREATE TABLE a (id int PRIMARY KEY);"
                    "CREATE TABLE b (id int PRIMARY KEY, a int CONSTRAINT to_a REFERENCES a)")
    poor = f"poor_{pipe.target.name}"
    pipe.target.admin(f"CREATE ROLE {poor} LOGIN; GRANT {OWNER} TO {poor};"
                      f"GRANT CREATE ON DATABASE {pipe.target.name} TO {poor}")
    try:
        pipe.copy(target=pipe.target.url(poor))
        found = schema(pipe, FAILED)
        assert [(one["class"], one["identity"]) for one in found["differences"]] == \
            [("constraints", '"to_a" on "public"."b"')]
        mend(pipe, found["script"])
        assert is_clean(pipe)
    finally:
        pipe.target.admin(f"DROP OWNED BY {poor} CASCADE; DROP ROLE {poor}")


def test_an_empty_target_gets_the_whole_schema(copied, pipe):
    """The script makes objects of all classes in an order in which they can be made."""
    pipe.source.close()
    whole = Pipeline(copied.source, pipe.target, pipe.slot, pipe.directory)
    found = schema(whole, FAILED)
    by_hand = {"collation": "COLLATION extra.bytes (LOCALE = 'C')",
               "operator": "OPERATOR extra.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
               "text": "TEXT SEARCH CONFIGURATION extra.words (COPY = pg_catalog.simple)"}
    assert {one["identity"].split()[0] for one in found["differences"] if not one["sql"]} == \
        set(by_hand)
    whole.target.admin("CREATE SCHEMA extra AUTHORIZATION app")
    for definition in by_hand.values():
        whole.target.sql(f"CREATE {definition}")
    mend(whole, schema(whole, FAILED)["script"])
    assert is_clean(whole)
