"""Restarts, lost connections, and positions that no longer fit the source."""
import signal
import urllib.error
import urllib.request

import pytest

from harness.cluster import free_port
from harness.data import make_bank, make_mill, mill_step, transfer
from harness.load import load
from harness.program import CONFIGURATION, ENDED, FAILED, lsn, metrics
from harness.slices import LONG
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"


def test_a_restart_goes_on_where_it_was(pipe):
    make_mill(pipe.source)
    with load(pipe.source, mill_step, sessions=2) as running:
        for _ in range(5):
            engine = pipe.follow()
            running.wait_steps(50)
            engine.stop()
            running.wait_steps(20)
    pipe.copy()
    pipe.is_verified()


def test_what_was_copied_is_not_copied_again(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    before = pipe.target.one("SELECT min(xmin::text::bigint) FROM t")
    pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
    pipe.copy()
    assert pipe.target.sql("SELECT id, xmin::text::bigint = %s FROM t ORDER BY 1", before) == \
        [(1, True), (2, False)]


@pytest.mark.matrix
def test_a_copy_that_was_killed_starts_its_tables_again(pipe, tmp_path):
    make_mill(pipe.source, rows=8000)
    engine = pipe.start(part_size="64kB", copiers=1, fault="part.committed=kill@4")
    assert engine.wait() == -signal.SIGKILL
    pipe.source.sql("UPDATE item SET n = n + 1; DELETE FROM event WHERE id % 2 = 0")
    pipe.copy(part_size="64kB")
    pipe.is_verified()


@pytest.mark.parametrize("role", ["source", "target"])
def test_sessions_that_the_server_ends_are_made_again(pipe, role):
    make_mill(pipe.source)
    engine = pipe.follow()
    database = getattr(pipe, role)
    end_all = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE datname = %s AND application_name LIKE 'trunkline:%%'")
    with load(pipe.source, mill_step, sessions=2) as running:
        for _ in range(4):
            running.wait_steps(30)
            wait_until(lambda: database.admin(end_all, database.name), "the engine has a session")
        pipe.catch_up(engine)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("side, how", [
    (0, signal.SIGINT), (0, signal.SIGQUIT), (1, signal.SIGINT),
    pytest.param(1, signal.SIGQUIT, marks=LONG)])
def test_a_server_that_restarts_is_waited_for(rough, side, how):
    """pg_ctl restart, fast and immediate."""
    pipe = rough
    make_mill(pipe.source)
    engine = pipe.follow()
    cluster = (pipe.source, pipe.target)[side].cluster
    with load(pipe.source, mill_step, sessions=2, survives=True) as running:
        running.wait_steps(30)
        cluster.stop(how)
        assert engine.runs()
        cluster.start()
        running.wait_steps(30)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("side", [0, 1])
def test_reconnecting_ends_with_its_timeout(rough, side):
    pipe = rough
    pipe.source.sql(TABLE)
    engine = pipe.follow(reconnect_timeout="1500ms")
    cluster = (pipe.source, pipe.target)[side].cluster
    cluster.stop()
    engine.ends(FAILED, timeout=20)
    cluster.start()
    pipe.copy()
    pipe.is_verified()


@pytest.mark.parametrize("point", ["part.rows", "group.commit"])
def test_a_target_that_stays_full_is_no_progress(pipe, point):
    """The servers answer each time: what is copied and applied counts."""
    pipe.source.sql(TABLE + "; CREATE TABLE full_one (id int PRIMARY KEY); INSERT INTO full_one VALUES (1)")
    if point == "group.commit":
        pipe.follow().stop()
        pipe.source.sql("INSERT INTO full_one VALUES (2)")
    engine = pipe.start(reconnect_timeout="2s", fault=f"{point}=full@*")
    engine.ends(FAILED, timeout=30)
    pipe.copy()
    pipe.is_verified()


def test_a_signal_ends_it_while_it_reconnects(rough):
    pipe = rough
    pipe.source.sql(TABLE)
    port = free_port()
    engine = pipe.follow(listen=f"127.0.0.1:{port}")
    pipe.source.cluster.stop()
    wait_until(lambda: metrics(port)["trunkline_reconnects_total"] > 0, "it has noticed")
    engine.stop()
    pipe.source.cluster.start()


@pytest.mark.wide
def test_a_source_with_asynchronous_target_loses_nothing(rough):
    """The target's commits are asynchronous; its WAL writer is too slow for them; kill -9."""
    pipe = rough
    make_bank(pipe.source)
    pipe.target.sql(f"ALTER DATABASE {pipe.target.name} SET synchronous_commit = off")
    pipe.target.cluster.configure(wal_writer_delay="2s")
    pipe.target.cluster.restart()
    engine = pipe.follow()
    with load(pipe.source, transfer, sessions=2) as running:
        for _ in range(3):
            running.wait_steps(200)
            pipe.target.cluster.kill9()
            running.wait_steps(20)
            pipe.target.cluster.start()
            pipe.catch_up(engine)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_the_source_is_told_only_what_the_target_has_flushed(rough):
    pipe = rough
    pipe.source.sql(TABLE)
    pipe.target.sql(f"ALTER DATABASE {pipe.target.name} SET synchronous_commit = off")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
    pipe.catch_up(engine)
    pipe.target.cluster.kill9()
    pipe.target.cluster.start()
    assert pipe.target.one("SELECT count(*) FROM t") == 2
    engine.kill()


def test_a_position_found_at_the_start_is_durable_before_the_source_hears_of_it(rough):
    """The engine died when its commit was visible and nothing had flushed it yet."""
    pipe = rough
    pipe.source.sql(TABLE)
    target = pipe.target.cluster
    target.configure(wal_writer_delay="2s")
    target.restart()
    pipe.follow().stop()
    engine = pipe.start(fault="group.committed=kill")
    pipe.source.sql("INSERT INTO t VALUES (2, 'b')")
    assert engine.wait() == -signal.SIGKILL
    position = lsn(pipe.target.admin_one("SELECT lsn::text FROM trunkline.position"))
    engine = pipe.start()
    wait_until(lambda: pipe.confirmed() >= position, "the source has heard of the position")
    target.kill9()
    target.start()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def is_named(pipe, *words):
    """Claims that a run refuses to go on and says why."""
    engine = pipe.run()
    assert engine.code in (FAILED, CONFIGURATION), engine.stderr
    for word in words:
        assert word in engine.stderr, engine.stderr
    assert "hint: " in engine.stderr


@pytest.mark.matrix
def test_a_slot_that_is_gone_is_named(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("SELECT pg_drop_replication_slot(%s)", pipe.slot)
    pipe.source.sql("INSERT INTO t VALUES (2, 'lost')")
    is_named(pipe, pipe.slot, "gone")


@pytest.mark.matrix
def test_a_slot_that_was_made_again_is_named(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("SELECT pg_drop_replication_slot(%s)", pipe.slot)
    pipe.source.sql("INSERT INTO t VALUES (2, 'lost')")
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    is_named(pipe, pipe.slot)


def test_a_slot_ahead_of_our_position_is_named(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("INSERT INTO t VALUES (2, 'lost')")
    pipe.source.sql("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", pipe.slot)
    is_named(pipe, pipe.slot)


def test_a_slot_that_goes_while_it_follows_is_named(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    engine.popen.send_signal(signal.SIGSTOP)  # or it might be back before anybody looks
    pipe.source.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                      " WHERE slot_name = %s", pipe.slot)

    def dropped():
        return pipe.source.sql("SELECT pg_drop_replication_slot(slot_name)"
                               " FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
                               pipe.slot)

    wait_until(dropped, "the slot is dropped")
    engine.popen.send_signal(signal.SIGCONT)
    engine.wait()
    assert engine.code in (FAILED, CONFIGURATION) and pipe.slot in engine.stderr


def test_a_slot_that_was_invalidated_is_named(own_clusters, pipelines):
    own_clusters[0].configure(max_slot_wal_keep_size="16MB", max_wal_size="48MB")
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.sql("CREATE TABLE noise (v text)")
    for _ in range(5):
        pipe.source.sql("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        pipe.source.admin("SELECT pg_switch_wal()")
        pipe.source.admin("CHECKPOINT")
    assert pipe.source.one("SELECT wal_status FROM pg_replication_slots") == "lost"
    is_named(pipe, pipe.slot)


def test_a_publication_that_is_gone_is_named(pipe):
    pipe.source.sql(TABLE)
    pipe.copy()
    pipe.source.admin(f"DROP PUBLICATION {pipe.slot}")
    is_named(pipe, pipe.slot, "publication")


def test_a_source_restored_from_an_older_backup_is_named(own, tmp_path):
    pipe = own
    pipe.source.sql(TABLE)
    pipe.copy()
    source = pipe.source.cluster
    source.stop()
    source.backup(tmp_path / "backup")
    source.start()
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t SELECT g, 'later' FROM generate_series(10, 5000) g")
    pipe.catch_up(engine)
    engine.stop()
    source.stop()
    source.restore(tmp_path / "backup")
    source.start()
    position = pipe.target.admin_one("SELECT max(lsn) FROM trunkline.position")
    assert lsn(str(position)) > lsn(pipe.source.one("SELECT pg_current_wal_lsn()::text"))
    is_named(pipe, "backup")
    assert pipe.target.one("SELECT count(*) FROM t") == 4992


def test_another_cluster_under_the_same_address_is_named(own, own_clusters, base_directory):
    pipe = own
    pipe.source.sql(TABLE)
    pipe.copy()
    source, target = own_clusters
    twin = target.create_database(pipe.source.name)
    twin.sql(TABLE)
    twin.sql(f"CREATE PUBLICATION {pipe.slot} FOR TABLE t")
    twin.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    try:
        engine = pipe.run(source=twin.url("postgres"))
        assert engine.code == CONFIGURATION and "system identifier" in engine.stderr
    finally:
        twin.close()
        target.drop_database(pipe.source.name)


def test_an_idle_night_and_a_restart(pipe):
    """Unpublished traffic only: the position moves on, and may be ahead of nothing."""
    pipe.source.sql(TABLE + "; CREATE TABLE unpublished (v text)")
    engine = pipe.follow(tables="t")
    for _ in range(5):
        pipe.source.sql("INSERT INTO unpublished SELECT repeat('x', 100)"
                        " FROM generate_series(1, 1000)")
        pipe.catch_up(engine)
    engine.kill()
    pipe.source.sql("INSERT INTO t VALUES (2, 'after the night')")
    engine = pipe.follow(tables="t")
    assert pipe.target.one("SELECT count(*) FROM t") == 2
    engine.stop()
    assert pipe.verify(tables="t").code == ENDED


def test_health_follows_the_state(pipe):
    pipe.source.sql(TABLE)
    port = free_port()
    engine = pipe.follow(listen=f"127.0.0.1:{port}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        assert answer.status == 200
    pipe.source.sql("INSERT INTO t VALUES (2, 'b'), (3, 'c'); UPDATE t SET v = 'd' WHERE id = 1")
    pipe.catch_up(engine)
    values = metrics(port)
    assert values["trunkline_copied_rows_total"] == 1
    assert values["trunkline_changes_total{kind=insert}"] == 2
    assert values["trunkline_changes_total{kind=update}"] == 1
    assert values["trunkline_phase{phase=following}"] == 1
    assert values["trunkline_confirmed_lsn"] <= values["trunkline_durable_lsn"]
    engine.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
