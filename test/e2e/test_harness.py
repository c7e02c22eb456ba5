"""The harness itself: what it starts, kills and compares."""
import pytest

from harness.compare import differences, schema_differences, sequence_differences
from harness.load import load
from harness.program import Process, lsn


def test_comparison_sees_rows_that_are_missing_doubled_or_changed(pipe):
    for database in (pipe.source, pipe.target):
        database.sql("CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    assert differences(pipe.source, pipe.target) == []
    for change in ("DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (2, NULL)",
                   "UPDATE t SET v = '' WHERE id = 2", "CREATE TABLE more (id int)"):
        with pipe.target.connect(autocommit=False) as session:
            session.execute(change)
            session.commit()
        assert differences(pipe.source, pipe.target), change
        pipe.target.sql("DROP TABLE IF EXISTS more; TRUNCATE t;"
                        " INSERT INTO t VALUES (1, 'a'), (2, NULL)")
        assert differences(pipe.source, pipe.target) == []


def test_comparison_sees_schemas_and_sequences(pipe):
    for database in (pipe.source, pipe.target):
        database.sql("CREATE TABLE t (id serial PRIMARY KEY)")
    assert schema_differences(pipe.source, pipe.target) == []
    assert sequence_differences(pipe.source, pipe.target) == []
    pipe.source.sql("CREATE INDEX ON t (id); SELECT nextval('t_id_seq')")
    assert schema_differences(pipe.source, pipe.target)
    assert sequence_differences(pipe.source, pipe.target)


def test_a_killed_server_keeps_what_was_committed(rough):
    rough.source.sql("CREATE TABLE t (id int)")
    rough.source.sql("INSERT INTO t VALUES (1)")
    rough.source.cluster.kill9()
    assert not rough.source.cluster.is_running
    rough.source.cluster.start()
    assert rough.source.one("SELECT count(*) FROM t") == 1


def test_a_failure_in_a_writing_session_fails_the_test(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(Exception, match="duplicate key"):
        insert = "INSERT INTO t VALUES (1)"
        with load(pipe.source, lambda session, rng: session.execute(insert)) as running:
            running.wait_steps(2)


def test_positions_are_compared_as_numbers():
    assert lsn("0/FF") < lsn("0/100") < lsn("1/0")


def test_the_program_says_its_version(tmp_path):
    assert Process(tmp_path, "--version").ends(0).stdout.startswith("trunkline ")
