"""on_apply_error = park: a table whose change cannot be applied is left out, the others go on."""
import json
import random
import time

import pytest

from harness.cluster import free_port
from harness.load import load
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
    said = pipe.command("status", slot=pipe.slot, json=True, **{**pipe.urls(), **pipe.able()})
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


@pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=pytest.mark.wide)])
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
    pipe.target.sql("ALTER TABLE lacks ADD COLUMN v int; CREATE TABLE gone (id int PRIMARY KEY)")
    pipe.source.sql("INSERT INTO lacks VALUES (2, 2); INSERT INTO gone VALUES (2)")
    pipe.copy(resync='lacks,gone,"Größe"', **PARK)
    pipe.source.sql("UPDATE lacks SET v = 3; UPDATE gone SET id = id + 5; DELETE FROM \"Größe\"")
    pipe.copy()
    pipe.is_verified()


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


@pytest.mark.wide
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


def states(pipe, code=None):
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


KINDS = f"""
    CREATE TABLE parent (id int PRIMARY KEY, self int REFERENCES parent, v int);
    CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
    CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
    CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY,
                         v int, twice int GENERATED ALWAYS AS (v * 2) STORED, "Größe" text, big text);
    CREATE TABLE nothing ();
    ALTER TABLE nothing REPLICA IDENTITY FULL;
    CREATE TABLE root (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
    CREATE TABLE one PARTITION OF root FOR VALUES FROM (0) TO (10);
    CREATE TABLE two PARTITION OF root FOR VALUES FROM (10) TO (20);
    CREATE TABLE emptied (id int PRIMARY KEY, v text);
    INSERT INTO parent SELECT g, 1, 0 FROM generate_series(1, 20) g;
    INSERT INTO child SELECT g, g FROM generate_series(1, 20) g;
    INSERT INTO bare SELECT 1, 'twice' FROM generate_series(1, 2); INSERT INTO bare VALUES (NULL, NULL);
    INSERT INTO always (v, "Größe", big) SELECT g, 'ä', (SELECT string_agg(md5(h::text), '') FROM
        generate_series(g, g + 300) h) FROM generate_series(1, 5) g;
    INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
    INSERT INTO root SELECT g, 0 FROM generate_series(1, 19) g;
    INSERT INTO emptied SELECT g, 'old' FROM generate_series(1, 9) g"""
CHANGES = ("UPDATE parent SET v = v + 1; DELETE FROM child WHERE id IN (4, 5);"
           "DELETE FROM parent WHERE id = 4; INSERT INTO parent VALUES (21, 21, 0), (22, 1, 0);"
           "INSERT INTO child VALUES (21, 21)",
           "DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare WHERE a = 1);"
           "UPDATE bare SET b = 'none' WHERE a IS NULL; INSERT INTO bare VALUES (1, 'twice'), (2, NULL)",
           "UPDATE always SET v = v + 1 WHERE id > 1; UPDATE always SET \"Größe\" = NULL WHERE id = 1;"
           "INSERT INTO always (v) VALUES (7); DELETE FROM always WHERE id = 2",
           "INSERT INTO nothing DEFAULT VALUES",
           "UPDATE root SET v = 1; UPDATE root SET id = 19 - id WHERE id = 19; DELETE FROM one WHERE id = 3",
           "INSERT INTO emptied VALUES (10, 'gone'); TRUNCATE emptied, child; INSERT INTO child VALUES (1, 2);"
           "INSERT INTO emptied SELECT g, 'new' FROM generate_series(1, 3) g")


def test_tables_of_every_kind_are_copied_anew(pipe):
    """None was parked; the target has lost and altered rows of each. Changes come before and after the
    copies' snapshots, and more of them than go into one group or stay in memory."""
    pipe.source.sql(KINDS)
    pipe.follow(**pipe.able()).stop()
    pipe.target.admin("SET session_replication_role = replica; DELETE FROM parent WHERE id = 7;"
                      "UPDATE bare SET b = 'other'; TRUNCATE always, nothing; UPDATE two SET v = 77;"
                      "INSERT INTO emptied VALUES (999, ''); RESET session_replication_role")
    pipe.source.sql(CHANGES[0])
    engine = copied_up_to_its_rows(pipe, resync="parent,bare,always,nothing,root,emptied",
                                   group_max_changes=20, spill_memory=0, **pipe.able())
    assert set(states(pipe).values()) == {"resyncing", "following"}
    for change in CHANGES[1:]:
        pipe.source.sql(change)
    pipe.source.sql("INSERT INTO emptied SELECT g, repeat('x', 1000) FROM generate_series(100, 1100) g")
    pipe.source.sql("UPDATE emptied SET v = v || v WHERE id >= 100")
    pipe.catch_up(engine)
    let_go(pipe)
    joined(pipe, engine)
    pipe.is_equal()
    for change in CHANGES:
        pipe.source.sql(change.replace("(21, 21, 0), (22", "(41, 41, 0), (42").replace("(21, 21)", "(41, 41)"))
    pipe.catch_up(engine)
    engine.stop()
    pipe.is_verified()


POINTS = ["resync.requested", "resync.snapshot", "resync.copied", "resync.replaced", "resync.join",
          "group.position", "group.commit", "resync.joined"]


def test_killed_at_every_point(pipe):
    """Once asked for it goes on with the next start, from the beginning; nothing is there twice."""
    pipe.source.sql(TABLES + "; CREATE TABLE bare (a int); ALTER TABLE bare REPLICA IDENTITY FULL;"
                             "INSERT INTO bare SELECT 1 FROM generate_series(1, 5)")
    pipe.copy()
    pipe.target.sql("DELETE FROM t; DELETE FROM bare")
    for number, point in enumerate(POINTS):
        asked = {0: "t,bare", len(POINTS) - 1: "bare"}.get(number)
        pipe.start(fault=f"{point}=kill", resync=asked).ends(-9)
        assert set(parked(pipe)) <= {"bare", "t"}
        pipe.source.sql("INSERT INTO bare VALUES (1); UPDATE t SET v = v + 1; UPDATE other SET v = v + 1")
        pipe.source.sql("INSERT INTO t VALUES (%s, 0)", 100 + number)
    pipe.copy()
    pipe.is_verified()
    assert parked(pipe) == []
    assert not pipe.target.admin("SELECT relname FROM pg_class WHERE relname LIKE 'resync_%'")


@pytest.mark.long
def test_cut_off_at_every_point(pipe):
    """A lost connection there is no reason to end."""
    pipe.source.sql(TABLES)
    pipe.copy()
    for point in ["park.record", "park.recorded", *POINTS]:
        if point.startswith("park."):
            pipe.target.sql("DELETE FROM t")
            pipe.source.sql("UPDATE t SET v = v + 1; UPDATE other SET v = v + 1")
            pipe.copy(fault=f"{point}=disconnect", **PARK)
            assert parked(pipe) == ["t"] and same(pipe, "other")
        pipe.source.sql("UPDATE t SET v = v + 1; UPDATE other SET v = v + 1")
        pipe.copy(fault=None if point.startswith("park.") else f"{point}=disconnect", resync="t")
        assert parked(pipe) == []
        pipe.is_equal()
    pipe.is_verified()


def test_what_cannot_be_copied_anew(pipe):
    """It is refused before anything is done; and a table that the target still refuses stays parked."""
    engine = follow_with_a_refused_row(pipe)
    engine.stop()
    for name, why in (("unknown", "no table of the source matches --resync unknown"),
                      ("other,nowhere.t", "matches --resync nowhere.t")):
        refused = pipe.run(resync=name)
        assert refused.code == CONFIGURATION and why in refused.stderr
    assert states(pipe) == {"t": "parked", "other": "following"}
    pipe.source.sql("UPDATE other SET v = v + 1")
    assert pipe.run(resync="t", until="now").code == FAILED, "to stop is the default"
    assert states(pipe) == {"t": "parked", "other": "following"}
    pipe.copy(resync="t", **PARK)
    assert parked(pipe) == ["t"] and same(pipe, "other")
    messages = pipe.target.admin("SELECT message FROM trunkline.apply_errors ORDER BY number")
    assert len(messages) == 3 and all("small" in message for message, in messages)
    pipe.source.sql("UPDATE t SET v = 1")
    pipe.copy(resync="t")
    pipe.is_verified()


@pytest.mark.wide
def test_a_change_that_came_meanwhile_is_refused(pipe):
    """Nothing of the new copy stays then."""
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.target.sql(REFUSES + "; DELETE FROM t WHERE id = 1")
    before = content(pipe.target, "t")
    engine = copied_up_to_its_rows(pipe, resync="t", **PARK)
    pipe.source.sql("UPDATE t SET v = 100 WHERE id = 7; UPDATE other SET v = 1")
    pipe.catch_up(engine)
    let_go(pipe)
    wait_until(lambda: states(pipe)["t"] == "parked", "it is parked")
    pipe.catch_up(engine)
    assert content(pipe.target, "t") == before and same(pipe, "other")
    assert pipe.target.admin_one("SELECT change FROM trunkline.apply_errors") == \
        "UPDATE of public.t (id = 7)"
    engine.stop()


def transfer(connection, dice):
    """Moves some from a row of one table to a row of the other, at times with a savepoint rolled back."""
    one, other, amount = dice.randint(1, 10), dice.randint(1, 10), dice.randint(1, 5)
    with connection.transaction():
        connection.execute("UPDATE t SET v = v - %s WHERE id = %s", (amount, one))
        if dice.random() < 0.3:
            with connection.transaction(force_rollback=True):
                connection.execute("UPDATE t SET v = v + 1000 WHERE id = %s", (one,))
        connection.execute("UPDATE other SET v = v + %s WHERE id = %s", (amount, other))


def move(connection, dice):
    """Rows that come and go."""
    connection.execute(dice.choice(("DELETE FROM t WHERE id = %s",
                                    "INSERT INTO t VALUES (%s, 0) ON CONFLICT DO NOTHING")),
                       (100 + dice.randint(0, 20),))


def total(connection, dice):
    """A reader's step: what moves between the tables is in one of them."""
    found = connection.execute("SELECT (SELECT sum(v) FROM t) + (SELECT sum(v) FROM other)").fetchone()[0]
    assert found == 0


def copies(pipe, names):
    """The snapshots under which these tables were copied."""
    return set(pipe.target.admin("SELECT table_name, snapshot FROM trunkline.tables"
                                 " WHERE table_name = ANY (%s)", names.split(",")))


@pytest.mark.long
def test_killed_at_any_time_under_writers(pipe):
    dice = random.Random()
    pipe.source.sql(TABLES)
    pipe.source.sql("INSERT INTO t SELECT g, 0 FROM generate_series(1000, 30000) g")
    pipe.copy()
    with load(pipe.source, transfer, move, sessions=2):
        for _ in range(15):
            engine = pipe.start(resync=dice.choice(("t", "other", "t,other")))
            moment = time.monotonic() + 0.3 + dice.random() * 1.2
            wait_until(lambda: engine.runs() and time.monotonic() >= moment, "the moment has come")
            engine.kill()
    pipe.copy()
    pipe.is_verified()


def test_under_writers_the_sums_are_right_once_it_has_joined(pipe):
    pipe.source.sql(TABLES)
    pipe.source.sql("INSERT INTO t SELECT g, 0 FROM generate_series(1000, 3000) g")
    pipe.copy()
    with load(pipe.source, transfer, move, sessions=2, seed=3):
        for name in ("t", "other,t"):
            pipe.target.sql(f"UPDATE {name.split(',')[0]} SET v = v - 1 WHERE id = 1")
            before = copies(pipe, name)
            engine = pipe.start(resync=name)
            wait_until(lambda: engine.runs() and not before & copies(pipe, name), "all are new copies")
            joined(pipe, engine)
            with load(pipe.target, total) as reader:
                reader.wait_steps(20)
            engine.stop()
    pipe.copy()
    pipe.is_verified()


@pytest.mark.wide
def test_lost_connections(pipe):
    """Of the copying thread: it begins again by itself. Of the applier: all of it begins again."""
    pipe.source.sql(TABLES)
    pipe.copy()
    pipe.target.sql("DELETE FROM t")
    before = copies(pipe, "t")
    writer = pipe.source.connect()
    writer.execute("BEGIN")
    writer.execute("UPDATE t SET v = v + 1 WHERE id = 2")
    engine = pipe.start(resync="t")
    for side in (pipe.source, pipe.target):
        wait_until(lambda: "writes to public.t" in (status(pipe)["waits_for"] or ""), "it waits")
        wait_until(lambda: ended(side, "resync"), "its session is ended")
        pipe.source.sql("UPDATE t SET v = v + 1 WHERE id = 5; UPDATE other SET v = v + 1")
    pipe.catch_up(engine)
    assert same(pipe, "other") and ended(pipe.target, "apply")
    pipe.source.sql("UPDATE t SET v = v + 1 WHERE id = 5; UPDATE other SET v = v + 1")
    pipe.catch_up(engine)
    assert copies(pipe, "t") == before
    writer.execute("COMMIT")
    writer.close()
    joined(pipe, engine)
    engine.stop()
    pipe.is_verified()


def ended(side, role):
    """How many sessions of that role were ended."""
    return side.admin_one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE"
                          " application_name LIKE 'trunkline:%%:' || %s AND datname = current_database()", role)


@pytest.mark.wide
def test_a_pipeline_that_began_without_a_copy(pipe):
    """And what a copy that was cut off leaves goes with tear-down."""
    for side in (pipe.source, pipe.target):
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE other (id int PRIMARY KEY, v int)")
    assert pipe.command("init", source=pipe.source.url(), slot=pipe.slot).code == 0
    engine = pipe.follow(mode="replication", **PARK)
    pipe.target.sql(REFUSES)
    pipe.source.sql("INSERT INTO t VALUES (1, 100); INSERT INTO other VALUES (1, 100)")
    pipe.catch_up(engine)
    assert parked(pipe) == ["t"]
    engine.stop()
    pipe.target.sql("ALTER TABLE t DROP CONSTRAINT small")
    pipe.copy(mode="replication", resync="t")
    pipe.is_verified()
    pipe.start(fault="resync.copied=kill", mode="replication", resync="t").ends(-9)
    assert pipe.target.admin("SELECT relname FROM pg_class WHERE relname LIKE 'resync_%'")
    assert pipe.tear_down().code == 0
    assert not pipe.target.admin("SELECT FROM pg_namespace WHERE nspname = 'trunkline'")
