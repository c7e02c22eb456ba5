"""The edge values of every type: copied, followed and verified, in binary and in text form, under
hostile defaults of databases and roles. What a row of docs/objects.md says of a type is proven by
both tests, or by the text one where the type has no binary form."""
import pytest
from psycopg import sql

from harness import values
from harness.cluster import MAJORS
from harness.program import FAILED


def prove(types):
    """The rows of docs/objects.md."""
    def decorate(test):
        for each in types:
            test = pytest.mark.proves("Types", each.name, copied=True, followed=True,
                                      verified=True)(test)
        return test
    return decorate


def set_defaults(database):
    """Of the database, and more strongly of the program's role in it."""
    name = sql.Identifier(database.name)
    for setting, value in values.HOSTILE[database.cluster.side].items():
        for whose in ("DATABASE {0}", "ROLE {1} IN DATABASE {0}"):
            database.admin(sql.SQL("ALTER " + whose + " SET {2} = {3}").format(
                name, sql.Identifier(database.cluster.role), sql.SQL(setting),
                sql.Literal(value) if setting != "search_path" else sql.SQL(value)))


# From 17 on an interval may be infinite, which older servers would take for a finite one in binary.
KNOWS_INTERVALS = MAJORS["source"] < 17 or MAJORS["target"] >= 17
FORM = r"""
SELECT substring(query from $$binary '(\w+)'$$) FROM pg_stat_activity a
JOIN pg_replication_slots s ON s.active_pid = a.pid WHERE s.slot_name = %s"""


def prove_values(pipe, types, is_binary):
    pipe.target.sql(values.SHIFT)
    pipe.source.sql(values.PRELUDE)
    forced = None if is_binary else "regtype"
    pipe.source.sql(";".join([*values.tables(types, forced), *values.rows(types)]))
    for database in (pipe.source, pipe.target):
        set_defaults(database)
    engine = pipe.follow()
    assert values.differing(pipe.source, pipe.target, types) == []
    assert pipe.source.admin_one(FORM, pipe.slot) == str(is_binary and KNOWS_INTERVALS).lower()
    pipe.source.sql(";".join(values.changes(types)))
    pipe.catch_up(engine)
    assert values.differing(pipe.source, pipe.target, types) == []
    engine.stop()
    verified = pipe.verify()
    assert verified.code == 0, verified.stdout + verified.stderr


@pytest.mark.matrix
@prove(values.binary_types())
@pytest.mark.matrix
def test_values_in_binary_form(pipe):
    prove_values(pipe, values.binary_types(), is_binary=True)


@prove(values.text_types())
@pytest.mark.matrix
def test_values_in_text_form(pipe):
    prove_values(pipe, values.text_types(), is_binary=False)


@pytest.mark.matrix
@pytest.mark.versions(source=(17, 99))
@pytest.mark.proves("Types", "interval: infinity (from 17)", followed=True, verified=True,
                    copied="yes; to 16 and earlier an error names the row")
def test_infinite_intervals(pipe):
    """Their binary form is a number of months before 17: silently another value."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v interval, a interval[]);"
                    "INSERT INTO t VALUES (1, 'infinity', '{-infinity}'), (2, '-infinity', '{1 day}')")
    if pipe.target.cluster.major < 17:
        ended = pipe.run(until="now")
        assert ended.code == FAILED and "the row at ctid (0,1) (id = 1)" in ended.stderr
        return
    engine = pipe.follow()
    pipe.source.sql("INSERT INTO t SELECT id + 10, v, a FROM t; UPDATE t SET v = -v WHERE id = 1")
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()
