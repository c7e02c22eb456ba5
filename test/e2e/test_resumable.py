"""snapshot --resumable: a copy that is not followed, and yet survives a lost snapshot."""
import signal

import pytest

from harness.compare import schema_differences
from harness.data import check_bank, make_bank, transfer
from harness.load import load
from harness.program import CONFIGURATION, ENDED, flags, json_output, lsn
from harness.slices import LONG
from harness.wait import wait_until

ORDERLY = {"copiers": 1, "part_size": "1GB"}
BULK = "".join(f"CREATE TABLE bulk{i} (id int PRIMARY KEY, v text);"
               f"INSERT INTO bulk{i} SELECT g, repeat('v', 300) FROM generate_series(1, {rows}) g;"
               for i, rows in ((1, 4000), (2, 3000)))
COPIED = ("SELECT t.table_name, p.part, p.xmin::text, p.done_at::text, t.snapshot"
          " FROM trunkline.parts p JOIN trunkline.tables t USING (slot, source_oid)")
FILE = "SELECT relname::text, relfilenode FROM pg_class WHERE relname ~ '^(bulk|account|transfer)'"


def start(pipe, *more, fault=None, **settings):
    environment = {"TRUNKLINE_FAULT": fault} if fault else None
    chosen = {**pipe.urls(), "slot": pipe.slot, **ORDERLY, **settings}
    return pipe.process("snapshot", "--resumable", *flags(chosen), *more, environment=environment)


def is_clean(pipe):
    """Claims that nothing of ours is left."""
    for database in (pipe.source, pipe.target):
        assert not database.admin("SELECT nspname FROM pg_namespace WHERE nspname ~ 'trunkline'")
    assert not pipe.source.admin("SELECT slot_name FROM pg_replication_slots"
                                 " WHERE slot_name = %s", pipe.slot)
    assert not pipe.source.admin("SELECT pubname FROM pg_publication")
    return True


def is_one_state(pipe):
    with pipe.target.connect("postgres") as session:
        check_bank(session, None)
    return True


def test_is_one_state_of_a_source_that_is_written_to(pipe):
    make_bank(pipe.source)
    pipe.source.sql(BULK)
    with load(pipe.source, transfer, sessions=3) as running:
        running.wait_steps(50)
        ended = start(pipe).ends(ENDED)
        running.wait_steps(10)
    assert is_one_state(pipe) and is_clean(pipe)
    assert lsn(ended.stdout.split()[1]) > 0
    assert schema_differences(pipe.source, pipe.target) == []


@pytest.mark.parametrize("points", [
    ["part.committed=kill@2", "copy.rows_done=kill", "follow.start=kill", "copy.keys_done=kill"],
    pytest.param(["keeper.created=kill", "slot.created=kill", "part.rows=kill@3",
                  "part.committed=disconnect@2"], marks=LONG)])
def test_survives_kills_without_copying_anything_twice(pipe, points):
    make_bank(pipe.source)
    pipe.source.sql(BULK)
    before = {}
    with load(pipe.source, transfer, sessions=2) as running:
        for point in points:
            running.wait_steps(30)
            started = start(pipe, fault=point)
            assert started.wait() == (ENDED if "disconnect" in point else -signal.SIGKILL)
            if not started.code:
                break
            if pipe.target.admin_one("SELECT to_regclass('trunkline.parts')") is None:
                continue
            parts = {row[0]: row for row in pipe.target.admin(COPIED)}
            assert {name: parts[name] for name in before} == before
            if "part.rows" not in point:
                before = parts
        files = dict(pipe.target.sql(FILE))
        if started.code:
            running.wait_steps(30)
            start(pipe).ends(ENDED)
    assert len(files) >= 4 and dict(pipe.target.sql(FILE)) == files
    assert is_one_state(pipe) and is_clean(pipe)
    pipe.source.sql("DELETE FROM bulk1 WHERE id = 1")  # nothing follows
    assert pipe.target.one("SELECT count(*) FROM bulk1") == 4000


def test_what_an_interrupted_one_leaves_is_told_and_removed(pipe):
    make_bank(pipe.source)
    assert start(pipe, fault="copy.rows_done=kill").wait() == -signal.SIGKILL
    said = json_output(pipe.command("status", **pipe.urls(), slot=pipe.slot, json=True))
    assert said["slot"]["exists"] and said["phase"] == "rows"
    assert any("snapshot --resumable" in text and "tear-down" in text for text in said["warnings"])
    for command in ("snapshot", "run"):
        more = {"slot": pipe.slot} if command == "run" else {}
        refused = pipe.command(command, **pipe.urls(), **more)
        assert refused.code == CONFIGURATION
        assert "unfinished snapshot --resumable" in refused.stderr and pipe.slot in refused.stderr
    assert pipe.tear_down().code == ENDED
    assert is_clean(pipe)


def test_a_signal_leaves_it_to_the_next_start(pipe):
    make_bank(pipe.source)
    pipe.source.sql(BULK)
    started = start(pipe, max_rate="100kB")
    wait_until(lambda: pipe.phase() == "tables", "rows are being copied")
    started.stop(3)
    start(pipe).ends(ENDED)
    assert is_clean(pipe) and pipe.is_equal()


def test_a_kill_while_it_cleans_up(pipe):
    """As it is when slot and publication have gone, and the record has not."""
    make_bank(pipe.source)
    assert start(pipe, fault="copy.keys_done=kill").wait() == -signal.SIGKILL
    pipe.target.admin("UPDATE trunkline.pipeline SET phase = 'following'")
    wait_until(lambda: not pipe.source.admin_one("SELECT active FROM pg_replication_slots"
                                                 " WHERE slot_name = %s", pipe.slot), "it is free")
    pipe.source.admin("SELECT pg_drop_replication_slot(%s)", pipe.slot)
    pipe.source.admin(f"DROP PUBLICATION {pipe.slot}")
    start(pipe).ends(ENDED)
    assert is_clean(pipe) and pipe.is_equal()


@pytest.mark.parametrize("table, word", [
    ("CREATE TABLE t (a int)", "identity"), ("CREATE UNLOGGED TABLE t (a int PRIMARY KEY)", "unlogged")])
def test_tables_that_the_stream_does_not_carry_are_refused(pipe, table, word):
    pipe.source.sql(table)
    refused = start(pipe).ends(CONFIGURATION)
    assert word in refused.stderr and "public.t" in refused.stderr and "--resumable" in refused.stderr
    assert is_clean(pipe)
    pipe.command("snapshot", **pipe.urls())
    assert pipe.is_equal()


@pytest.mark.parametrize("mistake", [["--data-only"], ["--schema-only"], ["--reset", "--yes"],
                                     ["--schema-only-tables", "t"], ["--large-objects"]])
def test_what_cannot_be_meant_is_refused(pipe, mistake):
    pipe.source.sql("CREATE TABLE t (a int PRIMARY KEY)")
    refused = start(pipe, *mistake).ends(CONFIGURATION)
    assert "resumable" in refused.stderr
    assert is_clean(pipe)


def test_somebodys_slot_and_somebodys_target_are_left_alone(pipe):
    pipe.source.sql("CREATE TABLE t (a int PRIMARY KEY)")
    pipe.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", pipe.slot)
    refused = start(pipe).ends(CONFIGURATION)
    assert "exists already" in refused.stderr
    assert pipe.source.one("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s",
                           pipe.slot) == 1
    pipe.copy()
    refused = start(pipe).ends(CONFIGURATION)
    assert "is followed by the pipeline" in refused.stderr
    pipe.copy()
    pipe.is_verified()


def test_check_says_what_it_needs(pipe):
    make_bank(pipe.source)
    pipe.source.admin("ALTER ROLE trunkline_source NOREPLICATION")
    try:
        said = {}
        for more in ([], ["--resumable"]):
            ended = pipe.command("check", *more, **pipe.urls(), mode="snapshot", json=True)
            said[bool(more)] = {f["code"] for f in json_output(ended)["findings"]}
        assert "replication_role" in said[True] - said[False]
    finally:
        pipe.source.admin("ALTER ROLE trunkline_source REPLICATION")
