"""Random schemas, copied and followed while four sessions change each of them, in groups small
and large.

    pytest random --seed 17                that one alone
    pytest random --seeds 30               1 to 30; without it 1 and 2, with --long 1 to 200
    python3 random/random_schema.py 17     the schema's texts"""
import itertools
import random
import time

import pytest

import random_changes
import random_schema
from harness.apply import sets_were_used, stall
from harness.cluster import HAS_ICU, MAJORS, free_port
from harness.compare import schema_differences, sequence_differences
from harness.load import load
from harness.program import metrics

SESSIONS = 4
SECONDS = 5  # while it follows
TOGETHER = 5  # seeds that share a pair of databases
SEEDS, LONG_SEEDS = 2, 200
IS_18 = MAJORS["source"] >= 18
# pg_dump 18.6 does not quote the names of NOT NULL constraints on inherited columns, which are made of
# the names of table and column. And the server refuses UPDATEs of tables with REPLICA IDENTITY FULL
# and a generated column, once they are published: such tables are followed by their INSERTs only.
PLAIN = set("t child p leaf c f g gone i k x".split()) if IS_18 else ()
SETTINGS = {"part_size": "64kB", "copiers": 2, "tables_without_identity": "insert_only"}
KEPT_AT_LEAST = 100  # statements of one seed that stood


def chosen_seeds(config):
    if config.getoption("--seed") is not None:
        return [config.getoption("--seed")]
    count = config.getoption("--seeds") or (LONG_SEEDS if config.getoption("--long") else SEEDS)
    return list(range(1, count + 1))


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        seeds = chosen_seeds(metafunc.config)
        groups = [seeds[i:i + TOGETHER] for i in range(0, len(seeds), TOGETHER)]
        metafunc.parametrize("seeds", groups, ids=lambda group: "-".join(map(str, group)))


def make(pipe, seed):
    schema = random_schema.Schema(seed, HAS_ICU, PLAIN, not IS_18)
    for text in schema.statements:
        pipe.source.sql(text)
    for text in schema.fill():
        try:
            pipe.source.sql(text)
        except random_changes.EXPECTED:
            pass
    return schema


def sessions_of(schema):
    """Each session's changes, and a step for it."""
    names = [f"seed {schema.seed} session {number}" for number in range(SESSIONS)]
    return [random_changes.Changes(schema, random.Random(name), name) for name in names]


@pytest.mark.matrix
@pytest.mark.timeout(300)
def test_random_schemas(pipe, seeds):
    pipe.source.sql(random_schema.EXTENSIONS)
    changes = [sessions_of(make(pipe, seed)) for seed in seeds]
    port = free_port()
    everyone = list(itertools.chain(*changes))
    steps = [lambda session, _, one=one: one.step(session) for one in everyone]
    with load(pipe.source, *steps) as writers:
        writers.wait_steps(20 * len(seeds))
        engine = pipe.follow(120, listen=f"127.0.0.1:{port}", **SETTINGS, **pipe.able())
        end = time.monotonic() + SECONDS
        while engine.runs() and time.monotonic() < end:  # in small groups and in large ones
            writers.wait_steps(20 * len(seeds))
            stall(engine, writers, 40 * len(seeds))
    pipe.catch_up(engine, 120)
    sets_were_used(metrics(port), "sets", 100 * len(seeds))
    pipe.is_verified(schema=True, **pipe.able())
    engine.stop()
    pipe.copy(**SETTINGS, **pipe.able())
    pipe.is_equal()
    for seed, ones in zip(seeds, changes):
        kept = sum(one.kept for one in ones)
        assert kept >= KEPT_AT_LEAST, f"seed {seed}: only {kept} statements stood"
    assert not sequence_differences(pipe.source, pipe.target)
    assert not schema_differences(pipe.source, pipe.target)
