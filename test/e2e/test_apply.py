"""Groups of many transactions, applied in sets and change by change: what sets must not do otherwise.
The tables of a family share a pair of databases; their changes wait until an engine comes."""
import pytest

import apply_keys
import apply_tables
import apply_toast
import apply_unique
from harness.apply import WAYS, all_ways, apply_waiting, change_cases, make_cases, sets_were_used

EXTENSIONS = "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore;"
KINDS = apply_keys.KINDS + apply_tables.KINDS
FAMILIES = {"keys": apply_keys.CHANGING, "alike": apply_keys.ALIKE, "unique": apply_unique.UNIQUE,
            "toast": apply_toast.TOAST, "keyless": apply_tables.KEYLESS,
            "references": apply_tables.REFERENCES, "others": apply_tables.OTHERS,
            "altered": apply_tables.ALTERED}


@pytest.mark.matrix
@all_ways
@pytest.mark.parametrize("family", FAMILIES)
def test_what_has_waited(pipe, family, way):
    cases = FAMILIES[family]
    pipe.source.sql(EXTENSIONS + KINDS)
    make_cases(pipe, cases)
    pipe.copy()
    change_cases(pipe, cases)
    counted = apply_waiting(pipe, **WAYS[way])
    pipe.is_equal()
    sets_were_used(counted, WAYS[way]["apply_mode"], 1000)
