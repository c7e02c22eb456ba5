"""Large groups on targets that have more than the source: triggers, columns, constraints,
partitions; and the plans by which sets find their rows."""
import pytest

import apply_keys
import apply_tables
from harness.apply import (LARGE_GROUPS, MODES, ROWS, WAYS, Case, apply_waiting, change_cases,
                           make_cases, sets_were_used)
from harness.wait import wait_until

# --- triggers ---

# On 14 no plain role may switch triggers off, so that those of a table are refused.
WITH_REPLICA_ROLE = pytest.mark.versions(target=(15, 18))

WATCHED = f"""
CREATE TABLE one (id int PRIMARY KEY, v int);
CREATE TABLE two (k text PRIMARY KEY, v int);
CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
CREATE TABLE calm (id int PRIMARY KEY, v int);
INSERT INTO one SELECT g, 0 FROM generate_series(1, {ROWS}) g;
INSERT INTO two SELECT 'k' || g, 0 FROM generate_series(1, {ROWS}) g;
INSERT INTO bare SELECT g % 50, 'b' FROM generate_series(1, 200) g;
INSERT INTO calm SELECT g, 0 FROM generate_series(1, {ROWS}) g;
"""
SEEN = """
CREATE TABLE seen (n serial PRIMARY KEY, what text, old text, new text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    INSERT INTO seen (what, old, new) VALUES (TG_OP || ' ' || TG_TABLE_NAME || ' ' || TG_WHEN,
        CASE WHEN TG_OP <> 'INSERT' THEN OLD::text END,
        CASE WHEN TG_OP <> 'DELETE' THEN NEW::text END);
    RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON one FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON two FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON bare FOR EACH ROW EXECUTE FUNCTION note();
"""
ENABLED = """
ALTER TABLE one ENABLE ALWAYS TRIGGER note; ALTER TABLE two ENABLE REPLICA TRIGGER note;
ALTER TABLE bare ENABLE ALWAYS TRIGGER note;
"""
WATCHED_CHANGES = [
    "UPDATE one SET v = v + 1 WHERE id % 2 = 0; UPDATE two SET v = v + 1; UPDATE calm SET v = 1;"
    " UPDATE one SET v = v + 1",
    "DELETE FROM two WHERE v = 1 AND k < 'k2'; INSERT INTO one SELECT g, 0 FROM"
    " generate_series(1001, 1200) g; INSERT INTO two SELECT 'k' || g, 7 FROM generate_series(1,"
    " 1) g;"
    " DELETE FROM one WHERE id > 1100; UPDATE bare SET b = 'c' WHERE a < 10",
    "UPDATE one SET id = id + 5000 WHERE id < 100; UPDATE two SET k = k || '!' WHERE k LIKE 'k3%';"
    " INSERT INTO one SELECT g, -1 FROM generate_series(1, 99) g; UPDATE one SET v = v * 2;"
    " DELETE FROM bare WHERE a = 20; INSERT INTO bare SELECT 1, 'x' FROM generate_series(1, 5)",
    "UPDATE one SET v = v; DELETE FROM two; DELETE FROM calm WHERE id % 2 = 0"]
NOTED = "SELECT what, old, new FROM seen ORDER BY n"


def run_changes(pipe, name, changes):
    change_cases(pipe, {name: Case("", changes)})


@WITH_REPLICA_ROLE
@MODES
def test_triggers_see_each_change_in_the_sources_order(pipe, mode):
    """The audit of the target's triggers is that of the source's, over all tables."""
    settings = {**LARGE_GROUPS, "apply_mode": mode, "excluded_tables": "seen"}
    pipe.source.sql(WATCHED)
    pipe.copy(**settings)
    pipe.source.sql(SEEN)
    pipe.target.sql(SEEN + ENABLED)
    run_changes(pipe, "watched", WATCHED_CHANGES)
    apply_waiting(pipe, **settings)
    noted = pipe.source.sql(NOTED)
    assert len(noted) > 2000 and pipe.target.sql(NOTED) == noted
    pipe.target.sql("TRUNCATE seen; INSERT INTO seen SELECT 1")
    pipe.source.sql("TRUNCATE seen; INSERT INTO seen SELECT 1")
    pipe.is_equal()


@WITH_REPLICA_ROLE
@MODES
def test_rules_see_each_insert(pipe, mode):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    pipe.copy()
    pipe.target.sql("CREATE TABLE seen (id int); CREATE RULE note AS ON INSERT TO t DO ALSO"
                    " INSERT INTO seen VALUES (NEW.id); ALTER TABLE t ENABLE ALWAYS RULE note")
    pipe.source.sql("INSERT INTO t SELECT generate_series(1, 2000)")
    apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode)
    assert pipe.target.one("SELECT count(*) FROM t") == 2000
    assert pipe.target.sql("SELECT id FROM seen ORDER BY 1") == [(n,) for n in range(1, 2001)]


@WITH_REPLICA_ROLE
@MODES
def test_a_trigger_of_the_target_changes_what_comes(pipe, mode):
    """A BEFORE trigger that sets a column has its way, on whatever path the row comes."""
    pipe.source.sql(f"CREATE TABLE t (id int PRIMARY KEY, v int);"
                    f"INSERT INTO t SELECT g, 0 FROM generate_series(1, {ROWS}) g")
    pipe.copy()
    pipe.target.sql("ALTER TABLE t ADD twice int; UPDATE t SET twice = 0;"
                    "CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN NEW.twice := NEW.v * 2; RETURN NEW; END';"
                    "CREATE TRIGGER double BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE"
                    " FUNCTION"
                    " double(); ALTER TABLE t ENABLE ALWAYS TRIGGER double")
    run_changes(pipe, "t", [
        "UPDATE t SET v = id", "UPDATE t SET id = -id, v = v + 1 WHERE id % 2 = 0",
        f"INSERT INTO t SELECT g, g FROM generate_series(2, {ROWS}, 2) g; DELETE FROM t WHERE v %"
        f" 5 = 0"])
    apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode)
    assert (pipe.target.sql("SELECT * FROM t ORDER BY id")
            == pipe.source.sql("SELECT id, v, v * 2 FROM t ORDER BY id"))


# --- columns and constraints of the target's own ---

EXTRAS = """
ALTER TABLE {0} ADD mine text NOT NULL DEFAULT 'new' CHECK (mine <> ''), ADD at int,
    ADD gone int, ADD seen bigint GENERATED ALWAYS AS (id * 2) STORED,
    ADD nr int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE {0} DROP gone; UPDATE {0} SET mine = 'row ' || id, at = id;
CREATE INDEX ON {0} (mine); ALTER TABLE {0} ADD UNIQUE (at, mine)
"""
OWN_CHANGES = [
    "UPDATE {0} SET v = v + 1", "UPDATE {0} SET id = id + 1000 WHERE id % 2 = 0",
    "UPDATE {0} SET id = id + 1000 WHERE id > 1000; UPDATE {0} SET v = 9 WHERE id > 1000;"
    " UPDATE {0} SET id = id - 2000 WHERE id > 1900 AND id % 4 = 0",
    "DELETE FROM {0} WHERE id % 5 = 0; INSERT INTO {0} (id, v) SELECT g, 3 FROM"
    f" generate_series(5, {ROWS}, 10) g; UPDATE {{0}} SET v = 4 WHERE id % 5 = 0",
    "DELETE FROM {0} WHERE id % 3 = 0 AND id < 1000; UPDATE {0} SET id = id - 2000 WHERE id % 6 = 2"
    " AND id > 1000 AND NOT EXISTS (SELECT FROM {0} o WHERE o.id = {0}.id - 2000)"]
OWN_TABLES = {
    "simple": "CREATE TABLE simple (id int PRIMARY KEY, v int, orig int)",
    "unique_too": "CREATE TABLE unique_too (id int PRIMARY KEY, v int, orig int, UNIQUE (orig, v))",
    "whole": "CREATE TABLE whole (id int PRIMARY KEY, v int, orig int);"
             "ALTER TABLE whole REPLICA IDENTITY FULL",
}


@MODES
def test_the_targets_own_columns_stay_with_their_rows(pipe, mode):
    """Through changes of the key as well; a row deleted and inserted again is a new one."""
    for name, make in OWN_TABLES.items():
        pipe.source.sql(make)
        pipe.source.sql(f"INSERT INTO {name} SELECT g, 0, g FROM generate_series(1, {ROWS}) g")
    pipe.copy()
    for name in OWN_TABLES:
        pipe.target.sql(EXTRAS.format(name))
    numbers = {name: dict(pipe.target.sql(f"SELECT orig, nr FROM {name}")) for name in OWN_TABLES}
    for name in OWN_TABLES:
        run_changes(pipe, name, [change.format(name) for change in OWN_CHANGES])
    counted = apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode)
    sets_were_used(counted, mode, 1000)
    for name in OWN_TABLES:
        assert (pipe.target.sql(f"SELECT id, v, orig FROM {name} ORDER BY 1")
                == pipe.source.sql(f"SELECT id, v, orig FROM {name} ORDER BY 1"))
        rows = pipe.target.sql(f"SELECT orig, mine, at, seen = id * 2, nr FROM {name}")
        old = [row for row in rows if row[0]]
        assert len(old) > ROWS // 4 and len(rows) > len(old)
        assert old == [(orig, f"row {orig}", orig, True, numbers[name][orig])
                       for orig, *_ in old], name
        new = [row for row in rows if not row[0]]
        assert [row[1:4] for row in new] == [("new", None, True)] * len(new), name
        assert len({row[4] for row in rows}) == len(rows)


TARGETS_DDL = ["SELECT 1", "ALTER TABLE t ADD other text DEFAULT 'o', DROP"
" gone", "ALTER TABLE t DROP other",
               "ALTER TABLE t ADD again int", "CREATE UNIQUE INDEX ON t (v, id)"]
LIVE_CHANGES = ["UPDATE t SET v = v + 1", "UPDATE t SET id = -id WHERE id % 2 = 0",
                "DELETE FROM t WHERE id % 10 = 1", "INSERT INTO t SELECT g, 7 FROM"
                " generate_series(1, 300, 10) g ON CONFLICT DO NOTHING"]


@MODES
def test_the_target_is_altered_while_it_is_followed(pipe, mode):
    """Between sets of one kind, whose statements are prepared."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int);"
                    "INSERT INTO t SELECT g, 0 FROM generate_series(1, 300) g")
    pipe.copy()
    pipe.target.sql("ALTER TABLE t ADD gone int")
    engine = pipe.follow(apply_mode=mode)
    for ddl in TARGETS_DDL:
        pipe.target.sql(ddl)
        run_changes(pipe, "t", LIVE_CHANGES)
        pipe.catch_up(engine)
        query = "SELECT id, v FROM t ORDER BY id"
        assert pipe.target.sql(query) == pipe.source.sql(query)
    engine.stop()


@MODES
def test_wider_types_in_another_order(pipe, mode):
    """What is wider is written as text, in sets too."""
    pipe.source.sql(f"""
        CREATE TABLE t (id smallint PRIMARY KEY, n int, b bigint, f real, c varchar(10), e char(4),
            p numeric(6, 2), z timestamp(0), x name, a int[]);
        INSERT INTO t SELECT g, g, g, 0.1, 'c' || g, 'e', g / 3.0, '2020-01-01', 'n', ARRAY[g, NULL]
        FROM generate_series(1, {ROWS}) g""")
    pipe.target.sql("""
        CREATE TABLE t (x text, z timestamp, p numeric(9, 2), e text, c text, f double precision,
            b numeric, n bigint, a int[], id bigint PRIMARY KEY)""")
    columns = "id::text, n::text, b::text, c, e, p::text, z::text, x, f::text, a"
    pipe.copy()
    run_changes(pipe, "t", [
        "UPDATE t SET n = -n, f = 0.3, a = a || a WHERE id % 2 = 0",
        "UPDATE t SET id = id + 1000, z = '2021-01-01 10:00', e = NULL WHERE id % 3 = 0",
        "DELETE FROM t WHERE id % 5 = 0; INSERT INTO t SELECT g, NULL, 1, 'NaN', '', '', 1.5,"
        f" 'infinity', '', '{{}}' FROM generate_series(5, {ROWS}, 5) g; UPDATE t SET p = 2 WHERE"
        " id % 5 = 0"])
    sets_were_used(apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode), mode, 300)
    query = f"SELECT {columns} FROM t ORDER BY id"
    assert pipe.target.sql(query) == pipe.source.sql(query)


# --- a stream in text form, rows into their root's table ---


@pytest.mark.matrix
@pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=pytest.mark.long)])
def test_values_in_text_form(pipe, mode):
    cases = {"kinds": apply_tables.OTHERS["kinds"],
             "keyless": apply_tables.KEYLESS["keyless_kinds"],
             "several": apply_keys.ALIKE["several"], "zero": apply_keys.ALIKE["zero"]}
    pipe.source.sql("CREATE EXTENSION hstore; CREATE TABLE forced (id int PRIMARY KEY, r regtype);"
                    + apply_keys.KINDS + apply_tables.KINDS)
    make_cases(pipe, cases)
    pipe.copy()
    pipe.source.sql("INSERT INTO forced SELECT g, 'int' FROM generate_series(1, 100) g")
    change_cases(pipe, cases)
    pipe.source.sql("UPDATE forced SET r = 'text', id = -id")
    sets_were_used(apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode), mode, 1000)
    pipe.is_equal()


TARGETS = {
    "plain": "CREATE TABLE ev (v text, region text, id int, PRIMARY KEY (region, id))",
    "hash": "CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (id, region))"
            " PARTITION BY HASH (id);"
            " CREATE TABLE ev_h0 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            " CREATE TABLE ev_h1 (gone int, region text NOT NULL, id int NOT NULL, v text);"
            " ALTER TABLE ev_h1 DROP gone;"
            " ALTER TABLE ev ATTACH PARTITION ev_h1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "as the source": "",
}


@MODES
@pytest.mark.parametrize("shape", ["hash", pytest.param("plain", marks=pytest.mark.long),
                                   pytest.param("as the source", marks=pytest.mark.long)])
def test_rows_move_between_partitions_under_the_root(pipe, shape, mode):
    settings = {**LARGE_GROUPS, "apply_mode": mode, "publish_via_root": True}
    case = apply_tables.OTHERS["partitions"]
    pipe.source.sql(case.make)
    pipe.target.sql(TARGETS[shape] or "SELECT")
    pipe.copy(**settings)
    run_changes(pipe, "partitions", [change.replace("TRUNCATE", "DELETE FROM")
                                     for change in case.changes])
    counted = apply_waiting(pipe, **settings)
    query = "SELECT id, region, v FROM ev ORDER BY 1, 2"
    assert pipe.target.sql(query) == pipe.source.sql(query)
    sets_were_used(counted, mode, 500)


SHARED = """
CREATE TABLE ev (id int, region text, u int, v int, PRIMARY KEY (region, id))
    PARTITION BY LIST (region);
CREATE TABLE ev_a PARTITION OF ev FOR VALUES IN ('a');
CREATE TABLE ev_b PARTITION OF ev FOR VALUES IN ('b');
ALTER TABLE ev_a ADD UNIQUE (u);
INSERT INTO ev SELECT g, 'a', g, 0 FROM generate_series(1, 100) g;
INSERT INTO ev SELECT g, 'b', 1000 + g, 0 FROM generate_series(101, 200) g
"""
SHARED_CHANGES = [  # the first makes sets of ev_a be refused
    "UPDATE ev SET u = -u WHERE region = 'a'; UPDATE ev SET u = 101 + u WHERE region = 'a'",
    "UPDATE ev SET region = 'a' WHERE region = 'b'",
    "UPDATE ev SET region = 'b', v = 2 WHERE id % 2 = 0", "UPDATE ev SET v = v + 1",
    "UPDATE ev SET region = 'a' WHERE region = 'b'; UPDATE ev SET region = 'b' WHERE id % 3 = 0"]


@pytest.mark.parametrize("way", ["each", "sets", pytest.param("ordered", marks=pytest.mark.long)])
@pytest.mark.parametrize("policy", ["error", "nothing",
                                    pytest.param("update", marks=pytest.mark.long)])
def test_partitions_that_share_a_table_go_in_step(pipe, policy, way):
    """Where the changes of one are applied in order, those of the other are as well."""
    settings = {**WAYS[way], "publish_via_root": True, "on_conflict_action": policy}
    pipe.source.sql(SHARED)
    pipe.target.sql("CREATE TABLE ev (id int, region text, u int UNIQUE, v int,"
                    " PRIMARY KEY (region, id))")
    pipe.copy(publish_via_root=True)
    run_changes(pipe, "ev", SHARED_CHANGES)
    apply_waiting(pipe, **settings)
    query = "SELECT * FROM ev ORDER BY id, region"
    assert pipe.target.sql(query) == pipe.source.sql(query)


# --- plans ---

BIG = 200_000
NEVER_ANALYSED = """
DELETE FROM pg_statistic WHERE starelid = ANY ('{one_key, two_keys, split_0, split_1}'::regclass[]);
UPDATE pg_class SET reltuples = -1, relpages = 0
WHERE relname IN ('one_key', 'two_keys', 'split', 'split_0', 'split_1', 'one_key_pkey',
                  'two_keys_pkey', 'split_0_pkey', 'split_1_pkey')
"""
SCANS = """
SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables
WHERE relname IN ('one_key', 'two_keys', 'split_0', 'split_1') ORDER BY 1"""


@MODES
def test_rows_are_found_by_the_key_whatever_the_statistics(pipe, mode):
    pipe.source.sql(f"""
        CREATE TABLE one_key (id int PRIMARY KEY, v int);
        INSERT INTO one_key SELECT g, 0 FROM generate_series(1, {BIG}) g;
        CREATE TABLE two_keys (a int, b text, v int, PRIMARY KEY (a, b));
        INSERT INTO two_keys SELECT g % 10, 'b' || g, 0 FROM generate_series(1, {BIG // 4}) g;
        CREATE TABLE split (id int PRIMARY KEY, v int) PARTITION BY HASH (id);
        CREATE TABLE split_0 PARTITION OF split FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE split_1 PARTITION OF split FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO split SELECT g, 0 FROM generate_series(1, {BIG // 4}) g""")
    settings = {**LARGE_GROUPS, "apply_mode": mode, "publish_via_root": True}
    pipe.copy(**settings)
    pipe.target.admin(NEVER_ANALYSED)
    pipe.target.close()
    before = pipe.target.sql(SCANS)
    run_changes(pipe, "plans", [
        "UPDATE one_key SET v = 1 WHERE id % 40 = 0; DELETE FROM one_key WHERE id % 40 = 1",
        "UPDATE two_keys SET v = 1 WHERE v = 0 AND b LIKE '%7'; DELETE FROM two_keys WHERE b LIKE"
        " '%70'",
        "UPDATE split SET v = 1 WHERE id % 10 = 0; DELETE FROM split WHERE id % 20 = 1",
        "UPDATE one_key SET id = -id, v = 2 WHERE id % 40 = 0",
        "UPDATE two_keys SET a = -a - 1 WHERE b LIKE '%17'; UPDATE split SET id = -id WHERE v = 1",
        "INSERT INTO one_key SELECT g, 0 FROM generate_series(300001, 303000) g"])
    counted = apply_waiting(pipe, **settings)
    sets_were_used(counted, mode, 10000)
    wait_until(lambda: scans_since(pipe, before, 2) > 20000, "the scans of the indexes are counted")
    assert scans_since(pipe, before, 1) == 0, "a table was read whole"
    pipe.is_equal()


def scans_since(pipe, before, column):
    return sum(now[column] - then[column] for now, then in zip(pipe.target.sql(SCANS), before))
