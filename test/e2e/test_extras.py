"""A target whose tables have more than the source's, or other things: what acts, what is refused."""
import json

import pytest

from harness.program import CONFIGURATION, FAILED
from harness.wait import wait_until

GROUP = "Target with extras"
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
CHANGES = ("INSERT INTO t VALUES (3, 'c'), (4, 'd'); UPDATE t SET v = 'x' WHERE id = 1;"
           " UPDATE t SET id = 20 WHERE id = 2; DELETE FROM t WHERE id = 4")
ROWS = "SELECT id, v FROM t ORDER BY id"


def findings(pipe, **settings):
    """What check says of the two sides' tables; the servers' versions are not their fault."""
    of_servers = {"snapshot_fix"} | ({"replica_role"} if pipe.target.cluster.major == 14 else set())
    ended = pipe.command("check", json=True, slot=pipe.slot, **{**pipe.urls(), **settings})
    return [one for one in json.loads(ended.stdout)["findings"] if one["code"] not in of_servers]


def follows(pipe, changes=CHANGES, query=ROWS):
    """Copies, follows, starts again and follows."""
    engine = pipe.follow()
    assert pipe.source.sql(query) == pipe.target.sql(query)
    first, rest = changes.split(";", 1)
    pipe.source.sql(first)
    pipe.catch_up(engine)
    engine.stop()
    engine = pipe.follow()
    pipe.source.sql(rest)
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.source.sql(query) == pipe.target.sql(query)
    return pipe


@pytest.mark.proves(GROUP, "columns with a default, generated and identity columns, columns in "
                    "another order, indexes", copied=True, followed=True, verified=True)
def test_columns_and_indexes(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("""
        CREATE TABLE t (made text GENERATED ALWAYS AS (v || '!') STORED, v text,
            nr int GENERATED ALWAYS AS IDENTITY, word text NOT NULL DEFAULT 'here',
            at timestamptz DEFAULT now(), id int PRIMARY KEY, nothing int);
        CREATE INDEX ON t (v); CREATE INDEX ON t USING hash (word)""")
    follows(pipe)
    assert pipe.target.sql("SELECT id, made, word, nothing FROM t ORDER BY 1") == [
        (1, "x!", "here", None), (3, "c!", "here", None), (20, "b!", "here", None)]
    assert pipe.target.one("SELECT count(DISTINCT nr) FROM t") == 3
    assert pipe.verify().code == 0


WIDER = """
CREATE TABLE t (id smallint PRIMARY KEY, n int, b bigint, f real, c varchar(10), d varchar(5),
    e char(4), p numeric(6, 2), q numeric(6, 2), z timestamp(0), x name);
INSERT INTO t VALUES (1, 2, 3, 0.1, 'ten', 'five', 'ab', 1.50, 2.25, '2020-01-01 10:00', 'n'),
    (2, NULL, -1, 'NaN', '', 'x', '', -0.01, 9999.99, 'infinity', 'm')
"""


@pytest.mark.matrix
@pytest.mark.proves(GROUP, "wider types (int4 into int8, varchar into text, …)",
                    copied="yes: as text", followed="yes: as text", verified=True)
def test_wider_types(pipe):
    pipe.source.sql(WIDER)
    pipe.target.sql("""
        CREATE TABLE t (id bigint PRIMARY KEY, n bigint, b numeric, f double precision,
            c text, d varchar(50), e text, p numeric(9, 2), q numeric, z timestamp, x text)""")
    assert {(one["code"], one["level"]) for one in findings(pipe)} == {("target_wider", "warning")}
    follows(pipe, "INSERT INTO t SELECT 3, n, b, f, c, d, e, p, q, z, x FROM t WHERE id = 1;"
                  " UPDATE t SET n = 7, f = 0.3, e = 'x' WHERE id = 2; UPDATE t SET id = 9 WHERE"
                  " id = 3; DELETE FROM t WHERE id = 1",
            "SELECT t::text FROM t ORDER BY id")
    assert pipe.verify().code == 0


def test_wider_types_without_a_copy(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(10))")
    pipe.target.sql("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    assert pipe.command("init", source=pipe.source.url(), slot=pipe.slot).code == 0
    engine = pipe.follow(mode="replication")
    pipe.source.sql(CHANGES)
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.source.sql(ROWS) == pipe.target.sql(ROWS)


@pytest.mark.proves(GROUP, "narrower and other types", copied="no: refused by check")
@pytest.mark.parametrize("kind", ["varchar(3)", pytest.param("citext", marks=pytest.mark.long),
                                  pytest.param("int", marks=pytest.mark.long)])
def test_other_types_are_refused(pipe, kind):
    pipe.source.sql(TABLE)
    pipe.target.sql(f"CREATE EXTENSION citext; CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    assert pipe.run().code == CONFIGURATION
    assert [one["code"] for one in findings(pipe)] == ["target_type"]


TRIGGERS = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE seen (name text, op text, id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    INSERT INTO seen VALUES (TG_NAME, TG_OP, coalesce(NEW.id, OLD.id)); RETURN NEW; END $$;
CREATE TRIGGER origin AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER always AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER replica AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER off AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE t ENABLE ALWAYS TRIGGER always; ALTER TABLE t ENABLE REPLICA TRIGGER replica;
ALTER TABLE t DISABLE TRIGGER off;
CREATE RULE plain AS ON INSERT TO t DO ALSO INSERT INTO seen VALUES ('plain rule', 'INSERT', NEW.id);
CREATE RULE ever AS ON INSERT TO t DO ALSO INSERT INTO seen VALUES ('ever rule', 'INSERT', NEW.id);
ALTER TABLE t ENABLE ALWAYS RULE ever;
"""


@pytest.mark.proves(GROUP, "triggers and rules: ENABLE ALWAYS and ENABLE REPLICA ones act (check warns"
                    "), all others do not", copied="yes: triggers act on copied rows too, rules do "
                    "not", followed=True)
def test_triggers_and_rules(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql(TRIGGERS)
    assert [(one["code"], one["level"]) for one in findings(pipe)] == [("always_trigger",
                                                                        "warning")] * 3
    follows(pipe)
    expected = [(name, op, row) for name in ("always", "replica") for op, row in
                (("DELETE", 4), ("INSERT", 1), ("INSERT", 2), ("INSERT", 3), ("INSERT", 4),
                 ("UPDATE", 1), ("UPDATE", 20))]
    expected += [("ever rule", "INSERT", row) for row in (3, 4)]
    assert sorted(expected) == sorted(pipe.target.sql("SELECT * FROM seen"))


@pytest.mark.proves(GROUP, "a CHECK or a unique index that the rows violate", followed="no: stops with "
                    "the constraint's name and the row's key", copied="no: stops with the "
                    "constraint's name and the row's key")
def test_constraints_that_the_rows_violate(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text CONSTRAINT \"Short\" CHECK"
                    " (v <> 'bad'), CONSTRAINT one_each UNIQUE (v))")
    engine = pipe.follow()
    for change, name, mending in (
            ("INSERT INTO t VALUES (3, 'bad')", "Short", 'ALTER TABLE t DROP CONSTRAINT "Short"'),
            ("INSERT INTO t VALUES (4, 'a')", "one_each", "ALTER TABLE t DROP CONSTRAINT one_each")):
        pipe.source.sql(change)
        engine.ends(FAILED)
        said = engine.stderr.replace("\\", "")
        assert f'"{name}"' in said and f"(id = {change[22]})" in said and "bad" not in said
        pipe.target.sql(mending)
        engine = pipe.follow()
    engine.stop()
    assert pipe.source.sql(ROWS) == pipe.target.sql(ROWS)


def test_constraints_that_copied_rows_violate(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text CONSTRAINT short CHECK (v <> 'b'))")
    ended = pipe.run()
    assert ended.code == FAILED
    assert "copy of public.t" in ended.stderr and "(id = 2)" in ended.stderr
    assert "short" in ended.stderr
    pipe.target.sql("ALTER TABLE t DROP CONSTRAINT short")
    pipe.copy()
    assert pipe.source.sql(ROWS) == pipe.target.sql(ROWS)


@pytest.mark.proves(GROUP, "a NOT NULL column without a default", copied="no: refused by check")
def test_a_required_column(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text, w int NOT NULL)")
    ended = pipe.run()
    assert ended.code == CONFIGURATION and "of public.t on the target is NOT NULL" in ended.stderr
    found, = findings(pipe)
    assert found["code"] == "target_required"
    pipe.target.sql(found["hint"])
    follows(pipe)


@pytest.mark.proves(GROUP, "a view, materialized view or foreign table in a table's place",
                    copied="no: refused by check")
@pytest.mark.parametrize("other", [
    "CREATE VIEW t AS SELECT 1 AS id, 'x' AS v",
    pytest.param("CREATE MATERIALIZED VIEW t AS SELECT 1 AS id", marks=pytest.mark.long),
    pytest.param("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
                 " CREATE FOREIGN TABLE t (id int, v text) SERVER s", marks=pytest.mark.long)],
    ids=["view", "matview", "foreign"])
def test_something_else_of_that_name(pipe, other):
    pipe.source.sql(TABLE)
    pipe.target.admin(other + "; ALTER TABLE t OWNER TO app")
    assert pipe.run().code == CONFIGURATION
    found, = findings(pipe)
    assert found["code"] == "target_kind"
    pipe.target.admin(found["hint"])
    pipe.copy()
    assert pipe.source.sql(ROWS) == pipe.target.sql(ROWS)


@pytest.mark.proves(GROUP, "a partitioned table for a plain one", copied=True, followed=True,
                    verified=True)
def test_partitioned_there(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE TABLE t (v text, id int PRIMARY KEY) PARTITION BY RANGE (id);"
                    " CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (3);"
                    " CREATE TABLE t_high PARTITION OF t DEFAULT")
    follows(pipe)
    assert pipe.target.one("SELECT count(*) FROM t_high") == 2
    assert pipe.verify().code == 0
    engine = pipe.follow()
    pipe.source.sql("TRUNCATE t; INSERT INTO t VALUES (1, 'n')")
    wait_until(lambda: pipe.target.sql(ROWS) == [(1, "n")], "the truncated table is filled anew")
    engine.stop()
