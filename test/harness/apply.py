"""Applying what has waited: transactions that were committed while no engine ran are joined into
groups, as large as the bounds allow, so that sets are made of them."""
import collections

import psycopg
import pytest

from harness.cluster import free_port
from harness.program import metrics
from harness.slices import LONG

SETS_ARE_BUILT = False
ROWS = 400  # of a case's table: enough for a set of each kind
LARGE_GROUPS = {"group_max_changes": 1000000, "group_max_bytes": "256MB", "group_max_time": "1min"}

# In pieces: a source transaction of the cases is larger than a group.
WAYS = {
    "sets": {"apply_mode": "sets", **LARGE_GROUPS},
    "pieces": {"apply_mode": "sets", **LARGE_GROUPS, "group_max_changes": 500},
    "ordered": {"apply_mode": "ordered", **LARGE_GROUPS},
}
MODES = pytest.mark.parametrize("mode", ["sets", "ordered"])

Case = collections.namedtuple("Case", "make changes")
"""A table, or some, and transactions over them: the texts of one each."""


def all_ways(test):
    return pytest.mark.parametrize("way", [
        pytest.param(way, marks=LONG) if way == "pieces" else way for way in WAYS])(test)


def make_cases(pipe, cases):
    for case in cases.values():
        pipe.source.sql(case.make)


def change(session, text):
    """Runs one transaction, of which every statement must change something."""
    cursor = session.execute(text)
    while True:
        word = cursor.statusmessage.split()[0]
        if word in ("INSERT", "UPDATE", "DELETE"):
            assert cursor.rowcount > 0, f"a statement without effect: {text}"
        if not cursor.nextset():
            return


def change_cases(pipe, cases):
    with pipe.source.connect() as session:
        for case in cases.values():
            for text in case.changes:
                try:
                    change(session, text)
                except psycopg.Error as failure:
                    raise AssertionError(f"the source refuses {text}") from failure


def apply_waiting(pipe, **settings):
    """Applies what is committed and ends; the counters at the end."""
    port = free_port()
    engine = pipe.start(listen=f"127.0.0.1:{port}", **settings)
    pipe.catch_up(engine, 120)
    counted = metrics(port)
    engine.stop()
    return counted


def set_rows(counted):
    return counted["trunkline_set_rows_total"]


def sets_were_used(counted, mode, at_least):
    """Claims that the applier wrote at least so many rows in sets, in order none."""
    rows = counted if isinstance(counted, (int, float)) else set_rows(counted)
    if mode == "ordered":
        assert rows == 0
    elif SETS_ARE_BUILT:
        assert rows >= at_least, f"only {rows:.0f} rows came in sets"
    return True
