"""Transactions applied before they commit: nobody sees them earlier, none is lost or doubled, and
what stands in the way is no error but the other way (test_streamed.py)."""
import re
import signal
import time

import pytest

from harness.proxy import Proxy
from harness.slices import WIDE, every
from harness.streamed import CASES, TABLE, TABLES, Counters, fill, play, transaction
from harness.wait import wait_until

SENT = {"logical_decoding_work_mem": "64kB"}
OTHER = "CREATE TABLE other (id int PRIMARY KEY, v text)"
WHOLE = re.compile("^rolled back$|^prepared and|back whole$")


@pytest.fixture
def counters():
    return Counters()


def prepared(pipe, counters, ddl=TABLE, **settings):
    """An engine that follows, for which the copy is over."""
    pipe.source.sql(ddl)
    return pipe.follow(**SENT, **counters.setting, **settings)


def holds_rows(pipe):
    """A session of ours has written on the target and not committed."""
    return pipe.target.admin(
        "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'trunkline:%%:ahead'"
        " AND backend_xid IS NOT NULL AND datname = current_database()")


def wait_ahead(pipe):
    wait_until(lambda: holds_rows(pipe), "it is applied before its commit")


@pytest.mark.matrix
def test_it_is_on_the_target_before_it_commits(pipe, counters):
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}")
    with transaction(pipe) as session:
        session.execute(fill(1, 20000))
        wait_ahead(pipe)
        pipe.source.sql("INSERT INTO other VALUES (1, 'meanwhile'); DELETE FROM t WHERE false")
        session.execute("UPDATE t SET v = 'changed' WHERE id % 3 = 0")
        session.execute("DELETE FROM t WHERE id % 7 = 0")
        session.execute("UPDATE t SET id = id + 100000 WHERE id % 11 = 0")
        pipe.catch_up(engine)
        assert pipe.target.one("SELECT v FROM other") == "meanwhile"
        assert pipe.target.one("SELECT count(*) FROM t") == 0
        assert holds_rows(pipe)
        assert counters.changes("update") == 0
    pipe.catch_up(engine)
    pipe.is_equal()
    assert not holds_rows(pipe)
    assert counters["ahead_transactions"] == counters["streamed_transactions"] == 1
    assert counters["spilled_bytes"] == counters["ahead_given_up"] == 0
    assert counters.changes("update") > 6000
    pipe.source.sql("UPDATE t SET v = 'quick' WHERE id = 1; INSERT INTO other VALUES (2, '')")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()


@pytest.mark.matrix
@pytest.mark.wide
def test_what_happens_inside(pipe, counters):
    """An engine for each: after giving up it would keep the next."""
    engine = prepared(pipe, counters, TABLES)
    pipe.target.sql("ALTER TABLE t ADD more int")
    for name in CASES:
        play(pipe, engine, counters, name)
        if pipe.source.cluster.major < 18 and not WHOLE.search(name):
            assert counters["ahead_transactions"] + counters["ahead_given_up"] == 1, name
        pipe.source.sql("TRUNCATE t, other, short")
        engine.stop()
        engine = pipe.follow(**SENT, **counters.setting)
    pipe.is_equal()
    engine.stop()


@pytest.mark.matrix
def test_rolled_back(pipe, counters):
    """And the next one is applied so again."""
    engine = prepared(pipe, counters)
    for more in ("SELECT", "SAVEPOINT a; " + fill(20001, 30000) + "; RELEASE a"):
        with transaction(pipe) as session:
            session.execute(fill(1, 20000))
            session.execute(more)
            wait_ahead(pipe)
            session.rollback()
        wait_until(lambda: not holds_rows(pipe), "it is rolled back")
    pipe.source.sql("INSERT INTO t VALUES (0, 'committed')")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT id FROM t") == [(0,)]
    pipe.source.sql(fill(1, 5000))
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["ahead_transactions"] == 1 and counters["ahead_given_up"] == 0
    assert counters.changes("insert") == 5001
    engine.stop()


@pytest.mark.matrix
def test_two_at_once(pipe, counters):
    """One is applied as it comes, the other is kept."""
    engine = prepared(pipe, counters)
    with pipe.source.connect(autocommit=False) as one, pipe.source.connect(autocommit=False) as two:
        for low in range(1, 20000, 2000):
            one.execute(fill(low, low + 999))
            two.execute(fill(low + 1000, low + 1999))
            pipe.source.sql("INSERT INTO t VALUES (%s, 'between')", -low)
        two.execute("UPDATE t SET v = 'two' WHERE id % 3 = 0")
        two.commit()
        one.execute("DELETE FROM t WHERE id % 7 = 0 AND v <> 'two'")
        one.commit()
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["streamed_transactions"] == 2 and counters["ahead_transactions"] == 1
    engine.stop()
    pipe.is_verified()


MANY = """CREATE TABLE many (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE many_0 PARTITION OF many FOR VALUES FROM (0) TO (10)"""
ENABLED = """CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.seen SELECT count(*) FROM public.other; RETURN NEW; END $$;
CREATE TABLE seen (n int);
CREATE TRIGGER seen AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION count_it();
ALTER TABLE t ENABLE ALWAYS TRIGGER seen"""
# What the target has beforehand, and what the transaction does.
HINDRANCES = {
    "a savepoint": ("", [fill(1, 3000), "SAVEPOINT a", fill(3001, 6000), "ROLLBACK TO a",
                         fill(6001, 8000)]),
    "truncate": ("", [fill(1, 3000), "TRUNCATE other", fill(3001, 6000)]),
    "a new partition": ("", [
        fill(1, 3000), "CREATE TABLE many_1 PARTITION OF many FOR VALUES FROM (10) TO (10000)",
        fill(10, 3000, "many")]),
    "a constraint that holds in the end only": (
        "CREATE UNIQUE INDEX ON t ((v)) WHERE v IN ('a')",
        ["INSERT INTO t VALUES (1, 'a')", fill(2, 3000), "INSERT INTO t VALUES (4000, 'a')",
         fill(4001, 7000), "UPDATE t SET v = 'b' WHERE v = 'a'", fill(8001, 9000)]),
    "a trigger": (ENABLED, [fill(1, 6000)]),
}


@pytest.mark.matrix
@pytest.mark.parametrize("name", HINDRANCES)
def test_what_stands_in_the_way(pipe, counters, name):
    there, statements = HINDRANCES[name]
    engine = prepared(pipe, counters,
                      f"{TABLE}; {OTHER}; INSERT INTO other VALUES (1, 'old'); {MANY}")
    if there:
        pipe.target.sql(there)
    with transaction(pipe) as session:
        for statement in statements:
            session.execute(statement)
        wait_until(lambda: counters["ahead_given_up"], "it is kept instead", 30)
        pipe.source.sql("INSERT INTO other VALUES (2, 'meanwhile')"
                        if name != "truncate" else "SELECT")
    pipe.catch_up(engine)
    pipe.is_equal(only=[("public", "t"), ("public", "other")])
    if name == "a new partition":
        pipe.is_equal(only=[("public", "many")])
    if name == "a trigger":  # it sees what had committed before, as it would without streaming
        assert set(pipe.target.sql("SELECT n FROM seen")) == {(2,)}
    assert counters["ahead_given_up"] == 1 and counters["ahead_transactions"] == 0
    assert "is not applied before its commit, but behind it" in engine.stderr
    assert engine.stderr.count("level=error") == 0
    engine.stop()


@pytest.mark.wide
def test_a_lock_of_someone_elses(pipe, counters):
    engine = prepared(pipe, counters)
    with pipe.target.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE t IN SHARE MODE")
        pipe.source.sql(fill(1, 5000))
        wait_until(lambda: counters["ahead_given_up"], "it does not wait for ever", 30)
        blocker.rollback()
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


@pytest.mark.matrix
def test_a_transaction_that_waits_for_it(pipe, counters):
    """The target alone has the index: on the source nobody had to wait."""
    engine = prepared(pipe, counters)
    pipe.target.sql("CREATE UNIQUE INDEX ON t (v)")
    with transaction(pipe) as session:
        session.execute("INSERT INTO t VALUES (0, 'same')")
        session.execute(fill(1, 5000))
        wait_ahead(pipe)
        pipe.source.sql("INSERT INTO t VALUES (-1, 'same')")
        wait_until(lambda: pipe.target.sql("SELECT 1 FROM t WHERE id = -1"), "it has gone on", 30)
        session.execute("DELETE FROM t WHERE id = 0")
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["ahead_given_up"] == 1
    engine.stop()


@pytest.mark.matrix
def test_a_table_that_it_altered(pipe, counters):
    """Others see the table as it was until the commit, and after a rollback."""
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}")
    pipe.target.sql("ALTER TABLE t ADD more int DEFAULT 7")
    for end in ("rollback", "commit"):
        with transaction(pipe) as session:
            session.execute(fill(1, 3000))
            session.execute("ALTER TABLE t ADD more int; UPDATE t SET more = 1")
            wait_ahead(pipe)
            pipe.source.sql("INSERT INTO other VALUES ((SELECT count(*) FROM other), 'between')")
            getattr(session, end)()
        columns = "id, v" if end == "rollback" else "*"
        pipe.source.sql("INSERT INTO t VALUES (-1, 'after')")
        pipe.catch_up(engine)
        query = f"SELECT {columns} FROM t ORDER BY id"
        assert pipe.source.sql(query) == pipe.target.sql(query)
        pipe.source.sql("DELETE FROM t WHERE id = -1")
    assert counters["ahead_given_up"] == 0
    engine.stop()


@pytest.mark.matrix
def test_an_end_before_its_commit(pipe, counters):
    """A stop, --until and a kill leave nothing of it; it comes again, whole."""
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}")
    with transaction(pipe) as session:
        session.execute(fill(1, 5000))
        wait_ahead(pipe)
        pipe.source.sql("INSERT INTO other VALUES (1, 'stop')")
        pipe.catch_up(engine)
        engine.stop()
        assert not holds_rows(pipe)
        pipe.source.sql("INSERT INTO other VALUES (2, 'until')")
        pipe.copy(**SENT)
        engine = pipe.follow(**SENT)
        session.execute(fill(5001, 9000))
        wait_ahead(pipe)
        engine.kill()
        assert pipe.target.sql("SELECT count(*) FROM t") == [(0,)]
        assert pipe.target.one("SELECT count(*) FROM other") == 2
        engine = pipe.follow(**SENT, **counters.setting)
        session.execute("UPDATE t SET v = 'again' WHERE id % 2 = 0")
        wait_ahead(pipe)
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["ahead_transactions"] == 1
    engine.stop()
    pipe.is_verified()


def test_what_the_copy_may_hold_is_kept(pipe, counters, tmp_path):
    """Begun while the copy was taken: whether it is in it is known at its commit."""
    pipe.source.sql(f"{TABLE}; {OTHER}; INSERT INTO t VALUES (0, 'there')")
    gate = tmp_path / "gate"
    engine = pipe.start(fault=f"follow.start=wait:{gate}", **SENT, **counters.setting)
    wait_until(lambda: engine.runs() and gate.with_name("gate.reached").exists(), "the copy is over")
    pipe.source.sql(fill(1, 5000))
    gate.touch()
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["streamed_transactions"] == 1
    engine.stop()


@pytest.mark.parametrize("point", every(
    3, ["ahead.piece=kill@3", "ahead.piece=disconnect@3", "ahead.piece=error@2",
        "ahead.commit=kill", "ahead.commit=disconnect", "group.committed=kill@2",
        "group.durable=kill@2"], others=WIDE))
def test_at_every_moment(pipe, counters, point):
    pipe.source.sql(f"{TABLE}; {OTHER}")
    pipe.follow().stop()
    engine = pipe.start(fault=point, **SENT, **counters.setting)
    with transaction(pipe) as session:
        session.execute(fill(1, 4000))
        pipe.source.sql("INSERT INTO other VALUES (1, 'between')")
        session.execute("UPDATE t SET v = 'changed' WHERE id % 2 = 0")
        session.execute(fill(4001, 8000))
    pipe.source.sql("INSERT INTO other VALUES (2, 'after')")
    if "kill" in point:
        engine.ends(-signal.SIGKILL)
        engine = pipe.start(**SENT)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


@pytest.mark.wide
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_that_restarts(rough, counters, side):
    pipe = rough
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}")
    if side == "target":
        with transaction(pipe) as session:
            session.execute(fill(1, 5000))
            wait_ahead(pipe)
            pipe.target.cluster.restart()
            session.execute(fill(5001, 9000))
    else:
        session = pipe.source.connect(autocommit=False)
        session.execute(fill(1, 5000))
        wait_ahead(pipe)
        pipe.source.cluster.restart()
    pipe.source.sql("INSERT INTO other VALUES (1, 'after')")
    pipe.catch_up(engine)
    pipe.is_equal()
    assert not holds_rows(pipe)
    engine.stop()


@pytest.mark.wide
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_session_that_lives_on(pipe, counters, end):
    """The server has not heard that the connection is lost: its locks would hold up the engine."""
    proxy = Proxy(pipe.target.url())
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}", target=proxy.url)
    with pipe.source.connect(autocommit=False) as session:
        session.execute(fill(1, 5000))
        wait_ahead(pipe)
        pipe.source.sql("INSERT INTO other VALUES (1, 'before')")
        pipe.catch_up(engine)
        ends = proxy.lose(b":ahead\0")
        assert ends and holds_rows(pipe)
        getattr(session, end)()
    pipe.source.sql("INSERT INTO t VALUES (1, 'after') ON CONFLICT (id) DO UPDATE SET v = 'after'")
    pipe.catch_up(engine)
    pipe.is_equal()
    assert not holds_rows(pipe)
    engine.stop()
    pipe.is_verified()


@pytest.mark.matrix
def test_a_row_in_the_way_that_goes_before_the_commit(pipe, counters):
    """The target alone has the index. Behind its commit the row would have had its place."""
    engine = prepared(pipe, counters, on_conflict_action="nothing")
    pipe.target.sql("CREATE UNIQUE INDEX ON t (v)")
    pipe.source.sql("INSERT INTO t VALUES (0, 'same')")
    pipe.catch_up(engine)
    with transaction(pipe) as session:
        session.execute("INSERT INTO t VALUES (1, 'same')")
        session.execute(fill(2, 5000))
        wait_until(lambda: holds_rows(pipe) or counters["ahead_given_up"], "it is tried")
        pipe.source.sql("DELETE FROM t WHERE id = 0")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


@pytest.mark.wide
def test_no_session_to_be_had(pipe, counters):
    """The server takes no more sessions of the role: as many as without it are enough."""
    role = pipe.target.cluster.role
    engine = prepared(pipe, counters, f"{TABLE}; {OTHER}; CREATE TABLE third (id int PRIMARY KEY)")
    pipe.source.sql("INSERT INTO t VALUES (0, 'known')")
    pipe.catch_up(engine)
    there = pipe.target.admin_one("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role)
    try:
        for more in (2, 1, 0):
            engine.stop()
            pipe.target.admin(f"ALTER ROLE {role} CONNECTION LIMIT {there + more}")
            engine = pipe.follow(**SENT, **counters.setting)
            with transaction(pipe) as session:
                session.execute(fill(1 + more * 10000, more * 10000 + 5000))
                counters.wait_streamed()
                pipe.source.sql(f"INSERT INTO third VALUES ({more})")
                wait_until(lambda: pipe.target.sql("SELECT 1 FROM third WHERE id = %s", more),
                           f"others go on with {more} sessions more")
            pipe.catch_up(engine)
            pipe.is_equal()
    finally:
        pipe.target.admin(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert counters["ahead_given_up"] == 1
    engine.stop()


PAUSE_MS = 500


@pytest.mark.wide
def test_none_is_tried_twice(pipe, counters, tmp_path):
    """The source comes to it again only when the pause is over: it would fail again, and again."""
    pipe.source.sql(f"{TABLE}; {OTHER}")
    pipe.follow().stop()
    gate = tmp_path / "gate"
    reached = gate.with_name("gate.reached")
    engine = pipe.start(fault=f"follow.start=wait:{gate}@2", **SENT, **counters.setting,
                        environment={"TRUNKLINE_FAULT_LIMIT_MS": str(PAUSE_MS)})
    with transaction(pipe) as session:
        session.execute(fill(1, 3000))
        wait_ahead(pipe)
        session.execute("SAVEPOINT a")
        session.execute(fill(3001, 6000))
        session.execute("ROLLBACK TO a")
        session.execute(fill(6001, 7000))
        wait_until(reached.exists, "the stream begins anew")
        over = time.monotonic() + 2 * PAUSE_MS / 1000
        wait_until(lambda: time.monotonic() > over, "another would be tried")
        gate.touch()
        counters.wait_streamed(2)
        session.execute(fill(7001, 9000))
    pipe.catch_up(engine)
    pipe.is_equal()
    assert counters["ahead_given_up"] == 1 and counters["ahead_transactions"] == 0
    pipe.source.sql(fill(10001, 13000))
    pipe.catch_up(engine)
    assert counters["ahead_transactions"] == 1
    engine.stop()
