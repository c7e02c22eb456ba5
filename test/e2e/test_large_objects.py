"""Large objects: copied with --large-objects, exact, once, and all of one moment."""
import pathlib
import signal

import pytest

from harness.program import CONFIGURATION, ENDED, flags

TABLE = "CREATE TABLE t (id int PRIMARY KEY, lo oid)"
# Every byte value, lengths around the limits of pages and pieces, an empty one, one with a hole.
MAKE = """
SELECT lo_from_bytea(3000000001, (SELECT string_agg(set_byte('\\x00', 0, g), '') FROM generate_series(0, 255) g));
SELECT lo_from_bytea(200000 + n, convert_to(repeat(md5(n::text), n / 32 + 1), 'UTF8')) FROM
    unnest(ARRAY[1, 2047, 2048, 2049, 8159, 8160, 8161, 8191, 8192, 8193, 1048575, 1056767, 1056768, 1056769]) n;
SELECT lo_truncate(lo_open(200000 + n, 131072), n) FROM
    unnest(ARRAY[1, 2047, 2048, 2049, 8159, 8160, 8161, 8191, 8192, 8193, 1048575, 1056767, 1056768, 1056769]) n;
SELECT lo_create(7), lo_create(8); SELECT lo_put(8, 5000000, 'far');
SELECT lo_from_bytea(0, int4send(g)) FROM generate_series(1, 1200) g;
INSERT INTO t VALUES (1, 7), (2, 8)
"""
CONTENTS = """
SELECT oid, length(lo_get(oid)), md5(lo_get(oid)), pg_get_userbyid(lomowner), obj_description(oid, 'pg_largeobject'),
    ARRAY(SELECT a::text FROM unnest(lomacl) a ORDER BY 1) FROM pg_largeobject_metadata ORDER BY oid"""
RIGHTS = """
GRANT SELECT ON LARGE OBJECT 8 TO {second} WITH GRANT OPTION; GRANT ALL ON LARGE OBJECT 8 TO PUBLIC;
SET ROLE {second}; GRANT SELECT ON LARGE OBJECT 8 TO {third}; RESET ROLE;
REVOKE UPDATE ON LARGE OBJECT 7 FROM app; GRANT UPDATE ON LARGE OBJECT 7 TO {second};
ALTER LARGE OBJECT 200001 OWNER TO {second}; COMMENT ON LARGE OBJECT 3000000001 IS E'it''s \\\\ "ü"'
"""
BIG = 100 << 20


@pytest.fixture
def large(pipe):
    """A source with large objects, of two owners, with grants."""
    names = {"second": f"second_{pipe.slot}", "third": f"third_{pipe.slot}"}
    for database in (pipe.source, pipe.target):
        for name in names.values():
            database.admin(f"CREATE ROLE {name}; GRANT {name} TO {database.cluster.role}")
    pipe.source.sql(TABLE)
    pipe.source.sql(MAKE)
    pipe.source.admin(RIGHTS.format(**names))
    yield pipe
    for database in (pipe.source, pipe.target):
        for name in names.values():
            database.admin(f"DROP OWNED BY {name}; DROP ROLE {name}")


def contents(database):
    return database.admin(CONTENTS)


def are_equal(pipe):
    there = contents(pipe.target)
    assert len(there) == 1217 and there == contents(pipe.source)
    return True


def copy_by(pipe, command, fault=None, **settings):
    chosen = {**pipe.urls(), "large_objects": True, **settings}
    if command == "run":
        chosen.update(slot=pipe.slot, until="now")
    return pipe.process(command, *flags(chosen),
                        environment={"TRUNKLINE_FAULT": fault} if fault else None)


@pytest.mark.proves("Objects", "large objects, with owner and grants", copied="yes, with `--large-objects`",
                    followed="no: logical decoding does not carry them", verified="no")
@pytest.mark.parametrize("command", ["run", "snapshot"])
def test_they_are_copied_exactly(large, command):
    copy_by(large, command).ends(ENDED)
    assert are_equal(large)


@pytest.mark.parametrize("command, point", [
    ("run", "copy.large_objects"), ("snapshot", "copy.keys_done"),
    pytest.param("run", "copy.rows_done", marks=pytest.mark.long),
    pytest.param("run", "copy.indexes_done", marks=pytest.mark.long),
    pytest.param("snapshot", "copy.large_objects", marks=pytest.mark.long)])
def test_a_kill_mixes_no_snapshots(large, command, point):
    copy_by(large, command, fault=f"{point}=kill").ends(-signal.SIGKILL)
    assert len(contents(large.target)) == 1217
    if command == "snapshot" or point == "copy.large_objects":
        large.source.sql("SELECT lo_unlink(7)")
        large.source.sql("SELECT lo_put(8, 0, 'other'), lo_create(7)")
    copy_by(large, command).ends(ENDED)
    assert are_equal(large)
    assert copy_by(large, "run").wait() in (ENDED, CONFIGURATION)
    assert are_equal(large)


@pytest.mark.wide
@pytest.mark.parametrize("command", ["run", pytest.param("snapshot", marks=pytest.mark.long)])
def test_more_than_the_target_can_lock_at_once(own, command):
    own.target.admin("ALTER SYSTEM SET max_locks_per_transaction = 10")
    own.target.cluster.restart()
    own.source.sql(TABLE)
    own.source.sql("SELECT lo_from_bytea(0, int4send(g)) FROM generate_series(1, 12000) g")
    for fault, code in (("copy.large_objects=kill", -signal.SIGKILL), (None, ENDED)):
        copy_by(own, command, fault=fault).ends(code)
        assert own.target.admin_one("SELECT count(*) FROM pg_largeobject_metadata") == 12000


@pytest.mark.long
def test_a_large_one_is_copied_in_little_memory(pipe):
    pipe.source.sql(TABLE)
    pipe.source.sql("SELECT lo_create(5)")
    pipe.source.sql(f"SELECT lo_put(5, g * {1 << 20}::bigint, convert_to(repeat(md5(g::text), {1 << 15}), 'UTF8'))"
                    f" FROM generate_series(0, {(BIG >> 20) - 1}) g")
    started = copy_by(pipe, "snapshot")
    peak = 0
    while started.code is None:
        try:
            status = pathlib.Path(f"/proc/{started.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]))
        except (FileNotFoundError, IndexError, ProcessLookupError):
            break
    started.ends(ENDED)
    digest = "SELECT md5(string_agg(md5(data), '' ORDER BY pageno)), sum(length(data)) FROM pg_largeobject"
    copied = pipe.target.admin(digest)
    assert copied == pipe.source.admin(digest) and copied[0][1] == BIG
    assert peak < 64 << 10, f"{peak} kB"


def test_without_the_flag_they_are_counted(large):
    check = large.command("check", slot=large.slot, **large.urls())
    assert "warning large_objects: large objects of the source are left out: 1217 of them" in check.stdout
    ended = large.start(until="now").ends(ENDED)
    assert "large objects of the source are left out: 1217 of them" in ended.stderr
    assert contents(large.target) == []


def test_what_may_not_be_read_or_stands_there_is_refused(large):
    large.source.admin("ALTER LARGE OBJECT 8 OWNER TO postgres; REVOKE ALL ON LARGE OBJECT 8 FROM PUBLIC;"
                       f"REVOKE ALL ON LARGE OBJECT 8 FROM app, second_{large.slot} CASCADE")
    ended = copy_by(large, "run").ends(CONFIGURATION)
    hint = "GRANT SELECT ON LARGE OBJECT 8 TO trunkline_source"
    assert hint in ended.stderr
    large.source.admin(hint)
    large.target.sql("SELECT lo_create(200001)")
    ended = copy_by(large, "run").ends(CONFIGURATION)
    assert "large objects of the same number as the source: 200001" in ended.stderr
    large.target.sql("SELECT lo_unlink(200001)")
    copy_by(large, "run").ends(ENDED)
    assert len(contents(large.target)) == 1217
