"""on_apply_error = park: a table whose change cannot be applied is left out, the others go on."""
import json

import pytest

from harness.cluster import free_port
from harness.program import CONFIGURATION, FAILED, metrics
from harness.wait import wait_until

PARK = {"on_apply_error": "park"}
TABLES = """
    CREATE TABLE t (id int PRIMARY KEY, v int);
    CREATE TABLE other (id int PRIMARY KEY, v int);
    INSERT INTO t SELECT g, 0 FROM generate_series(1, 10) g;
    INSERT INTO other SELECT g, 0 FROM generate_series(1, 10) g"""
REFUSES = "ALTER TABLE t ADD CONSTRAINT small CHECK (v < 100)"


def content(side, table):
    return side.sql(f"SELECT * FROM {table} ORDER BY 1")


def same(pipe, table):
    return content(pipe.source, table) == content(pipe.target, table)


def parked(pipe):
    return [name for name, in pipe.target.admin(
        "SELECT table_name FROM trunkline.tables WHERE parked_lsn IS NOT NULL ORDER BY 1")]


def status(pipe, code=None):
    said = pipe.command("status", slot=pipe.slot, json=True, **pipe.urls())
    assert code in (None, said.code), said.stdout + said.stderr
    return json.loads(said.stdout)


def follow_with_a_refused_row(pipe, make=TABLES, refuses=REFUSES, **settings):
    """t is parked by a change to one of its rows, made in the middle of a transaction of others."""
    pipe.source.sql(make)
    pipe.copy()
    pipe.target.sql(refuses)
    engine = pipe.follow(**PARK, **settings)
    pipe.source.sql("BEGIN; UPDATE other SET v = 1; UPDATE t SET v = v + 1;"
                    " UPDATE t SET v = 100 WHERE id = 7; UPDATE other SET v = v + 1 WHERE id > 5; COMMIT")
    pipe.catch_up(engine)
    assert parked(pipe) == ["t"]
    return engine


def test_the_others_go_on(pipe):
    port = free_port()
    engine = follow_with_a_refused_row(pipe, listen=f"127.0.0.1:{port}")
    assert metrics(port)["trunkline_parked_tables"] == 1
    pipe.source.sql("UPDATE t SET v = 5; UPDATE other SET v = v + 10; DELETE FROM t WHERE id = 1;"
                    "INSERT INTO other VALUES (11, 11)")
    pipe.catch_up(engine)
    assert same(pipe, "other")
    assert content(pipe.target, "t") == [(n, 0) for n in range(1, 11)], "t stands as it was"
    is_recorded(pipe)
    truncated(pipe, engine)
    engine.stop()


def is_recorded(pipe):
    """What was refused is in the keeper, in status and in verify."""
    [error] = pipe.target.admin("SELECT schema_name, table_name, change, sqlstate, message,"
                              " lsn > (SELECT parked_lsn FROM trunkline.tables WHERE table_name = 't'),"
                              " lsn < (SELECT lsn FROM trunkline.position) FROM trunkline.apply_errors")
    assert error[:4] == ("public", "t", "UPDATE of public.t (id = 7)", "23514")
    assert "small" in error[4] and "hint" not in error[4]
    assert error[5:] == (True, True)
    said = status(pipe, FAILED)
    states = {table["name"]: table["state"] for table in said["tables"]}
    assert states == {"t": "parked", "other": "following"}
    [entry] = said["parked"]
    assert (entry["name"], entry["change"], entry["sqlstate"]) == error[1:4]
    assert "run --resync public.t" in said["problems"][0]
    text = pipe.command("status", slot=pipe.slot, **pipe.urls()).stdout
    assert "parked: its changes are left out" in text
    verified = pipe.verify(json=True)
    results = {table["table"]: table for table in json.loads(verified.stdout)["tables"]}
    assert results["other"]["result"] == "equal"
    assert results["t"]["result"] == "not_settled" and "parked" in results["t"]["reason"]


def truncated(pipe, engine):
    """Of several tables the parked one is left out; a TRUNCATE that is refused parks all that it lists."""
    pipe.source.sql("TRUNCATE t, other; INSERT INTO other VALUES (1, 2)")
    pipe.catch_up(engine)
    assert content(pipe.target, "other") == [(1, 2)]
    assert pipe.target.one("SELECT count(*) FROM t") == 10
    pipe.target.sql("CREATE TABLE outside (id int REFERENCES other)")
    pipe.source.sql("TRUNCATE other")
    pipe.catch_up(engine)
    assert parked(pipe) == ["other", "t"]


def test_parked_across_restarts_and_kills(pipe):
    """Also when it dies before or after the record, and under `stop`."""
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.target.sql(REFUSES)
    pipe.source.sql("UPDATE other SET v = v + 1; UPDATE t SET v = 1;"
                    "UPDATE t SET v = 100 WHERE id = 7; UPDATE other SET v = v + 1")
    assert pipe.run().code == FAILED and parked(pipe) == [], "to stop is the default"
    for fault in ("park.record", "park.recorded", "group.applied"):
        pipe.start(fault=f"{fault}=kill", **PARK).ends(-9)
        pipe.source.sql("UPDATE other SET v = v + 1")
        assert parked(pipe) == ([] if fault == "park.record" else ["t"])
    engine = pipe.follow()
    pipe.source.sql("UPDATE t SET v = 100; UPDATE other SET v = v + 1")
    pipe.catch_up(engine)
    assert same(pipe, "other")
    assert pipe.target.admin_one("SELECT count(*) FROM trunkline.apply_errors") == 1
    engine.stop()


@pytest.mark.parametrize("mode", ["sets", "ordered"])
def test_a_row_among_thousands_is_named(pipe, mode):
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.target.sql(REFUSES)
    engine = pipe.follow(apply_mode=mode, **PARK)
    pipe.source.sql("BEGIN; INSERT INTO other SELECT g, 0 FROM generate_series(11, 2000) g;"
                    "INSERT INTO t SELECT g, CASE g WHEN 777 THEN 100 END FROM"
                    " generate_series(11, 2000) g; COMMIT")
    pipe.catch_up(engine)
    assert same(pipe, "other")
    assert pipe.target.admin_one("SELECT change FROM trunkline.apply_errors") == \
        "INSERT into public.t (id = 777)"
    assert pipe.target.one("SELECT count(*) FROM t") == 10
    engine.stop()


def test_a_table_that_does_not_fit_any_more(pipe):
    """A column that the target lacks, a missing row, a table that is gone: each parks its own."""
    pipe.source.sql(TABLES + ";CREATE TABLE lacks (id int PRIMARY KEY);"
                             "CREATE TABLE gone (id int PRIMARY KEY);"
                             "CREATE TABLE \"Größe\" (k text PRIMARY KEY, v int);"
                             "INSERT INTO \"Größe\" VALUES ('schön', 1)")
    pipe.copy()
    pipe.target.sql("DROP TABLE gone; DELETE FROM \"Größe\"")
    engine = pipe.follow(**PARK)
    pipe.source.sql("ALTER TABLE lacks ADD COLUMN v int; INSERT INTO lacks VALUES (1, 1);"
                    "INSERT INTO gone VALUES (1); UPDATE \"Größe\" SET v = 2;"
                    "UPDATE other SET v = 3")
    pipe.catch_up(engine)
    assert parked(pipe) == ["Größe", "gone", "lacks"]
    assert same(pipe, "other")
    found = pipe.target.admin("SELECT table_name, sqlstate, change FROM trunkline.apply_errors ORDER BY 1")
    assert found == [("Größe", "02000", "UPDATE of public.Größe (k = 'schön')"),
                     ("gone", None, None), ("lacks", None, None)]
    engine.stop()


def test_a_piece_of_a_large_transaction(pipe):
    """Nothing of the transaction stays: neither of the parked table nor twice of the others."""
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.target.sql(REFUSES)
    engine = pipe.follow(group_max_changes=50, **PARK)
    pipe.source.sql("BEGIN; UPDATE other SET v = v + 1; UPDATE t SET v = 1;"
                    "INSERT INTO other SELECT g, 0 FROM generate_series(11, 20000) g;"
                    "UPDATE t SET v = 100 WHERE id = 10; UPDATE other SET v = v + 1; COMMIT")
    pipe.catch_up(engine)
    assert same(pipe, "other")
    assert content(pipe.target, "t") == [(n, 0) for n in range(1, 11)]
    engine.stop()


def test_leaves_of_one_root_are_parked_together(pipe):
    pipe.source.sql("CREATE TABLE root (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
                    "CREATE TABLE one PARTITION OF root FOR VALUES FROM (0) TO (10);"
                    "CREATE TABLE two PARTITION OF root FOR VALUES FROM (10) TO (20);"
                    "INSERT INTO root VALUES (1, 1), (11, 11)")
    pipe.target.sql("CREATE TABLE root (id int PRIMARY KEY, v int)")
    pipe.copy(publish_via_root=True)
    pipe.target.sql("ALTER TABLE root ADD CHECK (v < 100)")
    engine = pipe.follow(publish_via_root=True, **PARK)
    pipe.source.sql("UPDATE root SET v = 100 WHERE id = 1; UPDATE root SET v = 12 WHERE id = 11")
    pipe.catch_up(engine)
    assert parked(pipe) == ["one", "two"]
    assert content(pipe.target, "root") == [(1, 1), (11, 11)]
    engine.stop()


# --- run --resync ---


def states(pipe, code=0):
    return {table["name"]: table["state"] for table in status(pipe, code)["tables"]}


def joined(pipe, engine, timeout=30):
    wait_until(lambda: engine.runs() and not pipe.target.admin_one(
        "SELECT count(*) FROM trunkline.tables WHERE parked_lsn IS NOT NULL"),
        "all tables have joined", timeout)
    pipe.catch_up(engine)
    assert not pipe.target.admin("SELECT relname FROM pg_class WHERE relname LIKE 'resync_%'")


def held(engine_directory):
    return engine_directory / "hold"


def let_go(pipe):
    held(pipe.directory).touch()


def copied_up_to_its_rows(pipe, **settings):
    """An engine that has the snapshot of a table that it copies anew, and reads no row of it yet."""
    engine = pipe.start(fault=f"resync.snapshot=wait:{held(pipe.directory)}", **settings)
    reached = held(pipe.directory).with_name("hold.reached")
    wait_until(lambda: engine.runs() and reached.exists(), "the snapshot is taken")
    return engine


def test_a_parked_table_is_copied_anew_while_the_others_go_on(pipe):
    engine = follow_with_a_refused_row(pipe)
    engine.stop()
    pipe.target.sql("ALTER TABLE t DROP CONSTRAINT small")
    writer = pipe.source.connect()
    writer.execute("BEGIN")
    writer.execute("UPDATE t SET v = v + 1 WHERE id = 2")
    port = free_port()
    engine = copied_up_to_its_rows_after(pipe, writer, port)
    before = content(pipe.target, "t")
    pipe.source.sql("UPDATE t SET v = v + 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (30, 1);"
                    "UPDATE t SET id = 31 WHERE id = 4; UPDATE other SET v = v + 1")
    pipe.source.sql("INSERT INTO t SELECT g, 0 FROM generate_series(1000, 1999) g")
    pipe.source.sql("UPDATE t SET v = v + 7 WHERE id >= 1000")
    pipe.catch_up(engine)
    assert same(pipe, "other") and content(pipe.target, "t") == before
    assert states(pipe) == {"t": "resyncing", "other": "following"}
    assert metrics(port)["trunkline_parked_tables"] == 1
    let_go(pipe)
    joined(pipe, engine)
    assert metrics(port)["trunkline_parked_tables"] == 0
    assert states(pipe) == {"t": "following", "other": "following"}
    pipe.source.sql("UPDATE t SET v = v + 1")
    pipe.catch_up(engine)
    pipe.is_verified()
    engine.stop()


def copied_up_to_its_rows_after(pipe, writer, port):
    """It waits for who writes to the table, and says so; the others go on meanwhile."""
    engine = pipe.start(fault=f"resync.snapshot=wait:{held(pipe.directory)}", resync="t",
                        listen=f"127.0.0.1:{port}")
    wait_until(lambda: engine.runs() and "writes to public.t" in (status(pipe)["waits_for"] or ""),
               "it waits for the writer")
    pipe.source.sql("INSERT INTO other VALUES (77, 77)")
    pipe.catch_up(engine)
    assert pipe.target.one("SELECT v FROM other WHERE id = 77") == 77
    writer.execute("COMMIT")
    writer.close()
    wait_until(lambda: engine.runs() and held(pipe.directory).with_name("hold.reached").exists(),
               "the snapshot is taken")
    return engine
