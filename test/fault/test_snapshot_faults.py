"""`snapshot` killed, disconnected and failed at every point that it passes; then run again."""
import signal

import pytest

from harness.data import make_mill
from harness.program import ENDED, FAILED, flags
from harness.slices import every

POINTS = ["start.checked", "keeper.created", "snapshot.held", "schema.dumped", "schema.restored",
          "copy.planned", "part.begin", "part.rows", "part.commit", "part.committed",
          "copy.rows_done", "copy.indexes_done", "copy.keys_done"]
LATER = "; CREATE TABLE later (id int PRIMARY KEY, item int REFERENCES item)"


def start(pipe, fault=None):
    return pipe.process("snapshot", *flags({**pipe.urls(), "part_size": "64kB"}),
                        environment={"TRUNKLINE_FAULT": fault} if fault else None)


def ends_equal(pipe):
    """Runs it again over a source that has changed; claims equality, and that nothing is left."""
    pipe.source.sql("UPDATE item SET n = -1 WHERE id % 3 = 0; DELETE FROM event WHERE id % 2 = 0;"
                    "ALTER TABLE item ADD COLUMN late int; DROP TABLE scratch" + LATER)
    start(pipe).ends(ENDED)
    pipe.target.admin("DROP TABLE IF EXISTS scratch")  # of a run that had seen it
    assert pipe.is_equal()
    assert not pipe.target.admin("SELECT nspname FROM pg_namespace WHERE nspname ~ 'trunkline'")


@pytest.mark.parametrize("point", every(2, POINTS))
def test_killed_at(pipe, point):
    make_mill(pipe.source)
    start(pipe, f"{point}=kill").ends(-signal.SIGKILL)
    ends_equal(pipe)


@pytest.mark.parametrize("point", every(3, POINTS[1:]))
def test_disconnected_at(pipe, point):
    make_mill(pipe.source)
    start(pipe, f"{point}=disconnect").ends(FAILED if point == "keeper.created" else ENDED)
    if point == "keeper.created":
        start(pipe).ends(ENDED)
    assert pipe.is_equal()
    assert not pipe.target.admin("SELECT nspname FROM pg_namespace WHERE nspname ~ 'trunkline'")


@pytest.mark.parametrize("point", ["schema.dumped", "part.rows", "copy.keys_done"])
def test_an_error_is_named_and_the_next_one_starts_again(pipe, point):
    make_mill(pipe.source)
    ended = start(pipe, f"{point}=error").ends(FAILED)
    assert 'msg="snapshot failed: ' in ended.stderr
    ends_equal(pipe)
