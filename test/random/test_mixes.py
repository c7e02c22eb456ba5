"""Random mixes of what sets must get right, applied by two engines from one source: in sets, in
groups of many sizes, and strictly in order. Both targets are compared with the source, state
by state.

    pytest random/test_mixes.py --seed 17  that one alone
    pytest random/test_mixes.py --seeds 50 1 to 50; without it 1 to 5, with --long 1 to 200"""
import collections
import itertools
import random

import pytest

import random_mixes
from harness.apply import LARGE_GROUPS, set_rows, sets_were_used
from harness.cluster import free_port
from harness.data import KEPT, STREAMED
from harness.program import metrics

SEEDS, LONG_SEEDS = 5, 200
ROUNDS = 4
TRANSACTIONS = 40  # of each seed in a round
GROUPS = (50, 200, 1000, 10000)
KEPT_AT_LEAST = 60
# The source's triggers would note in the order of the statements, not of the commits: the targets'
# are compared with each other.
AUDIT = """
CREATE TABLE {0}.audit (n serial PRIMARY KEY, what text, old text, new text);
CREATE FUNCTION {0}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {0}.audit (what, old, new) VALUES (TG_OP || ' ' || TG_TABLE_NAME,
        CASE WHEN TG_OP <> 'INSERT' THEN OLD::text END,
        CASE WHEN TG_OP <> 'DELETE' THEN NEW::text END);
    RETURN NULL; END $$
"""
WATCH = """
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {0} FOR EACH ROW
    EXECUTE FUNCTION {1}.note();
ALTER TABLE {0} ENABLE ALWAYS TRIGGER note
"""


def pytest_generate_tests(metafunc):
    config = metafunc.config
    one = config.getoption("--seed")
    count = config.getoption("--seeds") or (LONG_SEEDS if config.getoption("--long") else SEEDS)
    seeds = [one] if one is not None else list(range(1, count + 1))
    groups = [list(group) for _, group in itertools.groupby(seeds, random_mixes.block)]
    metafunc.parametrize("seeds", groups, ids=lambda group: "-".join(map(str, group)))


def rows(database, table, more=""):
    """With more: of the target's own columns too."""
    keys = random_mixes.KEYS[table.key][0].split(", ")
    names = [column.split()[0] for column in keys + random_mixes.COLUMNS.split(", ")]
    return collections.Counter(row for row, in database.sql(
        f"SELECT ROW(tableoid::regclass, {', '.join(names)}{more})::text FROM {table.name}"))


def is_watched(seed):
    """Then all is applied in order."""
    return random_mixes.block(seed) % 8 == 5


def extend(targets, seed, tables):
    """Both targets have columns of their own and, for some seeds, triggers that see all."""
    rng = random.Random(f"target {seed}")
    own = [table for table in tables if rng.random() < 0.4]
    watched = rng.sample(tables, 2) if is_watched(seed) else []
    for target in targets:
        for table in own:
            target.sql(f"ALTER TABLE {table.name} ADD mine text DEFAULT 'new' NOT NULL;"
                       f" UPDATE {table.name} SET mine = 'row ' || id")
        if watched:
            target.sql(AUDIT.format(f"mix{seed}"))
        for table in watched:
            target.sql(WATCH.format(table.name, f"mix{seed}"))
    return {"own": own, "watched": watched}


def is_same(pipes, seed, tables, extras):
    source, targets = pipes[0].source, [pipe.target for pipe in pipes]
    for table in tables:
        expected = rows(source, table)
        for pipe in pipes:
            found = rows(pipe.target, table)
            assert found == expected, (f"seed {seed}, {table}: missing {expected - found}, too many"
                                       f" {found - expected}, {pipe.processes[-1]}")
        if table in extras["own"]:
            one, other = [rows(target, table, ", mine") for target in targets]
            assert one == other, f"seed {seed}, {table}: {one - other} and {other - one}"
    if extras["watched"]:
        one, other = [target.sql(f"SELECT what, old, new FROM mix{seed}.audit ORDER BY n")
                      for target in targets]
        assert one == other, f"seed {seed}: triggers saw another order"
    return True


@pytest.mark.matrix
def test_mixes(shared_clusters, pipelines, seeds):
    sets = pipelines(shared_clusters)
    ordered = pipelines(shared_clusters, source=sets.source)
    for seed in seeds:
        sets.source.sql(f"CREATE SCHEMA mix{seed}")
        for table in random_mixes.make_tables(seed):
            for text in table.statements:
                sets.source.sql(text)
    writers = [random_mixes.Writer(seed, sets.source) for seed in seeds]
    for writer in writers:
        writer.fill()
        writer.write(TRANSACTIONS // 4)
    for pipe in (sets, ordered):
        pipe.copy()
    targets = [sets.target, ordered.target]
    extras = {seed: extend(targets, seed, random_mixes.make_tables(seed)) for seed in seeds}
    in_order = ordered.start(apply_mode="ordered")
    rng = random.Random(f"groups {seeds}")
    written = 0
    for turn in range(ROUNDS):
        streaming = rng.choice((STREAMED, {**STREAMED, "environment": KEPT}, {}))
        settings = {**LARGE_GROUPS, **streaming, "apply_mode": "sets",
                    "group_max_changes": rng.choice(GROUPS)}
        port = free_port()
        if turn == 0:  # while it follows; then what waits
            engine = sets.start(listen=f"127.0.0.1:{port}", **settings)
        for writer in writers:
            writer.write(TRANSACTIONS)
        if turn > 0:
            engine = sets.start(listen=f"127.0.0.1:{port}", **settings)
        sets.catch_up(engine)
        ordered.catch_up(in_order)
        for seed in seeds:
            is_same((sets, ordered), seed, random_mixes.make_tables(seed), extras[seed])
        written += set_rows(metrics(port))
        engine.stop()
    in_order.stop()
    for writer in writers:
        writer.close()
        assert writer.kept >= KEPT_AT_LEAST, f"seed {writer.seed}: only {writer.kept} stood"
    sets_were_used(written, "sets", 0 if is_watched(seeds[0]) else 100 * len(seeds))
