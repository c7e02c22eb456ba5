"""Transactions that the source sends before they end: kept, spilled, replayed whole or dropped."""
import pytest

from harness.program import metrics
from harness.cluster import free_port
from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"
SMALL = {"logical_decoding_work_mem": "64kB"}


def insert(session, low, high, table="t"):
    session.execute(f"INSERT INTO {table} SELECT g, 'value ' || g FROM generate_series(%s::int, %s) g",
                    (low, high))


@pytest.mark.matrix
def test_two_interleaved_transactions_larger_than_the_sources_memory(pipe):
    pipe.source.sql(TABLE)
    port = free_port()
    engine = pipe.follow(**SMALL, listen=f"127.0.0.1:{port}")
    with pipe.source.connect(autocommit=False) as one, pipe.source.connect(autocommit=False) as two:
        for number in range(10):
            insert(one, number * 2000 + 1, number * 2000 + 1000)
            insert(two, number * 2000 + 1001, number * 2000 + 2000)
        pipe.source.sql("INSERT INTO t VALUES (0, 'between')")
        two.execute("UPDATE t SET v = 'two' WHERE id % 3 = 0")
        two.commit()
        one.execute("DELETE FROM t WHERE id % 7 = 0 AND v <> 'two'")
        one.commit()
    pipe.catch_up(engine)
    assert metrics(port)["trunkline_streamed_transactions_total"] == 2
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()
