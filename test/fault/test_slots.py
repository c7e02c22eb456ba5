"""A slot that others move, remove or outrun while a pipeline follows it; and one that stands where
nothing of the pipeline changes."""
import signal

import pytest

from harness.program import CONFIGURATION, json_output
from harness.slices import LONG
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"
ADVANCED = "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"
DROPPED = "SELECT pg_drop_replication_slot('{slot}')"
MADE_AGAIN = DROPPED + "; SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
BEYOND = "the changes in between are lost"


@pytest.mark.parametrize("statements, words", [
    pytest.param(ADVANCED, BEYOND, id="advanced"),
    pytest.param(DROPPED, "is gone from the source", id="dropped", marks=LONG),
    pytest.param(MADE_AGAIN, BEYOND, id="made again")])
def test_a_slot_that_is_touched_while_it_is_followed(pipe, statements, words):
    """The engine is held up meanwhile, as by a busy machine: it finds the slot as it was left."""
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    engine.popen.send_signal(signal.SIGSTOP)
    pipe.source.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                      " WHERE slot_name = %s", pipe.slot)
    wait_until(lambda: pipe.source.sql("SELECT 1 FROM pg_replication_slots"
                                       " WHERE slot_name = %s AND NOT active", pipe.slot),
               "the walsender has gone")
    pipe.source.sql("INSERT INTO t VALUES (2, 'lost')")
    for statement in statements.format(slot=pipe.slot).split("; "):
        pipe.source.admin(statement)
    engine.popen.send_signal(signal.SIGCONT)
    engine.ends(CONFIGURATION)
    assert pipe.slot in engine.stderr and words in engine.stderr
    assert "hint: " in engine.stderr and "tear-down" in engine.stderr
    assert pipe.target.one("SELECT count(*) FROM t") == 1
    assert pipe.run().code == CONFIGURATION  # and again, until somebody does as it says
    assert pipe.tear_down().code == 0
    pipe.target.sql("TRUNCATE t")
    pipe.copy()
    pipe.is_verified()


NOISE = ("CREATE TABLE noise (v text); ALTER TABLE noise ALTER v SET STORAGE EXTERNAL;"
         "INSERT INTO noise SELECT repeat('x', 100000) FROM generate_series(1, {megabytes} * 10)")


@pytest.mark.long
def test_a_slot_that_is_invalidated_while_the_target_is_locked(own_clusters, pipelines):
    """max_slot_wal_keep_size: the server ends the walsender, and what it needed is gone."""
    own_clusters[0].configure(max_slot_wal_keep_size="16MB", max_wal_size="48MB")
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    with pipe.target.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t")
        pipe.source.sql("UPDATE t SET v = 'b'")
        pipe.source.sql(NOISE.format(megabytes=64))
        for _ in range(2):
            pipe.source.admin("SELECT pg_switch_wal()")
            pipe.source.admin("CHECKPOINT")
        assert pipe.source.one("SELECT wal_status FROM pg_replication_slots") == "lost"
        status = pipe.command("status", "--json", **pipe.urls(), slot=pipe.slot)
        assert status.code == 1 and json_output(status)["slot"]["lost"]
    engine.ends(CONFIGURATION)
    assert f'slot \\"{pipe.slot}\\" is invalidated' in engine.stderr
    assert "tear-down" in engine.stderr and "max_slot_wal_keep_size" in engine.stderr


def held(pipe):
    """WAL that the source keeps for the slot, and WAL that it has not been told to be applied."""
    return pipe.source.sql("SELECT pg_current_wal_lsn() - restart_lsn,"
                           " pg_current_wal_lsn() - confirmed_flush_lsn"
                           " FROM pg_replication_slots WHERE slot_name = %s", pipe.slot)[0]


def test_a_gap_of_unpublished_changes_does_not_hold_the_slot(pipe, pipelines, shared_clusters):
    """200 MB in another database and in a table that is not followed."""
    pipe.source.sql(TABLE + "; CREATE TABLE other (v text)")
    engine = pipe.follow(tables="t", idle_position_interval="500ms")
    other = pipelines(shared_clusters)
    for database in (other.source, pipe.source):
        database.sql(NOISE.format(megabytes=100))
    # what the server does every 15 s by itself: a record of what runs, from which slots can begin
    pipe.source.admin("CHECKPOINT")
    wait_until(lambda: engine.runs() and max(held(pipe)) < 16 << 20, "the WAL is not needed", 60)
    assert pipe.target.one("SELECT count(*) FROM t") == 1
    engine.kill()
    pipe.source.sql("INSERT INTO t VALUES (2, 'after the gap')")
    pipe.copy(tables="t")
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "after the gap")]
