"""The stream: what is applied, what stops it, what it must not do to the servers."""
import signal

import pytest

from harness.data import make_mill, mill_step
from harness.load import load
from harness.program import CONFIGURATION, ENDED, FAILED, lsn
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.mark.matrix
def test_changes_follow(pipe):
    make_mill(pipe.source)
    engine = pipe.follow()
    with load(pipe.source, mill_step, sessions=3, seed=1) as running:
        running.wait_steps(200)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_a_commit_arrives_at_once_when_the_input_is_idle(pipe):
    """Without the short interval of the other tests: no timer may bring it."""
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    engine.stop()
    engine = pipe.start(idle_position_interval="60s")
    for number in range(20):
        pipe.source.sql("INSERT INTO t VALUES (%s, 'x')", number)
        wait_until(lambda n=number: pipe.target.one("SELECT count(*) FROM t") == n + 1,
                   "the row arrives", timeout=30 if number == 0 else 1)
    engine.stop()


def test_what_is_rolled_back_is_not_applied(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    for change in ("BEGIN; INSERT INTO t VALUES (1, 'no'); ROLLBACK",
                   "BEGIN; INSERT INTO t VALUES (2, 'yes'); SAVEPOINT s; INSERT INTO t VALUES"
                   " (3, 'no'); UPDATE t SET v = 'no'; ROLLBACK TO s; INSERT INTO t VALUES"
                   " (4, 'yes'); COMMIT"):
        pipe.source.sql(change)
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(2, "yes"), (4, "yes")]
    engine.stop()


@pytest.mark.wide
@pytest.mark.matrix
def test_a_large_transaction(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pipe.source.sql("BEGIN; INSERT INTO t SELECT g, 'value ' || g FROM generate_series(1, 60000) g;"
                    " UPDATE t SET v = 'changed' WHERE id % 3 = 0; DELETE FROM t WHERE id % 5 = 0;"
                    " COMMIT")
    pipe.catch_up(engine, timeout=120)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.matrix
def test_two_phase_commits(pipe):
    pipe.source.sql(TABLE)
    with pipe.source.connect() as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO t VALUES (1, 'prepared before the copy')")
        session.execute(f"PREPARE TRANSACTION '{pipe.slot}_1'")
    finisher = pipe.source.connect()
    with pipe.source.connect() as session:
        engine = pipe.start()
        wait_until(lambda: pipe.source.one("SELECT count(*) FROM pg_replication_slots"
                                           " WHERE slot_name = %s", pipe.slot), "the slot is made")
        finisher.execute(f"COMMIT PREPARED '{pipe.slot}_1'")
        pipe.catch_up(engine)
        for number, end in ((2, "COMMIT"), (3, "ROLLBACK")):
            session.execute("BEGIN")
            session.execute("INSERT INTO t VALUES (%s, 'prepared')", [number])
            session.execute(f"PREPARE TRANSACTION '{pipe.slot}_{number}'")
            pipe.catch_up(engine)
            engine.stop()
            engine = pipe.start()
            session.execute(f"{end} PREPARED '{pipe.slot}_{number}'")
        pipe.catch_up(engine)
    finisher.close()
    assert pipe.target.sql("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]
    engine.stop()


def test_asynchronous_commits_of_the_source(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    with pipe.source.connect(options="-c synchronous_commit=off") as session:
        for number in range(300):
            session.execute("INSERT INTO t VALUES (%s, 'async')", [number])
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_triggers_and_cascades_of_the_target_do_not_act_twice(pipe):
    pipe.source.sql("""
        CREATE TABLE a (id int PRIMARY KEY, n int DEFAULT 0);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE counted (n int PRIMARY KEY); INSERT INTO counted VALUES (0);
        CREATE FUNCTION count_one() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE counted SET n = n + 1; RETURN NULL; END';
        CREATE TRIGGER count_one AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION count_one();
        INSERT INTO a VALUES (1), (2), (3); INSERT INTO b VALUES (1, 1), (2, 2), (3, 3)""")
    engine = pipe.follow()
    pipe.is_equal()
    for change in ("INSERT INTO a VALUES (4)", "DELETE FROM a WHERE id = 1",
                   "UPDATE a SET id = 20 WHERE id = 2",
                   "WITH new AS (INSERT INTO b VALUES (9, 9)) INSERT INTO a VALUES (9)"):
        pipe.source.sql(change)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_a_unique_column_beside_the_key(pipe):
    """The order of the source is one in which no step collides."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, active bool);"
                    "CREATE UNIQUE INDEX one_active ON t (active) WHERE active;"
                    "INSERT INTO t SELECT g, g, g = 1 FROM generate_series(1, 10) g")
    engine = pipe.follow()
    pipe.source.sql("BEGIN; UPDATE t SET active = false WHERE id = 1;"
                    " UPDATE t SET active = true WHERE id = 2; COMMIT")
    pipe.source.sql("BEGIN; UPDATE t SET u = -1 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 2;"
                    " UPDATE t SET u = 2 WHERE id = 1; COMMIT")
    pipe.source.sql("BEGIN; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (30, 3, false);"
                    " COMMIT")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_the_source_hears_from_us_while_the_target_is_blocked(own_clusters, pipelines):
    """Longer than wal_sender_timeout: the same walsender must live on."""
    own_clusters[0].configure(wal_sender_timeout="1500ms")
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    sender = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    before = pipe.source.one(sender, pipe.slot)
    with pipe.target.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE t")
        pipe.source.sql("INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g")
        start = pipe.source.one("SELECT clock_timestamp()")
        wait_until(lambda: pipe.source.admin(
            "SELECT 1 FROM pg_stat_replication WHERE pid = %s"
            " AND reply_time > %s + interval '5 s'", before, start), "replies for five seconds")
        assert engine.runs()
    pipe.catch_up(engine)
    assert pipe.source.one(sender, pipe.slot) == before
    pipe.is_equal()
    engine.stop()


def test_a_column_the_target_lacks_is_named_with_the_command_that_mends_it(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (1, 'before')")
    pipe.catch_up(engine)
    pipe.source.sql("ALTER TABLE t ADD extra numeric(10,2)")
    pipe.source.sql("INSERT INTO t VALUES (2, 'after', 1.5)")
    assert engine.wait() in (FAILED, CONFIGURATION)
    assert "extra" in engine.stderr and "ALTER TABLE" in engine.stderr
    assert pipe.target.sql("SELECT id FROM t") == [(1,)]
    pipe.target.sql("ALTER TABLE t ADD extra numeric(10,2)")
    pipe.copy()
    pipe.is_verified()


def test_a_name_that_moves_to_another_table_stops_the_pipeline(pipe):
    """A rename swap on the source: the rows of one table must not end in the other."""
    pipe.source.sql("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (LIKE a INCLUDING ALL);"
                    "INSERT INTO a VALUES (1, 'a'); INSERT INTO b VALUES (1, 'b')")
    engine = pipe.follow()
    swap = "BEGIN; ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; ALTER TABLE c RENAME TO b; COMMIT"
    pipe.source.sql(swap)
    pipe.source.sql("INSERT INTO a VALUES (2, 'was b')")
    assert engine.wait() == CONFIGURATION
    assert "renamed" in engine.stderr
    assert pipe.target.one("SELECT count(*) FROM a") == 1
    pipe.target.sql(swap)
    pipe.copy()
    pipe.is_equal()
    pipe.is_verified()


@pytest.mark.matrix
def test_a_type_that_was_changed_on_both_sides_goes_on(pipe):
    pipe.source.sql("CREATE TYPE mood AS ENUM ('low', 'high');"
                    "CREATE TABLE t (id int PRIMARY KEY, m text, n int)")
    engine = pipe.follow()
    change = ("ALTER TABLE t ALTER m TYPE public.mood USING m::public.mood;"
              "ALTER TABLE t ALTER n TYPE bigint")
    pipe.source.sql(change)
    pipe.source.sql("INSERT INTO t VALUES (1, 'high', 5000000000)")
    assert engine.wait() == CONFIGURATION
    assert "ALTER TABLE" in engine.stderr
    pipe.target.sql(change)
    pipe.copy()
    pipe.is_equal()


def test_tables_described_again_and_again_do_not_pile_up(pipe):
    """The server sends a relation anew after each ALTER; equal ones must cost nothing."""
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    for number in range(30):
        pipe.source.sql(f"ALTER TABLE t ALTER v SET STATISTICS {number + 1}")
        pipe.source.sql("INSERT INTO t VALUES (%s, 'x')", number)
    pipe.source.sql("ALTER TABLE t REPLICA IDENTITY FULL")
    pipe.source.sql("UPDATE t SET v = 'full' WHERE id = 3")
    pipe.source.sql("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    pipe.source.sql("UPDATE t SET v = 'default', id = 300 WHERE id = 3")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_columns_are_found_by_name(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, gone int, a text, b text);"
                    "ALTER TABLE t DROP gone; INSERT INTO t VALUES (1, 'a', 'b')")
    engine = pipe.follow()
    pipe.target.sql("ALTER TABLE t ADD ours int DEFAULT 7")
    pipe.source.sql("INSERT INTO t VALUES (2, 'c', 'd')")
    pipe.source.sql("UPDATE t SET a = 'e', id = 3 WHERE id = 1")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT id, a, b, ours FROM t ORDER BY 1") == \
        [(2, "c", "d", 7), (3, "e", "b", 7)]
    engine.stop()


def test_a_row_that_cannot_be_applied_stops_with_all_that_is_known(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pipe.target.sql("INSERT INTO t VALUES (4711, 'in the way')")
    pipe.source.sql("INSERT INTO t VALUES (4711, 'secret value')")
    engine.ends(FAILED)
    for word in ("t", "4711", "23505"):
        assert word in engine.stderr
    assert "secret value" not in engine.stderr
    assert pipe.target.sql("SELECT v FROM t") == [("in the way",)]
    pipe.target.sql("DELETE FROM t")
    pipe.copy()
    pipe.is_verified()


@pytest.mark.parametrize("change", ["UPDATE t SET v = 'x' WHERE id = 1",
                                    "DELETE FROM t WHERE id = 1"])
def test_a_row_that_is_missing_stops_the_pipeline(pipe, change):
    pipe.source.sql(TABLE + "; INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    engine = pipe.follow()
    pipe.target.sql("DELETE FROM t WHERE id = 1")
    pipe.source.sql(change)
    engine.ends(FAILED)
    assert "public.t" in engine.stderr
    pipe.target.sql("INSERT INTO t VALUES (1, 'a')")
    pipe.copy()
    pipe.is_verified()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_a_position(pipe, how):
    make_mill(pipe.source)
    engine = pipe.follow()
    with load(pipe.source, mill_step, sessions=2) as running:
        running.wait_steps(50)
        engine.stop(ENDED, how)
        running.wait_steps(20)
    position = pipe.target.admin_one("SELECT lsn::text FROM trunkline.position")
    assert position in engine.stdout and pipe.confirmed() <= lsn(position)
    pipe.copy()
    pipe.is_verified()


def test_unpublished_traffic_does_not_hold_back_the_slot(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    pipe.source.sql("CREATE TABLE unpublished (v text)")
    before = pipe.confirmed()
    pipe.source.sql("INSERT INTO unpublished SELECT repeat('x', 500) FROM generate_series(1, 5000)")
    end = lsn(pipe.source.one("SELECT pg_current_wal_flush_lsn()::text"))
    wait_until(lambda: pipe.confirmed() >= end, "the source may drop the WAL")
    assert before < end
    engine.stop()


def test_max_slot_wal_stops_before_the_disk_is_full(pipe):
    pipe.source.sql(TABLE)
    pipe.follow().stop()
    with pipe.target.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE t")
        engine = pipe.start(max_slot_wal="4MB")
        for batch in range(20):
            pipe.source.sql("INSERT INTO t SELECT g, repeat('x', 1000)"
                            " FROM generate_series(%s::int, %s::int) g",
                            batch * 1000, batch * 1000 + 999)
        engine.ends(FAILED)
    assert "max_slot_wal" in engine.stderr.replace("-", "_")
    assert pipe.confirmed() is not None
    pipe.copy()
    pipe.is_verified()


def test_max_slot_wal_drops_the_slot_when_told_so(pipe):
    pipe.source.sql(TABLE)
    pipe.follow().stop()
    with pipe.target.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE t")
        engine = pipe.start(max_slot_wal="4MB", max_slot_wal_action="drop")
        for batch in range(20):
            pipe.source.sql("INSERT INTO t SELECT g, repeat('x', 1000)"
                            " FROM generate_series(%s::int, %s::int) g",
                            batch * 1000, batch * 1000 + 999)
        engine.ends(FAILED)
    assert pipe.confirmed() is None
    again = pipe.run()
    assert again.code in (1, 2) and pipe.slot in again.stderr
