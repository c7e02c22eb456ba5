"""Types alone in a table, large values. Every type's values: test_values.py."""
import pathlib
import re

import pytest

from harness import values
from harness.slices import LONG

BASE = 40 << 20  # of the engine without rows, in bytes


@pytest.mark.parametrize("kind, value", [
    ("regclass", "'reft'"), ("regtype", "'mood'"), ("regconfig", "'english'"), ("ext.seg", "'1'"),
    ("aclitem[]", "'{postgres=r/postgres}'"), ("mood", "'so-so'"), ("int2vector", "''")])
def test_a_type_is_exact_in_a_table_of_its_own(pipe, kind, value):
    """Where no other column forces text upon the table."""
    pipe.target.sql(values.SHIFT)
    pipe.source.sql(values.PRELUDE)
    pipe.source.sql(f"CREATE TABLE t (id int PRIMARY KEY, v {kind});"
                    f"INSERT INTO t VALUES (1, {value}), (2, NULL)")
    engine = pipe.follow()
    pipe.is_equal()
    pipe.source.sql(f"INSERT INTO t VALUES (3, {value}), (4, NULL)")
    pipe.source.sql(f"UPDATE t SET v = {value} WHERE id = 2")
    pipe.source.sql("UPDATE t SET v = NULL WHERE id = 1")
    pipe.source.sql("UPDATE t SET id = 30 WHERE id = 3")
    pipe.source.sql("DELETE FROM t WHERE id = 4")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_unchanged_large_values_stay(pipe):
    """The stream does not carry them: neither NULL nor a placeholder may take their place."""
    pipe.source.sql("""
        CREATE TABLE t (id int PRIMARY KEY, big text, doc jsonb, raw bytea, n int);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
        INSERT INTO t SELECT g, repeat(md5(g::text), 200),
            jsonb_build_object('k', repeat('j', 9000)),
            decode(repeat(md5(g::text), 300), 'hex'), g FROM generate_series(1, 50) g""")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET n = -n WHERE id < 30")
    pipe.source.sql("BEGIN; UPDATE t SET n = 1 WHERE id = 1; UPDATE t SET big = 'b' WHERE id = 1;"
                    " UPDATE t SET n = 2 WHERE id = 1; COMMIT")
    pipe.source.sql("UPDATE t SET raw = NULL WHERE id = 2")
    pipe.source.sql("BEGIN; INSERT INTO t SELECT 100, repeat(md5('x'), 200), NULL, NULL, 0;"
                    " UPDATE t SET n = 5 WHERE id = 100; COMMIT")
    pipe.source.sql("UPDATE t SET doc = doc || '{\"more\": 1}' WHERE id = 3")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_rows_of_a_megabyte(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v bytea, w text);"
                    "ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
    insert = ("INSERT INTO t SELECT g, decode(repeat(md5(g::text), 60000), 'hex'),"
              " repeat(md5(g::text), 3000) FROM generate_series({}, {}) g")
    pipe.source.sql(insert.format(1, 20))
    engine = pipe.follow(part_size="1MB")
    pipe.source.sql(insert.format(21, 40))
    pipe.source.sql("UPDATE t SET w = 'changed' WHERE id < 10")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def peak(process):
    """The greatest resident size so far, in bytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


@pytest.mark.proves("Types", "values of 100 MB, in bounded memory", copied=True, followed=True)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [16 << 20, pytest.param(100 << 20, marks=LONG)])
def test_huge_values_in_bounded_memory(pipe, size):
    """The engine holds a few times one row, not all of them: libpq's buffers and one copy while it
    copies, also the batch and what is sent while it follows."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v bytea);"
                    " ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
    insert = (f"INSERT INTO t SELECT g, decode(repeat(md5(g::text), {size // 16}), 'hex')"
              " FROM generate_series({}, {}) g")
    pipe.source.sql(insert.format(1, 5))
    engine = pipe.follow(timeout=300, copiers=1)
    assert peak(engine) < BASE + 3 * size
    pipe.source.sql(insert.format(6, 10))
    pipe.source.sql("UPDATE t SET id = -id WHERE id = 1")
    pipe.catch_up(engine, timeout=300)
    print(f"{peak(engine) >> 20} MiB")
    assert peak(engine) < BASE + 6 * size
    engine.stop()
    digest = "SELECT id, length(v), md5(v) FROM t ORDER BY id"
    assert pipe.target.sql(digest) == pipe.source.sql(digest)
