"""Copying once: `snapshot`, and `run` with only a snapshot's source."""
import pytest

from harness.data import make_bank, make_mill, transfer
from harness.load import load
from harness.program import CONFIGURATION, ENDED

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
