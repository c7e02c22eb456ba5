"""Key changes, tables without a key, TRUNCATE. Kinds of identities and keys: test_keys.py."""
import pytest

from harness.program import FAILED
from harness.slices import WIDE, every

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text, w int)"


def follow(pipe, *statements):
    """Copies what the first statements made; applies each other one while the engine follows."""
    make, *changes = statements
    pipe.source.sql(make)
    engine = pipe.follow()
    pipe.is_equal()
    for change in changes:
        pipe.source.sql(change)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_default_identity(pipe):
    follow(pipe, TABLE + "; INSERT INTO t SELECT g, 'v', g FROM generate_series(1, 100) g",
           "UPDATE t SET v = NULL WHERE id = 1", "UPDATE t SET w = NULL, v = '' WHERE id = 2",
           "DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (1000, NULL, NULL)",
           "UPDATE t SET w = w + 1")


def test_a_row_among_equal_rows_is_changed_alone(pipe):
    follow(pipe, "CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL;"
                 "INSERT INTO t SELECT 1, 'same' FROM generate_series(1, 10);"
                 "INSERT INTO t SELECT NULL, NULL FROM generate_series(1, 10)",
           "UPDATE t SET b = 'one' WHERE ctid = (SELECT ctid FROM t WHERE a = 1 LIMIT 1)",
           "DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a = 1 LIMIT 1)",
           "DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a IS NULL LIMIT 1)",
           "UPDATE t SET a = 2 WHERE a IS NULL", "DELETE FROM t WHERE b = 'same'",
           "INSERT INTO t SELECT 1, 'same' FROM generate_series(1, 3)")


def test_columns_of_any_name_tell_rows_apart(pipe):
    """r and s are what the program itself calls the rows that it compares."""
    follow(pipe, "CREATE TABLE t (s int4range, r int4range, t int, n int);"
                 "ALTER TABLE t REPLICA IDENTITY FULL;"
                 "INSERT INTO t SELECT '[1,2)', '[1,2)', g, g FROM generate_series(1, 10) g",
           "UPDATE t SET n = 20 WHERE t = 2", "DELETE FROM t WHERE t = 3")


@pytest.mark.matrix
def test_equal_rows_in_partitions_are_changed_alone(pipe):
    follow(pipe, "CREATE TABLE t (k int, v text) PARTITION BY LIST (k);"
                 "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);"
                 "CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);"
                 "ALTER TABLE t1 REPLICA IDENTITY FULL; ALTER TABLE t2 REPLICA IDENTITY FULL;"
                 "ALTER TABLE t REPLICA IDENTITY FULL;"
                 "INSERT INTO t SELECT 1 + g % 2, 'same' FROM generate_series(1, 10) g",
           "DELETE FROM t WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM t LIMIT 1)",
           "UPDATE t1 SET v = 'other' WHERE ctid = (SELECT ctid FROM t1 LIMIT 1)",
           "UPDATE t SET k = 2 WHERE k = 1")


@pytest.mark.matrix
def test_keys_that_change_swap_and_chain(pipe):
    follow(pipe, TABLE + "; INSERT INTO t SELECT g, 'v' || g, g FROM generate_series(1, 20) g;"
                 "CREATE TABLE d (id int PRIMARY KEY DEFERRABLE, v int);"
                 "ALTER TABLE d REPLICA IDENTITY FULL;"
                 "INSERT INTO d SELECT g, g FROM generate_series(1, 5) g",
           "UPDATE t SET id = 100 WHERE id = 1",
           "BEGIN; UPDATE t SET id = -1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3;"
           " UPDATE t SET id = 3 WHERE id = -1; COMMIT",
           "BEGIN; UPDATE t SET id = 101 WHERE id = 100; UPDATE t SET id = 102 WHERE id = 101;"
           " DELETE FROM t WHERE id = 102; INSERT INTO t VALUES (100, 'back', 0); COMMIT",
           "BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (5, 'again', 5);"
           " UPDATE t SET v = 'and again' WHERE id = 5; COMMIT",
           "UPDATE t SET id = -id WHERE id > 10",
           "UPDATE d SET id = 6 - id")


@pytest.mark.matrix
def test_a_key_change_keeps_values_the_stream_does_not_carry(pipe):
    follow(pipe, "CREATE TABLE t (id int PRIMARY KEY, big text, big2 text, n int);"
                 "ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL;"
                 "INSERT INTO t SELECT g, repeat(g::text, 3000), repeat('z', 9000), g"
                 " FROM generate_series(1, 20) g",
           "UPDATE t SET n = 0 WHERE id = 1", "UPDATE t SET id = 100 WHERE id = 2",
           "UPDATE t SET big = 'short' WHERE id = 3",
           "UPDATE t SET big2 = NULL, id = 101 WHERE id = 4",
           "BEGIN; UPDATE t SET id = 102 WHERE id = 5; UPDATE t SET n = 7 WHERE id = 102;"
           " UPDATE t SET id = 5 WHERE id = 102; COMMIT")


def test_generated_and_identity_columns(pipe):
    follow(pipe, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,"
                 " double int GENERATED ALWAYS AS (a * 2) STORED);"
                 "INSERT INTO t (a) SELECT generate_series(1, 20)",
           "UPDATE t SET a = 100 WHERE id = 1", "INSERT INTO t (a) VALUES (7)",
           "DELETE FROM t WHERE id = 2", "UPDATE t SET id = DEFAULT WHERE id = 3")


TREE = """
CREATE TABLE parent (id serial PRIMARY KEY, v text);
CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent);
CREATE TABLE alone (id serial PRIMARY KEY);
CREATE TABLE part (k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE part_a PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_b PARTITION OF part FOR VALUES FROM (10) TO (20);
INSERT INTO parent (v) VALUES ('a'), ('b'); INSERT INTO child (parent) VALUES (1), (2);
INSERT INTO alone SELECT FROM generate_series(1, 5); INSERT INTO part SELECT generate_series(1, 15);
"""


@pytest.mark.parametrize("change", every(2, others=WIDE, first=1, values=[
    "TRUNCATE alone", "TRUNCATE parent, child", "TRUNCATE parent CASCADE", "TRUNCATE child, alone",
    "TRUNCATE part", "TRUNCATE part_a", "TRUNCATE ONLY alone",
    "BEGIN; INSERT INTO alone VALUES (100); TRUNCATE alone; INSERT INTO alone VALUES (101); COMMIT",
    "BEGIN; TRUNCATE alone; ROLLBACK",
    "BEGIN; UPDATE parent SET v = 'z'; TRUNCATE parent, child, part; INSERT INTO part VALUES (3);"
    " COMMIT"]))
def test_truncate(pipe, change):
    follow(pipe, TREE, change)


def test_truncate_restarts_identity(pipe):
    follow(pipe, TREE, "TRUNCATE alone RESTART IDENTITY")
    assert pipe.target.one("SELECT nextval('alone_id_seq')") == 1


def test_truncate_never_reaches_tables_outside_the_pipeline(pipe):
    pipe.source.sql(TREE)
    engine = pipe.follow()
    pipe.target.sql("CREATE TABLE theirs (id int PRIMARY KEY, alone int REFERENCES alone);"
                    "INSERT INTO theirs VALUES (1, 1)")
    pipe.source.sql("TRUNCATE alone CASCADE")
    engine.ends(FAILED)
    assert "theirs" in engine.stderr and "alone" in engine.stderr
    assert pipe.target.one("SELECT count(*) FROM theirs") == 1
    assert pipe.target.one("SELECT count(*) FROM alone") == 5
    pipe.target.sql("DROP TABLE theirs")
    pipe.copy()
    pipe.is_verified()
