"""A source behind several hosts fails over in mid-copy."""
import signal
import socket

import pytest

from harness.cluster import Standby, free_port
from harness.program import CONFIGURATION, lsn
from harness.wait import wait_until

ORDERLY = {"copiers": 1, "part_size": "1GB"}
TABLES = "".join(
    f"CREATE TABLE {name} (id int PRIMARY KEY, v text);"
    f"INSERT INTO {name} SELECT g, repeat('x', 200) FROM generate_series(1, {rows}) g;"
    for name, rows in (("one", 3000), ("two", 2000), ("three", 1000)))
COPIED = ("SELECT t.table_name, t.end_lsn::text, p.xmin::text FROM trunkline.tables t"
          " JOIN trunkline.parts p USING (slot, source_oid)")
SLOT = "SELECT * FROM pg_replication_slots WHERE slot_name = %s AND synced AND NOT temporary"


@pytest.fixture
def standby(own_clusters, base_directory, request):
    """Of the own source; its directory is the test's."""
    made = []

    def make(**settings):
        directory = base_directory / f"standby-{request.node.name[:30]}"
        made.append(Standby(own_clusters[0], directory, **settings).start())
        return made[-1]

    yield make
    for cluster in made:
        cluster.remove()


def several(pipe, standby):
    """The source's URL with both servers."""
    first = f"127.0.0.1:{pipe.source.cluster.port}"
    return (pipe.source.url().replace(first, f"{first},127.0.0.1:{standby.port}")
            + "?target_session_attrs=read-write")


def copied(pipe):
    return {row[0]: row for row in pipe.target.admin(COPIED)}


def wait_for_replay(pipe, standby):
    end = lsn(pipe.source.admin_one("SELECT pg_current_wal_insert_lsn()::text"))
    wait_until(lambda: lsn(standby.database().admin_one("SELECT pg_last_wal_replay_lsn()::text"))
               >= end, "the standby has all")


def test_a_slot_that_does_not_come_along_is_named(own, standby, tmp_path):
    pipe = own
    pipe.source.sql(TABLES)
    second = standby()
    gate = tmp_path / "gate"
    engine = pipe.start(source=several(pipe, second), fault=f"part.committed=wait:{gate}@2",
                        **ORDERLY)
    wait_until(lambda: engine.runs() and (tmp_path / "gate.reached").exists(), "it is in mid-copy")
    wait_for_replay(pipe, second)
    pipe.source.cluster.kill9()
    gate.touch()
    wait_until(lambda: engine.runs() and "trying again" in engine.stderr, "it waits for a primary")
    second.promote()
    engine.ends(CONFIGURATION)
    assert f'slot \\"{pipe.slot}\\" is gone from the source' in engine.stderr
    assert "hint: " in engine.stderr and "tear-down" in engine.stderr
    assert pipe.start(source=several(pipe, second)).wait() == CONFIGURATION


@pytest.mark.matrix
@pytest.mark.versions(source=(17, 99))
def test_a_failover_slot_lets_the_copy_go_on(own, standby):
    """What was read and never reached the new primary is copied again; the rest is not."""
    pipe = own
    primary = pipe.source.cluster
    pipe.source.sql(TABLES)
    second = standby(slot="second", sync_replication_slots="on")
    pipe.source.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', false, false, true)",
                      pipe.slot)

    def is_synced():
        pipe.source.admin("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn()),"
                          " pg_log_standby_snapshot()", pipe.slot)
        return second.database().admin(SLOT, pipe.slot)

    wait_until(is_synced, "the slot is on the standby")
    urls = {"source": several(pipe, second)}
    assert pipe.start(**urls, **ORDERLY, fault="part.committed=kill").wait() == -signal.SIGKILL
    before = copied(pipe)
    assert set(before) == {"one"}
    wait_for_replay(pipe, second)
    second.stop()
    pipe.source.sql("INSERT INTO two VALUES (9000, 'never replicated'); DELETE FROM two WHERE id = 7;"
                    "INSERT INTO one VALUES (9000, 'never replicated')")
    assert pipe.start(**urls, **ORDERLY, fault="part.committed=kill").wait() == -signal.SIGKILL
    assert pipe.target.one("SELECT count(*) FROM two WHERE id IN (7, 9000)") == 1
    assert set(copied(pipe)) == {"one", "two"}
    primary.kill9()
    second.start()
    second.promote()
    pipe.source = second.database(pipe.source.name)
    pipe.source.sql("UPDATE one SET v = 'after' WHERE id % 3 = 0; DELETE FROM two WHERE id = 8")
    pipe.copy(**urls, **ORDERLY)
    after = copied(pipe)
    assert after["one"] == before["one"]
    assert pipe.target.one("SELECT count(*) FROM two WHERE id = 7") == 1
    pipe.is_verified()


@pytest.mark.wide
def test_each_host_has_a_time_of_its_own(pipe):
    """The first host takes connections and never says a word."""
    pipe.source.sql(TABLES)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", free_port()))
        silent.listen(50)
        first = f"127.0.0.1:{pipe.source.cluster.port}"
        url = pipe.source.url().replace(first, f"127.0.0.1:{silent.getsockname()[1]},{first}")
        pipe.copy(source=url, connect_timeout="500ms", copiers=1, timeout=120)
    pipe.is_verified()
