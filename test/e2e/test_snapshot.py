"""Copying once: `snapshot`, and `run` with only a snapshot's source."""
import os
import pty
import signal
import subprocess
import time

import pytest

from harness.cluster import Standby
from harness.data import make_bank, make_mill, transfer
from harness.load import load
from harness.program import (CONFIGURATION, ENDED, FAILED, NOT_FINISHED, PROGRAM,
                             clean_environment, flags)
from harness.wait import wait_until

SHOP = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, mood mood);
CREATE TABLE purchase (id serial PRIMARY KEY, customer int REFERENCES customer, at timestamptz);
CREATE INDEX purchase_at ON purchase (at);
CREATE VIEW happy AS SELECT * FROM customer WHERE mood = 'good';
CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) FROM purchase GROUP BY 1;
INSERT INTO customer SELECT g, 'c' || g, 'good' FROM generate_series(1, 100) g;
INSERT INTO purchase (customer, at) SELECT g % 100 + 1, now() FROM generate_series(1, 1000) g;
REFRESH MATERIALIZED VIEW totals;
"""


# Into tables with active foreign keys: refused on 14, where no plain role may switch them off.
INTO_KEYS = pytest.mark.versions(target=(15, 18))


def snapshot(pipe, *more, code=ENDED, timeout=60, fault=None, **settings):
    """The command to its end; claims its exit code."""
    environment = {"TRUNKLINE_FAULT": fault} if fault else None
    ended = pipe.command("snapshot", *more, timeout=timeout, environment=environment,
                         **{**pipe.urls(), **settings})
    assert ended.code == code, f"ended with {ended.code}, not {code}"
    return ended


def traces(database):
    """What a snapshot might leave: schemas, publications, slots, locks, settings of tables."""
    return [database.admin(text) for text in (
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_t' ORDER BY 1",
        "SELECT pubname FROM pg_publication ORDER BY 1",
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()",
        "SELECT relname, relkind, relreplident, relacl FROM pg_class WHERE relnamespace NOT IN"
        " (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_t') ORDER BY 1",
        "SELECT evtname FROM pg_event_trigger",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")]


def is_clean(pipe):
    """Claims that nothing of a snapshot is left on the target."""
    assert not pipe.target.admin("SELECT nspname FROM pg_namespace WHERE nspname ~ 'trunkline'")
    return True


@pytest.mark.matrix
def test_copies_everything_and_leaves_nothing_behind(pipe):
    pipe.source.sql(SHOP)
    make_mill(pipe.source)
    before = traces(pipe.source)
    ended = snapshot(pipe)
    assert ended.stdout == ""
    assert traces(pipe.source) == before
    assert is_clean(pipe)
    assert pipe.is_equal()
    assert pipe.target.one("SELECT count(*) FROM totals") == 100
    assert pipe.target.one("SELECT nextval('purchase_id_seq')") == 1001
    assert pipe.target.one("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 1


def test_is_one_state_of_a_source_that_is_written_to(pipe):
    make_bank(pipe.source)
    with load(pipe.source, transfer, sessions=3) as writers:
        writers.wait_steps(50)
        snapshot(pipe, part_size="8kB")
        writers.wait_steps(50)
    assert pipe.target.one("SELECT sum(balance) FROM account") == 200 * 1000


def test_the_tutorial(pipe):
    pipe.source.sql("CREATE TABLE test (id serial PRIMARY KEY, name text);"
                    "INSERT INTO test (name) VALUES ('alice'), ('bob'), ('charlie')")
    pipe.source.sql("CREATE SCHEMA other; CREATE TABLE other.hidden (id int)")
    config = pipe.directory / "snapshot2pg_tutorial.env"
    config.write_text(f"""
# Listener config
PGSTREAM_POSTGRES_SNAPSHOT_LISTENER_URL="{pipe.source.url()}"
PGSTREAM_POSTGRES_SNAPSHOT_TABLES="*"
PGSTREAM_POSTGRES_SNAPSHOT_SCHEMA_WORKERS=4
PGSTREAM_POSTGRES_SNAPSHOT_TABLE_WORKERS=4
PGSTREAM_POSTGRES_SNAPSHOT_BATCH_PAGE_SIZE=1000
PGSTREAM_POSTGRES_SNAPSHOT_WORKERS=1

# Processor config
PGSTREAM_POSTGRES_WRITER_TARGET_URL="{pipe.target.url()}"
PGSTREAM_POSTGRES_WRITER_BATCH_SIZE=25
PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s
""")
    before = traces(pipe.source)
    pipe.process("run", "-c", config, "--log-level", "trace").ends(ENDED)
    assert pipe.target.sql("SELECT * FROM test ORDER BY id") == [
        (1, "alice"), (2, "bob"), (3, "charlie")]
    assert not pipe.target.admin("SELECT relname FROM pg_class WHERE relname = 'hidden'")
    assert traces(pipe.source) == before and is_clean(pipe)


# --- who may ---

def reader(pipe, *grants):
    """A role of the source with nothing but these privileges."""
    name = f"reader_{pipe.slot}"
    pipe.source.admin(f"CREATE ROLE {name} LOGIN;"
                      f"GRANT CONNECT ON DATABASE {pipe.source.name} TO {name}")
    for grant in grants:
        pipe.source.admin(f"GRANT {grant} TO {name}")
    return pipe.source.url(name)


@pytest.fixture
def read_by(pipe):
    yield lambda *grants: reader(pipe, *grants)
    pipe.source.admin(f"DROP OWNED BY reader_{pipe.slot}; DROP ROLE reader_{pipe.slot}")


def test_select_is_enough(pipe, read_by):
    pipe.source.sql(SHOP)
    url = read_by("SELECT ON ALL TABLES IN SCHEMA public", "SELECT ON ALL SEQUENCES IN SCHEMA public")
    snapshot(pipe, source=url)
    assert pipe.is_equal()


def test_select_on_the_selected_tables_is_enough(pipe, read_by):
    pipe.source.sql(SHOP)
    url = read_by("SELECT ON customer")
    snapshot(pipe, source=url, tables="customer")
    assert pipe.target.one("SELECT count(*) FROM customer") == 100
    assert not pipe.target.one("SELECT to_regclass('purchase') IS NOT NULL")


@pytest.mark.parametrize("grants, hint", [
    (["SELECT ON customer"], "GRANT SELECT ON public.purchase TO"),
    (["SELECT ON ALL TABLES IN SCHEMA public"], "GRANT SELECT ON public.purchase_id_seq TO"),
])
def test_what_may_not_be_read_is_refused(pipe, read_by, grants, hint):
    pipe.source.sql(SHOP)
    ended = snapshot(pipe, source=read_by(*grants), code=CONFIGURATION)
    assert hint in ended.stderr
    assert is_clean(pipe)
    assert not pipe.target.one("SELECT to_regclass('customer') IS NOT NULL")


# --- a source that changes under the snapshot ---

def begin(pipe, fault=None, **settings):
    """The command in the background."""
    return pipe.process("snapshot", *flags({**pipe.urls(), **settings}),
                        environment={"TRUNKLINE_FAULT": fault} if fault else None)


def begin_and_wait(pipe, point, **settings):
    """The command, waiting at a fault point; and the file that lets it go on."""
    gate = pipe.directory / "gate"
    started = begin(pipe, fault=f"{point}=wait:{gate}", **settings)
    wait_until(lambda: started.runs() and (pipe.directory / "gate.reached").exists(),
               f"{point} is reached")
    return started, gate


@pytest.mark.parametrize("change", [
    "TRUNCATE purchase", "VACUUM FULL purchase", "DROP TABLE purchase CASCADE",
    "ALTER TABLE purchase ADD COLUMN more text DEFAULT 'm'"])
def test_a_change_under_the_snapshot_makes_it_start_again(pipe, change):
    pipe.source.sql(SHOP)
    started, gate = begin_and_wait(pipe, "copy.planned")
    pipe.source.sql("INSERT INTO customer VALUES (1000, 'late', 'bad')")
    pipe.source.sql(change)
    gate.touch()
    started.ends(ENDED)
    assert pipe.is_equal() and is_clean(pipe)  # of one moment: the late row is there as well


def test_a_table_that_keeps_changing_is_named_at_the_end(pipe):
    pipe.source.sql("CREATE TABLE calm (id int); CREATE TABLE wild (id int);"
                    "INSERT INTO calm SELECT generate_series(1, 100)")

    def rewrite(session, _):
        session.execute("TRUNCATE wild; INSERT INTO wild VALUES (1)")

    with load(pipe.source, rewrite):
        ended = snapshot(pipe, code=FAILED)
    assert "snapshot failed: " in ended.stderr and "public.wild" in ended.stderr
    snapshot(pipe)  # what it left is no obstacle
    assert pipe.is_equal() and is_clean(pipe)


# --- interrupted ---

def test_a_killed_one_starts_again_from_nothing(pipe):
    pipe.source.sql(SHOP)
    make_mill(pipe.source)
    begin(pipe, fault="part.committed=kill@3", part_size="8kB").ends(-signal.SIGKILL)
    assert not is_empty(pipe.target, "trunkline_snapshot.tables")
    pipe.source.sql("UPDATE customer SET name = 'new'; DELETE FROM item WHERE id < 100")
    pipe.source.sql("ALTER TABLE event ADD COLUMN more int")
    snapshot(pipe)
    assert pipe.is_equal() and is_clean(pipe)


@INTO_KEYS
def test_a_killed_one_leaves_tables_that_were_there(pipe):
    pipe.source.sql(SHOP)
    snapshot(pipe, "--schema-only")
    oid = pipe.target.one("SELECT 'purchase'::regclass::oid")
    begin(pipe, "part.committed=kill@2").ends(-signal.SIGKILL)
    snapshot(pipe)
    assert pipe.is_equal() and is_clean(pipe)
    assert pipe.target.one("SELECT 'purchase'::regclass::oid") == oid


def is_empty(database, table):
    return database.admin_one(f"SELECT count(*) FROM {table}") == 0


def test_a_signal_ends_it_at_once(pipe):
    pipe.source.sql(SHOP)
    started = begin(pipe, max_rate="1kB")
    wait_until(lambda: "copying" in started.stderr, "rows are being copied")
    started.stop(NOT_FINISHED)
    assert pipe.target.admin_one("SELECT count(*) FROM trunkline_snapshot.tables") == 2
    snapshot(pipe)
    assert pipe.is_equal() and is_clean(pipe)


def test_a_lost_connection_is_no_end(pipe):
    pipe.source.sql(SHOP)
    started, gate = begin_and_wait(pipe, "part.begin")
    pipe.source.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE datname = current_database() AND application_name ~ 'snapshot:'")
    pipe.source.sql("INSERT INTO customer VALUES (1000, 'late', 'bad')")
    gate.touch()
    started.ends(ENDED)
    assert pipe.is_equal() and is_clean(pipe)
    assert pipe.target.one("SELECT count(*) FROM customer") == 101


def test_two_at_once_are_refused(pipe):
    pipe.source.sql(SHOP)
    started, gate = begin_and_wait(pipe, "copy.planned")
    ended = snapshot(pipe, code=CONFIGURATION)
    assert "another engine" in ended.stderr
    gate.touch()
    started.ends(ENDED)
    assert pipe.is_equal()


def test_an_unfinished_one_of_another_source_is_left_alone(pipe, pipelines, shared_clusters):
    pipe.source.sql(SHOP)
    other = pipelines(shared_clusters)
    other.source.sql("CREATE TABLE t (id int)")
    begin(pipe, "copy.planned=kill").ends(-signal.SIGKILL)
    ended = snapshot(pipe, source=other.source.url(), code=CONFIGURATION)
    assert "unfinished snapshot of another database" in ended.stderr
    snapshot(pipe)
    assert pipe.is_equal()


# --- what the target holds ---

def test_rows_of_the_target_are_not_touched(pipe):
    pipe.source.sql(SHOP)
    pipe.target.sql("CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, mood text);"
                    "INSERT INTO customer VALUES (7, 'mine', 'good')")
    ended = snapshot(pipe, code=CONFIGURATION)
    assert "tables of the target hold rows already: public.customer" in ended.stderr
    assert pipe.target.sql("SELECT * FROM customer") == [(7, "mine", "good")]
    assert is_clean(pipe)


FILLED = [("public", name) for name in ("customer", "purchase", "part_1", "part_2", "bare")]


def fill_again(pipe):
    """A target that a snapshot has filled, and a source that has changed since."""
    pipe.source.sql(SHOP)
    pipe.source.sql("CREATE TABLE part (id int) PARTITION BY RANGE (id);"
                    "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);"
                    "CREATE TABLE part_2 PARTITION OF part DEFAULT;"
                    "INSERT INTO part SELECT generate_series(1, 20); CREATE TABLE bare (id int)")
    snapshot(pipe)
    pipe.source.sql("UPDATE customer SET name = 'new'; INSERT INTO bare VALUES (1)")
    pipe.target.admin("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")


@INTO_KEYS
def test_reset_without_a_terminal_needs_yes(pipe):
    fill_again(pipe)
    ended = snapshot(pipe, "--reset", code=CONFIGURATION)
    assert "public.customer" in ended.stderr and "--yes" in ended.stderr
    assert "kept" not in ended.stderr
    assert pipe.target.one("SELECT count(*) FROM customer WHERE name = 'new'") == 0
    snapshot(pipe, "--reset", "--yes")
    assert pipe.is_equal(only=FILLED) and is_clean(pipe)
    assert pipe.target.admin_one("SELECT count(*) FROM kept") == 1


@pytest.mark.parametrize("answer, code", [(b"yes\n", ENDED), (b"n\n", CONFIGURATION),
                                          (b"\n", CONFIGURATION)])
@INTO_KEYS
def test_reset_asks_at_a_terminal(pipe, answer, code):
    fill_again(pipe)
    ours, its = pty.openpty()
    with subprocess.Popen([PROGRAM, "snapshot", "--reset", *flags(pipe.urls())], stdin=its,
                          env=clean_environment(), stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, answer)
        said = process.communicate(timeout=60)[1]
    os.close(ours)
    os.close(its)
    assert process.returncode == code, said
    assert "public.customer" in said and "[y/N]" in said
    assert pipe.target.one("SELECT count(*) FROM customer WHERE name = 'new'") == (
        100 if code == ENDED else 0)


@INTO_KEYS
def test_reset_refuses_what_a_foreign_key_from_outside_forbids(pipe):
    fill_again(pipe)
    pipe.target.admin("CREATE TABLE outside (customer int REFERENCES customer)")
    ended = snapshot(pipe, "--reset", "--yes", code=CONFIGURATION)
    assert "outside" in ended.stderr
    ended = snapshot(pipe, "--reset", "--yes", code=CONFIGURATION, tables="customer")
    assert pipe.target.one("SELECT count(*) FROM customer") == 100


def test_a_pipeline_in_the_same_target_goes_on(pipe):
    pipe.source.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);"
                    "INSERT INTO b SELECT generate_series(1, 10)")
    engine = pipe.follow(tables="a")
    snapshot(pipe, tables="b")
    pipe.source.sql("INSERT INTO a VALUES (1)")
    pipe.catch_up(engine)
    engine.stop()
    assert pipe.is_equal()


# --- parts of it ---

def test_schema_only(pipe):
    pipe.source.sql(SHOP)
    snapshot(pipe, "--schema-only")
    assert is_clean(pipe)
    assert is_empty(pipe.target, "customer")
    assert pipe.target.one("SELECT relispopulated FROM pg_class WHERE relname = 'totals'") is False
    assert pipe.target.one("SELECT last_value FROM purchase_id_seq") == 1
    assert pipe.target.one("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 1


@pytest.mark.parametrize("how", ["--data-only", "--snapshot-mode=data"])
@INTO_KEYS
def test_data_only(pipe, how):
    pipe.source.sql(SHOP)
    ended = snapshot(pipe, how, code=CONFIGURATION)
    assert "the target lacks tables of the source: public.customer, public.purchase" in ended.stderr
    snapshot(pipe, "--schema-only")
    snapshot(pipe, how)
    assert is_clean(pipe)
    assert pipe.is_equal()
    assert pipe.target.one("SELECT last_value FROM purchase_id_seq") == 1000


@INTO_KEYS
def test_data_only_into_active_foreign_keys_is_refused(pipe):
    pipe.source.sql(SHOP)
    snapshot(pipe, "--schema-only")
    ended = snapshot(pipe, "--data-only", code=CONFIGURATION, disable_triggers="false")
    assert "public.purchase" in ended.stderr and "foreign key" in ended.stderr
    pipe.target.admin("CREATE ROLE plain_%(d)s LOGIN; GRANT app TO plain_%(d)s;"
                      "GRANT CREATE ON DATABASE %(d)s TO plain_%(d)s" % {"d": pipe.target.name})
    plain = pipe.target.url(f"plain_{pipe.target.name}")
    ended = snapshot(pipe, "--data-only", code=CONFIGURATION, target=plain)
    assert "GRANT SET ON PARAMETER session_replication_role" in ended.stderr
    snapshot(pipe, "--data-only", target=plain, tables="customer")
    assert pipe.target.one("SELECT count(*) FROM customer") == 100
    pipe.target.admin("DROP OWNED BY plain_%(d)s; DROP ROLE plain_%(d)s" % {"d": pipe.target.name})


def test_tables_left_out_and_tables_without_rows(pipe):
    pipe.source.sql(SHOP)
    snapshot(pipe, excluded_tables="customer", schema_only_tables="purchase")
    assert not pipe.target.one("SELECT to_regclass('customer') IS NOT NULL")
    assert is_empty(pipe.target, "purchase")
    assert pipe.target.one("SELECT to_regclass('purchase_at') IS NOT NULL")


def test_a_pipeline_refuses_tables_without_rows(pipe):
    pipe.source.sql(SHOP)
    ended = pipe.run(schema_only_tables="purchase")
    assert ended.code == CONFIGURATION and "schema_only_tables" in ended.stderr


@pytest.mark.parametrize("mistake", [["--schema-only", "--data-only"], ["--reset", "--schema-only"],
                                     ["--schema-only", "--snapshot-mode", "data"]])
def test_what_cannot_be_meant_is_refused(pipe, mistake):
    snapshot(pipe, *mistake, code=CONFIGURATION)


def owner(pipe):
    return pipe.target.one("SELECT tableowner FROM pg_tables WHERE tablename = 'customer'")


@pytest.mark.matrix
def test_owners_and_privileges(pipe):
    pipe.source.sql(SHOP)
    pipe.source.sql("GRANT SELECT ON customer TO PUBLIC")
    snapshot(pipe)
    assert owner(pipe) == "app"
    assert pipe.target.one("SELECT relacl::text FROM pg_class WHERE relname = 'customer'")
    pipe.target.admin("DROP TABLE customer, purchase CASCADE; DROP TYPE mood")
    snapshot(pipe, "--no-owner", "--no-privileges")
    assert owner(pipe) == "trunkline_target"
    assert not pipe.target.one("SELECT relacl::text FROM pg_class WHERE relname = 'customer'")


# --- how fast, how many ---

def test_the_rate_is_bounded(pipe):
    pipe.source.sql("CREATE TABLE t (id int, text text);"
                    "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 1000) g")
    began = time.monotonic()
    snapshot(pipe, max_rate="500kB", part_size="64kB")
    assert time.monotonic() - began >= 1.9
    assert pipe.is_equal()


def test_fewer_copiers_where_connections_are_few(pipe, read_by):
    make_mill(pipe.source)
    url = read_by("SELECT ON ALL TABLES IN SCHEMA public", "SELECT ON ALL SEQUENCES IN SCHEMA public")
    pipe.source.admin(f"ALTER ROLE reader_{pipe.slot} CONNECTION LIMIT 5")
    ended = snapshot(pipe, source=url, part_size="8kB")
    assert "of 4 copiers: the source has no more free connections" in ended.stderr
    assert pipe.is_equal()


# --- other sources ---

@INTO_KEYS
def test_a_source_without_logical_decoding_and_its_standby(own_clusters, pipelines, base_directory):
    pipe = pipelines(own_clusters)
    primary = own_clusters[0]
    primary.configure(wal_level="replica")
    primary.restart()
    make_bank(pipe.source)
    pipe.source.sql("CREATE UNLOGGED TABLE fleeting (id int); INSERT INTO fleeting VALUES (1)")
    snapshot(pipe)
    assert pipe.is_equal()
    standby = Standby(primary, base_directory / "standby")
    try:
        standby.start()
        with load(pipe.source, transfer, sessions=2) as writers:
            writers.wait_steps(100)
            snapshot(pipe, "--reset", "--yes", source=standby.database(pipe.source.name).url(),
                     part_size="8kB")
    finally:
        standby.remove()
    assert pipe.target.one("SELECT sum(balance) FROM account") == 200 * 1000
    assert pipe.target.one("SELECT count(*) FROM account WHERE balance <> 1000") > 0
    assert not is_empty(pipe.target, "fleeting") and is_clean(pipe)  # a standby has no rows of it
