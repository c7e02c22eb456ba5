"""A source that is shut down waits until its walsenders have sent all and heard that it is flushed:
nothing that goes on at the target may hold it for long."""
import signal
import time

import pytest

from harness.wait import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')"
LOCKED = ("SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
          " AND wait_event_type = 'Lock' AND application_name LIKE 'trunkline:%:apply'")
AT_ONCE_S, LET_GO_S = 20, 45  # on a machine that is busy


def stop_time(cluster):
    """Of pg_ctl stop, in seconds."""
    began = time.monotonic()
    cluster.process.send_signal(signal.SIGINT)
    cluster.process.wait(60)
    return time.monotonic() - began


def test_an_idle_source_is_shut_down_at_once(rough):
    """What is not published is confirmed at intervals, but then at once."""
    pipe = rough
    pipe.source.sql(TABLE + "; CREATE TABLE other (v text)")
    engine = pipe.follow(tables="t", idle_position_interval="100s", timeout=110)
    pipe.source.sql("INSERT INTO other SELECT 'x' FROM generate_series(1, 1000)")
    assert stop_time(pipe.source.cluster) < AT_ONCE_S
    pipe.source.cluster.start()
    pipe.source.sql("UPDATE t SET v = 'b'")
    wait_until(lambda: engine.runs() and pipe.target.sql("SELECT * FROM t") == [(1, "b")],
               "the change has come")
    engine.stop()


@pytest.mark.long
@pytest.mark.parametrize("megabytes", [0, 64])
def test_a_source_is_shut_down_while_the_target_is_locked(rough, megabytes):
    """The stream is let go, also when much of it has not been sent; later it goes on."""
    pipe = rough
    pipe.source.sql(TABLE + "; ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
    engine = pipe.follow(queue_bytes="8MB")
    with pipe.target.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE t")
        pipe.source.sql("UPDATE t SET v = 'b'")
        for number in range(megabytes):
            pipe.source.sql("INSERT INTO t SELECT 10 + %s * 10 + g, repeat('x', 100000)"
                            " FROM generate_series(1, 10) g", number)
        wait_until(lambda: pipe.target.admin(LOCKED), "the applier waits")
        assert stop_time(pipe.source.cluster) < LET_GO_S
        pipe.source.cluster.start()
        pipe.source.sql("INSERT INTO t VALUES (2, 'c')")
        assert engine.runs() and pipe.target.admin(LOCKED)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
