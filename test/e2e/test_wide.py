"""Tables of 1,600 columns, the most that PostgreSQL has: copied, followed and compared."""
import pytest

from harness.program import FAILED

COLUMNS = 1600
WIDE = range(1, COLUMNS)


def make(database):
    """The values are small: a row must fit its page. What is not needed is NULL or dropped."""
    columns = ", ".join(f'"c {n}" {("int", "bool", "text", "smallint")[n % 4]}' for n in WIDE)
    values = ", ".join(("g", "g % 2 = 0", "'t'", f"{n % 100}")[n % 4] for n in WIDE)
    with database.connect() as session:
        session.execute(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
        session.execute(f"INSERT INTO wide SELECT g, {values} FROM generate_series(1, 20) g")
        session.execute(f"CREATE TABLE whole (id int, {columns})")
        session.execute("ALTER TABLE whole REPLICA IDENTITY FULL")
        session.execute("INSERT INTO whole SELECT * FROM wide")


CHANGES = """
INSERT INTO {0} SELECT id + 100, {1} FROM wide WHERE id < 5;
UPDATE {0} SET "c 1599" = 7, "c 1" = NULL WHERE id = 3; UPDATE {0} SET id = 1000 WHERE id = 4;
DELETE FROM {0} WHERE id = 5"""


@pytest.mark.proves("Objects", "tables: 1,600 columns", copied=True, followed=True, verified=True)
def test_tables_of_1600_columns(pipe):
    make(pipe.source)
    engine = pipe.follow()
    columns = ", ".join(f'"c {n}"' for n in WIDE)
    for table in ("wide", "whole"):
        pipe.source.sql(CHANGES.format(table, columns))
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.target.one("SELECT count(*) FROM wide") == 23
    pipe.is_verified()
    pipe.target.sql('UPDATE wide SET "c 1598" = \'x\' WHERE id = 9')
    found = pipe.verify()
    assert found.code == FAILED and "9" in found.stdout
