"""Applying what has waited: transactions that were committed while no engine ran are joined into
groups, as large as the bounds allow, so that sets are made of them."""
import collections
import signal

import psycopg
import pytest

from harness.cluster import free_port
from harness.program import metrics

ROWS = 400  # of a case's table: enough for a set of each kind
LARGE_GROUPS = {"group_max_changes": 1000000, "group_max_bytes": "256MB", "group_max_time": "1min"}

# In one large group; each of the source's transactions in its own; in groups smaller than some.
WAYS = {
    "sets": {"apply_mode": "sets", **LARGE_GROUPS},
    "each": {"apply_mode": "sets", **LARGE_GROUPS, "group_max_changes": 1},
    "pieces": {"apply_mode": "sets", **LARGE_GROUPS, "group_max_changes": 500},
    "ordered": {"apply_mode": "ordered", **LARGE_GROUPS},
}
LONG_WAYS = ["pieces"]
MODES = pytest.mark.parametrize("mode", ["sets", pytest.param("ordered", marks=pytest.mark.wide)])

Case = collections.namedtuple("Case", "make changes")
"""A table, or some, and transactions over them: the texts of one each."""


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


class Applying:
    """An engine that applies what is committed."""

    def __init__(self, pipe, **settings):
        self.pipe = pipe
        self.port = free_port()
        self.engine = pipe.start(listen=f"127.0.0.1:{self.port}", **settings)

    def finish(self):
        """Waits until all is applied and ends; the counters at the end."""
        self.pipe.catch_up(self.engine, 120)
        counted = metrics(self.port)
        self.engine.stop()
        return counted


def apply_waiting(pipe, **settings):
    return Applying(pipe, **settings).finish()


def stall(engine, writers, steps):
    """The engine stands still for so many steps of theirs: it finds much waiting."""
    engine.popen.send_signal(signal.SIGSTOP)
    writers.wait_steps(steps)
    engine.popen.send_signal(signal.SIGCONT)


def set_rows(counted):
    return counted["trunkline_set_rows_total"]


def sets_were_used(counted, mode, at_least):
    """Claims that the applier wrote at least so many rows in sets, in order none."""
    rows = counted if isinstance(counted, (int, float)) else set_rows(counted)
    if mode == "ordered":
        assert rows == 0
    else:
        assert rows >= at_least, f"only {rows:.0f} rows came in sets"
    return True
