"""Transactions that the source sends before they end."""
import contextlib

from harness.cluster import free_port
from harness.program import metrics
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"
TABLES = (TABLE + "; CREATE TABLE other (id int PRIMARY KEY, v text);"
          " CREATE TABLE short (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at int)")
FILL = "INSERT INTO {} SELECT g, repeat(md5(g::text), 4) FROM generate_series({}, {}) g"


def fill(low, high, table="t"):
    return FILL.format(table, low, high)


class Counters:
    """The engine's, on a port of their own."""

    def __init__(self):
        self.port = free_port()
        self.setting = {"listen": f"127.0.0.1:{self.port}"}

    def __getitem__(self, name):
        return metrics(self.port)[f"trunkline_{name}_total"]

    def changes(self, kind):
        return metrics(self.port)[f"trunkline_changes_total{{kind={kind}}}"]

    def wait_streamed(self, count=1):
        wait_until(lambda: self["streamed_transactions"] >= count, "the source streams")


@contextlib.contextmanager
def transaction(pipe):
    """An open transaction of the source; committed in the end."""
    with pipe.source.connect(autocommit=False) as session:
        yield session
        session.commit()


# Each within one transaction that is streamed. The target has the column `more` beforehand.
ALTER = "ALTER TABLE t ADD more int; UPDATE t SET more = id WHERE id % 5 = 0"


def fill_more(low):
    return f"INSERT INTO t SELECT g, 'new', g FROM generate_series({low}, {low + 2999}) g"


CASES = {
    "subtransactions rolled back": [
        fill(1, 2000), "SAVEPOINT a", fill(2001, 4000), "SAVEPOINT b", fill(4001, 5000),
        "UPDATE t SET v = 'no' WHERE id < 3000", "ROLLBACK TO b", fill(5001, 6000),
        "ROLLBACK TO a", fill(6001, 7000), "RELEASE a"],
    "subtransactions released, then rolled back": [
        fill(1, 1000), "SAVEPOINT a", "SAVEPOINT b", fill(2001, 4000), "RELEASE b",
        "SAVEPOINT c", fill(4001, 6000), "RELEASE c", "ROLLBACK TO a", fill(1001, 5000)],
    "all in subtransactions": [
        "SAVEPOINT a", fill(1, 2000), "RELEASE a", "SAVEPOINT b", fill(2001, 4000), "RELEASE b"],
    "a table that a rolled back subtransaction used first": [
        fill(1, 2000), "SAVEPOINT a", fill(1, 3000, "other"), "ROLLBACK TO a",
        fill(2001, 4000), fill(10, 3000, "other")],
    "values out of line": [
        "INSERT INTO other SELECT g, (SELECT string_agg(md5((g * i)::text), '')"
        " FROM generate_series(1, 300) i) FROM generate_series(1, 100) g",
        "UPDATE other SET id = id + 1000 WHERE id < 30", "SAVEPOINT a",
        "UPDATE other SET v = 'short'", "ROLLBACK TO a", "DELETE FROM other WHERE id > 90"],
    "rows inserted on conflict": [
        fill(1, 2000), fill(1000, 4000) + " ON CONFLICT (id) DO UPDATE SET v = 'again'"],
    "truncated": [fill(1, 3000), "TRUNCATE t, other", fill(2000, 5000), fill(1, 10, "other")],
    "truncated in a subtransaction that was rolled back": [
        fill(1, 3000), "SAVEPOINT a", "TRUNCATE t", fill(1, 3000), "ROLLBACK TO a",
        fill(3001, 5000)],
    "rolled back": [fill(1, 3000), "SAVEPOINT a", fill(3001, 5000), "ROLLBACK"],
    "prepared": [fill(1, 3000), "PREPARE TRANSACTION 'streamed'", "COMMIT PREPARED 'streamed'"],
    "prepared and rolled back": [
        fill(1, 3000), "PREPARE TRANSACTION 'streamed'", "ROLLBACK PREPARED 'streamed'"],
    "an altered table, rolled back": [
        fill(1, 3000), "SAVEPOINT a", ALTER, "ROLLBACK TO a", fill(3001, 6000)],
    "an altered table, rolled back whole": [fill(1, 3000), ALTER, fill_more(3001), "ROLLBACK"],
    "an altered table": [fill(1, 3000), ALTER, fill_more(3001), "DELETE FROM t WHERE id < 100"],
}
# From 18 on a source does not send what it knows to have been rolled back already.
UNDONE = ("ROLLBACK", "ROLLBACK PREPARED 'streamed'")


def play(pipe, engine, counters, name):
    """One of the cases, among other transactions, and followed by one that is not streamed. Claims
    that both sides are the same; the case's own transaction was streamed."""
    statements = CASES[name]
    before = counters["streamed_transactions"]
    with pipe.source.connect() as session:
        for number, statement in enumerate(["BEGIN", *statements, "COMMIT"]):
            if statement in UNDONE:
                wait_until(lambda: counters["streamed_transactions"] > before, name)
            session.execute(statement)
            pipe.source.sql("INSERT INTO short (at) VALUES (%s)", number)
    pipe.source.sql("INSERT INTO t (id, v) VALUES (-1, 'after')")
    pipe.catch_up(engine)
    assert counters["streamed_transactions"] > before, name
    for table, columns in (("t", "*" if name == "an altered table" else "id, v"),
                           ("other", "*"), ("short", "*")):
        query = f"SELECT {columns} FROM {table} ORDER BY id"
        assert pipe.source.sql(query) == pipe.target.sql(query), name
    assert pipe.target.one("SELECT count(*) FROM short") == len(statements) + 2
