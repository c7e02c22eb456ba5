"""Groups of many transactions, applied in sets and change by change: what sets must not do
otherwise. The tables of a family share a source; their changes wait until engines come."""
import pytest

import apply_keys
import apply_tables
import apply_toast
import apply_unique
from apply_keys import each
from harness.apply import (LONG_WAYS, ROWS, WAYS, Applying, apply_waiting, change_cases, make_cases,
                           sets_were_used)
from harness.program import ENDED

EXTENSIONS = "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore;"
KINDS = apply_keys.KINDS + apply_tables.KINDS
FAMILIES = {"keys": apply_keys.CHANGING, "alike": apply_keys.ALIKE, "unique": apply_unique.UNIQUE,
            "toast": apply_toast.TOAST, "keyless": apply_tables.KEYLESS,
            "references": apply_tables.REFERENCES, "others": apply_tables.OTHERS,
            "altered": apply_tables.ALTERED}


# So many rows come in sets at least, in large groups and in one of each transaction: a set that the
# target refuses takes back its group, and tables without a key are changed row by row.
IN_SETS = {"unique": (0, 1000), "keyless": (0, 0), "toast": (300, 300)}


def copy_all(pipes):
    for engine in [pipe.start(until="now") for pipe in pipes]:
        engine.ends(ENDED)


@pytest.mark.matrix
@pytest.mark.parametrize("family", FAMILIES)
def test_what_has_waited(shared_clusters, pipelines, request, family):
    """One source, and a target for each way of applying."""
    cases = FAMILIES[family]
    ways = [way for way in WAYS if way not in LONG_WAYS or request.config.getoption("--long")]
    first = pipelines(shared_clusters)
    pipes = {way: pipelines(shared_clusters, source=first.source) for way in ways[1:]}
    pipes[ways[0]] = first
    first.source.sql(EXTENSIONS + KINDS)
    make_cases(first, cases)
    copy_all(pipes.values())
    change_cases(first, cases)
    engines = {way: Applying(pipe, **WAYS[way]) for way, pipe in pipes.items()}
    for way, engine in engines.items():
        counted = engine.finish()
        pipes[way].is_equal()
        at_least = IN_SETS.get(family, (1000, 1000))
        sets_were_used(counted, WAYS[way]["apply_mode"], at_least[way == "each"])


def test_a_value_that_goes_from_row_to_row_stays_in_sets(shared_clusters, pipelines):
    """Each update takes the value of u that the one before has left, against the order of the keys."""
    pipe = pipelines(shared_clusters)
    pipe.source.sql("CREATE TABLE handed (id int PRIMARY KEY, u int UNIQUE);"
                    f"INSERT INTO handed SELECT g, g FROM generate_series(1, {ROWS}) g")
    copy_all([pipe])
    pipe.source.sql(each("UPDATE handed SET u = u + 1 WHERE id = i", ROWS, 1))
    counted = apply_waiting(pipe, **WAYS["sets"])
    pipe.is_equal()
    sets_were_used(counted, "sets", ROWS)
    assert counted["trunkline_ordered_fallbacks_total"] == 0


INTERLEAVED = """
BEGIN 1; UPDATE t SET v = 1 WHERE id <= 100
BEGIN 2; DELETE FROM t WHERE id BETWEEN 101 AND 200
BEGIN 3; INSERT INTO t SELECT g, 3 FROM generate_series(1001, 1100) g
COMMIT 2; SELECT
INSIDE 1; INSERT INTO t SELECT g, 1 FROM generate_series(101, 200) g
INSIDE 3; UPDATE t SET id = id + 1000 WHERE id BETWEEN 301 AND 400
BEGIN 2; UPDATE t SET v = v + 20 WHERE id BETWEEN 201 AND 300
INSIDE 1; SAVEPOINT a; UPDATE t SET v = -1 WHERE id <= 100
INSIDE 1; DELETE FROM t WHERE id BETWEEN 101 AND 150
COMMIT 3; SELECT
INSIDE 2; INSERT INTO t SELECT g, 2 FROM generate_series(301, 400) g
INSIDE 1; ROLLBACK TO a; UPDATE t SET id = -id WHERE id BETWEEN 101 AND 120
COMMIT 2; SELECT
BEGIN 3; SAVEPOINT b; UPDATE t SET id = id + 5000 WHERE id > 1000; RELEASE b; SAVEPOINT c
INSIDE 3; DELETE FROM t WHERE id > 5000; ROLLBACK TO c; UPDATE t SET v = v + 30 WHERE id > 1000
COMMIT 1; SELECT
INSIDE 3; UPDATE t SET v = 99 WHERE id BETWEEN -120 AND -101
COMMIT 3; SELECT
"""


def test_transactions_commit_in_another_order_than_they_begin(shared_clusters, pipelines):
    """Rows and keys go from one transaction to the next; what is rolled back is in neither."""
    ways = list(WAYS)
    first = pipelines(shared_clusters)
    pipes = [first] + [pipelines(shared_clusters, source=first.source) for _ in ways[1:]]
    first.source.sql("CREATE TABLE t (id int PRIMARY KEY, v int);"
                     "INSERT INTO t SELECT g, 0 FROM generate_series(1, 500) g")
    copy_all(pipes)
    connect = first.source.connect
    with connect() as one, connect() as two, connect() as three:
        for line in INTERLEAVED.strip().splitlines():
            word, number, text = line.replace(";", "", 1).split(" ", 2)
            session = {"1": one, "2": two, "3": three}[number]
            session.execute({"BEGIN": "BEGIN; ", "COMMIT": "COMMIT; "}.get(word, "") + text)
    engines = [Applying(pipe, **WAYS[way]) for pipe, way in zip(pipes, ways)]
    for pipe, engine in zip(pipes, engines):
        engine.finish()
        pipe.is_equal()
