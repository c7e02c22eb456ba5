"""kill -9 of the engine, the source and the target at random times, in copy and in follow.

One kill of each kind by default, two with --wide, twenty with --long; --seed repeats the times of a run."""
import random
import time

import pytest

from harness.copies import finished, records
from harness.data import STREAMED, large_step, make_mill, mill_step
from harness.load import load
from harness.wait import wait_until

SLOW_COPY = {"part_size": "64kB", "copiers": 1}


@pytest.fixture
def times(request):
    """The number of kills, and the random numbers that choose their times."""
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = random.SystemRandom().randrange(10 ** 9)
    print(f"--seed={seed}")
    counts = {"--long": 20, "--wide": 2}
    chosen = [count for option, count in counts.items() if request.config.getoption(option)]
    return max(chosen, default=1), random.Random(seed)


def at(moment):
    """Waits for a moment of the monotonic clock."""
    wait_until(lambda: time.monotonic() >= moment, "the moment has come")


def kill(victim, pipe, engine):
    """kill -9; a server is started again."""
    if victim == "engine":
        engine.kill()
    else:
        cluster = getattr(pipe, victim).cluster
        cluster.kill9()
        cluster.start()


def copy_anew(pipe):
    """Forgets the copy, so that the next one begins from nothing."""
    assert pipe.tear_down().code == 0
    pipe.target.close()
    pipe.target.cluster.drop_database(pipe.target.name)
    pipe.target.cluster.create_database(pipe.target.name).close()


def until_complete(pipe, engine):
    """As a supervisor does, starts an engine that gave up again. Returns the one that runs."""
    mark = pipe.mark()

    def is_complete():
        nonlocal engine
        if engine.code is not None:
            engine = pipe.start(**SLOW_COPY)
        return pipe.is_past(mark)

    wait_until(is_complete, "the copy is complete", 90)
    return engine


@pytest.mark.parametrize("victim", ["engine", "source", "target"])
@pytest.mark.timeout(900)
def test_killed_while_it_copies(rough, times, victim):
    pipe = rough
    count, rng = times
    make_mill(pipe.source, rows=6000)
    began = time.monotonic()
    pipe.follow(**SLOW_COPY).stop()
    length = time.monotonic() - began
    with load(pipe.source, mill_step, survives=True):
        for number in range(count):
            copy_anew(pipe)
            moment = rng.random() * length
            print(f"kill {number + 1}: {victim} after {moment:.3f} s of {length:.3f} s")
            began = time.monotonic()
            engine = pipe.start(**SLOW_COPY)
            at(began + moment)
            names = finished(pipe)
            before = records(pipe, names)
            pipe.target.admin("SELECT txid_current()")  # flushes: ours commit asynchronously
            kill(victim, pipe, engine)
            engine = until_complete(pipe, engine)
            assert records(pipe, names) == before
            engine.stop()
    pipe.copy()
    pipe.is_verified()


@pytest.mark.parametrize("victim", ["engine", "source", "target"])
@pytest.mark.timeout(900)
def test_killed_while_it_follows(rough, times, victim):
    pipe = rough
    count, rng = times
    make_mill(pipe.source)
    engine = pipe.follow(**STREAMED)
    for number in range(count):
        with load(pipe.source, mill_step, large_step, sessions=2, seed=number,
                  survives=True) as running:
            running.wait_steps(10)
            moment = rng.random()
            print(f"kill {number + 1}: {victim} after {moment:.3f} s")
            at(time.monotonic() + moment)
            kill(victim, pipe, engine)
            running.wait_steps(10)
            if victim == "engine":
                engine = pipe.start(**STREAMED)
        pipe.catch_up(engine)
        pipe.is_equal()
    engine.stop()
    pipe.is_verified()
