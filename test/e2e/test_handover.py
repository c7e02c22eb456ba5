"""Where a row can be lost between copy and stream: each test is an experiment that lost one."""
import signal

import psycopg
import pytest

from harness.cluster import free_port, is_alive
from harness.compare import is_same, schema_differences
from harness.data import make_mill, mill_step
from harness.load import load
from harness.program import CONFIGURATION, FAILED, metrics
from harness.slices import WIDE, every
from harness.wait import wait_until

PARTS = """
CREATE TABLE t (id int PRIMARY KEY, v int, pad text);
INSERT INTO t SELECT g, g, repeat('x', 200) FROM generate_series(1, 3000) g;
DELETE FROM t WHERE id % 3 = 0;
"""
# All rewrite or empty the table; a snapshot does not protect its reader from any of them.
REWRITES = [
    "VACUUM FULL t", "CLUSTER t USING t_pkey", "TRUNCATE t", "VACUUM t",
    "ALTER TABLE t ALTER v TYPE bigint",
    "UPDATE t SET v = 0 WHERE id = 1; TRUNCATE t",
    "BEGIN; TRUNCATE t; INSERT INTO t SELECT g, 7, 'new' FROM generate_series(1, 500) g; COMMIT",
    "ALTER TABLE t SET (fillfactor = 50); VACUUM FULL t",
]


class Gate:
    """A fault point at which the engine waits until it is let through."""

    def __init__(self, directory, point):
        self.path = directory / "gate"
        name, at, passage = point.partition("@")
        self.fault = f"{name}=wait:{self.path}{at}{passage}"

    def wait(self, engine):
        reached = self.path.with_name("gate.reached")
        wait_until(lambda: engine.runs() and reached.exists(), f"{self.fault} is reached")

    def open(self):
        self.path.touch()


def statements(database, text):
    """One by one where VACUUM and CLUSTER will have it so."""
    for statement in [text] if text.startswith("BEGIN") else text.split("; "):
        database.sql(statement)


def meanwhile(pipe, tmp_path, point, text, **settings):
    """Stops the engine at the point, runs the statements, and claims equality in the end."""
    gate = Gate(tmp_path, point)
    engine = pipe.start(fault=gate.fault, **settings)
    gate.wait(engine)
    statements(pipe.source, text)
    gate.open()
    pipe.catch_up(engine)
    pipe.is_equal()
    pipe.source.sql("INSERT INTO t (id) VALUES (100000)")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("text", every(2, REWRITES, first=1, others=WIDE))
def test_a_table_rewritten_between_snapshot_and_part(pipe, tmp_path, text):
    pipe.source.sql(PARTS)
    meanwhile(pipe, tmp_path, "part.begin", text)


@pytest.mark.parametrize("text", every(2, REWRITES))
def test_a_table_rewritten_between_two_parts(pipe, tmp_path, text):
    pipe.source.sql(PARTS)
    meanwhile(pipe, tmp_path, "part.begin@2", text, copiers=1, part_size="64kB")


@pytest.mark.parametrize("point", every(2, ["snapshot.held", "schema.dumped"], first=1))
@pytest.mark.parametrize("text", every(2, others=WIDE, values=[
    "ALTER TABLE t RENAME v TO w", "ALTER TABLE t ADD c int DEFAULT 1", "DROP INDEX ti",
    "CREATE INDEX tj ON t (pad, v)", "DROP TABLE s",
    "CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)",
    "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)",
    "DROP TABLE s; CREATE TABLE s (id int PRIMARY KEY, other text); INSERT INTO s VALUES (1, 'x')",
    "ALTER TABLE t ADD r float8 DEFAULT random()", "ALTER TABLE t RENAME TO renamed;"
    " CREATE TABLE t (id int PRIMARY KEY, v int, pad text)"]))
@pytest.mark.matrix
def test_a_schema_that_changes_after_the_snapshot(pipe, tmp_path, point, text):
    """Until the copy has begun it starts again, and then holds what the source holds now."""
    pipe.source.sql(PARTS + "CREATE INDEX ti ON t (v); CREATE VIEW tv AS SELECT id, pad FROM t;"
                    "CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2)")
    gate = Gate(tmp_path, point)
    engine = pipe.start(fault=gate.fault)
    gate.wait(engine)
    statements(pipe.source, text)
    gate.open()
    pipe.catch_up(engine)
    pipe.is_equal()
    assert schema_differences(pipe.source, pipe.target) == []
    pipe.source.sql("INSERT INTO t (id) VALUES (100000)")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("text, column", [
    ("ALTER TABLE t ADD extra float8 DEFAULT random()", "extra"),
    ("ALTER TABLE t ADD extra int DEFAULT 5", "extra"),
    ("ALTER TABLE t RENAME v TO extra", "extra")])
@pytest.mark.parametrize("point", every(2, ["copy.planned", "part.begin"], others=WIDE))
def test_a_column_that_comes_after_the_schema_was_copied(pipe, tmp_path, point, text, column):
    """Either the copy starts again with the new schema, or it stops and names the column. It may
    not go on without its values."""
    pipe.source.sql(PARTS)
    gate = Gate(tmp_path, point)
    engine = pipe.start(fault=gate.fault)
    gate.wait(engine)
    pipe.source.sql(text)
    gate.open()
    pipe.source.sql(f"UPDATE t SET {column} = 77 WHERE id = 1")
    wait_until(lambda: engine.code is not None or is_same(pipe.source, pipe.target),
               "it has copied all or given up")
    if engine.code is None:
        pipe.catch_up(engine)
        pipe.is_verified()
    else:
        assert engine.code in (FAILED, CONFIGURATION)
        assert column in engine.stderr and "ALTER TABLE" in engine.stderr


def test_a_table_that_joins_while_a_transaction_writes_to_it(pipe, tmp_path):
    """What it wrote before the publication had the table is not in the stream: it must be seen."""
    pipe.source.sql(PARTS)
    gate = Gate(tmp_path, "snapshot.held")
    engine = pipe.start(fault=gate.fault)
    gate.wait(engine)
    pipe.source.sql("CREATE TABLE u (id int PRIMARY KEY)")
    with pipe.source.connect(autocommit=False) as writer:
        writer.execute("INSERT INTO u VALUES (1)")
        gate.open()
        wait_until(lambda: engine.runs() and pipe.source.sql(
            "SELECT 1 FROM pg_publication_tables WHERE tablename = 'u'"), "the table joins")
        writer.execute("INSERT INTO u VALUES (2)")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT id FROM u ORDER BY 1") == [(1,), (2,)]
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_slot_that_was_made_by_hand(pipe, is_busy):
    """Older than its publication: what was written before that cannot be decoded."""
    pipe.source.sql(PARTS)
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    with pipe.source.connect(autocommit=False) as writer:
        if is_busy:
            writer.execute("INSERT INTO t (id) VALUES (100001)")
        engine = pipe.start()
        wait_until(lambda: pipe.source.sql("SELECT 1 FROM pg_publication"), "it is published")
        writer.execute("INSERT INTO t (id) VALUES (100002)")
        pipe.source.sql("INSERT INTO t (id) VALUES (100003)")
        assert engine.runs()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def hanging_writer(session, rng):
    """Subtransactions, prepared transactions, and some that stay open for long."""
    i = rng.randrange(10 ** 9)
    kind = rng.randrange(4)
    try:
        if kind == 0:
            with session.transaction():
                session.execute("INSERT INTO w VALUES (%s, 0)", [i])
                for step in range(rng.choice((3, 70))):
                    with session.transaction():
                        session.execute("INSERT INTO w VALUES (%s, %s)", [i, step + 1])
                        if rng.random() < 0.4:
                            raise psycopg.Rollback
        elif kind == 1:
            name = f"p_{i}"
            session.execute("BEGIN")
            session.execute("INSERT INTO w VALUES (%s, -1)", [i])
            session.execute(f"PREPARE TRANSACTION '{name}'")
            end = "COMMIT" if rng.random() < 0.7 else "ROLLBACK"
            session.execute(f"{end} PREPARED '{name}'")
        elif kind == 2:
            with session.transaction():
                session.execute("INSERT INTO w VALUES (%s, -2)", [i])
                session.execute("SELECT pg_sleep(%s)", [rng.random() * 0.3])
                session.execute("UPDATE c SET n = n + 1 WHERE id = %s", [rng.randrange(20)])
        else:
            session.execute("UPDATE c SET n = n + 1 WHERE id = %s", [rng.randrange(20)])
    except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
        session.execute("ROLLBACK")


@pytest.mark.parametrize("commit", every(2, ["on", "off"], first=1))
@pytest.mark.matrix
def test_transactions_of_every_kind_while_the_snapshot_is_taken(pipe, commit):
    pipe.source.sql("CREATE TABLE w (a bigint, b int, PRIMARY KEY (a, b));"
                    "CREATE TABLE c (id int PRIMARY KEY, n bigint);"
                    "INSERT INTO c SELECT g, 0 FROM generate_series(0, 19) g;"
                    f"ALTER DATABASE {pipe.source.name} SET synchronous_commit = {commit}")
    with load(pipe.source, hanging_writer, sessions=6) as running:
        for _ in range(3):
            running.wait_steps(30)
            engine = pipe.follow(part_size="64kB")
            running.wait_steps(30)
            engine.stop()
            assert pipe.tear_down().code == 0
            pipe.target.sql("DROP TABLE w, c")
        engine = pipe.follow()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_a_transaction_open_across_the_whole_copy(pipe, tmp_path):
    make_mill(pipe.source)
    gate = Gate(tmp_path, "copy.rows_done")
    with pipe.source.connect(autocommit=False) as late, pipe.source.connect() as early:
        engine = pipe.start(fault=gate.fault)
        gate.wait(engine)
        late.execute("UPDATE item SET n = -1 WHERE id = 7")
        late.execute("INSERT INTO scratch VALUES (-7)")
        early.execute("UPDATE item SET n = -2 WHERE id = 8")
        gate.open()
        pipe.catch_up(engine)
        assert pipe.target.one("SELECT n FROM item WHERE id = 8") == -2
        assert pipe.target.one("SELECT n FROM item WHERE id = 7") == 7
        late.commit()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_a_commit_that_waits_for_a_standby(own_clusters, pipelines):
    """It is in the WAL and decoded, but not visible yet: copy and stream must agree on it."""
    pipe = pipelines(own_clusters)
    make_mill(pipe.source)
    source = own_clusters[0]
    source.configure(synchronous_standby_names="nosuch")
    pipe.source.admin("SELECT pg_reload_conf()")
    hanging = pipe.source.connect()
    with load(pipe.source, lambda session, rng: session.execute(
            "UPDATE item SET n = 4711 WHERE id = 1"), survives=True) as running:
        wait_until(lambda: pipe.source.admin(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), "a commit waits")
        assert pipe.source.one("SELECT n FROM item WHERE id = 1") == 1
        engine = pipe.start()
        running.workers[0].stopping.set()
        wait_until(lambda: pipe.source.sql(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'trunkline:%'"),
            "the engine has come")
        source.configure()
        pipe.source.admin("SELECT pg_reload_conf()")
    hanging.close()
    pipe.catch_up(engine)
    assert pipe.target.one("SELECT n FROM item WHERE id = 1") == 4711
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def commit_touching(pipe, first, second):
    """Two transactions whose commit records lie side by side in the WAL."""
    one, two = (pipe.source.connect(autocommit=False) for _ in range(2))
    with one, two:
        one.execute("INSERT INTO t (id) VALUES (%s)", [first])
        two.execute("INSERT INTO t (id) VALUES (%s)", [second])
        one.commit()
        two.commit()


def touching_commits(pipe, slot):
    """How many of a slot's transactions begin their commit record where the last one ended."""
    messages = pipe.source.sql(
        "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
        " 'proto_version', '1', 'publication_names', %s) WHERE get_byte(data, 0) = ascii('C')",
        slot, pipe.slot)
    commits = [(int.from_bytes(m[2:10], "big"), int.from_bytes(m[10:18], "big"))
               for m, in messages]
    return sum(start == end for (_, end), (start, _) in zip(commits, commits[1:]))


def test_commit_records_that_touch(pipe):
    """The engine dies between the two: the stored position is where the second one's begins."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    pipe.follow().stop()
    witness = pipe.slot + "_witness"
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", witness)
    for number in range(6):
        engine = pipe.start(group_max_changes=1, fault="group.committed=kill")
        commit_touching(pipe, number * 2, number * 2 + 1)
        assert engine.wait() == -signal.SIGKILL
        pipe.copy()
    assert touching_commits(pipe, witness) >= 3
    pipe.is_equal()
    assert pipe.target.one("SELECT count(*) FROM t") == 12


@pytest.mark.wide
def test_commit_records_that_touch_under_load(pipe):
    pipe.source.sql("CREATE TABLE t (id bigserial PRIMARY KEY)")
    with load(pipe.source, lambda session, rng: session.execute("INSERT INTO t DEFAULT VALUES"),
              sessions=5, pause=0) as running:
        pipe.follow().stop()
        for number in range(6):
            engine = pipe.start(fault=f"group.committed=kill@{number + 1}")
            running.wait_steps(100)
            assert engine.wait() == -signal.SIGKILL
    pipe.copy()
    pipe.is_verified()


@pytest.mark.parametrize("point", every(
    3, ["group.applied", "group.position", "group.commit"], first=1, others=WIDE))
def test_two_engines_of_which_the_first_was_cut_off(pipe, tmp_path, point):
    """The first hangs in mid-transaction, its sessions live on, the second takes over; then the
    first wakes. Rows without a key show what was applied twice."""
    pipe.source.sql("CREATE TABLE t (a int); ALTER TABLE t REPLICA IDENTITY FULL")
    pipe.follow().stop()
    gate = Gate(tmp_path, point)
    first = pipe.start(fault=gate.fault)
    pipe.source.sql("INSERT INTO t SELECT generate_series(1, 10)")
    gate.wait(first)
    first.popen.send_signal(signal.SIGSTOP)
    # The locks and the walsender of the first are lost, its transaction on the target is not.
    holds_lock = ("SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a"
                  " USING (pid) WHERE l.locktype = 'advisory' AND a.datname = %s"
                  " AND a.state <> 'idle in transaction'")
    pipe.target.admin(holds_lock, pipe.target.name)
    pipe.source.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                      " AND application_name LIKE 'trunkline:%%'", pipe.source.name)
    second = pipe.start()
    waits = ("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
             " AND application_name LIKE 'trunkline:%%'")
    wait_until(lambda: second.code is not None or pipe.target.admin(waits, pipe.target.name)
               or pipe.target.one("SELECT count(*) FROM t") == 10,
               "the second waits for the first, has passed it, or is refused")
    gate.open()
    first.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: pipe.target.one("SELECT count(*) FROM t") >= 10, "the rows are there")
    first.kill()
    second.kill()
    pipe.source.sql("INSERT INTO t VALUES (11)")
    pipe.copy()
    assert pipe.target.one("SELECT count(*) FROM t") == 11
    pipe.is_verified()


def test_a_position_that_somebody_else_moved_is_read_again(pipe, tmp_path):
    """No lock keeps out an engine behind a pooler: the one whose position has moved steps back."""
    pipe.source.sql("CREATE TABLE t (a int); ALTER TABLE t REPLICA IDENTITY FULL")
    pipe.follow().stop()
    gate = Gate(tmp_path, "group.applied")
    engine = pipe.start(fault=gate.fault)
    pipe.source.sql("INSERT INTO t SELECT generate_series(1, 10)")
    gate.wait(engine)
    end = pipe.source.one("SELECT pg_current_wal_flush_lsn()::text")
    pipe.target.admin(f"BEGIN; INSERT INTO t SELECT generate_series(1, 10);"
                      f" UPDATE trunkline.position SET lsn = '{end}'; COMMIT")
    gate.open()
    pipe.source.sql("INSERT INTO t VALUES (11)")
    pipe.catch_up(engine)
    assert pipe.target.one("SELECT count(*) FROM t") == 11
    pipe.is_equal()
    engine.stop()


HOSTILE = """
ALTER DATABASE {0} SET statement_timeout = '400ms';
ALTER DATABASE {0} SET lock_timeout = '400ms';
ALTER DATABASE {0} SET idle_in_transaction_session_timeout = '400ms';
ALTER DATABASE {0} SET idle_session_timeout = '400ms';
ALTER DATABASE {0} SET DateStyle = 'SQL, {2}';
ALTER DATABASE {0} SET IntervalStyle = 'iso_8601';
ALTER DATABASE {0} SET extra_float_digits = -10;
ALTER DATABASE {0} SET bytea_output = 'escape';
ALTER DATABASE {0} SET search_path = 'nowhere';
ALTER DATABASE {0} SET client_encoding = 'LATIN1';
ALTER DATABASE {0} SET TimeZone = '{1}';
ALTER DATABASE {0} SET standard_conforming_strings = off;
ALTER DATABASE {0} SET xmloption = 'document';
ALTER DATABASE {0} SET lc_monetary = 'C';
"""


def test_role_defaults_that_kill_or_garble(pipe, tmp_path):
    """Sessions of ours stand idle, wait for locks and work for longer than the role may."""
    pipe.source.sql("""
        CREATE TABLE public.t (id int PRIMARY KEY, d date, ts timestamptz, i interval, f float8,
            b bytea, v text, x xml, a date[], text_only regclass);
        INSERT INTO t SELECT g, '2020-02-03', '2020-02-03 04:05:06+00', '1 mon 2 days 03:00',
            1.0 / 3 * g, '\\x5c00ff', E'back\\\\slash é €', '<a/>text', ARRAY[date '2021-03-04'],
            'pg_class'
        FROM generate_series(1, 2000) g""")
    for database in (pipe.source, pipe.target):
        database.admin("SELECT 1")  # the test's sessions are older than the settings
    pipe.source.sql(HOSTILE.format(pipe.source.name, "Asia/Tokyo", "DMY"))
    pipe.target.sql(HOSTILE.format(pipe.target.name, "America/New_York", "MDY"))
    gate = Gate(tmp_path, "part.begin")
    port = free_port()
    engine = pipe.start(fault=gate.fault, copiers=1, listen=f"127.0.0.1:{port}")
    gate.wait(engine)
    began = pipe.source.one("SELECT clock_timestamp()")
    wait_until(lambda: pipe.source.one("SELECT clock_timestamp() > %s + interval '1 s'", began),
               "a second has passed")
    gate.open()
    pipe.catch_up(engine)
    pipe.is_equal()
    without = " ".join(f"-c {name}_timeout=0" for name in
                       ("statement", "lock", "idle_in_transaction_session"))
    with pipe.target.connect(autocommit=False, options=without) as blocker:
        blocker.execute("LOCK TABLE public.t")
        pipe.source.sql("UPDATE public.t SET d = '2022-12-01', f = f / 7, i = '-1 day 00:00:01'")
        began = pipe.source.one("SELECT clock_timestamp()")
        wait_until(lambda: pipe.source.one("SELECT clock_timestamp() > %s + interval '1 s'", began),
                   "a second has passed")
        assert engine.runs()
    pipe.catch_up(engine)
    pipe.is_equal()
    assert metrics(port)["trunkline_reconnects_total"] == 0
    engine.stop()
    pipe.is_verified()


def test_the_death_of_the_engine_leaves_no_session_behind(pipe, tmp_path):
    """An orphan of the engine would hold the snapshot, and with it VACUUM, for ever."""
    make_mill(pipe.source)
    gate = Gate(tmp_path, "schema.dumped")
    engine = pipe.start(fault=gate.fault)
    gate.wait(engine)
    pid = engine.pid
    engine.kill()
    assert not is_alive(pid)
    ours = ("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND"
            " (application_name LIKE 'trunkline:%%' OR application_name LIKE 'pg_dump%%')")
    for database in (pipe.source, pipe.target):
        wait_until(lambda d=database: not d.sql(ours, d.name), "its sessions have ended")
    pipe.copy()
    pipe.is_verified()


def test_load_while_everything_starts_and_stops(pipe):
    make_mill(pipe.source, rows=4000)
    with load(pipe.source, mill_step, sessions=3) as running:
        running.wait_steps(30)
        engine = pipe.follow(part_size="64kB", copiers=3)
        engine.kill()
        running.wait_steps(30)
        engine = pipe.follow()
        pipe.catch_up(engine)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def refill(session, rng):
    """What an application does that loads a table anew again and again."""
    with session.transaction():
        session.execute("TRUNCATE t")
        session.execute("INSERT INTO t SELECT g, %s FROM generate_series(1, 50) g", [rng.random()])


def test_a_table_that_is_truncated_all_the_time_is_copied(pipe):
    """Each round finds it changed; then it is locked first and copied under a snapshot of its own.
    Nobody may be blocked for ever by that."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v float8);"
                    "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 1000)")
    with load(pipe.source, refill, sessions=2) as running:
        engine = pipe.follow(environment={"TRUNKLINE_FAULT_LIMIT_MS": "1000"})
        running.wait_steps(50)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()
