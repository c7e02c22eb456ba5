"""The two tutorials, as pgstream's users know them: through a link of that name, and by our own name.
The texts below are pgstream's own; only the ports are replaced by those of the test's servers."""
import pathlib
import re

import pytest

from harness.program import ROOT
from harness.seed_files import FURTHER, REPLICATION_FILE, SNAPSHOT_FILE, WITH_SNAPSHOT
from harness.tutorial import servers, tutorial  # noqa: F401, fixtures
from harness.wait import wait_until

# What is looked at here is the same before all servers.
pytestmark = pytest.mark.versions(source=(15, 15), target=(15, 15))

SNAPSHOT_RUN = "pgstream run -c snapshot2pg_tutorial.env --log-level trace"
TABLE = "CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT);"
INSERT = "INSERT INTO test(name) VALUES('alice'),('bob'),('charlie');"

INIT_BY_FLAGS = ('pgstream init --pgurl "postgres://postgres:postgres@localhost:5432?sslmode=disable"'
                 " --replication-slot pgstream_tutorial_slot")
INIT_BY_ENVIRONMENT = """\
PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=pgstream_tutorial_slot \\
PGSTREAM_POSTGRES_LISTENER_URL=postgres://postgres:postgres@localhost:5432?sslmode=disable \\
pgstream init"""
INIT_SAYS = "SUCCESS  pgstream initialisation complete\n"
SLOT_QUERY = ("SELECT slot_name,plugin,slot_type,database,restart_lsn,confirmed_flush_lsn"
              " FROM pg_replication_slots;")
TEAR_DOWN = ("pgstream tear-down --pgurl "
             '"postgres://postgres:postgres@localhost:5432?sslmode=disable"'
             " --replication-slot pgstream_tutorial_slot")
REPLICATION_RUN = "pgstream run -c pg2pg_tutorial.env --log-level trace"

ROWS = [(1, "alice"), (2, "bob"), (3, "charlie")]
SCHEMA_LOG = {  # as \\d+ of the tutorial shows it
    "id": ("{program}.xid", True, "{program}.xid()"), "version": ("bigint", True, None),
    "schema_name": ("text", True, None), "schema": ("jsonb", True, None),
    "created_at": ("timestamp without time zone", True, "now()"),
    "acked": ("boolean", True, "false")}
SCHEMA_LOG_INDEXES = {
    "schema_log_pkey": "UNIQUE INDEX .* btree \\(id\\)",
    "schema_log_version_uniq": "UNIQUE INDEX .* btree \\(schema_name, version\\)",
    "schema_log_name_acked": "CREATE INDEX .* btree \\(schema_name, acked, id\\)"}


def assert_described(shown):
    """The columns and the index of the tutorial."""
    assert re.search(r"id\s+\|\s+integer\s+\|.*not null.*plain", shown)
    assert re.search(r"name\s+\|\s+text\s+\|.*extended", shown)
    assert '"test_pkey" PRIMARY KEY, btree (id)' in shown


def test_snapshot_to_the_last_line(tutorial):
    tutorial.file("snapshot2pg_tutorial.env", SNAPSHOT_FILE)
    tutorial.sql(5432, TABLE)
    tutorial.sql(5432, INSERT)
    tutorial.shell(SNAPSHOT_RUN)
    assert_described(tutorial.describe())
    assert tutorial.sql(7654, "SELECT * FROM test ORDER BY id") == ROWS
    assert tutorial.state() == [[]] * 8, "nothing is left behind"


def assert_initialised(tutorial):
    slot, = tutorial.sql(5432, SLOT_QUERY)
    assert slot[:4] == (tutorial.text("pgstream_tutorial_slot"), "pgoutput", "logical", "postgres")
    schema = tutorial.program
    columns = tutorial.sql(5432, (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull,"
        " pg_get_expr(adbin, adrelid) FROM pg_attribute"
        " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        f" WHERE attrelid = '{schema}.schema_log'::regclass AND attnum > 0 ORDER BY attnum"))
    expected = [(name, kind.format(program=schema), needed, default and
                 default.format(program=schema))
                for name, (kind, needed, default) in SCHEMA_LOG.items()]
    assert columns == expected
    indexes = dict(tutorial.sql(5432, (
        "SELECT indexname, indexdef FROM pg_indexes"
        f" WHERE schemaname = '{schema}' AND tablename = 'schema_log'")))
    assert indexes.keys() == SCHEMA_LOG_INDEXES.keys()
    for name, pattern in SCHEMA_LOG_INDEXES.items():
        assert re.search(pattern, indexes[name]), indexes[name]


def test_replication_to_the_last_line(tutorial):
    before = tutorial.state()
    for port in (5432, 7654):
        tutorial.sql(port, TABLE)
    assert tutorial.shell(INIT_BY_FLAGS) == tutorial.text(INIT_SAYS)
    assert_initialised(tutorial)
    tutorial.shell(TEAR_DOWN)
    assert tutorial.state() == before
    assert tutorial.shell(INIT_BY_ENVIRONMENT) == tutorial.text(INIT_SAYS)
    assert tutorial.shell(INIT_BY_ENVIRONMENT) == tutorial.text(INIT_SAYS), "again, nothing changes"
    assert_initialised(tutorial)

    tutorial.file("pg2pg_tutorial.env", REPLICATION_FILE)
    tutorial.start(REPLICATION_RUN)
    assert_described(tutorial.describe())
    tutorial.sql(5432, INSERT)
    wait_until(lambda: tutorial.target_has(ROWS), "the rows are replicated")
    tutorial.interrupt()
    tutorial.shell(f"{TEAR_DOWN} -c pg2pg_tutorial.env")
    assert tutorial.state() == before
    assert tutorial.sql(7654, "SELECT * FROM test ORDER BY id") == ROWS


def test_replication_with_an_initial_snapshot(tutorial):
    before = tutorial.state()
    tutorial.sql(5432, TABLE)
    tutorial.sql(5432, INSERT)
    tutorial.sql(5432, "CREATE SCHEMA test_schema; CREATE TABLE test_schema.a (id int PRIMARY KEY);"
                       "INSERT INTO test_schema.a VALUES (7)")
    tutorial.shell(INIT_BY_FLAGS)
    tutorial.file("pg2pg_tutorial.env", REPLICATION_FILE, WITH_SNAPSHOT, FURTHER)
    tutorial.start(REPLICATION_RUN)
    wait_until(lambda: tutorial.runs() and tutorial.sql(7654, "SELECT to_regclass('test')")[0][0],
               "the table is copied")
    wait_until(lambda: tutorial.target_has(ROWS), "the rows are copied")
    tutorial.sql(5432, "INSERT INTO test(name) VALUES('dora')")
    tutorial.sql(5432, "INSERT INTO test_schema.a VALUES (8)")
    wait_until(lambda: tutorial.target_has(ROWS + [(4, "dora")])
               and tutorial.target_has([(7,), (8,)], "test_schema.a"), "changes follow")
    assert_described(tutorial.describe())
    tutorial.interrupt()
    tutorial.shell(f"{TEAR_DOWN} -c pg2pg_tutorial.env")
    assert tutorial.state() == before


@pytest.mark.parametrize("name, texts", [
    ("snapshot.md", [SNAPSHOT_FILE, SNAPSHOT_RUN, TABLE, INSERT]),
    ("replication.md", [TABLE, INIT_BY_FLAGS, INIT_BY_ENVIRONMENT, INIT_SAYS, SLOT_QUERY, TEAR_DOWN,
                        REPLICATION_FILE, REPLICATION_RUN, INSERT])])
def test_our_tutorials_have_the_steps_tested_here(name, texts):
    document = pathlib.Path(ROOT / "docs/tutorials" / name).read_text()
    for text in texts:
        ours = text.replace("pgstream", "trunkline").replace("PGSTREAM", "TRUNKLINE")
        assert ours in document
