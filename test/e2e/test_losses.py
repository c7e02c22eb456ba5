"""What must not be lost, refused or removed in silence: publications, late tables, identities."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.program import CONFIGURATION, ENDED, PROGRAM
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"
LATE = "CREATE TABLE late (id int PRIMARY KEY)"
RANGES = ("CREATE TABLE p (a int PRIMARY KEY, v text) PARTITION BY RANGE (a);"
          "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")


def init(pipe):
    ended = pipe.command("init", source=pipe.source.url(), slot=pipe.slot)
    assert ended.code == ENDED, ended.stderr


def both(pipe, statement):
    for database in (pipe.source, pipe.target):
        database.sql(statement)


def publications(pipe):
    return [row[0] for row in pipe.source.sql("SELECT pubname FROM pg_publication ORDER BY 1")]


def follows(pipe, engine):
    """Whether it gets past all that is committed now, or else has refused."""
    mark = pipe.mark()
    wait_until(lambda: engine.code is not None or pipe.is_past(mark), "it follows or has ended")
    assert engine.code in (None, CONFIGURATION), engine.stderr
    return engine.code is None


def follows_all_or_says_so(pipe, engine, *words):
    """Equal, or a refusal, or a warning with all of the words."""
    if follows(pipe, engine) and not all(word in engine.stderr for word in words):
        pipe.is_equal()


# --- a table that gets past the check of what it held before it was published ---

def test_init_again_does_not_publish_rows_away(pipe):
    both(pipe, TABLE)
    init(pipe)
    both(pipe, LATE)
    pipe.source.sql("INSERT INTO late VALUES (1)")
    init(pipe)
    follows_all_or_says_so(pipe, pipe.start(mode="replication"), "not followed", "public.late")


def test_init_again_behind_a_pipeline_that_follows(pipe):
    both(pipe, TABLE)
    init(pipe)
    pipe.follow(mode="replication").stop()
    both(pipe, LATE)
    pipe.source.sql("INSERT INTO late VALUES (1)")
    init(pipe)
    follows_all_or_says_so(pipe, pipe.start(mode="replication"), "not followed", "public.late")


def test_a_table_attached_with_rows_is_late(pipe):
    both(pipe, RANGES)
    init(pipe)
    pipe.follow(mode="replication").stop()
    both(pipe, "CREATE TABLE p2 (a int PRIMARY KEY, v text)")
    pipe.source.sql("INSERT INTO p2 VALUES (11, 'x')")
    both(pipe, "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)")
    follows_all_or_says_so(pipe, pipe.start(mode="replication"), "not followed", "public.p2")


def test_a_new_table_needs_an_empty_namesake_without_a_copy_too(pipe):
    both(pipe, TABLE)
    init(pipe)
    engine = pipe.follow(mode="replication")
    pipe.source.sql("INSERT INTO t VALUES (1, 'x')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.source.sql("DROP TABLE t; " + TABLE)
    follows_all_or_says_so(pipe, pipe.start(mode="replication"), "not followed:", "public.t")


# --- a publication altered by hand ---

@pytest.mark.parametrize("mode, meanwhile", [
    ("snapshot_and_replication", "INSERT INTO t VALUES (2, 'y')"),
    ("snapshot_and_replication", "DELETE FROM t"),
    ("replication", "DELETE FROM t")])
def test_a_followed_table_dropped_from_the_publication_by_hand(pipe, mode, meanwhile):
    both(pipe, TABLE)
    init(pipe)
    engine = pipe.follow(mode=mode)
    pipe.source.sql("INSERT INTO t VALUES (1, 'x')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.source.admin(f"ALTER PUBLICATION {pipe.slot} DROP TABLE t")
    pipe.source.sql(meanwhile)
    follows_all_or_says_so(pipe, pipe.start(mode=mode), "not followed", "public.t")


SINCE_15 = pytest.mark.versions(source=(15, 18))  # publications of some rows or columns


@pytest.mark.parametrize("change", ["SET (publish = 'insert')",
                                    pytest.param("SET TABLE t WHERE (id > 5)", marks=SINCE_15),
                                    pytest.param("SET TABLE t (id)", marks=SINCE_15)])
def test_our_publication_narrowed_by_hand(pipe, change):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (1, 'x')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.source.admin(f"ALTER PUBLICATION {pipe.slot} {change}")
    engine = pipe.start()
    if follows(pipe, engine):
        pipe.source.sql("INSERT INTO t VALUES (3, 'x'); UPDATE t SET v = 'u'")
        assert not follows(pipe, engine) or pipe.is_equal()


@pytest.mark.parametrize("publication", [
    "FOR TABLE t WITH (publish = 'insert')",
    pytest.param("FOR TABLE t WHERE (id > 5)", marks=SINCE_15),
    pytest.param("FOR TABLE t (id)", marks=SINCE_15)])
def test_a_publication_of_the_slots_name_made_by_hand(pipe, publication):
    both(pipe, TABLE)
    pipe.source.sql(f"CREATE PUBLICATION {pipe.slot} {publication}")
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    engine = pipe.start(mode="replication")
    if follows(pipe, engine):
        pipe.source.sql("INSERT INTO t VALUES (1, 'x'), (6, 'y'); UPDATE t SET v = 'z'")
        assert not follows(pipe, engine) or pipe.is_equal()


def test_tear_down_leaves_the_users_publication(pipe):
    pipe.source.sql(f"{TABLE}; CREATE PUBLICATION {pipe.slot} FOR TABLE t")
    pipe.follow(publication_name=pipe.slot).stop()
    assert pipe.tear_down().code == ENDED
    assert publications(pipe) == [pipe.slot]


# --- the source's own statements ---

@pytest.mark.parametrize("how", ["init", "run"])
def test_a_root_without_a_key_and_without_leaves(pipe, how):
    pipe.source.sql(TABLE + "; CREATE TABLE p (a int, v text) PARTITION BY RANGE (a)")
    if how == "init":
        init(pipe)
    else:
        pipe.follow()
    pipe.source.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    pipe.source.sql("INSERT INTO p VALUES (1, 'x')")
    pipe.source.sql("UPDATE p SET v = 'y'")


def test_a_root_without_a_key_gets_another_leaf(pipe):
    pipe.source.sql("CREATE TABLE p (a int, v text) PARTITION BY RANGE (a);"
                    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    pipe.follow(tables_without_identity="full")
    pipe.source.sql("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
    pipe.source.sql("INSERT INTO p VALUES (11, 'x')")
    pipe.source.sql("UPDATE p SET v = 'y'")


def test_an_identity_that_two_pipelines_need(pipe, pipelines, shared_clusters):
    pipe.source.sql("CREATE TABLE log (v text); INSERT INTO log VALUES ('a')")
    other = pipelines(shared_clusters)
    source = pipe.urls()["source"]
    one = pipe.follow(tables_without_identity="full")
    two = other.start(source=source, tables_without_identity="full")
    wait_until(lambda: other.phase() == "following", "the second follows")
    one.stop()
    assert pipe.tear_down().code == ENDED
    pipe.source.sql("UPDATE log SET v = 'b'")
    two.stop()
    assert other.tear_down(source=source).code == ENDED
    assert pipe.source.one("SELECT relreplident::text FROM pg_class WHERE relname = 'log'") == "d"


def test_a_late_table_that_is_written_to_does_not_stop_the_others(pipe):
    both(pipe, TABLE)
    init(pipe)
    pipe.follow(mode="replication").stop()
    both(pipe, LATE)
    with pipe.source.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO late VALUES (1)")
        pipe.follow(mode="replication", identity_lock_timeout="500ms").stop()


# --- the stream carries more than is selected ---

def publication_of_two(pipe):
    name = pipe.slot + "_mine"
    pipe.source.sql(f"{TABLE}; CREATE TABLE u (id int PRIMARY KEY);"
                    f"CREATE PUBLICATION {name} FOR TABLE t, u")
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    return name


@pytest.mark.parametrize("has_namesake", [True, False])
def test_a_publication_that_carries_more_than_is_selected(pipe, has_namesake):
    name = publication_of_two(pipe)
    pipe.target.sql(TABLE)
    if has_namesake:
        pipe.target.sql("CREATE TABLE u (id int PRIMARY KEY)")
    engine = pipe.follow(mode="replication", publication_name=name, tables="t")
    pipe.source.sql("INSERT INTO u VALUES (1); INSERT INTO t VALUES (1, 'x')")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT id FROM t") == [(1,)]
    assert not has_namesake or pipe.target.sql("SELECT id FROM u") == []


def test_a_partition_that_is_left_out(pipe):
    pipe.source.sql(RANGES + "; CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);"
                    "INSERT INTO p VALUES (1, 'x'), (11, 'x')")
    engine = pipe.follow(excluded_tables="p2")
    pipe.source.sql("INSERT INTO p VALUES (2, 'x'), (12, 'x')")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT a FROM p ORDER BY 1") == [(1,), (2,)]


def test_a_partition_that_was_detached_and_written_to(pipe):
    """It left the publication with its root: what was written since is not in the stream."""
    pipe.source.sql(RANGES + "; CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);"
                    "INSERT INTO p VALUES (1, 'x'), (11, 'x')")
    pipe.follow().stop()
    pipe.source.sql("ALTER TABLE p DETACH PARTITION p2; INSERT INTO p2 VALUES (12, 'y')")
    pipe.target.admin("ALTER TABLE p DETACH PARTITION p2")
    follows_all_or_says_so(pipe, pipe.start(), "not followed", "public.p2")


def test_init_under_both_names_leaves_nothing(pipe, tmp_path):
    link = tmp_path / "pgstream"
    link.symlink_to(PROGRAM)
    subprocess.run([link, "init", "--pgurl", pipe.source.url(), "--replication-slot", pipe.slot],
                   check=True)
    init(pipe)
    assert pipe.tear_down(target=None).code == ENDED
    assert pipe.source.admin("SELECT nspname FROM pg_namespace WHERE nspname IN"
                             " ('pgstream', 'trunkline')") == []


@pytest.mark.parametrize("point", ["copy.planned", "copy.rows_done", "copy.indexes_done"])
def test_a_copy_that_was_killed_goes_on_without_one(pipe, point):
    pipe.source.sql(TABLE + "; INSERT INTO t VALUES (1, 'x')")
    pipe.start(fault=f"{point}=kill").ends(-9)
    engine = pipe.start(mode="replication")
    assert not follows(pipe, engine) or pipe.is_equal()


# --- tables that join without a copy while somebody locks another one ---

LOCKED_OUT = ("SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
              " AND wait_event_type = 'Lock' AND query LIKE %s")


def test_what_is_written_while_a_table_waits_to_join(pipe):
    """The empty table stays locked until it is published, however long another's lock takes."""
    both(pipe, TABLE)
    init(pipe)
    pipe.follow(mode="replication").stop()
    both(pipe, RANGES + "; CREATE TABLE z (id int PRIMARY KEY)")
    with pipe.source.connect() as holder, ThreadPoolExecutor(1) as writer:
        with holder.transaction():
            holder.execute("LOCK TABLE ONLY p IN SHARE MODE")  # as CREATE INDEX does
            engine = pipe.start(mode="replication")
            wait_until(lambda: pipe.source.admin(LOCKED_OUT, "ALTER PUBLICATION%"), "it waits")
            written = writer.submit(pipe.source.sql, "INSERT INTO z VALUES (1)")
            wait_until(lambda: written.done() or pipe.source.admin(LOCKED_OUT, "INSERT%"),
                       "the row is written, or its writer waits")
        written.result()
    follows_all_or_says_so(pipe, engine, "not followed", "public.z")
