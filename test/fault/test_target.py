"""What the target's server, its settings and its other users do to a pipeline that follows."""
import pathlib
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.cluster import Standby
from harness.program import CONFIGURATION, lsn
from harness.slices import LONG
from harness.wait import wait_until

PEAK_KB = 64 * 1024
WIDE_MB = 100
TABLE = ("CREATE TABLE t (id int PRIMARY KEY, v text);"
         "INSERT INTO t SELECT g, 'a' FROM generate_series(1, 10) g")
APPLIER = (" FROM pg_stat_activity WHERE datname = current_database()"
           " AND application_name LIKE 'trunkline:%%:apply'")
WAITS = "SELECT pid" + APPLIER + " AND wait_event_type = 'Lock'"


def applier_waits(pipe):
    """The pid of the applying session, once it waits for a lock."""
    return wait_until(lambda: pipe.target.admin(WAITS), "the applier waits for a lock")[0][0]


def goes_on(pipe, engine, timeout=60):
    """It catches up by itself, and both sides are equal."""
    pipe.catch_up(engine, timeout)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


# --- settings of the role and of the database ---

HOSTILE = {"default_transaction_read_only": "on", "default_transaction_isolation": "serializable",
           "default_transaction_deferrable": "on", "statement_timeout": "400ms",
           "lock_timeout": "400ms", "idle_in_transaction_session_timeout": "400ms",
           "idle_session_timeout": "400ms"}


def set_hostile(database, whose, value="= '{}'"):
    more = {"transaction_timeout": "400ms"} if database.cluster.major >= 17 else {}
    place = {"database": f"DATABASE {database.name}",
             "role": f"ROLE {database.cluster.role} IN DATABASE {database.name}"}[whose]
    for name, setting in {**HOSTILE, **more}.items():
        database.admin(f"ALTER {place} SET {name} {value.format(setting)}")


@pytest.mark.matrix
@pytest.mark.parametrize("whose", ["role", pytest.param("database", marks=LONG)])
def test_settings_that_would_end_or_refuse_our_sessions(pipe, whose):
    """All are longer exceeded than they allow: a statement, a wait for a lock, a transaction and a
    session without work."""
    pipe.source.sql(TABLE)
    for database in (pipe.source, pipe.target):
        database.sql("SELECT 1")  # the test's sessions are older than the settings
        set_hostile(database, whose)
    engine = pipe.follow()
    [(before,)] = pipe.target.admin("SELECT pid" + APPLIER)
    second = " AND {} < clock_timestamp() - interval '1 s'"
    with pipe.target.connect("postgres", autocommit=False,
                             options="-c default_transaction_read_only=off"
                                     " -c idle_in_transaction_session_timeout=0") as holder:
        holder.execute("LOCK TABLE t")
        pipe.source.sql("UPDATE t SET v = 'late' WHERE id <= 20")  # more than go in one go
        wait_until(lambda: engine.runs() and pipe.target.admin(
            WAITS + second.format("state_change")), "the applier has waited for a second")
        engine.popen.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: pipe.target.admin(
            "SELECT 1" + APPLIER + " AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL"
            + second.format("xact_start")), "our transaction stands without work")
        began = pipe.target.admin_one("SELECT clock_timestamp()")
        wait_until(lambda: pipe.target.admin_one("SELECT clock_timestamp() > %s + interval '1 s'",
                                                 began), "for another second")
    finally:
        engine.popen.send_signal(signal.SIGCONT)
    pipe.catch_up(engine)
    assert pipe.target.admin("SELECT pid" + APPLIER + " AND pid = %s", before)
    for database in (pipe.source, pipe.target):
        set_hostile(database, whose, "= DEFAULT")
    goes_on(pipe, engine)


# --- locks ---

WIDE = ("INSERT INTO wide SELECT g, repeat('x', 100000)"  # a megabyte, not compressed
        " FROM generate_series(%s::int, %s::int) g")


@pytest.mark.wide
def test_a_target_locked_under_load_for_longer_than_the_source_waits(own_clusters, pipelines):
    """The same walsender lives on, and memory is bounded, however much waits."""
    own_clusters[0].configure(wal_sender_timeout="2s")
    own_clusters[0].restart()
    pipe = pipelines(own_clusters)
    pipe.source.sql(TABLE + "; CREATE TABLE wide (id int PRIMARY KEY, v text);"
                    "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL")
    engine = pipe.follow()
    sender = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    before = pipe.source.one(sender, pipe.slot)
    with pipe.target.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t")
        pipe.source.sql("UPDATE t SET v = 'b'")
        start = pipe.source.one("SELECT clock_timestamp()")
        applier_waits(pipe)
        for number in range(WIDE_MB):
            pipe.source.sql(WIDE, number * 10, number * 10 + 9)
        wait_until(lambda: pipe.source.admin(
            "SELECT 1 FROM pg_stat_replication WHERE pid = %s"
            " AND reply_time > %s + interval '6 s'", before, start), "replies for six seconds")
        assert engine.runs() and pipe.target.admin(WAITS)
    pipe.catch_up(engine)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB",
                         pathlib.Path(f"/proc/{engine.pid}/status").read_text())[1])
    assert peak < PEAK_KB, f"{peak} kB"
    assert pipe.source.one(sender, pipe.slot) == before
    pipe.is_equal()
    engine.stop()


def test_a_statement_that_an_administrator_cancels_is_tried_again(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    with pipe.target.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t")
        pipe.source.sql("UPDATE t SET v = v || 'b'")
        for _ in range(2):
            pid = applier_waits(pipe)
            this = "SELECT query_start" + APPLIER + " AND pid = %s AND wait_event_type = 'Lock'"
            began = pipe.target.admin(this, pid)
            assert pipe.target.admin_one("SELECT pg_cancel_backend(%s)", pid)
            wait_until(lambda: engine.runs() and pipe.target.admin(this, pid) != began,
                       "it was cancelled; it may wait again by now")
    goes_on(pipe, engine)
    assert pipe.target.one("SELECT string_agg(DISTINCT v, ',') FROM t") == "ab"


DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.mark.matrix
@pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=LONG)])
def test_a_deadlock_with_a_user_of_the_target_is_tried_again(pipe, mode):
    """The applier changes a, waits for gate, then changes b; the user has changed b and waits for
    a. The server ends the one of them that waited last: the applier."""
    for name in ("a", "b", "gate"):
        pipe.source.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, n int);"
                        f"INSERT INTO {name} VALUES (1, 1)")
    engine = pipe.follow(apply_mode=mode)
    before = pipe.target.admin_one(DEADLOCKS)
    with pipe.target.connect(autocommit=False) as keeper, pipe.target.connect(
            "postgres", autocommit=False, options="-c deadlock_timeout=1h") as user:
        keeper.execute("LOCK TABLE gate IN ACCESS SHARE MODE")
        pipe.source.sql("BEGIN; UPDATE a SET n = n + 10; TRUNCATE gate; UPDATE b SET n = n + 10;"
                        " COMMIT")
        applier_waits(pipe)
        user.execute("UPDATE b SET n = 0")
        with ThreadPoolExecutor(1) as thread:
            changed = thread.submit(user.execute, "UPDATE a SET n = 0")
            wait_until(lambda: pipe.target.admin(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                user.info.backend_pid), "the user waits")
            keeper.rollback()
            assert changed.result(30).rowcount == 1
        user.rollback()
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT a.n, b.n FROM a, b") == [(11, 11)]
    wait_until(lambda: pipe.target.admin_one(DEADLOCKS) > before, "there was a deadlock")
    goes_on(pipe, engine)


FAILS_AT_FIRST = """
CREATE SEQUENCE tries;
GRANT ALL ON SEQUENCE tries TO PUBLIC;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.tries') <= 2 THEN
        RAISE EXCEPTION 'somebody was faster' USING ERRCODE = '{0}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fail();
ALTER TABLE t ENABLE ALWAYS TRIGGER fail"""


@pytest.mark.parametrize("sqlstate", [
    "serialization_failure",
    pytest.param("lock_not_available", marks=LONG), pytest.param("query_canceled", marks=LONG),
    pytest.param("out_of_memory", marks=LONG), pytest.param("disk_full", marks=LONG)])
def test_what_may_pass_is_tried_again(pipe, sqlstate):
    """It neither stops the pipeline nor parks the table."""
    pipe.source.sql(TABLE)
    engine = pipe.follow(on_apply_error="park")
    pipe.target.sql(FAILS_AT_FIRST.format(sqlstate))
    pipe.source.sql("UPDATE t SET v = v || 'b' WHERE id = 3")
    goes_on(pipe, engine)
    assert pipe.target.one("SELECT v FROM t WHERE id = 3") == "ab"
    assert pipe.target.one("SELECT last_value FROM tries") == 3


# --- a commit that is cut off ---

HOLD_COMMIT = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hold();
ALTER TABLE t ENABLE ALWAYS TRIGGER hold"""


def hold_commit(pipe, holder):
    """The commit that applies an INSERT has begun and does not end before the holder's lock does."""
    pipe.target.sql(HOLD_COMMIT)
    holder.execute("SELECT pg_advisory_lock(1)")
    pipe.source.sql("INSERT INTO t VALUES (11, 'held'); UPDATE t SET v = v || 'b'")
    wait_until(lambda: pipe.target.admin(WAITS + " AND query = 'COMMIT'"), "it commits")


@pytest.mark.parametrize("how", [signal.SIGQUIT, pytest.param(signal.SIGINT, marks=LONG)])
def test_the_target_restarts_in_mid_commit(rough, how):
    """pg_ctl restart, immediate and fast."""
    pipe = rough
    pipe.source.sql(TABLE)
    engine = pipe.follow()
    with pipe.target.connect() as holder:
        hold_commit(pipe, holder)
        pipe.target.cluster.stop(how)
    pipe.target.cluster.start()
    goes_on(pipe, engine)
    assert pipe.target.one("SELECT string_agg(DISTINCT v, ',') FROM t") == "ab,heldb"


def test_a_commit_whose_answer_is_lost(wired, network):
    """It has committed, and nobody told the engine: it must ask the target, not its memory."""
    pipe = wired
    pipe.source.sql(TABLE)
    engine = network.start(pipe, tcp_user_timeout="2s", connect_timeout="2s")
    pipe.catch_up(engine)
    with pipe.target.connect() as holder:
        hold_commit(pipe, holder)
        network.wires["target"].cut()
        holder.execute("SELECT pg_advisory_unlock(1)")
        wait_until(lambda: pipe.target.one("SELECT count(*) FROM t") == 11, "it has committed")
        wait_until(lambda: engine.runs() and "trying again" in engine.stderr, "it has noticed")
        network.wires["target"].mend()
    goes_on(pipe, engine)
    assert pipe.target.one("SELECT string_agg(DISTINCT v, ',') FROM t") == "ab,heldb"


# --- standbys ---

@pytest.fixture
def standby(own_clusters, base_directory, request):
    """Of the own target."""
    made = []

    def make(**settings):
        directory = base_directory / f"standby-{request.node.name[:30]}"
        made.append(Standby(own_clusters[1], directory, **settings).start())
        return made[-1]

    yield make
    for cluster in made:
        cluster.remove()


def test_a_standby_as_target_is_refused(own, standby):
    own.source.sql(TABLE)
    own.target.sql(TABLE.split(";")[0])
    second = standby()
    url = second.database(own.target.name).url()
    wait_until(lambda: second.database(own.target.name).admin_one("SELECT to_regclass('t')"),
               "the standby has the table")
    engine = own.run(target=url)
    assert engine.code == CONFIGURATION
    assert "the target is a standby in recovery" in engine.stderr and "primary" in engine.stderr
    assert own.confirmed() is None  # nothing was made


def test_a_standby_of_the_target_that_never_answers_holds_nobody_up(own):
    """What we commit is durable when the target itself has it on its disk."""
    own.source.sql(TABLE + "; CREATE SEQUENCE s; SELECT nextval('s'); SELECT lo_create(7);"
                   "CREATE TABLE child (t int REFERENCES t, v text); ALTER TABLE child REPLICA"
                   " IDENTITY FULL; CREATE MATERIALIZED VIEW m AS SELECT * FROM t")
    for database in (own.source, own.target):
        database.admin("SELECT 1")
    own.target.cluster.configure(synchronous_standby_names="nosuch")
    own.target.admin("SELECT pg_reload_conf()")
    try:
        engine = own.follow(large_objects=True, sequence_sync_interval="200ms",
                            **own.urls("postgres"))
        own.source.sql("SELECT nextval('s'), nextval('s'); INSERT INTO child VALUES (1, 'x');"
                       "UPDATE t SET v = 'b'")
        own.catch_up(engine)
        engine.stop()
        own.copy(large_objects=True, **own.urls("postgres"))
        own.is_equal()
        assert own.target.one("SELECT last_value FROM s") == 3
        assert own.tear_down(**own.urls("postgres")).code == 0
        assert own.target.admin("SELECT nspname FROM pg_namespace WHERE nspname = 'trunkline'") == []
    finally:
        own.target.cluster.configure()
        own.target.admin("SELECT pg_reload_conf()")


def both_hosts(pipe, second):
    """The target's URL with both servers."""
    first = f"127.0.0.1:{pipe.target.cluster.port}"
    return (pipe.target.url().replace(first, f"{first},127.0.0.1:{second.port}")
            + "?target_session_attrs=read-write")


def position(database):
    rows = database.admin("SELECT lsn::text FROM trunkline.position")
    return lsn(rows[0][0]) if rows else 0


@pytest.mark.parametrize("is_complete", [pytest.param(True, marks=LONG), pytest.param(False, marks=pytest.mark.wide)])
def test_the_target_fails_over(own, standby, is_complete):
    """A standby that has all goes on; of one that lacks what was confirmed it is said."""
    pipe = own
    pipe.source.sql(TABLE)
    second = standby()
    engine = pipe.follow(target=both_hosts(pipe, second), idle_position_interval="10s")
    pipe.source.sql("UPDATE t SET v = v || 'b'")
    pipe.catch_up(engine)
    there = second.database(pipe.target.name)
    wait_until(lambda: position(there) == position(pipe.target), "the standby has all")
    if not is_complete:
        there.admin("SELECT pg_wal_replay_pause()")
        there.close()
        second.stop()
        pipe.source.sql("UPDATE t SET v = v || 'lost'")
        pipe.catch_up(engine)
    pipe.target.close()
    pipe.target.cluster.kill9()
    if not is_complete:
        second.configure(primary_conninfo="")
        second.start()
    second.promote()
    pipe.target = second.database(pipe.target.name)
    if is_complete:
        pipe.source.sql("UPDATE t SET v = v || 'c'")
        goes_on(pipe, engine)
        return
    engine.ends(CONFIGURATION)
    assert pipe.slot in engine.stderr and "changes in between are lost" in engine.stderr
    assert "tear-down" in engine.stderr
