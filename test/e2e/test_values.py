"""The edge values of every type: copied, followed and verified, in binary and in text form, under
hostile defaults of databases and roles. What a row of docs/objects.md says of a type is proven by
both tests, or by the text one where the type has no binary form."""
import subprocess

import pytest
from psycopg import sql

from harness import values
from harness.program import FAILED
from harness.slices import LONG


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


FORM = r"""
SELECT substring(query from $$binary '(\w+)'$$) FROM pg_stat_activity a
JOIN pg_replication_slots s ON s.active_pid = a.pid WHERE s.slot_name = %s"""


def prove_values(pipe, types, is_binary, forced=None, prelude=""):
    """forced: the type of one more column in each table."""
    pipe.target.sql(values.SHIFT)
    pipe.source.sql(values.PRELUDE + prelude)
    pipe.source.sql(";".join([*values.tables(types, forced), *values.rows(types)]))
    for database in (pipe.source, pipe.target):
        set_defaults(database)
    engine = pipe.follow()
    assert values.differing(pipe.source, pipe.target, types) == []
    assert pipe.source.admin_one(FORM, pipe.slot) == str(is_binary).lower()
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
    prove_values(pipe, values.text_types(), is_binary=False, forced="regtype")


@pytest.mark.long
@pytest.mark.parametrize("copy_is_binary", [True, False])
def test_values_in_one_form_copied_and_in_the_other_followed(pipe, copy_is_binary):
    """Rows without a key are found by their bytes: both forms must make the same."""
    if copy_is_binary:
        prove_values(pipe, values.binary_types(), is_binary=False,
                     prelude="CREATE TABLE forcing (id int PRIMARY KEY, r regtype)")
    else:
        prove_values(pipe, values.binary_types(), is_binary=True, forced="ext.seg")


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


YEN = "ja_JP.UTF-8"
MONEY = ["-92233720368547758.08", "92233720368547758.07", "0", "-0.01", "1234.56"]


@pytest.mark.proves("Types", "money under another lc_monetary", copied=True, followed=True,
                    verified=True)
@pytest.mark.parametrize("forced", [None, pytest.param("regtype", marks=LONG)])
def test_money_where_the_sides_count_it_in_other_currencies(own, forced):
    """What is stored is a number of the smallest unit, without a currency: that number is copied.
    (Yen have no decimals.)"""
    cluster = own.source.cluster
    cluster.locales = cluster.directory.parent / "locales"
    cluster.locales.mkdir(mode=0o755)
    subprocess.run(["localedef", "-i", "ja_JP", "-f", "UTF-8", cluster.locales / YEN], check=True)
    own.source.close()
    cluster.restart()
    own.source.admin(f"ALTER DATABASE \"{own.source.name}\" SET lc_monetary = '{YEN}'")
    own.source.close()
    more = f", r {forced}" if forced else ""
    insert = "INSERT INTO t (id, v, a) SELECT {0} + n, v::money, ARRAY[v::money] FROM" \
             " unnest(%s::text[]) WITH ORDINALITY AS u (v, n)"
    assert own.source.one("SELECT 1234::money::text") == "￥1,234"
    own.source.sql(f"CREATE TABLE t (id int PRIMARY KEY, v money, a money[]{more})")
    own.source.sql("SET lc_monetary = 'C'")
    own.source.sql(insert.format(0), MONEY)
    engine = own.follow()
    own.source.sql(insert.format(100), MONEY)
    own.source.sql("UPDATE t SET v = v + 0.01::money WHERE id = 3")
    own.catch_up(engine)
    engine.stop()
    units = "SELECT id, cash_send(v), array_send(a) FROM t ORDER BY id"
    assert len(own.source.sql(units)) == 10
    assert own.source.sql(units) == own.target.sql(units)
    assert own.verify().code == 0
