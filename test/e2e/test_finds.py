"""What random schemas (test/random) have found, each as its smallest case."""
import signal

import pytest

from harness.wait import wait_until


def test_a_domain_over_an_array_is_known_at_a_second_start(pipe):
    pipe.source.sql("CREATE DOMAIN many AS int[]; CREATE DOMAIN more AS many;"
                    "CREATE TABLE t (id int PRIMARY KEY, v many, w more[]);"
                    "INSERT INTO t VALUES (1, '{1,2}', ARRAY['{3}'::more])")
    pipe.start(fault="schema.restored=kill").ends(-signal.SIGKILL)
    pipe.copy()
    pipe.is_verified()


def test_the_applications_locks_meet_no_deadlock_when_tables_are_published(pipe):
    """Publishing locks each table; an application that holds one and asks for another goes on."""
    pipe.source.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);"
                    "INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)")
    with pipe.source.connect() as session:
        session.execute("BEGIN; TRUNCATE b")
        engine = pipe.start()
        wait_until(lambda: engine.runs() and pipe.source.admin(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'trunkline%'"
            " AND wait_event_type = 'Lock'"), "the engine waits for the table")
        session.execute("TRUNCATE a; INSERT INTO a VALUES (3); COMMIT")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
    assert pipe.target.sql("SELECT * FROM a UNION ALL SELECT * FROM b") == [(3,)]


def test_a_generated_column_beside_the_identitys_key_does_no_harm(pipe):
    """INCLUDEd in the index that is the identity: not a column of the key."""
    pipe.source.sql("CREATE TABLE t (a int NOT NULL, v int,"
                    " g int GENERATED ALWAYS AS (v * 2) STORED);"
                    "CREATE UNIQUE INDEX t_key ON t (a) INCLUDE (g, v);"
                    "ALTER TABLE t REPLICA IDENTITY USING INDEX t_key;"
                    "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET v = 5 WHERE a = 1; UPDATE t SET a = 20 WHERE a = 2;"
                    " DELETE FROM t WHERE a = 3")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
    assert pipe.target.sql("SELECT * FROM t ORDER BY a") == [(1, 5, 10), (20, 2, 4)]


def test_a_tsquery_without_a_key_is_found_by_a_stream_of_text(pipe):
    """Its bytes differ when it has come in binary form: rows without a key are told by bytes."""
    pipe.source.sql("CREATE TABLE t (q tsquery, v int); ALTER TABLE t REPLICA IDENTITY FULL;"
                    "CREATE TABLE text_only (r regtype PRIMARY KEY);"
                    "INSERT INTO t VALUES ('a & b:*', 1), ('!x | (y <2> z:AB)', 2)")
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET v = 3 WHERE v = 1; DELETE FROM t WHERE v = 2")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()


@pytest.mark.parametrize("fault", [None, "slot.made=kill"])
def test_a_slot_made_beside_a_truncate_is_made_again(pipe, fault):
    """The server forgets a TRUNCATE that commits between the first points of a slot's making, and
    cannot decode the table afterwards. Transactions that run keep the making at these points."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
                    "CREATE TABLE other (id int PRIMARY KEY)")

    def waits_for(count):
        query = ("SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid"
                 " WHERE a.backend_type = 'walsender' AND l.locktype = 'transactionid'"
                 " AND NOT l.granted AND l.transactionid::text = %s")
        wait_until(lambda: engine.runs() and pipe.source.admin_one(query, count),
                   "the slot's making waits for a transaction")

    def open_transaction():
        session = pipe.source.connect()
        session.execute("BEGIN; INSERT INTO other VALUES (pg_backend_pid())")
        return session, session.execute("SELECT pg_current_xact_id()::text").fetchone()[0]

    first, first_id = open_transaction()
    engine = pipe.start(fault=fault)
    waits_for(first_id)
    second, second_id = open_transaction()
    pipe.source.sql("TRUNCATE t")  # begun behind the first point, and committed before the second
    first.execute("COMMIT")
    waits_for(second_id)
    pipe.source.sql("INSERT INTO other VALUES (-1)")
    second.execute("COMMIT")
    if fault:
        engine.ends(-signal.SIGKILL)
        pipe.start(fault=fault).ends(-signal.SIGKILL)  # it was dropped, and made again
        engine = pipe.start()
    pipe.catch_up(engine)
    pipe.source.sql("INSERT INTO t VALUES (2)")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
