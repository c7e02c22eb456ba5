"""A small group is sent with its commit and waited for once. What that must not change: nothing is
committed of a group of which a statement finds no row, or finds two, or fails at the commit."""
import pytest

from harness.program import FAILED
from harness.wait import wait_until

THREE = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE u (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO u VALUES (1, 'a'), (2, 'b');
"""
IN_ONE_GO = "a small group is applied in the ordinary way"  # said when it was tried so and failed
# On 14 no plain role may switch triggers off: a check could wait for the commit there.
WITH_REPLICA_ROLE = pytest.mark.versions(target=(15, 18))


class Group:
    """The engine has described its tables just now, and has sent nothing of it."""

    def __init__(self, pipe, change):
        self.gate = pipe.directory / "gate"
        pipe.source.sql(THREE)
        pipe.copy()
        self.engine = pipe.start(log_level="debug", fault=f"group.begin=wait:{self.gate}")
        pipe.source.sql(change)
        reached = self.gate.with_name("gate.reached")
        wait_until(lambda: self.engine.runs() and reached.exists(), "it has described the tables")

    def fails(self):
        """Lets it be sent; it was tried in one go. What the engine said."""
        self.gate.touch()
        self.engine.ends(FAILED)
        assert IN_ONE_GO in self.engine.stderr
        return self.engine.stderr


def rows(pipe):
    return pipe.target.sql("SELECT * FROM t ORDER BY 1"), pipe.target.sql("SELECT * FROM u ORDER BY 1")


@WITH_REPLICA_ROLE
@pytest.mark.matrix
@pytest.mark.parametrize("change", ["UPDATE u SET v = 'x' WHERE id = 1",
                                    "DELETE FROM u WHERE id = 1"])
def test_nothing_of_a_group_is_there_when_a_row_is_missing(pipe, change):
    group = Group(pipe, f"BEGIN; INSERT INTO t VALUES (3, 'c'); {change};"
                  " UPDATE t SET v = 'd' WHERE id = 1; COMMIT")
    pipe.target.sql("DELETE FROM u WHERE id = 1")
    before = rows(pipe)
    assert "public.u" in group.fails()
    assert rows(pipe) == before
    pipe.target.sql("INSERT INTO u VALUES (1, 'a')")
    pipe.copy()
    pipe.is_verified()


@WITH_REPLICA_ROLE
def test_a_row_that_is_there_twice_is_not_written(pipe):
    """The target's key has been dropped meanwhile."""
    group = Group(pipe, "UPDATE u SET v = 'x' WHERE id = 1")
    pipe.target.sql("ALTER TABLE u DROP CONSTRAINT u_pkey; INSERT INTO u VALUES (1, 'theirs')")
    before = rows(pipe)
    assert "public.u" in group.fails()
    assert rows(pipe) == before


@WITH_REPLICA_ROLE
def test_what_fails_at_the_commit_leaves_nothing(pipe):
    """A trigger of the target's that was made just now, and waits for the commit."""
    group = Group(pipe, "BEGIN; UPDATE u SET v = 'x' WHERE id = 1; INSERT INTO t VALUES (3, 'c'); COMMIT")
    pipe.target.sql("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no more of these'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse();
        ALTER TABLE t ENABLE ALWAYS TRIGGER refuse""")
    before = rows(pipe)
    assert "no more of these" in group.fails()
    assert rows(pipe) == before
    pipe.target.sql("DROP TRIGGER refuse ON t")
    pipe.copy()
    pipe.is_verified()


@pytest.mark.matrix
def test_small_transactions_of_every_kind(pipe):
    pipe.source.sql(THREE)
    engine = pipe.follow()
    for change in ("INSERT INTO t VALUES (3, 'c'), (4, 'd')",
                   "UPDATE t SET v = v || '!' WHERE id < 3; DELETE FROM t WHERE id = 4",
                   "UPDATE t SET v = v",
                   "UPDATE t SET id = id + 10",
                   "TRUNCATE u; INSERT INTO u VALUES (7, 'seven')",
                   "ALTER TABLE u REPLICA IDENTITY FULL",
                   "INSERT INTO u VALUES (8, repeat('x', 100000)); UPDATE u SET id = id + 1 WHERE id = 8",
                   "UPDATE u SET v = v WHERE id = 9; DELETE FROM u WHERE id = 7"):
        pipe.source.sql(change)
        pipe.catch_up(engine)
        pipe.is_equal()
    engine.stop()
    pipe.is_verified()
