"""Transactions that the source sends before they end: kept, replayed whole or dropped, never a part.
Those that are applied before they end are in test_ahead.py."""
import contextlib
import os
import re
import signal
import subprocess

import pytest

from harness.data import KEPT
from harness.program import CONFIGURATION, ROOT, json_output, lsn
from harness.streamed import CASES, TABLE, TABLES, Counters, fill, play, transaction
from harness.wait import wait_until

# What the source sends before the end; and what an engine keeps in files is all but 256 KiB.
SENT = {"logical_decoding_work_mem": "64kB", "environment": KEPT}
SPILLED = {**SENT, "spill_memory": "0"}
LONG = pytest.mark.long
DOCUMENT = (ROOT / "docs/troubleshooting.md").read_text()
QUOTED = re.compile(r"^## 7\. Disk full.*?^```text\n(.*?)^```", re.M | re.S)


@pytest.fixture
def counters():
    return Counters()


def peak_kib(engine):
    with open(f"/proc/{engine.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])


@pytest.mark.matrix
def test_two_interleaved_transactions_larger_than_the_sources_memory(pipe, counters):
    pipe.source.sql(TABLE)
    engine = pipe.follow(**SPILLED, **counters.setting)
    with pipe.source.connect(autocommit=False) as one, pipe.source.connect(autocommit=False) as two:
        for low in range(1, 20000, 2000):
            one.execute(fill(low, low + 999))
            two.execute(fill(low + 1000, low + 1999))
        pipe.source.sql("INSERT INTO t VALUES (0, 'between')")
        two.execute("UPDATE t SET v = 'two' WHERE id % 3 = 0")
        two.commit()
        one.execute("DELETE FROM t WHERE id % 7 = 0 AND v <> 'two'")
        one.commit()
    pipe.catch_up(engine)
    assert counters["streamed_transactions"] == 2
    assert counters["spilled_bytes"] > 2000000
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()


def test_nothing_is_streamed_unless_asked_for(pipe, counters):
    pipe.source.sql(TABLE)
    work_mem = "TRUNKLINE_LOGICAL_DECODING_WORK_MEM"
    for environment in ({"TRUNKLINE_STREAMING": "false", work_mem: "64kB"}, {work_mem: "64MB"}):
        engine = pipe.follow(environment=environment, **counters.setting)
        pipe.source.sql(fill(1, 5000))
        pipe.source.sql("DELETE FROM t WHERE id % 2 = 0")
        pipe.catch_up(engine)
        assert counters["streamed_transactions"] == 0
        pipe.is_equal()
        engine.stop()
        pipe.source.sql("DELETE FROM t")


@pytest.mark.matrix
@pytest.mark.wide
def test_what_happens_inside(pipe, counters):
    """Among other transactions, and each followed by one that is not streamed."""
    pipe.source.sql(TABLES)
    engine = pipe.follow(**SPILLED, **counters.setting)
    pipe.target.sql("ALTER TABLE t ADD more int")
    for name in CASES:
        play(pipe, engine, counters, name)
        pipe.source.sql("TRUNCATE t, other, short")
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("count", [10000, pytest.param(100000, marks=LONG)])
@pytest.mark.timeout(900)
def test_many_savepoints(pipe, counters, count):
    """A hundred within one, and two of three of those rolled back when parts of them were sent."""
    pipe.source.sql(TABLE)
    engine = pipe.follow(**SENT, **counters.setting)
    pipe.source.sql(f"""DO $$ BEGIN FOR i IN 1..{count // 100} LOOP BEGIN
        FOR j IN i * 100..i * 100 + 99 LOOP BEGIN
            INSERT INTO t VALUES (j, repeat('s', 900)), (-j, 'pair');
            EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP;
        IF i % 3 <> 0 THEN RAISE EXCEPTION 'back'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$""")
    pipe.catch_up(engine, timeout=600)
    assert counters["streamed_transactions"] == 1
    assert (pipe.target.sql("SELECT count(*), sum(abs(id) / 100 % 3) FROM t")
            == [(count // 300 * 200, 0)])
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("count", [100000, pytest.param(1000000, marks=LONG)])
@pytest.mark.timeout(900)
def test_a_large_transaction_that_is_rolled_back(pipe, counters, tmp_path, count):
    pipe.source.sql(TABLE)
    pipe.source.sql("INSERT INTO t VALUES (0, 'before')")
    engine = pipe.follow(**SENT, spill_memory="4MB", spill_dir=tmp_path, **counters.setting)
    with transaction(pipe) as session:
        session.execute(fill(1, count))
        wait_until(lambda: counters["spilled_bytes"] > count * 100 - 5000000, "most has been sent", 600)
        session.rollback()  # of what it finds rolled back already the source may send no more
    pipe.catch_up(engine, timeout=600)
    assert counters["streamed_transactions"] == 1
    assert pipe.target.sql("SELECT id FROM t") == [(0,)]
    assert peak_kib(engine) < 128 * 1024
    assert not open_files(engine, tmp_path)
    engine.stop()


def open_files(engine, directory):
    """Files in the directory that the engine holds open; they have no name."""
    found = []
    for number in os.listdir(f"/proc/{engine.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(f"/proc/{engine.pid}/fd/{number}")
            if name.startswith(str(directory)) and name.endswith("(deleted)"):
                found.append(name)
    return found


@pytest.mark.parametrize("count", [300000, pytest.param(5000000, marks=LONG)])
@pytest.mark.timeout(1800)
def test_memory_is_bounded_whatever_the_size(pipe, counters, count):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, a int, b text)")
    engine = pipe.follow(logical_decoding_work_mem="1MB", environment=KEPT, **counters.setting)
    pipe.source.sql(f"INSERT INTO t SELECT g, g, repeat('v', 100) FROM generate_series(1, {count}) g")
    pipe.catch_up(engine, timeout=1500)
    assert counters["streamed_transactions"] == 1
    assert counters["spilled_bytes"] > count * 50
    print(f"{peak_kib(engine) // 1024} MiB")
    assert peak_kib(engine) < 128 * 1024
    pipe.is_equal()
    engine.stop()


@pytest.mark.parametrize("point", ["spill.write=kill@3", "stream.replay=kill@2"])
def test_killed_with_a_file(pipe, counters, tmp_path, point):
    """Nothing of it is left, and the transaction comes again, whole."""
    pipe.source.sql(TABLE)
    pipe.follow().stop()
    directory = tmp_path / "spill"
    directory.mkdir()
    engine = pipe.start(fault=point, spill_dir=directory, **SPILLED, **counters.setting)
    with transaction(pipe) as session:
        session.execute(fill(1, 10000))
        session.execute("DELETE FROM t WHERE id % 3 = 0")
    engine.ends(-signal.SIGKILL)
    assert list(directory.iterdir()) == []
    assert pipe.target.one("SELECT count(*) FROM t") == 0
    engine = pipe.follow(spill_dir=directory, **SPILLED)
    pipe.is_equal()
    assert list(directory.iterdir()) == []
    engine.stop()
    pipe.is_verified()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def stands_still(pipe, engine):
    """Says so, and the source goes on hearing from it."""
    wait_until(lambda: engine.runs() and "until there is room" in engine.stderr, "it says so")
    start = pipe.source.one("SELECT clock_timestamp()")
    wait_until(lambda: pipe.source.admin(
        "SELECT 1 FROM pg_stat_replication s JOIN pg_replication_slots r ON r.active_pid = s.pid"
        " WHERE r.slot_name = %s AND s.reply_time > %s + interval '3 s'", pipe.slot, start),
        "replies for three seconds")
    assert engine.stderr.count("until there is room") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_a_full_disk_is_waited_for(pipe, small_disk):
    pipe.source.sql(TABLE)
    engine = pipe.follow(spill_dir=small_disk, **SPILLED)
    with transaction(pipe) as session:
        session.execute(fill(1, 50000))
        session.execute("UPDATE t SET v = 'x' WHERE id % 10 = 0")
    stands_still(pipe, engine)
    assert pipe.target.one("SELECT count(*) FROM t") == 0
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    pipe.catch_up(engine)
    said = re.sub(r"transaction \d+", "transaction 4711", engine.stderr)
    said = said.replace(str(small_disk), "/var/tmp")
    for line in QUOTED.search(DOCUMENT)[1].splitlines():
        assert line in said
    pipe.is_equal()
    engine.stop()


@pytest.mark.wide
def test_a_full_disk_does_not_keep_it_from_stopping(pipe):
    pipe.source.sql(TABLE)
    engine = pipe.follow(fault="spill.write=full@*", **SPILLED)
    pipe.source.sql(fill(1, 20000))
    stands_still(pipe, engine)
    engine.stop()
    pipe.follow(**SPILLED).stop()
    pipe.is_equal()


def test_a_directory_that_cannot_be_used_is_refused_before_the_copy(pipe, tmp_path):
    pipe.source.sql(TABLE)
    engine = pipe.run(spill_dir=tmp_path / "nowhere")
    assert engine.code == CONFIGURATION and "spill_dir" in engine.stderr
    assert pipe.confirmed() is None and pipe.phase() is None
    found = json_output(pipe.command("check", json=True, spill_dir=tmp_path / "nowhere",
                                     **pipe.urls(), slot=pipe.slot))["findings"]
    assert "spill_dir" in [one["code"] for one in found]
    pipe.copy(spill_dir=tmp_path / "nowhere", environment={"TRUNKLINE_STREAMING": "false"})


@pytest.mark.matrix
def test_an_open_transaction_holds_no_position_back(pipe, counters):
    """And comes again, whole, after a restart from a position beyond its beginning."""
    pipe.source.sql(TABLE + "; CREATE TABLE other (id int PRIMARY KEY)")
    engine = pipe.follow(**SPILLED, **counters.setting)
    with transaction(pipe) as session:
        session.execute(fill(1, 5000))
        sent = lsn(pipe.source.admin_one("SELECT pg_current_wal_insert_lsn()::text"))
        pipe.source.sql("INSERT INTO other VALUES (1)")
        counters.wait_streamed()
        pipe.catch_up(engine)
        assert pipe.confirmed() > sent
        engine.stop()
        pipe.source.sql("INSERT INTO other VALUES (2)")
        engine = pipe.follow(**SPILLED, **counters.setting)
        session.execute("UPDATE t SET v = 'changed' WHERE id % 2 = 0")
        session.execute(fill(5001, 9000))
        counters.wait_streamed()
        pipe.catch_up(engine)
        assert pipe.target.sql("SELECT count(*) FROM t") == [(0,)]
        engine.kill()
        engine = pipe.start(**SPILLED, **counters.setting)
    pipe.catch_up(engine)
    pipe.is_equal()
    assert pipe.target.one("SELECT count(*) FROM t") == 9000
    engine.stop()
    pipe.is_verified()


@pytest.mark.matrix
def test_a_transaction_that_is_older_than_the_copys_snapshot(pipe, counters, tmp_path):
    """It commits before the snapshot's end position. Its changes carry the id of a subtransaction,
    which the snapshot seems to see; it does not see the transaction, and that is what counts."""
    pipe.source.sql(TABLE + "; CREATE TABLE unpublished (id int)")
    chosen = {**SPILLED, **counters.setting, "tables": "public.t"}
    pipe.start(fault="copy.planned=kill", **chosen).ends(-signal.SIGKILL)
    gate = tmp_path / "gate"
    with transaction(pipe) as session:
        session.execute("INSERT INTO unpublished VALUES (1)")
        session.execute("SAVEPOINT a")
        session.execute("INSERT INTO unpublished VALUES (2)")
        for _ in range(5):
            pipe.source.sql("INSERT INTO unpublished VALUES (3)")
        engine = pipe.start(fault=f"snapshot.taken=wait:{gate}", **chosen)
        wait_until(lambda: engine.runs() and gate.with_name("gate.reached").exists(), "the snapshot")
        session.execute(fill(1, 3000))
        session.execute("RELEASE a")
        session.execute(fill(3001, 4000))
    gate.touch()
    pipe.catch_up(engine)
    assert counters["streamed_transactions"] > 0
    pipe.is_equal(only=[("public", "t")])
    assert pipe.target.one("SELECT count(*) FROM t") == 4000
    engine.stop()
