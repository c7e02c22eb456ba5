"""Rows of the target that stand in a large group's way: one row among thousands is named, or is
dealt with by the policy, and it alone."""
import collections
import re

import pytest

from harness.apply import LARGE_GROUPS, WAYS, apply_waiting
from harness.program import FAILED
from harness.slices import LONG

Kind = collections.namedtuple("Kind", "make upset changes named mend update nothing")
"""upset: on the target, behind the program's back. changes: on the source, each a transaction;
named: the first row in their order. mend: makes the target what it was. update, nothing: what the
two policies count, None where they stop as `error` does."""
ROWS = 2000
TABLE = f"; INSERT INTO {{0}} SELECT g, 0, 'v' FROM generate_series(1, {ROWS}) g"
# In order is what test_conflicts.py shows, with few rows.
FEW_MODES = pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=LONG)])
THREE = "CREATE TABLE {0} (id int PRIMARY KEY, n int, v text)" + TABLE
LATER, SOONER = " WHERE id > 1000", " WHERE id <= 1000"

KINDS = {
    "update_gone": Kind(
        THREE, "DELETE FROM {0} WHERE id IN (77, 1234)",
        ["UPDATE {0} SET n = n + 1" + LATER, "UPDATE {0} SET n = n + 1" + SOONER], "(id = 1234)",
        "INSERT INTO {0} VALUES (77, 0, 'v'), (1234, 0, 'v')",
        {"update_inserted": 2}, {"update_skipped": 2}),
    "delete_gone": Kind(
        THREE, "DELETE FROM {0} WHERE id IN (77, 1234)",
        ["DELETE FROM {0}" + LATER, "DELETE FROM {0}" + SOONER], "(id = 1234)",
        "INSERT INTO {0} VALUES (77, 0, 'v'), (1234, 0, 'v')",
        {"delete_skipped": 2}, {"delete_skipped": 2}),
    "insert_there": Kind(
        THREE, "INSERT INTO {0} VALUES (2077, -1, 'theirs'), (3210, -1, 'theirs')",
        ["INSERT INTO {0} SELECT g, 1, 'ours' FROM generate_series(3001, 4000) g",
         "INSERT INTO {0} SELECT g, 1, 'ours' FROM generate_series(2001, 3000) g"], "(id = 3210)",
        "DELETE FROM {0} WHERE v = 'theirs'", {"insert_overwritten": 2}, {"insert_kept": 2}),
    "moved_onto": Kind(
        THREE, "INSERT INTO {0} VALUES (10077, -1, 'theirs'), (11234, -1, 'theirs')",
        ["UPDATE {0} SET id = id + 10000" + LATER, "UPDATE {0} SET id = id + 10000" + SOONER],
        "(id = 1234)", "DELETE FROM {0} WHERE v = 'theirs'", {"update_overwritten": 2}, None),
    "pair_gone": Kind(
        "CREATE TABLE {0} (b text, a int, n int, PRIMARY KEY (a, b));"
        f"INSERT INTO {{0}} SELECT 'b' || g % 7, g, 0 FROM generate_series(1, {ROWS}) g",
        "DELETE FROM {0} WHERE a = 1234", ["UPDATE {0} SET n = a"], "(b = 'b2', a = 1234)",
        "INSERT INTO {0} VALUES ('b2', 1234, 0)", {"update_inserted": 1}, {"update_skipped": 1}),
    "image_gone": Kind(
        "CREATE TABLE {0} (a int, b text); ALTER TABLE {0} REPLICA IDENTITY FULL;"
        f"INSERT INTO {{0}} SELECT g, 'b' FROM generate_series(1, {ROWS // 4}) g",
        "DELETE FROM {0} WHERE a = 123", ["UPDATE {0} SET b = 'c'"], "",
        "INSERT INTO {0} VALUES (123, 'b')", {"update_inserted": 1}, {"update_skipped": 1}),
    "beside": Kind(
        "CREATE TABLE {0} (id int PRIMARY KEY, u int UNIQUE, v text);"
        f"INSERT INTO {{0}} SELECT g, g, 'v' FROM generate_series(1, {ROWS}) g",
        "INSERT INTO {0} VALUES (99999, 3210, 'theirs')",
        ["INSERT INTO {0} SELECT g, g, 'ours' FROM generate_series(2001, 4000) g"], "(id = 3210)",
        "DELETE FROM {0} WHERE v = 'theirs'", None, {"insert_kept": 1}),
    "beside_updated": Kind(
        "CREATE TABLE {0} (id int PRIMARY KEY, u int UNIQUE, v text);"
        f"INSERT INTO {{0}} SELECT g, g, 'v' FROM generate_series(1, {ROWS}) g",
        "INSERT INTO {0} VALUES (99999, -1234, 'theirs')", ["UPDATE {0} SET u = -u"], "(id = 1234)",
        "DELETE FROM {0} WHERE v = 'theirs'", None, None),
    "refused": Kind(
        THREE, "ALTER TABLE {0} ADD CONSTRAINT fits CHECK (n <> -1234) NOT VALID",
        ["UPDATE {0} SET n ="
        " -id"], "(id = 1234)", "ALTER TABLE {0} DROP CONSTRAINT fits", None, None),
    "refused_insert": Kind(
        THREE, "ALTER TABLE {0} ADD CONSTRAINT fits CHECK (id <> 3210) NOT VALID",
        ["INSERT INTO {0} SELECT g, 1, 'ours' FROM generate_series(2001, 4000) g"], "(id = 3210)",
        "ALTER TABLE {0} DROP CONSTRAINT fits", None, None),
}

# With the policy `error` nothing of it is left to be refused when it is folded.
CAME_AND_WENT = Kind(
    THREE, "INSERT INTO {0} VALUES (2077, -1, 'theirs'), (3210, -1, 'theirs')",
    ["INSERT INTO {0} SELECT g, 1, 'ours' FROM generate_series(2001, 4000) g; UPDATE {0} SET n = 2;"
     " DELETE FROM {0} WHERE id > 2000"], "", "", {"insert_overwritten": 2}, {"insert_kept": 2})


def content(database, table):
    return collections.Counter(database.sql(f"SELECT * FROM {table}"))


def make_upset_and_change(pipe, kinds):
    pipe.source.sql(";".join(kind.make.format(name) for name, kind in kinds.items()))
    pipe.copy()
    for name, kind in kinds.items():
        pipe.target.sql(kind.upset.format(name))
        for change in kind.changes:
            pipe.source.sql(change.format(name))


@FEW_MODES
def test_the_one_row_is_named(pipe, mode):
    """Each table in turn stops the group with all its rows, until it is mended."""
    make_upset_and_change(pipe, KINDS)
    settings = {**LARGE_GROUPS, "apply_mode": mode}
    left = dict(KINDS)
    while left:
        before = {name: content(pipe.target, name) for name in left}
        stopped = pipe.run(**settings)
        said = stopped.stderr.splitlines()[-1]
        assert stopped.code == FAILED
        named = [name for name in KINDS if f"public.{name}" in re.split("[ :]", said)]
        assert len(named) == 1 and named[0] in left, stopped.stderr
        kind = left.pop(named[0])
        assert f"public.{named[0]} {kind.named}".strip() in said
        assert content(pipe.target, named[0]) == before[named[0]]
        pipe.target.sql(kind.mend.format(named[0]))
    apply_waiting(pipe, **settings)
    pipe.is_equal()


@FEW_MODES
@pytest.mark.parametrize("policy", ["update", "nothing"])
def test_the_policy_decides_for_the_one_row(pipe, mode, policy):
    kinds = {name: kind for name, kind in {**KINDS, "came_and_went": CAME_AND_WENT}.items()
             if getattr(kind, policy)}
    make_upset_and_change(pipe, kinds)
    before = {name: content(pipe.target, name) for name in kinds}
    counted = apply_waiting(pipe, **LARGE_GROUPS, apply_mode=mode, on_conflict_action=policy)
    expected = collections.Counter()
    for kind in kinds.values():
        expected.update(getattr(kind, policy))
    prefix = "trunkline_conflicts_total{kind="
    found = {name[len(prefix):-1]: value for name, value in counted.items()
             if name.startswith("trunkline_conflicts") and value}
    assert found == expected
    if policy == "update":
        pipe.is_equal()
        return
    for name in kinds:
        there = content(pipe.target, name)
        missing, extra = content(pipe.source, name) - there, there - content(pipe.source, name)
        conflicts = sum(getattr(kinds[name], policy).values())
        if name in ("delete_gone", "came_and_went"):
            assert not extra and not missing, name
            continue
        assert extra == collections.Counter(row for row in before[name] if "theirs" in row)
        assert missing.total() == conflicts, name


@pytest.mark.parametrize("way", ["pieces", pytest.param("ordered", marks=LONG)])
def test_conflicts_of_all_pieces_of_a_transaction_are_counted(pipe, way):
    tables = [f"t{number}" for number in range(3)]
    for table in tables:
        pipe.source.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, big text);"
                        f"INSERT INTO {table} SELECT g, 'x' FROM generate_series(1, 1000) g")
    pipe.copy()
    for table in tables:
        pipe.target.sql(f"DELETE FROM {table} WHERE id = 500")
    pipe.source.sql(";".join(f"UPDATE {table} SET big = repeat('y', 1000)" for table in tables))
    counted = apply_waiting(pipe, **WAYS[way], on_conflict_action="nothing")
    assert counted["trunkline_conflicts_total{kind=update_skipped}"] == 3
