"""What docs/guarantees.md tells readers of the target, as far as no other file proves it."""

import pytest

from harness.load import load
from harness.program import FAILED, lsn
from harness.wait import wait_until

POSITION = "SELECT lsn::text FROM trunkline.position"
END = "SELECT pg_current_wal_insert_lsn()::text"
READER = ("CREATE ROLE reader_{0} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{0};"
          "GRANT USAGE ON SCHEMA trunkline TO reader_{0};"
          "GRANT SELECT ON trunkline.position TO reader_{0}")
NO_READER = "DROP OWNED BY reader_{0}; DROP ROLE reader_{0}"
# A target 14 does not let the program's role switch triggers off: what acts there is refused.
WITH_REPLICA_ROLE = pytest.mark.versions(target=(15, 18))


@pytest.fixture
def reader(pipe):
    """Connects to the target as a role that may read, and no more."""
    name = pipe.target.name

    def connect():
        if not pipe.target.admin("SELECT 1 FROM pg_roles WHERE rolname = %s", f"reader_{name}"):
            pipe.target.admin(READER.format(name))
        return pipe.target.connect(f"reader_{name}", autocommit=False)

    yield connect
    if pipe.target.admin("SELECT 1 FROM pg_roles WHERE rolname = %s", f"reader_{name}"):
        pipe.target.admin(NO_READER.format(name))


@pytest.mark.matrix
def test_a_snapshot_says_which_state_it_shows(pipe, reader):
    """The position that a snapshot of the target shows is the one up to which it holds all that the
    source has committed, and nothing more."""
    pipe.source.sql("CREATE TABLE one (n int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY, n int);"
                    "INSERT INTO one VALUES (0); INSERT INTO two VALUES (1, 0)")
    before, after, count = {}, {}, 0

    def write(session, _rng):
        nonlocal count
        count += 1
        before[count], = session.execute(END).fetchone()
        with session.transaction():
            session.execute("INSERT INTO one VALUES (%s)", (count,))
            session.execute("UPDATE two SET n = %s", (count,))
        after[count], = session.execute(END).fetchone()

    engine = pipe.follow()
    readings = set()
    with load(pipe.source, write) as writer, reader() as session:
        session.execute("SET default_transaction_isolation = 'repeatable read'")
        session.commit()
        while len(readings) < 30:
            n, = session.execute("SELECT n FROM two").fetchone()
            writer.check()
            assert session.execute("SELECT max(n), count(*) - 1 FROM one").fetchone() == (n, n)
            readings.add((n, session.execute(POSITION).fetchone()[0]))
            session.commit()
    pipe.catch_up(engine)
    engine.stop()
    for n, position in readings - {(n, at) for n, at in readings if n + 1 not in after}:
        assert n == 0 or lsn(position) > lsn(before[n])
        assert lsn(position) < lsn(after[n + 1])
    pipe.is_verified()


@pytest.mark.matrix
@pytest.mark.parametrize("is_synchronous", ["on", "off"])
def test_reading_ones_own_writes(pipe, reader, is_synchronous):
    """Wait until the position on the target has reached what the source's insert position was after
    the commit: while others write, and while nobody does."""
    pipe.source.sql("CREATE TABLE t (n int PRIMARY KEY); CREATE TABLE other (n int)")
    engine = pipe.follow(tables="t")

    def noise(session, _rng):
        session.execute("INSERT INTO other VALUES (1)")

    def write_and_read(session, n):
        writer.execute("INSERT INTO t VALUES (%s)", (n,))
        end, = writer.execute(END).fetchone()

        def is_there():
            session.rollback()
            return session.execute("SELECT lsn >= %s FROM trunkline.position", (end,)).fetchone()[0]

        wait_until(lambda: engine.runs() and is_there(), "the position is reached")
        assert session.execute("SELECT max(n) FROM t").fetchone() == (n,)
        session.rollback()

    with pipe.source.connect() as writer, reader() as session:
        writer.execute(f"SET synchronous_commit = {is_synchronous}")
        with load(pipe.source, noise):
            for n in range(20):
                write_and_read(session, n)
        for n in range(20, 30):
            write_and_read(session, n)
    engine.stop()


def test_truncate_shows_through_older_snapshots(pipe, reader):
    """As on the source. Who has read the table holds the TRUNCATE up."""
    pipe.source.sql("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1);"
                    "CREATE TABLE u (n int PRIMARY KEY); INSERT INTO u VALUES (1)")
    engine = pipe.follow()
    with reader() as old, reader() as holder:
        for session in (old, holder):
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert session.execute("SELECT n FROM u").fetchall() == [(1,)]
        assert holder.execute("SELECT n FROM t").fetchall() == [(1,)]
        pipe.source.sql("BEGIN; TRUNCATE t; INSERT INTO t VALUES (2); UPDATE u SET n = 2; COMMIT")
        wait_until(lambda: pipe.target.admin(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND application_name LIKE 'trunkline:%%:apply'"),
            "the TRUNCATE waits for who has read the table")
        assert holder.execute("SELECT n FROM t").fetchall() == [(1,)]
        holder.rollback()
        pipe.catch_up(engine)
        assert old.execute("SELECT n FROM u").fetchall() == [(1,)]
        assert old.execute("SELECT n FROM t").fetchall() == []
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=pytest.mark.long)])
def test_a_unique_index_made_while_it_follows(pipe, mode):
    """It is obeyed from then on, change by change; what violates it stops the pipeline."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, u int);"
                    "INSERT INTO t SELECT g, g FROM generate_series(1, 2000) g")
    engine = pipe.follow(apply_mode=mode)
    pipe.source.sql("UPDATE t SET u = u + 10000")
    pipe.catch_up(engine)
    pipe.target.sql("CREATE UNIQUE INDEX own ON t (u)")
    pipe.source.sql("BEGIN; UPDATE t SET u = u + 10000 WHERE u % 2 = 0; UPDATE t SET u = u - 1"
                    " WHERE u > 20000; UPDATE t SET u = u + 20000 WHERE u < 15000; COMMIT")
    pipe.catch_up(engine)
    pipe.is_equal()
    pipe.source.sql("UPDATE t SET u = 7 WHERE id IN (5, 6)")
    engine.ends(FAILED)
    assert "own" in engine.stderr and "(id = 6)" in engine.stderr
    pipe.target.sql("DROP INDEX own")
    pipe.copy()
    pipe.is_verified()


AUDIT = """
CREATE TABLE seen (n bigserial PRIMARY KEY, name text, op text, id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    INSERT INTO seen (name, op, id) VALUES (TG_NAME, TG_OP, coalesce(NEW.id, OLD.id)); RETURN NEW;
    END $$;
CREATE TRIGGER plain AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER always AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE t ENABLE ALWAYS TRIGGER always;
CREATE TABLE own (t int REFERENCES t ON DELETE CASCADE); INSERT INTO own VALUES (1)"""


@WITH_REPLICA_ROLE
def test_triggers_and_keys_made_while_it_follows(pipe):
    """An ENABLE ALWAYS trigger acts at once, and sees each change from the next start on; others,
    and foreign keys, do not act on what is applied."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET v = 2")
    pipe.catch_up(engine)
    pipe.target.sql(AUDIT)
    pipe.source.sql("INSERT INTO t VALUES (2, 2)")
    pipe.catch_up(engine)
    seen = "SELECT name, op, id FROM seen ORDER BY n"
    assert pipe.target.sql(seen) == [("always", "INSERT", 2)]
    engine.stop()
    pipe.source.sql("BEGIN; INSERT INTO t VALUES (3, 3); UPDATE t SET v = 4; DELETE FROM t WHERE id < 3;"
                    "COMMIT; UPDATE t SET v = 5")
    pipe.copy()
    assert pipe.target.sql(seen)[1:] == [("always", op, id) for op, id in (
        ("INSERT", 3), ("UPDATE", 1), ("UPDATE", 2), ("UPDATE", 3), ("DELETE", 1), ("DELETE", 2),
        ("UPDATE", 3))]
    assert pipe.target.sql("SELECT t FROM own") == [(1,)]  # no cascade
    assert pipe.target.sql("SELECT * FROM t") == [(3, 5)]


@WITH_REPLICA_ROLE
def test_deferrable_constraints_of_the_target_are_not_enforced(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    pipe.target.sql("CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE DEFERRABLE)")
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t VALUES (2, 1)")
    pipe.catch_up(engine)
    assert pipe.target.sql("SELECT * FROM t ORDER BY 1") == [(1, 1), (2, 1)]
    engine.stop()
