"""Partitions: leaf by leaf, and into their root's table (publish_via_root)."""
import pytest
from psycopg import errors

from harness.cluster import MAJORS
from harness.load import load
from harness.program import CONFIGURATION, FAILED
from harness.wait import wait_until

# Depth 3, leaves whose columns stand in another order or were dropped, default and hash partitions.
TREE = """
CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE ev_eu PARTITION OF ev FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (id);
CREATE TABLE ev_eu_1 (gone int, v text, region text NOT NULL, id int NOT NULL);
ALTER TABLE ev_eu_1 DROP gone;
ALTER TABLE ev_eu ATTACH PARTITION ev_eu_1 FOR VALUES FROM (0) TO (100);
CREATE TABLE ev_eu_2 PARTITION OF ev_eu FOR VALUES FROM (100) TO (1000) PARTITION BY HASH (id);
CREATE TABLE ev_eu_2a PARTITION OF ev_eu_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE ev_eu_2b PARTITION OF ev_eu_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us');
CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
INSERT INTO ev SELECT g, (ARRAY['de', 'fr', 'us', 'jp'])[g % 4 + 1], 'v' || g
FROM generate_series(1, 300) g;
"""
CHANGES = """
INSERT INTO ev SELECT g, (ARRAY['de', 'fr', 'us', 'jp'])[g % 4 + 1], 'new' FROM
    generate_series(301, 400) g;
UPDATE ev SET v = 'changed' WHERE id % 7 = 0;
UPDATE ev SET region = 'us' WHERE id % 11 = 0 AND region <> 'us';
UPDATE ev SET id = id + 500, region = 'de' WHERE id % 13 = 0;
UPDATE ev SET region = 'br' WHERE id = 5;
DELETE FROM ev WHERE id % 17 = 0;
BEGIN; UPDATE ev SET region = 'us' WHERE id = 9; UPDATE ev SET region = 'jp' WHERE id = 9;
UPDATE ev SET region = 'fr', v = 'moved' WHERE id = 9; COMMIT;
"""
ROWS = "SELECT id, region, v FROM ev ORDER BY 1, 2"
TARGETS = {
    "plain": "CREATE TABLE ev (v text, region text, id int, PRIMARY KEY (region, id))",
    "hash": "CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (id, region))"
            " PARTITION BY HASH (id);"
            " CREATE TABLE ev_h0 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            " CREATE TABLE ev_h1 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "as the source": "",
}


def is_same(pipe, query=ROWS):
    assert pipe.source.sql(query) == pipe.target.sql(query)
    return True


@pytest.mark.matrix
@pytest.mark.proves("Partitions and inheritance", "partitions by leaf: to any depth, list, range, "
                    "hash, default, columns in another order, dropped columns", copied=True,
                    followed=True, verified=True)
@pytest.mark.proves("Partitions and inheritance", "rows that move between partitions",
                    followed=True, verified=True)
def test_by_leaf(pipe):
    pipe.source.sql(TREE)
    engine = pipe.follow()
    pipe.is_equal()
    pipe.source.sql(CHANGES)
    pipe.source.sql("TRUNCATE ev_us; INSERT INTO ev VALUES (1, 'us', 'after')")
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()
    pipe.is_verified()


@pytest.mark.proves("Partitions and inheritance", "a partition that is partitioned itself on the "
                    "target", copied=True, followed=True, verified=True)
def test_a_leaf_that_is_partitioned_on_the_target(pipe):
    pipe.source.sql(TREE)
    pipe.target.sql("""
        CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (id, region))
            PARTITION BY LIST (region);
        CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us') PARTITION BY RANGE (id);
        CREATE TABLE ev_us_low PARTITION OF ev_us FOR VALUES FROM (0) TO (50);
        CREATE TABLE ev_us_high PARTITION OF ev_us FOR VALUES FROM (50) TO (2000)""")
    engine = pipe.follow()
    is_same(pipe)
    pipe.source.sql(CHANGES)
    pipe.catch_up(engine)
    is_same(pipe)
    assert pipe.target.one("SELECT count(*) FROM ev_us_low") > 0
    pipe.source.sql("TRUNCATE ev_us")
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()
    assert pipe.verify().code == 0


@pytest.mark.parametrize("shape", TARGETS)
@pytest.mark.proves("Partitions and inheritance", "publish_via_root: into a table partitioned "
                    "otherwise, a plain one, or one as on the source", copied=True, followed=True,
                    verified=True)
@pytest.mark.proves("Partitions and inheritance", "publish_via_root: TRUNCATE of the root",
                    followed=True)
def test_into_the_root(pipe, shape):
    pipe.source.sql(TREE)
    if TARGETS[shape]:
        pipe.target.sql(TARGETS[shape])
    engine = pipe.follow(publish_via_root=True)
    is_same(pipe)
    pipe.source.sql(CHANGES)
    pipe.catch_up(engine)
    is_same(pipe)
    pipe.source.sql("TRUNCATE ev; INSERT INTO ev VALUES (1, 'de', 'a'), (2, 'us', 'b')")
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()
    assert pipe.verify(publish_via_root=True).code == 0
    pipe.target.sql("UPDATE ev SET v = 'other' WHERE id = 2")
    assert pipe.verify(publish_via_root=True).code == FAILED


@pytest.mark.proves("Partitions and inheritance", "publish_via_root: TRUNCATE of a partition alone",
                    followed="no: refused; the stream does not say which rows they were")
def test_a_leaf_truncated_alone(pipe):
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS["plain"])
    engine = pipe.follow(publish_via_root=True)
    rows = pipe.target.sql(ROWS)
    pipe.source.sql("BEGIN; DELETE FROM ev WHERE region = 'jp'; TRUNCATE ev_us; COMMIT")
    engine.ends(CONFIGURATION)
    assert "public.ev_us was truncated alone" in engine.stderr
    assert pipe.target.sql(ROWS) == rows  # nothing of the transaction
    engine = pipe.run(publish_via_root=True)
    assert engine.code == CONFIGURATION
    pipe.source.admin(f"ALTER PUBLICATION {pipe.slot} DROP TABLE ev")
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    engine = pipe.follow(publish_via_root=True)
    pipe.source.sql("INSERT INTO ev VALUES (7, 'us', 'after')")
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()


@pytest.mark.parametrize("shape", ["plain", "as the source"])
def test_partitions_come_and_go_under_the_root(pipe, shape):
    pipe.source.sql(TREE)
    if TARGETS[shape]:
        pipe.target.sql(TARGETS[shape])
    engine = pipe.follow(publish_via_root=True)
    # made in the root: nothing is copied again
    pipe.source.sql("CREATE TABLE ev_cn PARTITION OF ev FOR VALUES IN ('cn');"
                    " INSERT INTO ev VALUES (1, 'cn', 'born'); UPDATE ev SET v = 'b' WHERE id = 1")
    wait_until(lambda: pipe.target.one("SELECT count(*) FROM ev WHERE region = 'cn' AND v = 'b'"),
               "the new partition's rows come")
    assert "copied public.ev" not in engine.stderr.split('msg="following"', 1)[1]
    is_same(pipe)
    # filled, then attached: all of the root is copied again
    pipe.source.sql("CREATE TABLE ev_in (LIKE ev INCLUDING ALL);"
                    " INSERT INTO ev_in SELECT g, 'in', 'old' FROM generate_series(1, 50) g;"
                    " ALTER TABLE ev ATTACH PARTITION ev_in FOR VALUES IN ('in')")
    pipe.source.sql("UPDATE ev SET v = 'seen' WHERE region = 'in' AND id = 3")
    if MAJORS["source"] < 15:  # its walsender keeps to what it knew of the table before
        engine.stop()
        engine = pipe.start(publish_via_root=True)
    wait_until(lambda: pipe.target.sql(ROWS) == pipe.source.sql(ROWS), "the attached rows come")
    pipe.catch_up(engine)
    pipe.source.sql("TRUNCATE ev")
    pipe.catch_up(engine)
    assert pipe.target.one("SELECT count(*) FROM ev") == 0
    pipe.source.sql("INSERT INTO ev VALUES (1, 'cn', 'x'), (1, 'us', 'x')")
    # emptied, then dropped; a TRUNCATE of the rest is one of the root
    pipe.source.sql("DELETE FROM ev WHERE region = 'cn'; DROP TABLE ev_cn; TRUNCATE ev;"
                    " INSERT INTO ev VALUES (2, 'us', 'y')")
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()


def test_a_partition_detached_from_the_root(pipe):
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS["plain"])
    pipe.copy(publish_via_root=True)
    pipe.source.sql("ALTER TABLE ev DETACH PARTITION ev_us; INSERT INTO ev_us VALUES (1, 'us', 'n')")
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    is_same(pipe, "SELECT id, region, v FROM ev_us ORDER BY 1, 2")
    pipe.source.sql("ALTER TABLE ev ATTACH PARTITION ev_us FOR VALUES IN ('us');"
                    " DELETE FROM ev WHERE id % 2 = 0")
    pipe.copy(publish_via_root=True)
    is_same(pipe)


@pytest.mark.parametrize("detach", ["", pytest.param("ALTER TABLE ev DETACH PARTITION ev_us;",
                                                     marks=pytest.mark.long)])
def test_a_partition_dropped_before_its_changes_were_read(pipe, detach):
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS["plain"])
    pipe.copy(publish_via_root=True)
    pipe.source.sql("INSERT INTO ev VALUES (700, 'us', 'n');"
                    " UPDATE ev SET region = 'jp' WHERE region = 'us';" + detach +
                    " DROP TABLE ev_us; INSERT INTO ev VALUES (701, 'de', 'after')")
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    pipe.source.sql("CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us');"
                    " INSERT INTO ev VALUES (1, 'us', 'again')")
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    pipe.source.sql("TRUNCATE ev; INSERT INTO ev VALUES (2, 'us', 'last')")
    pipe.copy(publish_via_root=True)
    is_same(pipe)


def change_tree(session, rng):
    """One statement on the tree."""
    i, region = rng.randrange(1, 1000), rng.choice(["de", "fr", "us", "jp", "br"])
    statement = rng.choice([
        "INSERT INTO ev VALUES (%(i)s, %(r)s, 'w') ON CONFLICT DO NOTHING",
        "INSERT INTO ev VALUES (%(i)s, %(r)s, 'w') ON CONFLICT DO NOTHING",
        "UPDATE ev SET region = %(r)s WHERE id = %(i)s AND NOT EXISTS"
        " (SELECT FROM ev WHERE id = %(i)s AND region = %(r)s)"
        " AND region = (SELECT min(region) FROM ev WHERE id = %(i)s)",
        "UPDATE ev SET v = v || '.' WHERE id = %(i)s", "DELETE FROM ev WHERE id = %(i)s"])
    try:
        session.execute(statement, {"i": i, "r": region})
    except (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure):
        pass


@pytest.mark.parametrize("shape", ["plain", pytest.param("hash", marks=pytest.mark.long)])
def test_into_the_root_under_load(pipe, shape):
    """Killed, copied on and followed while rows move; the root is truncated at every step."""
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS[shape])
    with load(pipe.source, change_tree, sessions=3, seed=4) as running:
        for fault in ("part.committed=kill@3", "copy.rows_done=kill", "group.commit=kill@5"):
            pipe.start(publish_via_root=True, fault=fault).ends(-9)
            pipe.source.sql("TRUNCATE ev")
            running.wait_steps(50)
        engine = pipe.follow(publish_via_root=True)
        pipe.source.sql("TRUNCATE ev")
        running.wait_steps(200)
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()


@pytest.mark.parametrize("point", ["part.begin@2", "copy.rows_done"])
def test_the_root_is_truncated_beside_its_copy(pipe, tmp_path, point):
    """Between two leaves, and when all are copied: seen by the snapshot for all of them, or none."""
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS["plain"])
    gate = tmp_path / "gate"
    name, at, passage = point.partition("@")
    engine = pipe.start(publish_via_root=True, copiers=1, fault=f"{name}=wait:{gate}{at}{passage}")
    wait_until(lambda: engine.runs() and gate.with_name("gate.reached").exists(), "it waits")
    pipe.source.sql("TRUNCATE ev; INSERT INTO ev SELECT g, 'us', 'n' FROM generate_series(1, 9) g")
    gate.touch()
    pipe.catch_up(engine)
    is_same(pipe)
    engine.stop()


def test_finished_roots_are_not_copied_again(pipe):
    """Killed in mid-copy: the root whose leaves are all there stays, the other starts again."""
    pipe.source.sql(TREE + """
        CREATE TABLE two (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE two_a PARTITION OF two FOR VALUES FROM (0) TO (5);
        CREATE TABLE two_b PARTITION OF two FOR VALUES FROM (5) TO (10);
        INSERT INTO two SELECT g, repeat('x', 5000) FROM generate_series(0, 9) g""")
    pipe.source.sql("ANALYZE")
    pipe.target.sql(TARGETS["hash"] + "; CREATE TABLE two (id int PRIMARY KEY, v text)")
    pipe.start(publish_via_root=True, copiers=1, fault="part.committed=kill@4").ends(-9)
    done = {name for name, in pipe.target.admin("SELECT t.table_name FROM trunkline.tables t JOIN"
                                                " trunkline.parts USING (slot, source_oid)")}
    assert len(done) == 4
    before = dict(pipe.target.sql("SELECT id, xmin::text FROM two"))
    engine = pipe.follow(publish_via_root=True)
    is_same(pipe)
    is_same(pipe, "SELECT * FROM two ORDER BY id")
    if {"two_a", "two_b"} <= done:
        assert dict(pipe.target.sql("SELECT id, xmin::text FROM two")) == before
    for leaf in done & {"ev_eu_1", "ev_eu_2a", "ev_eu_2b", "ev_us", "ev_rest"}:
        assert f"copied public.{leaf}:" in engine.stderr
    engine.stop()


@pytest.mark.proves("Partitions and inheritance", "publish_via_root: partitions without a key "
                    "(REPLICA IDENTITY FULL)", copied=True, followed=True, verified=True)
def test_into_the_root_without_a_key(pipe):
    pipe.source.sql("""
        CREATE TABLE log (k int, v text) PARTITION BY LIST (k);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);
        CREATE TABLE log_2 PARTITION OF log DEFAULT;
        ALTER TABLE log_1 REPLICA IDENTITY FULL; ALTER TABLE log_2 REPLICA IDENTITY FULL;
        INSERT INTO log SELECT g % 3, 'same' FROM generate_series(1, 12) g""")
    pipe.target.sql("CREATE TABLE log (v text, k int)")
    query = "SELECT k, v FROM log ORDER BY 1, 2"
    engine = pipe.follow(publish_via_root=True)
    is_same(pipe, query)
    pipe.source.sql("UPDATE log SET v = 'x' WHERE ctid = (SELECT min(ctid) FROM log_1) AND"
                    " tableoid = 'log_1'::regclass; UPDATE log SET k = 2 WHERE k = 1 AND v = 'x';"
                    " DELETE FROM log WHERE tableoid = 'log_2'::regclass AND ctid = '(0,1)'")
    pipe.catch_up(engine)
    is_same(pipe, query)
    pipe.source.sql("TRUNCATE log_1")
    engine.ends(CONFIGURATION)
    pipe.source.admin(engine.stderr.split("copied again: ")[1].split(", on the source")[0]
                      .replace('\\"', '"'))
    pipe.copy(publish_via_root=True)
    is_same(pipe, query)
    assert pipe.verify(publish_via_root=True).code == 0


@pytest.mark.long
def test_switched_on_and_off(pipe):
    pipe.source.sql(TREE)
    pipe.copy()
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    pipe.source.sql(CHANGES)
    pipe.copy(publish_via_root=True)
    is_same(pipe)
    ended = pipe.run()
    assert ended.code == CONFIGURATION and "publish_via_root was set" in ended.stderr


def test_a_snapshot_into_the_root(pipe):
    """And one that is killed starts from nothing."""
    pipe.source.sql(TREE)
    pipe.target.sql(TARGETS["hash"])
    urls = {**pipe.urls(), "publish_via_root": True, "copiers": 1}
    ended = pipe.command("snapshot", **urls, environment={"TRUNKLINE_FAULT": "part.committed=kill@3"})
    assert ended.code == -9 and pipe.target.one("SELECT count(*) FROM ev") > 0
    assert pipe.command("snapshot", **urls).code == 0
    is_same(pipe)
    assert pipe.target.one("SELECT count(*) FROM pg_class WHERE relname = 'ev_us'") == 0


def test_into_the_root_without_a_copy(pipe):
    pipe.source.sql("CREATE TABLE ev (id int, region text, v text, PRIMARY KEY (id, region))"
                    " PARTITION BY LIST (region);"
                    " CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us')")
    pipe.target.sql(TARGETS["plain"])
    assert pipe.command("init", source=pipe.source.url(), slot=pipe.slot).code == 0
    engine = pipe.follow(mode="replication", publish_via_root=True)
    # one that is empty is seen when the other's rows come
    pipe.source.sql("CREATE TABLE ev_in (LIKE ev INCLUDING ALL);"
                    " ALTER TABLE ev ATTACH PARTITION ev_in FOR VALUES IN ('in');"
                    " CREATE TABLE ev_de PARTITION OF ev FOR VALUES IN ('de');"
                    " INSERT INTO ev VALUES (1, 'de', 'born'), (1, 'us', 'x')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.source.sql("TRUNCATE ev; INSERT INTO ev VALUES (2, 'in', 'attached'), (2, 'us', 'y')")
    pipe.copy(mode="replication", publish_via_root=True)
    is_same(pipe)
    # filled before it was attached, in one transaction: its rows are in no stream
    pipe.source.sql("BEGIN; CREATE TABLE ev_cn (LIKE ev INCLUDING ALL);"
                    " INSERT INTO ev_cn VALUES (3, 'cn', 'lost');"
                    " ALTER TABLE ev ATTACH PARTITION ev_cn FOR VALUES IN ('cn');"
                    " INSERT INTO ev VALUES (4, 'cn', 'left out'); COMMIT")
    engine = pipe.start(mode="replication", publish_via_root=True, until="now").ends(0)
    assert "not followed" in engine.stderr and "public.ev_cn" in engine.stderr
    assert pipe.target.one("SELECT count(*) FROM ev WHERE region = 'cn'") == 0


@pytest.mark.proves("Partitions and inheritance", "partitions by the hash of an enum",
                    copied="yes, with publish_via_root: the hash is another one in every database",
                    followed=True, verified=True)
def test_partitions_by_the_hash_of_an_enum(pipe):
    pipe.source.sql("""
        CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad', 'wild', 'odd', 'calm');
        CREATE TABLE ev (m mood, id int, PRIMARY KEY (m, id)) PARTITION BY HASH (m);
        CREATE TABLE ev_0 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO ev SELECT m, g FROM unnest(enum_range(NULL::mood)) m, generate_series(1, 9) g""")
    pipe.target.sql("CREATE TYPE other AS ENUM ('other labels', 'take', 'other', 'OIDs')")
    pipe.start().ends(CONFIGURATION)
    engine = pipe.follow(publish_via_root=True)
    pipe.source.sql("UPDATE ev SET m = 'odd', id = id + 10 WHERE m = 'sad';"
                    "DELETE FROM ev WHERE id = 3; INSERT INTO ev VALUES ('sad', 99)")
    pipe.catch_up(engine)
    assert is_same(pipe, "SELECT m, id FROM ev ORDER BY 1, 2")
    verified = pipe.verify(publish_via_root=True)
    assert verified.code == 0, verified.stdout
