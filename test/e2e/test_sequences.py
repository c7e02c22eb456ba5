"""Sequences: kept in step while the stream is followed, exact at the end, never backwards."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.program import FAILED, metrics
from harness.wait import wait_until

KINDS = """
CREATE TABLE owned (id serial PRIMARY KEY);
CREATE TABLE named (id int GENERATED ALWAYS AS IDENTITY (START 50 INCREMENT 5) PRIMARY KEY);
CREATE TABLE tiny (id smallserial PRIMARY KEY);
CREATE SEQUENCE "Alone; 'q'" START 7;
CREATE SEQUENCE down INCREMENT -3;
CREATE SEQUENCE cached CACHE 20;
CREATE SEQUENCE short AS smallint;
CREATE SEQUENCE upper START 9223372036854775800;
CREATE SEQUENCE lower INCREMENT -1 MINVALUE -9223372036854775808 START -9223372036854775800;
CREATE SEQUENCE fresh START 33;
CREATE SEQUENCE told START 44;
"""
NAMES = ["owned_id_seq", "named_id_seq", "tiny_id_seq", '"Alone; \'q\'"', "down", "cached", "short",
         "upper", "lower", "fresh", "told"]


def state(database, name):
    return database.sql(f"SELECT last_value, is_called FROM {name}")[0]


def is_same_state(pipe, *names):
    return all(state(pipe.source, name) == state(pipe.target, name) for name in names)


def use_all(pipe, times):
    for name in NAMES[:-2]:
        pipe.source.sql(f"SELECT nextval($q${name}$q$) FROM generate_series(1, {times})")


@pytest.mark.matrix
@pytest.mark.proves("Objects", "sequences: values of owned, identity, standalone, descending, cached "
                    "ones", copied=True, followed="yes: every sequence_sync_interval, and exactly at "
                    "the end of --until")
def test_the_next_value_is_the_sources(pipe):
    pipe.source.sql(KINDS)
    use_all(pipe, 2)
    engine = pipe.follow(sequence_sync_interval="100ms")
    assert is_same_state(pipe, *NAMES)
    use_all(pipe, 3)
    wait_until(lambda: is_same_state(pipe, *NAMES), "the sequences are in step")
    engine.stop()
    use_all(pipe, 1)
    pipe.source.sql("SELECT setval('short', 32767), setval('told', 45, false)")
    pipe.copy(sequence_sync_interval="0")
    assert is_same_state(pipe, *NAMES)
    with pipe.source.connect() as one, pipe.target.connect() as other:  # without a cache of theirs
        for name in NAMES:
            if name != "short":  # at its bound
                query = f"SELECT nextval($q${name}$q$)"
                assert one.execute(query).fetchone() == other.execute(query).fetchone(), name


@pytest.mark.long
def test_at_the_end_only(pipe):
    pipe.source.sql("CREATE SEQUENCE s; CREATE SEQUENCE quick; CREATE TABLE t (id int PRIMARY KEY)")
    engine = pipe.follow(sequence_sync_interval="0")
    pipe.source.sql("SELECT nextval('s') FROM generate_series(1, 9)")
    pipe.source.sql("INSERT INTO t VALUES (1)")
    pipe.catch_up(engine)
    assert state(pipe.target, "s") == (1, False)
    engine.stop()
    pipe.copy()
    assert state(pipe.target, "s") == (9, True)


def test_never_backwards(pipe):
    pipe.source.sql("CREATE SEQUENCE up; CREATE SEQUENCE down INCREMENT -1; CREATE SEQUENCE mark;"
                    " SELECT setval('up', 10), setval('down', -10)")
    engine = pipe.follow(sequence_sync_interval="100ms")
    pipe.target.sql("SELECT setval('up', 1000), setval('down', -1000)")
    pipe.source.sql("SELECT nextval('up'), nextval('down'), nextval('mark')")
    wait_until(lambda: state(pipe.target, "mark") == (1, True), "a round has come")
    engine.stop()
    pipe.copy()
    assert state(pipe.target, "up") == (1000, True)
    assert state(pipe.target, "down") == (-1000, True)
    pipe.source.sql("SELECT setval('up', 1001), setval('down', -1001)")
    pipe.copy()
    assert is_same_state(pipe, "up", "down")


@pytest.mark.proves("Objects", "sequences: CYCLE", copied=True,
                    followed="yes: one that has wrapped is taken as it is")
def test_one_that_wraps(pipe):
    pipe.source.sql("CREATE SEQUENCE round MAXVALUE 5 CYCLE; SELECT setval('round', 4)")
    engine = pipe.follow(sequence_sync_interval="100ms")
    pipe.source.sql("SELECT nextval('round') FROM generate_series(1, 3)")
    wait_until(lambda: state(pipe.target, "round") == (2, True), "the wrapped value comes")
    engine.stop()


@pytest.mark.long
def test_restarted_by_truncate(pipe):
    """The stream sets the target's back; what the source has used since comes with the next round."""
    pipe.source.sql("CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT FROM"
                    " generate_series(1, 20)")
    engine = pipe.follow(sequence_sync_interval="100ms")
    pipe.source.sql("BEGIN; TRUNCATE t RESTART IDENTITY; INSERT INTO t SELECT FROM"
                    " generate_series(1, 4); COMMIT")
    wait_until(lambda: state(pipe.target, "t_id_seq") == (4, True), "the restarted one is in step")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


def test_sequences_that_come_go_and_are_renamed(pipe):
    pipe.source.sql("CREATE SEQUENCE a; CREATE SEQUENCE b; CREATE SEQUENCE c")
    engine = pipe.follow(sequence_sync_interval="100ms")
    pipe.source.sql("DROP SEQUENCE a; ALTER SEQUENCE b RENAME TO b2; CREATE SEQUENCE d;"
                    " SELECT nextval('b2'), nextval('c'), nextval('d')")
    wait_until(lambda: state(pipe.target, "c") == (1, True), "the one that stays is in step")
    assert state(pipe.target, "b") == (1, False)
    pipe.target.sql("ALTER SEQUENCE b RENAME TO b2; DROP SEQUENCE a")
    wait_until(lambda: state(pipe.target, "b2") == (1, True), "the renamed one is in step")
    engine.stop()
    pipe.copy()


def test_only_those_of_the_selection(pipe):
    """Owned by a selected table or used in one's default, or nobody's."""
    pipe.source.sql("CREATE TABLE inside (id serial PRIMARY KEY);"
                    " CREATE TABLE outside (id serial PRIMARY KEY, n serial);"
                    " ALTER TABLE inside ADD n int DEFAULT nextval('outside_n_seq');"
                    " CREATE SEQUENCE alone")
    pipe.target.sql("CREATE TABLE outside (id serial PRIMARY KEY)")
    every = ["inside_id_seq", "outside_n_seq", "alone"]
    engine = pipe.follow(tables="inside", sequence_sync_interval="100ms")
    for name in [*every, "outside_id_seq"]:
        pipe.source.sql(f"SELECT setval('{name}', 77)")
    wait_until(lambda: is_same_state(pipe, *every), "the selected ones are in step")
    engine.stop()
    pipe.copy(tables="inside")
    assert state(pipe.target, "outside_id_seq") == (1, False)


def test_a_missing_privilege_is_told_once(pipe):
    pipe.source.sql("CREATE SEQUENCE closed; CREATE SEQUENCE narrow; CREATE SEQUENCE mark")
    engine = pipe.follow(sequence_sync_interval="100ms", listen="127.0.0.1:0")
    pipe.target.admin("ALTER SEQUENCE closed OWNER TO postgres; ALTER SEQUENCE narrow MAXVALUE 10")
    for value in range(1, 4):
        pipe.source.sql("SELECT setval('closed', 5), setval('narrow', 11), nextval('mark')")
        wait_until(lambda v=value: state(pipe.target, "mark") == (v, True), "a round has come")
    assert engine.stderr.count("public.closed") == 1 and engine.stderr.count("public.narrow") == 1
    assert pipe.target.admin_one("SELECT last_value FROM closed") == 1
    engine.stop()
    pipe.copy()
    pipe.target.admin("ALTER SEQUENCE closed OWNER TO app; ALTER SEQUENCE narrow MAXVALUE 100")
    pipe.copy()
    assert is_same_state(pipe, "closed", "narrow")


def test_a_locked_sequence_holds_nobody_up(pipe):
    pipe.source.sql("CREATE SEQUENCE s; CREATE TABLE t (id serial PRIMARY KEY)")
    engine = pipe.follow(sequence_sync_interval="100ms")
    with pipe.source.connect() as session:
        session.execute("BEGIN")
        session.execute("DROP SEQUENCE s")
        pipe.source.sql("INSERT INTO t DEFAULT VALUES")
        pipe.catch_up(engine)
        wait_until(lambda: "sequences are not in step" in engine.stderr, "the warning")
        session.execute("ROLLBACK")
    wait_until(lambda: state(pipe.target, "t_id_seq") == (1, True), "they are in step again")
    engine.stop()


WAITS = ("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass"
         " AND clock_timestamp() - waitstart > interval '200 ms'")


def test_who_changes_two_sequences_meets_no_deadlock(pipe):
    """We read all of them with one query, which keeps the locks it has while it waits for more."""
    pipe.source.sql("CREATE SEQUENCE a; CREATE SEQUENCE b; CREATE TABLE t (id int PRIMARY KEY)")
    pipe.copy()
    with pipe.source.connect() as session:
        session.execute("BEGIN; ALTER SEQUENCE b RESTART 5")
        engine = pipe.start(until="now")
        until = time.monotonic() + 3
        wait_until(lambda: pipe.source.admin(WAITS) or time.monotonic() > until, "it waits, or tries")
        session.execute("ALTER SEQUENCE a RESTART 7; SELECT nextval('a'), nextval('b'); COMMIT")
    engine.ends(0)
    assert state(pipe.target, "a") == (7, True) and state(pipe.target, "b") == (5, True)


def test_who_changes_many_sequences_meets_no_deadlock_with_verify(pipe):
    """Whatever order it reads them in, b is hardly the first."""
    others = [f"s{i}" for i in range(8)]
    names = others[:4] + ["b"] + others[4:]
    pipe.source.sql(";".join(f"CREATE SEQUENCE {name}" for name in names)
                    + "; CREATE TABLE t (id int PRIMARY KEY)")
    pipe.copy()
    with pipe.source.connect() as session, ThreadPoolExecutor() as threads:
        session.execute("SELECT nextval(s) FROM unnest(%s::text[]) s", [names])
        session.execute("BEGIN; ALTER SEQUENCE b RESTART 5")
        ended = threads.submit(pipe.verify, schema_only=True)
        until = time.monotonic() + 3
        wait_until(lambda: pipe.source.admin(WAITS) or time.monotonic() > until, "it waits, or tries")
        session.execute(";".join(f"ALTER SEQUENCE {name} RESTART 7" for name in others))
        session.execute("SELECT nextval('b'); COMMIT")
        said = ended.result()
    assert said.code == FAILED and "setval('\"public\".\"b\"', 5)" in said.stdout, said.stderr


@pytest.mark.long
def test_many(pipe):
    """5,000 of them: the stream goes on beside the rounds, and only what has moved is written."""
    pipe.source.sql("DO $$ BEGIN FOR i IN 1..5000 LOOP EXECUTE 'CREATE SEQUENCE s' || i; END LOOP;"
                    " END $$; CREATE TABLE t (id int PRIMARY KEY)")
    engine = pipe.follow(sequence_sync_interval="100ms", timeout=170)
    pipe.source.sql("SELECT nextval('s' || i) FROM generate_series(1, 5000, 2) i")
    start = time.monotonic()
    wait_until(lambda: is_same_state(pipe, "s1", "s2501", "s4999"), "they are in step")
    assert time.monotonic() - start < 5
    pipe.source.sql("INSERT INTO t VALUES (1)")
    pipe.catch_up(engine)
    engine.stop()
    pipe.copy()
