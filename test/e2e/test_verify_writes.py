"""trunkline verify beside an engine at work: no false difference, no missed one, no end in doubt."""
import json
import os
import signal
import time

import pytest

from harness.data import make_mill, mill_step
from harness.load import load
from harness.program import ENDED, FAILED, NOT_FINISHED
from harness.slices import LONG
from harness.wait import wait_until

EQUAL, DIFFERENT = ENDED, FAILED
ACCOUNTS, COLD = 30000, 29000  # accounts from COLD on are never written to
SHOP = f"""
CREATE TABLE branch (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO branch SELECT g, 0 FROM generate_series(1, 5) g;
CREATE TABLE account (id int PRIMARY KEY, balance numeric(20,2), note text, rate float8, raw bytea);
INSERT INTO account SELECT g, g, repeat('n', 60), g / 7.0, decode(md5(g::text), 'hex')
    FROM generate_series(1, {ACCOUNTS}) g;
CREATE TABLE history (branch int, account int, delta int, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CREATE TABLE tally (word text, n int);
ALTER TABLE tally REPLICA IDENTITY FULL;
INSERT INTO tally SELECT 'cold', 1 FROM generate_series(1, 3);
INSERT INTO tally SELECT 'w' || g % 20, 1 FROM generate_series(1, 200) g;
CREATE TABLE named (k text PRIMARY KEY, v float8);
INSERT INTO named SELECT 'k' || g, g FROM generate_series(1, 3000) g;
"""
WITHOUT_KEY = {"tables_without_identity": "insert_only"}
PACE = 0.02  # seconds: two sessions of shop_step and two of the mill make up to 1,300 changes/s


def make_shop(database):
    database.sql(SHOP)
    make_mill(database)
    database.sql("ANALYZE")


def shop_step(session, rng):
    """One transaction, 14 changes: rows that change all the time, rows that come and go, rows that
    nobody can tell apart."""
    account, branch = rng.randrange(1, COLD - 10), rng.randrange(1, 6)
    with session.transaction():
        session.execute("UPDATE account SET balance = balance + 1.5, rate = -rate"
                        " WHERE id BETWEEN %s AND %s", (account, account + 4))
        session.execute("UPDATE branch SET balance = balance + 1 WHERE id = %s", (branch,))
        session.execute("INSERT INTO history VALUES (%s, %s, 1), (%s, %s, 2)",
                        (branch, account, branch, account))
        session.execute("INSERT INTO queue (what) VALUES ('todo')")
        session.execute("DELETE FROM queue WHERE id = (SELECT id FROM queue ORDER BY id LIMIT 1"
                        " FOR UPDATE SKIP LOCKED)")
        word = f"w{rng.randrange(20)}"
        session.execute("INSERT INTO tally VALUES (%s, 1)", (word,))
        session.execute("DELETE FROM tally WHERE ctid = (SELECT ctid FROM tally WHERE word = %s"
                        " LIMIT 1 FOR UPDATE SKIP LOCKED)", (word,))
        session.execute("UPDATE named SET v = v + 1 WHERE k = %s", (f"k{rng.randrange(1, 3000)}",))
    session.execute("SELECT pg_sleep(%s)", (PACE,))


def paced_mill_step(session, rng):
    mill_step(session, rng)
    session.execute("SELECT pg_sleep(%s)", (PACE,))


def verified(pipe, code, **settings):
    """Runs verify --json, claims its exit code, gives the tables by name."""
    ended = pipe.verify(json=True, timeout=180, **settings)
    assert ended.code == code, ended.stdout + ended.stderr
    return {table["table"]: table for table in json.loads(ended.stdout)["tables"]}


def different(tables):
    return {name for name, table in tables.items() if table["result"] == "different"}


@pytest.fixture
def shop(pipe):
    make_shop(pipe.source)
    engine = pipe.follow(**WITHOUT_KEY)
    yield pipe
    engine.stop()


def under_load(pipe):
    return load(pipe.source, shop_step, paced_mill_step, sessions=2)


@pytest.mark.parametrize("seconds", [8, pytest.param(20, marks=LONG)])
def test_writes_are_no_differences(shop, seconds):
    with under_load(shop) as running:
        running.wait_steps(20)
        started, again = time.monotonic(), 0
        while time.monotonic() < started + seconds:
            tables = verified(shop, EQUAL)
            again += sum(table.get("compared_again", False) for table in tables.values())
    assert again > 0, "nothing was written to while it was read"
    shop.catch_up()
    assert shop.is_verified()




def test_damage_is_found_among_writes(shop):
    with under_load(shop) as running:
        running.wait_steps(20)
        shop.source.sql("INSERT INTO item VALUES (100000, 1, 100000)")
        shop.catch_up()
        shop.target.sql("UPDATE account SET raw = set_bit(raw, 77, 1 - get_bit(raw, 77))"
                        " WHERE id = 29500;"
                        "INSERT INTO named VALUES ('extra', 1);"
                        "DELETE FROM item WHERE id = 100000;"
                        "INSERT INTO tally VALUES ('cold', 1)")
        tables = verified(shop, DIFFERENT)
    assert different(tables) == {"account", "named", "item", "tally"}
    found = {name: [(one["kind"], one["key"], one["columns"])
                    for one in tables[name]["differences"]]
             for name in ("account", "named", "item")}
    assert found == {"account": [("different", {"id": "29500"}, ["raw"])],
                     "named": [("extra_on_target", {"k": "extra"}, [])],
                     "item": [("missing_on_target", {"id": "100000"}, [])]}
    assert [(one["source_count"], one["target_count"])
            for one in tables["tally"]["differences"]] == [(3, 4)]


def test_a_target_far_behind_is_waited_for(shop):
    """More rows differ than are settled at a time: first the target is let come."""
    engine = shop.processes[0]
    os.kill(engine.pid, signal.SIGSTOP)
    shop.source.sql("UPDATE account SET balance = -balance")
    shop.target.sql("UPDATE account SET note = 'damaged' WHERE id = 17")
    verifying = shop.process("verify", "--json", "--source", shop.source.url(), "--target",
                             shop.target.url(), "--tables", "account,branch")
    wait_until(lambda: position_is_asked_for(shop), "verify waits for the target")
    os.kill(engine.pid, signal.SIGCONT)
    # The update mends the damaged column as well.
    verifying.ends(EQUAL)


def position_is_asked_for(pipe):
    return pipe.target.admin_one(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'trunkline:%%:verify'"
        " AND (query LIKE 'SELECT lsn FROM %%' OR query LIKE 'SELECT x.*%%')")


@pytest.mark.wide
def test_an_engine_that_is_killed_meanwhile_leaves_rows_unsettled(pipe):
    pipe.source.sql(SHOP)
    engine = pipe.follow(**WITHOUT_KEY)
    os.kill(engine.pid, signal.SIGSTOP)
    pipe.source.sql("UPDATE branch SET balance = 7 WHERE id = 3; DELETE FROM named WHERE k = 'k1'")
    verifying = pipe.process("verify", "--source", pipe.source.url(), "--target", pipe.target.url())
    wait_until(lambda: position_is_asked_for(pipe), "verify waits for the target")
    engine.kill()
    verifying.ends(NOT_FINISHED)
    assert "public.branch" in verifying.stdout and "public.named" in verifying.stdout
    assert verifying.stdout.count("no engine follows the source any more") == 2
    assert "not settled: 2 of 6 tables; no difference is proven" in verifying.stdout
    assert "2 of 6 tables could not be settled" in verifying.stderr


def test_without_an_engine_what_differs_is_said_as_it_is(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    pipe.follow().kill()
    pipe.source.sql("INSERT INTO t VALUES (2)")
    ended = pipe.verify()
    assert ended.code == DIFFERENT and "(id=2)" in ended.stdout
    assert "no engine follows the source: the target is at " in ended.stdout
    assert "bytes of WAL behind" in ended.stdout


def test_a_role_that_cannot_see_the_engine_says_so(pipe):
    pipe.source.sql("CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES")
    able = {"target": pipe.target.url("postgres")}
    pipe.follow(sequence_sync_interval=0, **able)
    pipe.source.sql("SELECT nextval('t_id_seq')")
    says = 'may not read schema "trunkline" on the target'
    for form in ({"schema_only": True}, {"schema": True}, {"schema_only": True, "json": True}):
        ended = pipe.verify(**form)
        assert ended.code == DIFFERENT and says in ended.stdout.replace("\\", "")
        assert pipe.verify(**form, **able).code == 0


@pytest.mark.long
def test_an_open_transaction_that_writes_leaves_an_extra_row_unsettled(pipe):
    """It might have committed already, unseen as yet by others. What the source has is proven by
    its row versions, also now."""
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
    engine = pipe.follow()
    with pipe.source.connect(autocommit=False) as session:
        session.execute("INSERT INTO t VALUES (3, 3)")
        pipe.target.sql("INSERT INTO t VALUES (4, 4)")
        ended = pipe.verify()
        assert ended.code == NOT_FINISHED
        assert "1 row, a transaction that writes to the table does not end" in ended.stdout
        pipe.target.sql("DELETE FROM t WHERE id = 4; UPDATE t SET v = 3 WHERE id = 2")
        ended = pipe.verify()
        assert ended.code == DIFFERENT and "(id=2) in v" in ended.stdout
    engine.stop()


def test_a_table_that_is_dropped_or_altered_meanwhile_is_named(pipe):
    for database in (pipe.source, pipe.target):
        database.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, v int);"
                     "CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (id int PRIMARY KEY);"
                     "INSERT INTO d SELECT generate_series(1, 10)")
    with pipe.target.connect(autocommit=False) as session:
        session.execute("LOCK TABLE a")
        verifying = pipe.process("verify", "--source", pipe.source.url(), "--target",
                                 pipe.target.url())
        waits = ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                 " AND wait_event_type = 'Lock' AND application_name LIKE 'trunkline:%%'")
        wait_until(lambda: pipe.target.admin_one(waits) == 1, "verify waits for the lock")
        pipe.source.sql("ALTER TABLE b DROP COLUMN v; DROP TABLE c")
        for database in (pipe.source, pipe.target):
            database.sql("TRUNCATE d")
    verifying.ends(NOT_FINISHED)
    assert verifying.stdout.count("it is not what it was when verify began") == 2
    assert "not settled: 2 of 4 tables" in verifying.stdout


def test_a_copy_that_is_not_complete_is_not_judged(pipe, tmp_path):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    go_on = tmp_path / "go_on"
    engine = pipe.start(fault=f"part.begin=wait:{go_on}")
    wait_until(lambda: (tmp_path / "go_on.reached").exists(), "the copy has begun")
    ended = pipe.verify()
    assert ended.code == NOT_FINISHED and "not settled: it is not copied yet" in ended.stdout
    go_on.touch()
    pipe.catch_up(engine)
    assert pipe.verify().code == EQUAL
    engine.stop()


def test_a_table_that_is_not_followed_differs(pipe):
    pipe.source.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)")
    engine = pipe.follow(tables="t")
    pipe.source.sql("INSERT INTO other VALUES (1)")
    pipe.target.sql("CREATE TABLE other (id int PRIMARY KEY)")
    assert different(verified(pipe, DIFFERENT)) == {"other"}
    engine.stop()
