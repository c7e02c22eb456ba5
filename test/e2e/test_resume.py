"""A copy that was killed under `run`: what is finished stays, the rest starts again."""
import signal

import pytest

from harness.load import load
from harness.program import json_output, lsn
from harness.slices import LONG
from harness.wait import wait_until

# The largest is copied first, as one part.
NAMES = ["one", "two", "three", "four"]
TABLES = "".join(
    f"CREATE TABLE {name} (id int PRIMARY KEY, n int, v text);"
    f"INSERT INTO {name} SELECT g, 0, repeat('x', 200) FROM generate_series(1, {rows}) g;"
    for name, rows in zip(NAMES, (4000, 3000, 2000, 1000)))
ORDERLY = {"copiers": 1, "part_size": "1GB"}
KEPT = ("SELECT t.table_name, t.snapshot, t.end_lsn::text, p.part, p.xmin::text, p.done_at::text,"
        " pg_relation_filenode(t.target_oid) FROM trunkline.tables t"
        " JOIN trunkline.parts p USING (slot, source_oid) WHERE t.table_name = ANY (%s)")


def kept(pipe, names):
    """The records of the tables' parts and the files that hold their rows."""
    return sorted(pipe.target.admin(KEPT, list(names)))


def step(session, rng):
    name, i = rng.choice(NAMES), rng.randrange(1, 1000)
    choice = rng.randrange(3)
    if choice == 0:
        session.execute(f"UPDATE {name} SET n = n + 1 WHERE id = %s", (i,))
    elif choice == 1:
        session.execute(f"DELETE FROM {name} WHERE id = %s", (i,))
    else:
        session.execute(f"INSERT INTO {name} VALUES (%s, 1, 'new') ON CONFLICT DO NOTHING", (i,))


def status(pipe):
    return json_output(pipe.command("status", **pipe.urls(), slot=pipe.slot, json=True))


def newest_end(pipe):
    return lsn(pipe.target.admin_one(
        "SELECT greatest(max(end_lsn), (SELECT schema_lsn FROM trunkline.pipeline))::text"
        " FROM trunkline.tables"))


@pytest.mark.parametrize("fault, done", [
    ("part.committed=kill@2", 2), ("copy.rows_done=kill", 4),
    pytest.param("part.commit=kill@3", 2, marks=LONG),
    pytest.param("copy.indexes_done=kill", 4, marks=LONG),
    pytest.param("part.committed=disconnect@2", 2, marks=LONG),
    pytest.param("schema.restored=kill", 0, marks=LONG)])
def test_finished_tables_are_never_copied_again(pipe, fault, done):
    pipe.source.sql(TABLES)
    with load(pipe.source, step, sessions=2) as running:
        if fault.endswith("disconnect@2"):
            engine = pipe.start(**ORDERLY, fault=f"{fault},copy.rows_done=kill")
        else:
            engine = pipe.start(**ORDERLY, fault=fault)
        assert engine.wait() == -signal.SIGKILL
        before = kept(pipe, NAMES[:done])
        assert len(before) == done
        running.wait_steps(100)
        engine = pipe.start(**ORDERLY, fault="copy.indexes_done=kill")
        assert engine.wait() == -signal.SIGKILL
        assert kept(pipe, NAMES[:done]) == before
        assert len(kept(pipe, NAMES)) == len(NAMES)
    pipe.copy()
    assert kept(pipe, NAMES[:done]) == before
    pipe.is_verified()


def test_status_says_from_where_on_the_target_is_consistent(pipe):
    pipe.source.sql(TABLES + "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree)")
    with load(pipe.source, step) as running:
        assert pipe.start(**ORDERLY, fault="part.committed=kill@3").wait() == -signal.SIGKILL
        said = status(pipe)
        assert (said["consistent_from"], said["consistent"]) == (None, False)
        assert said["inconsistent_because"] == "3 of 5 tables are copied"
        running.wait_steps(20)
        for fault in ("copy.rows_done=kill", "copy.indexes_done=kill", "follow.start=kill"):
            assert pipe.start(**ORDERLY, fault=fault).wait() == -signal.SIGKILL
            said = status(pipe)
            assert lsn(said["consistent_from"]) == newest_end(pipe)
            assert said["consistent"] is False and said["inconsistent_because"]
            assert pipe.target.one("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
                                   " AND connamespace = 'public'::regnamespace") == 0
    from_then = said["consistent_from"]
    text = pipe.command("status", **pipe.urls(), slot=pipe.slot).stdout
    assert f"consistent  from {from_then} on: not reached yet: the stream" in text
    pipe.copy()
    said = status(pipe)
    assert said["consistent_from"] == from_then
    assert said["consistent"] is True and said["inconsistent_because"] is None
    assert lsn(said["lag"]["position"]) >= lsn(from_then)
    pipe.is_verified()


# Slow on the target only: the index is being built for as long as the test wants.
SLOW = """
CREATE FUNCTION slowly(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF pg_catalog.current_database() LIKE 'dst%' AND pg_catalog.to_regclass('public.hurry') IS NULL
    THEN PERFORM pg_catalog.pg_sleep(60); END IF;
    RETURN i;
END $$;
CREATE TABLE zone (id int PRIMARY KEY, k int) PARTITION BY RANGE (id);
CREATE TABLE zone_1 PARTITION OF zone FOR VALUES FROM (0) TO (100);
CREATE TABLE zone_2 PARTITION OF zone FOR VALUES FROM (100) TO (200);
INSERT INTO zone SELECT g, g FROM generate_series(90, 110) g;
CREATE INDEX zone_slow ON zone (slowly(k));
CREATE TABLE plain (id int PRIMARY KEY, u int UNIQUE, n int, CHECK (n > 0));
CREATE INDEX plain_n ON plain (n) INCLUDE (u);
INSERT INTO plain SELECT g, g, g FROM generate_series(1, 500) g;
CREATE TABLE child (id int PRIMARY KEY, plain int REFERENCES plain);
"""
INDEXES = ("SELECT c.relname::text, c.oid, i.indisvalid FROM pg_class c"
           " JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace")
BUILT = {"plain_pkey", "plain_u_key", "plain_n", "child_pkey", "zone_1_pkey"}


def indexes(pipe):
    return {name: (oid, is_valid) for name, oid, is_valid in pipe.target.sql(INDEXES)}


OLDER = ("DROP TABLE trunkline.large_objects, trunkline.apply_errors;"
         "ALTER TABLE trunkline.tables DROP COLUMN parked_lsn, DROP COLUMN is_resync; ALTER TABLE trunkline.pipeline DROP COLUMN is_snapshot,"
         " DROP COLUMN is_making_slot;"
         "UPDATE trunkline.meta SET version = 3")


@pytest.mark.parametrize("fault", [None, "part.committed=kill@2",
                                   pytest.param("copy.rows_done=kill", marks=LONG)])
def test_the_keeper_of_the_release_before_is_continued(pipe, fault):
    """By its status, too, before the engine has brought it up to date."""
    pipe.source.sql(TABLES)
    if fault:
        pipe.start(fault=fault, **ORDERLY).ends(-signal.SIGKILL)
    else:
        pipe.follow().stop()
    before = kept(pipe, NAMES)
    phase = status(pipe)["phase"]
    pipe.target.admin(OLDER)
    assert status(pipe)["phase"] == phase
    pipe.source.sql("UPDATE one SET n = 7 WHERE id < 100; INSERT INTO two VALUES (0, 1, 'new')")
    engine = pipe.follow(**ORDERLY)
    assert set(before) <= set(kept(pipe, NAMES))
    engine.stop()
    pipe.is_verified()


def test_index_builds_resume(pipe):
    pipe.source.sql(SLOW)
    engine = pipe.start(copiers=1)
    building = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND query LIKE 'CREATE INDEX%slow%' AND state = 'active'")
    wait_until(lambda: BUILT <= set(indexes(pipe)) and pipe.target.admin_one(building),
               "all other indexes are built and the slow one is begun")
    engine.kill()
    wait_until(lambda: not pipe.target.admin_one(building), "the build has ended", 10)
    pipe.target.admin("UPDATE pg_index SET indisvalid = false"
                      " WHERE indexrelid = 'plain_n'::regclass")  # as one that broke off is left
    before = indexes(pipe)
    assert set(before) >= BUILT
    pipe.target.sql("CREATE TABLE hurry ()")
    pipe.copy(copiers=1)
    after = indexes(pipe)
    for name in BUILT - {"plain_n"}:
        assert after[name] == before[name], name
    assert after["plain_n"][0] != before["plain_n"][0]
    assert all(is_valid for _, is_valid in after.values())
    assert {"zone_slow", "zone_1_slowly_idx", "zone_2_slowly_idx"} <= set(after)
    pipe.target.sql("DROP TABLE hurry")
    pipe.is_verified()


# On 14 no plain role may switch foreign keys off: they are made at the cut-over.
@pytest.mark.versions(target=(15, 18))
def test_a_key_that_was_made_is_not_made_again(pipe):
    pipe.source.sql(SLOW.replace("60", "0"))
    keys = ("SELECT conname::text, oid FROM pg_constraint WHERE contype = 'f'"
            " AND connamespace = 'public'::regnamespace")
    assert pipe.start(fault="copy.keys_done=kill").wait() == -signal.SIGKILL
    before = pipe.target.sql(keys)
    assert len(before) == 1
    pipe.copy()
    assert pipe.target.sql(keys) == before


def test_a_crash_of_the_source_does_not_take_back_what_is_copied(rough):
    """Its commits are asynchronous, its WAL writer slow: what a snapshot shows may not be on disk
    yet."""
    pipe = rough
    source = pipe.source.cluster
    source.configure(wal_writer_delay="10s", wal_writer_flush_after="0")
    source.restart()
    pipe.source.sql(TABLES)
    assert pipe.start(**ORDERLY, fault="slot.recorded=kill").wait() == -signal.SIGKILL
    pipe.source.sql("SET synchronous_commit = off; INSERT INTO one VALUES (9000, 9, 'in flight')")
    assert pipe.start(**ORDERLY, fault="part.committed=kill").wait() == -signal.SIGKILL
    assert pipe.target.one("SELECT count(*) FROM one WHERE id = 9000") == 1
    source.kill9()
    source.start()
    pipe.copy()
    pipe.is_verified()


def test_a_start_with_everything_copied_asks_little(pipe):
    """Sessions cost the servers more than all questions: the checks' are used on, the catalog is
    read once."""
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.source.sql("UPDATE one SET n = n + 1")

    def sessions(database):
        return database.admin_one("SELECT sessions FROM pg_stat_database"
                                  " WHERE datname = current_database()")

    before = [sessions(database) for database in (pipe.source, pipe.target)]
    pipe.copy()
    began = [sessions(database) - count for database, count in zip(
        (pipe.source, pipe.target), before)]
    assert 1 <= began[0] <= 5  # checks, the stream's two, perhaps control, sequences
    assert 1 <= began[1] <= 4  # checks, the applier's two, perhaps control
    pipe.is_verified()


def test_what_came_while_another_engine_ran_is_taken_in(pipe, tmp_path):
    """The second engine's checks have read the tables already when one comes."""
    pipe.source.sql(TABLES)
    first = pipe.follow()
    gate = tmp_path / "gate"
    second = pipe.start(until="now", fault=f"start.checked=wait:{gate}")
    wait_until(gate.with_name("gate.reached").exists, "the checks are over")
    pipe.source.sql("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)")
    gate.touch()
    wait_until(lambda: pipe.target.admin_one(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%'"
        " AND pid <> pg_backend_pid()"), "the second engine waits for the lock")
    first.stop()
    second.ends(0)
    assert pipe.target.one("SELECT count(*) FROM late") == 1
    pipe.is_verified()
