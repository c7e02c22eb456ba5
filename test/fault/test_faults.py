"""kill -9 and a lost connection at every named point: afterwards nothing is lost or doubled."""
import itertools
import signal
import subprocess

import pytest

from harness.compare import schema_differences
from harness.data import KEPT, STREAMED, large_step, make_mill, mill_step
from harness.load import load
from harness.program import ENDED, PROGRAM, clean_environment
from harness.slices import WIDE, every
from harness.wait import wait_until

LISTING = subprocess.run([PROGRAM, "faults"], capture_output=True, text=True,
                         env=clean_environment(), check=False)
POINTS = [line.split("\t")[0] for line in LISTING.stdout.splitlines()
          if "\t" in line
          and not line.startswith(("park.", "resync.", "ahead."))]  # see test_park, test_ahead
SMALL = {"part_size": "64kB", "copiers": 2, "large_objects": True, **STREAMED}


def environment_of(point):
    """In which it is passed."""
    return KEPT if point.startswith("spill.") or point == "stream.replay" else None


def test_there_are_fault_points():
    assert LISTING.returncode == ENDED and len(POINTS) > 20


def traffic(pipe, condition, what):
    """Writes until the condition holds: mostly what is not published, so that the stream idles."""
    rounds = itertools.count()

    def step():
        number = next(rounds)
        if number % 20 == 0:
            with load(pipe.source, mill_step) as running:
                running.wait_steps(5)
        if number % 60 == 0:
            with load(pipe.source, large_step) as running:
                running.wait_steps(1)
        pipe.source.sql("SELECT pg_logical_emit_message(true, 'test', 'unpublished')")
        return condition()

    wait_until(step, what)


def end_equal(pipe):
    """Goes on without faults, and claims that both sides are the same."""
    engine = pipe.start(**SMALL)
    with load(pipe.source, mill_step) as running:
        running.wait_steps(20)
    pipe.catch_up(engine)
    pipe.is_equal()
    engine.stop()
    pipe.is_verified()
    assert schema_differences(pipe.source, pipe.target) == []


# By default half of the points see a kill; CI has each see both.
@pytest.mark.parametrize("point", every(2, POINTS, first=1, others=WIDE))
def test_killed_at(pipe, point):
    make_mill(pipe.source, rows=1500)
    engine = pipe.start(fault=f"{point}=kill", environment=environment_of(point), **SMALL)
    traffic(pipe, lambda: engine.code is not None, f"{point} is passed")
    assert engine.code == -signal.SIGKILL
    end_equal(pipe)


@pytest.mark.wide
@pytest.mark.parametrize("point", every(2, POINTS))
def test_disconnected_at(pipe, point):
    """At the start one loss ends it with exit code 1; later it connects again by itself."""
    make_mill(pipe.source, rows=1500)
    gate = pipe.directory / "passed"
    gate.touch()
    reached = pipe.directory / "passed.reached"
    engine = pipe.start(fault=f"{point}=wait:{gate},{point}=disconnect",
                        environment=environment_of(point), **SMALL)
    traffic(pipe, reached.exists, f"{point} is passed")
    mark = pipe.mark()
    wait_until(lambda: engine.code is not None or pipe.is_past(mark), "it has ended or caught up",
               60)
    if engine.code is None:
        pipe.is_equal()
        engine.stop()
    else:
        assert engine.code == 1
    end_equal(pipe)


@pytest.mark.parametrize("point", every(
    3, ["group.applied", "group.position", "group.commit"], first=1, others=WIDE))
def test_killed_again_and_again_at(pipe, point):
    make_mill(pipe.source, rows=500)
    pipe.follow(**SMALL).stop()
    for passage in (1, 2, 3, 1, 5):
        engine = pipe.start(fault=f"{point}=kill@{passage}", group_max_changes=3, **SMALL)
        traffic(pipe, lambda e=engine: e.code is not None, f"{point} is passed {passage} times")
        assert engine.code == -signal.SIGKILL
    end_equal(pipe)


@pytest.mark.parametrize("point", every(
    3, ["part.commit", "group.applied", "group.commit"], others=WIDE))
def test_an_error_at_a_point_is_a_failure_and_loses_nothing(pipe, point):
    make_mill(pipe.source, rows=500)
    engine = pipe.start(fault=f"{point}=error", **SMALL)
    traffic(pipe, lambda: engine.code is not None, f"{point} is passed")
    assert engine.code == 1 and point in engine.stderr
    end_equal(pipe)
