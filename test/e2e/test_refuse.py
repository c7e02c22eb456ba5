"""What is refused before anything is created: the exit code, a hint, and nothing left behind."""
import re

import pytest

from harness.cluster import free_port
from harness.program import CONFIGURATION, FAILED

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"


def traces(pipe):
    """What a run leaves in both databases."""
    slots = pipe.source.sql("SELECT slot_name FROM pg_replication_slots WHERE database = %s"
                            " ORDER BY 1", pipe.source.name)
    publications = pipe.source.sql("SELECT pubname FROM pg_publication ORDER BY 1")
    made = [database.sql("SELECT n.nspname, c.relname, c.relkind FROM pg_class c"
                         " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_'"
                         " AND n.nspname <> 'information_schema' ORDER BY 1, 2")
            + database.sql("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1")
            for database in (pipe.source, pipe.target)]
    return slots, publications, made


def is_refused(pipe, *words, code=CONFIGURATION, hint=True, **settings):
    """Runs, claims the refusal with these words (patterns), and that nothing was created."""
    before = traces(pipe)
    engine = pipe.run(**settings)
    codes = code if isinstance(code, tuple) else (code,)
    assert engine.code in codes, f"exit {engine.code}: {engine.stderr}"
    for word in words:
        assert re.search(word, engine.stderr, re.I), f"no {word!r} in: {engine.stderr}"
    assert not hint or "hint: " in engine.stderr, engine.stderr
    assert traces(pipe) == before
    return engine


@pytest.mark.parametrize("side", ["source", "target"])
def test_connection_refused(pipe, side):
    pipe.source.sql(TABLE)
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    is_refused(pipe, side, "refused", code=FAILED, hint=False, **{side: url})


@pytest.mark.parametrize("side", ["source", "target"])
def test_wrong_password(pipe, side):
    pipe.source.sql(TABLE)
    database = getattr(pipe, side)
    role = f"guarded_{database.name}"
    database.admin(f"CREATE ROLE {role} LOGIN PASSWORD 'right-one' IN ROLE with_password")
    try:
        engine = is_refused(pipe, side, "password", **{side: database.url(role, "wrong-one")})
        assert "wrong-one" not in engine.stderr + engine.stdout
    finally:
        database.admin(f"DROP ROLE {role}")


@pytest.mark.parametrize("side", ["source", "target"])
def test_unknown_database(pipe, side):
    pipe.source.sql(TABLE)
    url = getattr(pipe, side).url() + "_nowhere"
    is_refused(pipe, side, "_nowhere", **{side: url})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_same_database_on_both_sides(pipe, host):
    pipe.source.sql(TABLE)
    is_refused(pipe, "same database", target=pipe.source.url().replace("127.0.0.1", host))


def test_wal_level(own_clusters, pipelines):
    own_clusters[0].configure(wal_level="replica")
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    is_refused(pipe, "wal_level", "logical", "restart")


def test_no_free_slot(own_clusters, pipelines):
    own_clusters[0].configure(max_replication_slots=1)
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    pipe.source.sql("SELECT pg_create_physical_replication_slot('taken')")
    is_refused(pipe, "max_replication_slots")


def test_no_free_sender(own_clusters, pipelines):
    own_clusters[0].configure(max_wal_senders=1)
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    with pipe.source.connect(replication="database"):
        is_refused(pipe, "max_wal_senders")


def test_patterns_that_match_nothing(pipe):
    pipe.source.sql(TABLE)
    engine = is_refused(pipe, "nosuch", tables="t,nosuch,other.x*")
    assert "other.x" in engine.stderr


def test_a_slot_in_use(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pid = pipe.source.one("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s",
                          pipe.slot)
    with_target = pipe.target.cluster.create_database(pipe.target.name + "_2")
    try:
        is_refused(pipe, pipe.slot, f"{pid}", target=with_target.url())
    finally:
        with_target.close()
        pipe.target.cluster.drop_database(with_target.name)
    engine.stop()


def test_a_second_engine_for_the_same_pipeline(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    is_refused(pipe, "another|already|running", hint=False, code=(FAILED, CONFIGURATION))
    pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_a_slot_of_another_database(pipe):
    pipe.source.sql(TABLE)
    other = pipe.source.cluster.create_database(pipe.source.name + "_2")
    try:
        other.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
        is_refused(pipe, pipe.slot, other.name)
    finally:
        other.close()
        pipe.source.cluster.drop_database(other.name)


def test_a_slot_of_another_plugin(pipe):
    pipe.source.sql(TABLE)
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", pipe.slot)
    is_refused(pipe, pipe.slot, "test_decoding")


def test_target_tables_that_hold_rows(pipe):
    pipe.source.sql(TABLE + '; CREATE TABLE "Two" (id int PRIMARY KEY)')
    pipe.target.sql('CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (9);'
                    'CREATE TABLE "Two" (id int PRIMARY KEY); INSERT INTO "Two" VALUES (1)')
    is_refused(pipe, r"\bt\b", "Two", "rows")
    assert pipe.target.sql("SELECT id FROM t") == [(9,)]


def test_no_pg_dump(pipe, tmp_path):
    pipe.source.sql(TABLE)
    is_refused(pipe, "pg_dump", pg_bindir=str(tmp_path))


def test_tables_without_a_replica_identity(pipe):
    pipe.source.sql(TABLE + """;
        CREATE TABLE nokey (id int); CREATE TABLE nothing (id int PRIMARY KEY);
        ALTER TABLE nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
        CREATE TABLE whole (id int); ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE TABLE parted (k int) PARTITION BY LIST (k);
        CREATE TABLE parted_leaf PARTITION OF parted DEFAULT""")
    engine = is_refused(pipe, "nokey", "nothing", "late", "parted_leaf", "replica identity",
                        "tables.without.identity")
    assert "whole" not in engine.stderr
    pipe.source.sql("UPDATE nokey SET id = 1; DELETE FROM nothing")


def test_a_keeper_that_is_not_ours(pipe):
    pipe.source.sql(TABLE)
    pipe.target.sql("CREATE SCHEMA trunkline; CREATE TABLE trunkline.theirs (id int)")
    is_refused(pipe, "trunkline")
    assert pipe.target.one("SELECT count(*) FROM trunkline.theirs") == 0


def test_a_keeper_of_another_pipeline(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("SELECT pg_drop_replication_slot(%s)", pipe.slot)
    other = pipe.source.cluster.create_database(pipe.source.name + "_2")
    try:
        other.sql(TABLE)
        is_refused(pipe, "keeper|pipeline", pipe.source.name, source=other.url())
    finally:
        other.close()
        pipe.source.cluster.drop_database(other.name)


def test_a_keeper_newer_than_the_program(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.target.admin("UPDATE trunkline.meta SET version = version + 1000")
    is_refused(pipe, "newer")
