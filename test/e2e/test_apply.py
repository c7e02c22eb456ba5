"""Groups of many transactions, applied in sets and change by change: what sets must not do otherwise.
The tables of a family share a pair of databases; their changes wait until an engine comes."""
import pytest

import apply_keys
import apply_tables
import apply_toast
import apply_unique
from harness.apply import LONG_WAYS, WAYS, Applying, change_cases, make_cases, sets_were_used
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
