"""Servers of different versions: what the newer one has, and how the older one takes it."""
import pytest

from harness.cluster import programs
from harness.compare import schema_differences
from harness.program import CONFIGURATION, FAILED, json_output

pytestmark = pytest.mark.matrix

# Every kind of entry of the three stages: a copy between any two versions brings them all.
SCHEMA = """
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE parent (id int PRIMARY KEY, m mood NOT NULL, n numeric(5, 2) CHECK (n > 0), t text);
CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, p int REFERENCES parent,
                    twice int GENERATED ALWAYS AS (p * 2) STORED, u text UNIQUE);
CREATE TABLE part (k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2 PARTITION OF part DEFAULT;
CREATE INDEX ON part (v);
CREATE INDEX ON parent (lower(t)) INCLUDE (n) WHERE t IS NOT NULL;
CREATE STATISTICS both_columns ON m, n FROM parent;
CREATE VIEW happy AS SELECT id, t FROM parent WHERE m = 'happy';
CREATE MATERIALIZED VIEW counted AS SELECT m, count(*) FROM parent GROUP BY m;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
COMMENT ON TABLE parent IS 'with a ''comment''';
GRANT SELECT ON parent TO PUBLIC;
INSERT INTO parent SELECT g, 'happy', g, 't' || g FROM generate_series(1, 500) g;
INSERT INTO child (p, u) SELECT g, 'u' || g FROM generate_series(1, 500) g;
INSERT INTO part SELECT g, 'v' || g FROM generate_series(1, 200) g;
"""
ACTORS = """
CREATE TRIGGER touched BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touch();
CREATE RULE quiet AS ON DELETE TO part_2 WHERE old.k = 5000 DO INSTEAD NOTHING;
CREATE POLICY own ON child USING (true);
"""


def changes(database):
    database.sql("UPDATE parent SET t = 'new', m = 'sad' WHERE id % 7 = 0;"
                 "DELETE FROM child WHERE id % 5 = 0; INSERT INTO child (p) VALUES (1);"
                 "UPDATE part SET k = k + 900 WHERE k BETWEEN 5 AND 9;"
                 "INSERT INTO part VALUES (1000, NULL)")


@pytest.mark.versions(target=(15, 18))
def test_schema_and_rows_between_versions(pipe):
    """Not on 14, where no plain role may switch triggers off: the next one."""
    pipe.source.sql(SCHEMA + ACTORS)
    engine = pipe.follow()
    changes(pipe.source)
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
    assert schema_differences(pipe.source, pipe.target) == []


@pytest.mark.versions(target=(14, 14))
def test_14_goes_without_foreign_keys_and_triggers(pipe):
    """docs/roles.md: they are left out, each by name, and everything else is there."""
    pipe.source.sql(SCHEMA + ACTORS)
    engine = pipe.follow()
    changes(pipe.source)
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
    for name in ("child_p_fkey", "touched", "quiet"):
        assert f"act a second time: {name} on " in engine.stderr
    missing = "\n".join(schema_differences(pipe.source, pipe.target))
    assert "child_p_fkey" in missing and "touched" in missing and "quiet" in missing
    assert "CREATE INDEX" not in missing and "CREATE TABLE" not in missing


def named(pipe):
    """The tables that a check names as beyond the target's version."""
    checked = pipe.command("check", slot=pipe.slot, json=True, **pipe.urls())
    return [one["text"] for one in json_output(checked)["findings"]
            if one["code"] == "target_version"]


NEWER = [
    pytest.param(since, table, marks=pytest.mark.versions(source=(since, 18), target=(14, since - 1)))
    for since, table in (
        (15, "odd (id int PRIMARY KEY, u int, UNIQUE NULLS NOT DISTINCT (u))"),
        (15, "odd (id int PRIMARY KEY, n numeric(3, -2))"),
        (17, "odd (id int PRIMARY KEY) PARTITION BY LIST (id) USING heap"),
        (18, "odd (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 2) VIRTUAL)"),
        (18, "odd (id int PRIMARY KEY, v int CHECK (v > 0) NOT ENFORCED)"),
        (18, "odd (id int PRIMARY KEY, v int CONSTRAINT own NOT NULL NO INHERIT)"),
        (18, "odd (id int4range, v daterange, PRIMARY KEY (id, v WITHOUT OVERLAPS))"),
    )]


@pytest.mark.parametrize("since,table", NEWER)
def test_what_an_older_target_cannot_have_is_named(pipe, since, table):
    """Before anything is made; a table made there by hand, or left out, is no obstacle."""
    if "OVERLAPS" in table:
        pipe.source.admin("CREATE EXTENSION btree_gist")
    pipe.source.sql(f"CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
                    f"CREATE TABLE {table}")
    refused = pipe.run(until="now")
    assert refused.code == CONFIGURATION
    assert f"PostgreSQL {pipe.target.cluster.major} on the target does not have" in refused.stderr
    assert pipe.phase() is None
    assert len(named(pipe)) == 1 and "public.odd" in named(pipe)[0]
    assert since > pipe.target.cluster.major
    pipe.copy(excluded_tables="odd")
    assert pipe.target.one("SELECT id FROM t") == 1


@pytest.mark.versions(source=(18, 18), target=(14, 17))
def test_a_virtual_column_may_be_a_stored_one_on_the_target(pipe):
    """What exists is left as it is, and its values are the target's to make."""
    table = "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) "
    pipe.source.sql(table + "VIRTUAL); INSERT INTO t VALUES (1)")
    pipe.target.sql(table + "STORED)")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (2)")
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(1, 2), (2, 4)]


@pytest.mark.versions(source=(15, 18), target=(14, 14))
def test_a_view_that_an_older_target_cannot_have_stops_the_copy_with_its_name(pipe):
    """What is no table's shows when pg_restore comes to it; nothing of the stage is made."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY);"
                    "CREATE VIEW invoker WITH (security_invoker = true) AS SELECT * FROM t")
    refused = pipe.run(until="now")
    assert refused.code == FAILED and "security_invoker" in refused.stderr
    assert "CREATE VIEW" in refused.stderr and "PostgreSQL 14 has no such thing" in refused.stderr
    assert pipe.target.one("SELECT to_regclass('t')") is None


@pytest.mark.versions(source=(17, 18), target=(14, 16))
def test_a_privilege_that_an_older_target_cannot_have_is_named(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE o (id int PRIMARY KEY);"
                    "CREATE TABLE a (id int PRIMARY KEY);"
                    "GRANT SELECT, MAINTAIN ON t TO PUBLIC; GRANT SELECT ON o TO PUBLIC;"
                    "GRANT ALL ON a TO PUBLIC")
    copied = pipe.copy()
    assert "MAINTAIN on public.t is left out" in copied.stderr
    readable = "SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relkind = 'r'" \
               " AND relname IN ('t', 'o', 'a') AND relacl::text ~ '[{,]=[a-z]*r'"
    assert pipe.target.one(readable) == ["a", "o", "t"]


@pytest.mark.versions(source=(18, 18))
def test_not_null_by_name(pipe):
    """18 keeps the names; older targets have the NOT NULL without it."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int CONSTRAINT mine NOT NULL);"
                    "CREATE TABLE p (k int, v int CONSTRAINT root NOT NULL, PRIMARY KEY (k))"
                    " PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
                    "INSERT INTO t VALUES (1, 1); INSERT INTO p VALUES (1, 1)")
    pipe.copy()
    pipe.is_verified()
    assert schema_differences(pipe.source, pipe.target) == []
    nullable = "SELECT count(*) FROM pg_attribute WHERE attname = 'v' AND NOT attnotnull" \
               " AND attrelid IN ('t'::regclass, 'p'::regclass, 'p1'::regclass)"
    assert pipe.target.one(nullable) == 0


@pytest.mark.matrix
def test_sequences_of_unlogged_tables(pipe):
    """They are unlogged, too, since 15."""
    pipe.source.sql("CREATE UNLOGGED TABLE u (id serial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY);"
                    "INSERT INTO u DEFAULT VALUES; INSERT INTO u DEFAULT VALUES")
    pipe.copy()
    pipe.is_verified(schema=True)
    assert schema_differences(pipe.source, pipe.target) == []
    assert pipe.target.sql("INSERT INTO u DEFAULT VALUES RETURNING id, i") == [(3, 3)]


@pytest.mark.matrix
def test_not_null_of_columns_that_are_only_inherited(pipe):
    """18 has constraints of their own for them, which older targets cannot read."""
    pipe.source.sql("""CREATE TABLE a (id int PRIMARY KEY, v text, "w," int);
        CREATE TABLE "b "" (x" (own text DEFAULT E'(,\\n    NOT NULL v,', PRIMARY KEY (id)) INHERITS (a);
        CREATE UNLOGGED TABLE c () INHERITS (a); ALTER TABLE c ALTER v SET NOT NULL;
        CREATE TABLE d (PRIMARY KEY (id), CHECK (v <> 'e, (')) INHERITS ("b "" (x");
        ALTER TABLE d ALTER "w," SET NOT NULL; ALTER TABLE d ALTER v SET STATISTICS 7;
        INSERT INTO "b "" (x" (id) VALUES (1); INSERT INTO c (id, v) VALUES (2, 'c');
        INSERT INTO d (id, v, "w,") VALUES (3, 'd', 4); ALTER TABLE c REPLICA IDENTITY FULL""")
    if pipe.source.cluster.major >= 18:
        pipe.source.sql("CREATE TABLE e (CONSTRAINT other NOT NULL v, PRIMARY KEY (id)) INHERITS (a)")
    pipe.copy()
    columns = "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c ON c.oid =" \
              " attrelid WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'" \
              " AND attnotnull AND attnum > 0 ORDER BY 1, 2"
    assert set(pipe.source.sql(columns)) >= {("c", "v"), ("d", "w,"), ("d", "id")}
    assert pipe.target.sql(columns) == pipe.source.sql(columns)
    pipe.is_equal()
    assert schema_differences(pipe.source, pipe.target) == []
    pipe.is_verified(schema=True)


@pytest.mark.versions(source=(18, 18))
@pytest.mark.parametrize("made", ["VIRTUAL", "STORED"])
def test_generated_columns_of_18(pipe, made):
    """Neither is published (publish_generated_columns is none), both are made by the target."""
    if made == "VIRTUAL" and pipe.target.cluster.major < 18:
        made = "STORED"
    pipe.source.sql(f"CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (v + 1) {made},"
                    "v int); INSERT INTO t (id, v) VALUES (1, 1)")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t (id, v) VALUES (2, 5); UPDATE t SET v = 7 WHERE id = 1")
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(1, 8, 7), (2, 6, 5)]
    pipe.is_verified()


@pytest.mark.versions(source=(18, 18))
@pytest.mark.parametrize("made", ["STORED", "VIRTUAL"])
def test_a_whole_row_with_a_generated_column_is_not_published(pipe, made):
    """18 would refuse the application's UPDATEs of such a table."""
    if pipe.target.cluster.major < 18:
        made = "STORED"
    pipe.source.sql(f"CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) {made});"
                    "ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1)")
    refused = pipe.run(until="now")
    assert refused.code == CONFIGURATION
    assert "REPLICA IDENTITY DEFAULT" in refused.stderr
    engine = pipe.follow(tables_without_identity="insert_only")
    pipe.source.sql("UPDATE t SET id = 1; INSERT INTO t VALUES (2)")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(1, 2), (2, 4)]
    engine.stop()
    pipe.source.sql("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    pipe.follow().stop()


INFINITE = "CREATE TABLE t (id int PRIMARY KEY, i interval, a interval[])"


@pytest.mark.versions(source=(17, 18), target=(17, 18))
def test_an_infinite_interval(pipe):
    pipe.source.sql(INFINITE + "; INSERT INTO t VALUES (1, 'infinity', '{-infinity,1 day}')")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (2, '-infinity', '{infinity}')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()


@pytest.mark.versions(source=(17, 18), target=(14, 16))
def test_an_infinite_interval_is_refused_by_an_older_target(pipe):
    """As text, never as the finite one that its binary form would be there."""
    pipe.source.sql(INFINITE + "; INSERT INTO t VALUES (1, '1 month', '{1 day}')")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (2, '2 months', '{}')")
    pipe.catch_up(engine)
    pipe.is_equal()
    pipe.source.sql("INSERT INTO t VALUES (3, 'infinity', NULL)")
    assert engine.wait(30) != 0
    assert pipe.target.sql("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]


@pytest.mark.versions(source=(16, 17))
def test_newer_tools_than_either_server_serve(pipe):
    """Not of a source 15: Debian's marks columns with what only its own pg_dump knows."""
    pipe.source.sql(SCHEMA)
    pipe.copy(pg_bindir=str(programs(18)))
    pipe.is_verified()
